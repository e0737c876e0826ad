"""The port of alerts, written as a contract in the manner of `ports`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredAlert:
    """One alert's record as it is stored. `version` counts its changes; 0 is one that was not stored yet.

    `service` and `status` say where it is listed, `seen` in which order: when its sender was last heard,
    epoch nanoseconds by the ledger. `body` is `core.alert_history.encode`'s.
    """

    id: str
    service: str
    status: str
    seen: int
    body: bytes = field(repr=False)
    version: int = 0


class Alerts(Protocol):
    """Stores one record a problem, replaced by compare and swap."""

    def load(self, ids: Sequence[str]) -> dict[str, StoredAlert]:
        """Return those of these alerts that are stored, by id. Consistent."""

    def store(self, alerts: Sequence[StoredAlert]) -> set[str]:
        """Store each alert whose stored version is still its `version` (0: none is stored).

        The stored version becomes one more. Return the ids of the others, which are left as they are. Ids are
        different. After `Unavailable` any of them may be stored, each whole or not at all: load again. An
        adapter may say of one that it stored that it did not, where an answer was lost.
        """

    def newest(
        self, service: str, status: str, before: tuple[int, str] | None = None
    ) -> Iterator[StoredAlert]:
        """Yield a service's alerts of one status, the newest `seen` first, of the same one the highest id.

        Begins behind `before`, (seen, id), where it is given. A page at a time; may lag by a second or two,
        and one that changes meanwhile may be left out or come twice.
        """
