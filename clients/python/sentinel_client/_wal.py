"""The write-ahead log: what `append` gave a number is in the hands of the kernel, and is read until sent.

A process has one, and in it one slot of the root (docs/clients.md). A caller's thread does one `pwrite` an
entry. Where the disk takes nothing, entries are bridged in memory: numbered, readable, written once it takes
them again.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from pathlib import Path

from sentinel_client import _state
from sentinel_client._appender import Appender
from sentinel_client._counts import Counts
from sentinel_client._disk import DISK, Disk
from sentinel_client._journal import Journal
from sentinel_client._keeper import Keeper, watch
from sentinel_client._orphans import Orphans
from sentinel_client._segments import Run
from sentinel_client._slots import Slot
from sentinel_client._state import Progress
from sentinel_client._store import Limits, delete, sync_all

_AT_ONCE = 1024  # bridged entries that are written while the lock is held
_LOST = (errno.ENOENT, errno.EIO)  # what reading says of a segment that will not come back


class Wal(Appender):
    """The write-ahead log of this process, for any number of threads. It opens on the first use.

    `fsync` says when entries survive loss of power: `always` before `append` returns, `interval` after so
    many seconds, `never` when the system gets to it. A kill of the process they survive always. `max_bytes`
    bounds the slot's segments; `when_full` says what happens there: `drop_oldest`, `drop_newest`, or `block`
    for up to `block` seconds and then drop. `segment_bytes` is the size at which a segment ends. Segments are
    deleted once all `transports` have acknowledged them. `bridge_bytes` bounds the memory that bridges a disk
    that fails, and `retry` says after how many seconds it is tried again; `look` how often free slots are
    looked for.

    Nothing here raises for the disk; `problem` says what is wrong with it.
    """

    def __init__(  # noqa: PLR0913 # options have names
        self,
        root: Path,
        *,
        fsync: str = "interval",
        interval: float = 1.0,
        max_bytes: int = 256 << 20,
        when_full: str = "drop_oldest",
        block: float = 0.5,
        segment_bytes: int = 8 << 20,
        counts: Counts,
        transports: Sequence[str] = ("http",),
        bridge_bytes: int = 4 << 20,
        retry: float = 0.25,
        look: float = 5.0,
        disk: Disk = DISK,
        slot: Slot | None = None,
    ) -> None:
        if fsync not in ("always", "interval", "never"):
            raise ValueError("fsync is always, interval or never")
        if when_full not in ("drop_oldest", "drop_newest", "block"):
            raise ValueError("when_full is drop_oldest, drop_newest or block")
        limits = Limits(
            fsync=fsync,
            interval=interval,
            max_bytes=max_bytes,
            when_full=when_full,
            block=block,
            segment_bytes=min(segment_bytes, max_bytes // 4),
            transports=transports,
            bridge_bytes=bridge_bytes,
            retry=retry,
        )
        self._orphan, self._look = slot is not None, look
        super().__init__(root, limits, counts, disk, slot)
        watch(self)

    def _begin_anew(self, slot: Slot | None = None) -> None:
        super()._begin_anew(slot)
        self._sync_lock, self._state_lock, self._orphans_lock = (threading.RLock() for _ in range(3))
        self._orphans = Orphans(self._disk, self._root, self._taken_over, self._look)

    @property
    def producer(self) -> str:
        """Return the producer id: the name of the slot that this process has."""
        with self._held() as journal:
            journal.ready()
            return journal.name

    def next(self) -> int:
        """Return the number of the next entry to come."""
        with self._held() as journal:
            journal.ready()
            return journal.number

    def read(self, first: int, max_entries: int, max_bytes: int) -> Run:
        """Read the entries `first` to `first + max_entries - 1`, up to `max_bytes` of them, or one.

        Where a part of them was lost, it is missing in `entries` and counts in `count`. Where nothing is left
        of them the run begins behind them: its `first` is where what is left begins, and its `count` may be
        0.
        """
        with self._held() as journal:
            pieces, after = journal.pieces(first), journal.number
        start, run = first, Run(max(first, after), 0, [], [])
        for piece, end in pieces:
            if piece.first >= start + max_entries:
                start = piece.first
            try:
                found = piece.read(self._disk, start, max_entries, max_bytes, end)
            except OSError as error:
                if error.errno not in _LOST:
                    return Run(first, 0, [], [])
                with self._held() as journal:
                    journal.lost(piece)
                continue
            if found.count:
                run = found
                break
        with self._lock:
            self._journal.judge(first, run.first + run.count, run.numbers)
        return run

    def progress(self, transport: str) -> Progress:
        """Return how far a transport is."""
        with self._held() as journal:
            journal.ready()
            return journal.state.of(transport)

    def begin(self, transport: str, first: int, count: int) -> bool:
        """Note that a range is about to be sent, durably unless `fsync` is `never`.

        False says that the disk did not take it: sent nevertheless, the range may be sent once more under
        another id if the process is killed before it is acknowledged.
        """
        with self._held() as journal:
            journal.ready()
            acknowledged = journal.state.of(transport).acknowledged
            journal.state.transports[transport] = Progress(acknowledged, (first, count))
            journal.dirty = True
            self._start_keeper()
        return self._save()

    def acknowledge(self, transport: str, upto: int) -> None:
        """Note that a transport is done with all entries below a number.

        The next `begin` writes it, or the keeper within an interval: killed before, the batch is sent again
        under its id. Segments that all transports are done with are deleted.
        """
        with self._held() as journal:
            journal.ready()
            before = journal.state.of(transport)
            done = before.sending is None or sum(before.sending) <= upto
            acknowledged = max(before.acknowledged, upto)
            journal.state.transports[transport] = Progress(acknowledged, None if done else before.sending)
            journal.dirty = True
            segments = journal.acknowledged()
            self._changed.notify_all()
        delete(self._disk, segments)

    def _save(self) -> bool:
        with self._state_lock:
            with self._held() as journal:
                if journal.store is None:
                    return False
                data, folder = journal.state.encode(), journal.store.slot.folder
                journal.dirty = False
            try:
                _state.save(self._disk, folder, data, sync=self._limits.fsync != "never")
            except OSError as error:
                with self._held() as journal:
                    journal.dirty, journal.problem = True, f"state.json: {error.strerror}"
                return False
            return True

    def orphans(self) -> list[Wal]:
        """Return the slots of dead processes that this one took over, and look for more once in a while.

        All shippers get the same. What is sent empty is given back with the next call; it reads as empty
        then.
        """
        own = self.producer
        with self._orphans_lock:
            return self._orphans.look(own)

    def _taken_over(self, slot: Slot) -> Wal:
        limits = {name: getattr(self._limits, name) for name in Limits.__dataclass_fields__}
        return Wal(self._root, counts=self._counts, disk=self._disk, slot=slot, **limits)

    def drained(self) -> bool:
        """Say whether all transports are done with all that is here."""
        with self._held() as journal:
            return journal.drained()

    # What looks after it.

    def sync(self) -> None:
        """Return once what was appended survives loss of power, or it is known that it may not."""
        self._commit(None)

    def _commit(self, number: int | None) -> None:
        """Sync what is written; callers that come meanwhile share the next sync."""
        with self._sync_lock:
            with self._held() as journal:
                store = journal.store
                if store is None or (number is not None and store.synced > number):
                    return
                work = store.unsynced()
            if work is None:
                return
            try:
                sync_all(self._disk, work)
            except OSError as error:
                with self._held() as journal:
                    journal.not_synced(store, work, error)
            store.synced = max(store.synced, work.upto)

    def keep(self) -> None:
        """Do what is due once an interval: write what is bridged, sync, write the state."""
        with self._held() as journal:
            journal.check_there()
        self._drain()
        if self._limits.fsync == "interval":
            self.sync()
        with self._held() as journal:
            if self._limits.fsync == "never" and journal.store is not None:
                journal.store.close_retired()
            dirty = journal.dirty
        if dirty:
            self._save()

    def _drain(self) -> None:
        more = True
        while more:
            with self._held() as journal:
                more = journal.drain(_AT_ONCE)

    def _start_keeper(self) -> None:
        if self._keeper is None and not self._orphan:
            try:
                self._keeper = Keeper(self, self._limits.interval)
            except RuntimeError:  # the interpreter is shutting down
                return

    def after_fork(self) -> None:
        """In a forked child: leave all to the parent, and begin anew with another slot on the first use.

        Where the fork interrupted an append, which goes on in both, the child's goes nowhere.
        """
        store, inside = self._journal.store, self._inside
        self._begin_anew()
        self._journal.ended = self._orphan
        if store is not None:
            store.leave(keep_writer=inside)

    def close(self, *, remove: bool = False) -> None:
        """Sync, write the state, give the slot back, or delete it with `remove`. Used again, it opens anew."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()
        for wal in self._orphans.held:
            wal.close()
        if self._journal.store is not None or len(self._journal.bridge):
            self._drain()
        if self._limits.fsync != "never":
            self.sync()
        if self._journal.dirty:
            self._save()
        with self._held() as journal:
            journal.close(remove=remove)
            if not self._orphan:
                self._journal = Journal(self._disk, self._root, self._limits, self._counts)
                self._orphans = Orphans(self._disk, self._root, self._taken_over, self._look)

    @property
    def problem(self) -> str | None:
        """Return what is wrong with the disk, in words, or None."""
        return self._journal.problem

    def stats(self) -> dict[str, object]:
        """Return how it is: where, how much, how far; for people and for the doctor."""
        with self._held() as journal:
            return journal.stats() | {"fsync": self._limits.fsync, "orphans": len(self._orphans.held)}
