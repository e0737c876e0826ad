"""Where deliveries are remembered: a record for each chain, and a lease for each delivery, in `Counters`.

Every change is one compare and swap. Whoever has lost its lease finds a record that it did not write, and
stops: a cursor is never moved by two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import orjson

from sentinel.core import delivered
from sentinel.core.delivered import Record
from sentinel.core.delivery_track import Move
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered, Unavailable
from sentinel.ports import Counters

LEASE = 30 * SECOND
KEEP = 10 * 365 * 86_400  # seconds after its last change that a record is kept: it is never to be forgotten


class LeaseLost(Exception):
    """Another runner has the delivery."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who runs a delivery and until when (epoch ns); `since` is when the plan was first seen.

    `clean` says that the last holder left nothing on its way. `redriven` changes whenever somebody asks for
    dead entries again. `limit` is the pace in events a second, 0 for any.
    """

    holder: str = ""
    until: int = 0
    since: int = 0
    clean: bool = True
    redriven: int = 0
    limit: int = 0


def lease_key(name: str) -> str:
    """Return the key of a delivery's lease."""
    return f"delivery/{name}"


def record_key(name: str, chain: str) -> str:
    """Return the key of a chain's record; a name has no slash, so no two are the same."""
    return f"delivery/{name}/{chain}"


class DeliveryStore:
    """The records of all deliveries. `clock` in epoch nanoseconds."""

    def __init__(self, counters: Counters, clock: Callable[[], int]) -> None:
        self._counters = counters
        self._clock = clock

    def lease(self, name: str) -> tuple[Lease, int]:
        """Return a delivery's lease and its version; an empty one where it never ran."""
        state, version = self._counters.load(lease_key(name))
        return (Lease(**orjson.loads(state)) if state else Lease()), version

    def begin(self, name: str) -> None:
        """Note that a delivery is seen, where that is not known: `since: now` counts from then on."""
        while True:
            before, version = self.lease(name)
            if before.since:
                return
            seen = replace(before, since=self._clock())
            if self._stored(lease_key(name), orjson.dumps(asdict(seen)), version):
                return

    def take(self, name: str, holder: str) -> Lease | None:
        """Take a delivery's lease; return it as it was before, but begun. None where another has it.

        An end that lies further ahead than any lease is long was written by a clock that is wrong.
        """
        now = self._clock()
        before, version = self.lease(name)
        if before.holder not in {"", holder} and 0 < before.until - now <= 2 * LEASE:
            return None
        since = before.since or now
        mine = replace(before, holder=holder, until=now + LEASE, since=since, clean=False)
        if not self._stored(lease_key(name), orjson.dumps(asdict(mine)), version):
            return None
        return replace(before, since=since)

    def keep(self, name: str, holder: str, limit: int = 0) -> Lease:
        """Make a lease last longer; return it. Raises `LeaseLost` where another has it."""
        while True:
            before, version = self.lease(name)
            if before.holder != holder:
                raise LeaseLost
            mine = replace(before, until=self._clock() + LEASE, limit=limit)
            if self._stored(lease_key(name), orjson.dumps(asdict(mine)), version):
                return mine

    def release(self, name: str, holder: str, *, clean: bool) -> None:
        """Give a lease back, where it is still the holder's."""
        before, version = self.lease(name)
        if before.holder == holder:
            left = replace(before, holder="", until=0, clean=clean)
            self._stored(lease_key(name), orjson.dumps(asdict(left)), version)

    def load(self, name: str, chain: str) -> tuple[Record | None, int]:
        """Return a chain's record and its version. Raises `Tampered` for one that cannot be read."""
        state, version = self._counters.load(record_key(name, chain))
        if not state:
            return None, version
        try:
            return delivered.unpack(state), version
        except ValueError as error:
            raise Tampered(chain, 0, "delivery", f"the record of delivery {name}: {error}") from None

    def swap(self, name: str, chain: str, record: Record, version: int) -> bool:
        """Replace a record that is still of that version. After `Unavailable` load it again."""
        return self._stored(record_key(name, chain), record.pack(), version)

    def redrive(self, name: str, chain: str, reason: str = "") -> int:
        """Have dead entries of a chain sent again; return how many. Their holder is told by `nudge`."""
        while True:
            record, version = self.load(name, chain)
            if record is None:
                return 0
            after, count = record.redriven(reason)
            if after == record or self.swap(name, chain, after, version):
                return count

    def nudge(self, name: str) -> None:
        """Tell the holder of a delivery that records were changed."""
        while True:
            before, version = self.lease(name)
            after = replace(before, redriven=before.redriven + 1)
            if self._stored(lease_key(name), orjson.dumps(asdict(after)), version):
                return

    def _stored(self, key: str, state: bytes, version: int) -> bool:
        return self._counters.store(key, state, version, self._clock() // SECOND + KEEP)


class Cursor:
    """One chain's record as its holder knows it, and how it is moved.

    `wait` is called before a store that did not answer is asked again, and may raise to end it.
    """

    def __init__(
        self, store: DeliveryStore, name: str, chain: str, wait: Callable[[Unavailable], None]
    ) -> None:
        self._store = store
        self._name = name
        self._chain = chain
        self._wait = wait
        self.record = Record()
        self._version = 0

    def load(self) -> bool:
        """Read the record; say whether there is one. Raises `Tampered` where it cannot be read."""
        found, self._version = self._store.load(self._name, self._chain)
        self.record = found or Record()
        return found is not None

    def look(self) -> None:
        """Read the record again. Raises `LeaseLost` where its cursor is not where it was."""
        found, version = self._store.load(self._name, self._chain)
        record = found or Record()
        if record.next != self.record.next:
            raise LeaseLost
        self.record, self._version = record, version

    def move(self, move: Move) -> None:
        """Move the record, until it is known to be done, whatever the store answers meanwhile.

        Raises `LeaseLost` where somebody else has moved the cursor.
        """
        while True:
            after = move.on(self.record)
            try:
                if self._store.swap(self._name, self._chain, after, self._version):
                    self.record, self._version = after, self._version + 1
                    return
                if self._done(after):
                    return
            except Unavailable as error:
                if self._asked(after, error):
                    return

    def _asked(self, after: Record, error: Unavailable) -> bool:
        while True:
            self._wait(error)
            try:
                return self._done(after)
            except Unavailable as again:
                error = again

    def _done(self, after: Record) -> bool:
        """Look what stands there: what was to be written, what was there before, or what a redrive made."""
        found, version = self._store.load(self._name, self._chain)
        record = found or Record()
        if record != after or version == self._version:
            if record.next != self.record.next:
                raise LeaseLost
            self.record, self._version = record, version
            return False
        self.record, self._version = record, version
        return True
