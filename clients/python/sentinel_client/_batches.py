"""Which entries go out together: full batches at once, others when their first entry has waited."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sentinel_client._types import Batch


class Run(Protocol):
    """Entries that a log holds from a number on; see `_wal.Run`."""

    @property
    def first(self) -> int: ...

    @property
    def count(self) -> int: ...

    @property
    def entries(self) -> list[bytes]: ...


class Progress(Protocol):
    """How far a transport is; see `_state.Progress`."""

    @property
    def acknowledged(self) -> int: ...

    @property
    def sending(self) -> tuple[int, int] | None: ...


class Log(Protocol):
    """What batches are read from and their progress is written to; see `_wal.Wal`.

    `orphans` are slots of dead processes, which it takes over and gives back when they are empty: each call
    says which there are now, the same for all who ask.
    """

    @property
    def producer(self) -> str: ...

    def read(self, first: int, max_entries: int, max_bytes: int) -> Run: ...

    def next(self) -> int: ...

    def orphans(self) -> Sequence[Log]: ...

    def progress(self, transport: str) -> Progress: ...

    def begin(self, transport: str, first: int, count: int) -> object: ...

    def acknowledge(self, transport: str, upto: int) -> None: ...


_ALL = 1 << 40  # bytes: a batch that was begun is read whole


@dataclass(slots=True)
class Batches:
    """The batches of one log for one transport. `clock` is monotonic.

    A batch is due when it is full, or when its first entry was seen `max_age` seconds ago. What is in it is
    durable before it is sent for the first time; a batch that was begun comes again until it is acknowledged.
    """

    log: Log
    transport: str
    max_entries: int
    max_bytes: int
    max_age: float
    clock: Callable[[], float] = time.monotonic
    _seen: float | None = field(default=None, init=False)
    _more: bool = field(default=False, init=False)

    def due(self) -> float | None:
        """Return in how many seconds a batch is due, 0.0 for now; None where there is nothing to send."""
        progress = self.log.progress(self.transport)
        if progress.sending is not None:
            return 0.0
        waiting = self.log.next() - progress.acknowledged
        if waiting <= 0:
            self._seen = None
            return None
        if self._more or waiting >= self.max_entries:
            return 0.0
        now = self.clock()
        if self._seen is None:
            self._seen = now
        return max(0.0, self._seen + self.max_age - now)

    def take(self) -> Batch | None:
        """Return the batch that is to be sent now, begun durably; None where nothing is left to send.

        Entries that were lost on disk are left out, also where that is all of them.
        """
        progress = self.log.progress(self.transport)
        if progress.sending is not None:
            first, count = progress.sending
            return Batch(self.log.producer, first, count, self._entries(first, count))
        run = self.log.read(progress.acknowledged, self.max_entries, self.max_bytes)
        self._seen = None
        self._more = run.count > 0 and self.log.next() > run.first + run.count and self._full(run)
        if run.count == 0:
            return None
        self.log.begin(self.transport, run.first, run.count)
        return Batch(self.log.producer, run.first, run.count, run.entries)

    def done(self, batch: Batch) -> None:
        """Note that a batch needs no sending any more."""
        self.log.acknowledge(self.transport, batch.first + batch.count)

    def halve(self, batch: Batch) -> Batch | None:
        """Go on with the first half of a batch that is too large; None where it is one entry."""
        if batch.count <= 1:
            return None
        count = batch.count // 2
        self.max_entries = max(1, min(self.max_entries, count))
        size = sum(map(len, batch.entries)) + len(batch.entries)
        self.max_bytes = max(1, min(self.max_bytes, size // 2))
        self.log.begin(self.transport, batch.first, count)
        return Batch(self.log.producer, batch.first, count, self._entries(batch.first, count))

    def _entries(self, first: int, count: int) -> list[bytes]:
        found: list[bytes] = []
        at = first
        while at < first + count:
            run = self.log.read(at, first + count - at, _ALL)
            if run.count == 0 or run.first >= first + count:
                break
            found += run.entries
            at = run.first + run.count
        return found

    def _full(self, run: Run) -> bool:
        """Whether a limit ended the run, and not the end of the log: then what follows is due at once."""
        return (
            run.count >= self.max_entries
            or sum(map(len, run.entries)) + len(run.entries) > self.max_bytes // 2
        )
