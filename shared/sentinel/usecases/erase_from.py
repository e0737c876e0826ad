"""What an erasure asks of the places beside the ledger, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.core.segment import Segment


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be erased: entries `first` to `last` of a chain. `whole`: and all of their segments.

    `tasks` are further tasks of which somebody knows that they quote them.
    """

    chain: str
    first: int
    last: int
    reason: str
    by: str
    whole: bool = False
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What the places beside the ledger have to forget.

    `entries` are those that can still be read, by their number, each with its segment; empty where an earlier
    call has erased them. `record` is the number of the entry that records the erasure, `tasks` as in `Wish`.
    """

    chain: str
    first: int
    last: int
    entries: Mapping[int, tuple[Segment, bytes]]
    record: int = 0
    tasks: tuple[str, ...] = ()

    def names(self, chain: object, seq: object) -> bool:
        """Say whether a place is one of the erased."""
        return chain == self.chain and isinstance(seq, int) and self.first <= seq <= self.last


@dataclass(slots=True)
class Forgotten:
    """What a place has forgotten: how many of what, and what it could not, or is not ours to."""

    counts: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)

    def add(self, other: Forgotten) -> None:
        """Take in another place's."""
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        self.left += other.left
        self.unfinished += other.unfinished


class Place(Protocol):
    """Somewhere beside the ledger where entries may be quoted."""

    def forget(self, target: Target) -> Forgotten:
        """Forget what quotes the target's entries. Idempotent. Raises `Unavailable`."""

    def compact(self) -> None:
        """Overwrite what was taken away."""
