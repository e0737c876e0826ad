"""A ring of secrets: the one in force, the one before it and the one to come, with their overlap.

What rotates is kept as one JSON document, `{"keys": [{"id", "value", "since", "until"}]}`, so that a
rotation is one new version of one secret and nobody has to guess which of two is meant. Times are epoch
seconds. A key is accepted from the moment it is in the ring until `until` (0: no end), and is the one to use
from `since`: who checks learns of a key before anybody uses it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from sentinel.errors import Malformed


@dataclass(frozen=True, slots=True)
class Key:
    """One secret of a ring."""

    id: str
    value: str = field(repr=False)
    since: int = 0
    until: int = 0


@dataclass(frozen=True, slots=True)
class Ring:
    """The keys, oldest first."""

    keys: tuple[Key, ...] = ()

    def accepted(self, now: int) -> tuple[Key, ...]:
        """Return the keys that still count, the newest first."""
        return tuple(key for key in reversed(self.keys) if not key.until or now < key.until)

    def current(self, now: int) -> Key:
        """Return the key to use: the newest that is in force. Raises `Malformed` where none is."""
        for key in reversed(self.keys):
            if key.since <= now and (not key.until or now < key.until):
                return key
        raise Malformed("no key of the ring is in force")

    def rotated(self, fresh: Key, now: int, lead: int, overlap: int) -> Ring:
        """Return the ring with `fresh` in use from `now + lead`, the others accepted until `overlap` later.

        Keys that count no more are left out.

        >>> ring = Ring((Key("a", "1"),)).rotated(Key("b", "2"), now=100, lead=10, overlap=50)
        >>> ring.current(105).id, ring.current(110).id, [key.id for key in ring.accepted(159)]
        ('a', 'b', ['b', 'a'])
        >>> [key.id for key in ring.accepted(160)]
        ['b']
        """
        end = now + lead + overlap
        kept = (replace(key, until=min(key.until or end, end)) for key in reversed(self.accepted(now)))
        return Ring((*kept, replace(fresh, since=now + lead, until=0)))

    def encode(self) -> str:
        """Return the ring as text."""
        return orjson.dumps({"keys": [asdict(key) for key in self.keys]}).decode()

    @staticmethod
    def decode(text: str) -> Ring:
        """Read a ring. Raises `Malformed`, without quoting it."""
        try:
            told: Any = orjson.loads(text)
            return Ring(tuple(_keys(told["keys"])))
        except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
            raise Malformed("this is not a ring of keys") from None


def _keys(told: Iterable[Any]) -> Iterable[Key]:
    for each in told:
        names, times = (each["id"], each["value"]), (each["since"], each["until"])
        if not all(isinstance(name, str) and name for name in names):
            raise ValueError
        if not all(type(time) is int for time in times):
            raise ValueError
        yield Key(*names, *times)
