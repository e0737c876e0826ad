"""The shipper: a thread that brings what a log holds through one transport, for as long as the process lives.

It starts when it is first woken, and anew in a forked child, where no thread survives. It is a daemon: the
end of the program waits for it, within a bound, and what is not sent then is sent by the next process.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from sentinel_client._backoff import BASE, CAP, Backoff
from sentinel_client._batches import Batches, Log
from sentinel_client._counts import Counts
from sentinel_client._delivery import Delivery, Tell
from sentinel_client._types import Transport

LOOK = 0.2  # seconds between two looks for new entries
WAIT = 0.02  # seconds between two looks of who waits for the shipper


@dataclass(frozen=True, slots=True)
class Pace:
    """How a shipper works; all in seconds but the two limits, which are the transport's where they are 0.

    `max_age` is how long an entry waits for others, `timeout` bounds one try, `base` and `cap` are those of
    the backoff, `exit` is what the end of the process may wait.
    """

    max_entries: int = 0
    max_bytes: int = 0
    max_age: float = 1.0
    timeout: float = 30.0
    base: float = BASE
    cap: float = CAP
    exit: float = 2.0


def _silent(_: object) -> None:
    """Tell nobody."""


class Shipper:
    """Sends what a log and its orphans hold. All methods may be called by any thread and raise nothing.

    `awake` says whether its thread runs in this process: callers on a hot path ask that, and `wake` it where
    not. `tell` gets what the program should hear of as an entry; in the folder `root` receipts and refused
    entries are kept. `clock` is monotonic.
    """

    def __init__(
        self,
        wal: Log,
        transport: Transport,
        counts: Counts,
        pace: Pace | None = None,
        *,
        tell: Tell = _silent,
        root: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] | None = None,
    ) -> None:
        self._wal = wal
        self._transport = transport
        self._pace = pace or Pace()
        self._clock = clock
        self._backoff = Backoff(self._pace.base, self._pace.cap, clock, draw)
        self._delivery = Delivery(transport, counts, self._backoff, tell, root)
        self._closed = self._sent_all = False
        self._waiting = 0  # when it was closed: the log is not to be asked any more
        self._turn = 0
        self._begin()
        _ALL.add(self)

    def _begin(self) -> None:
        self.awake = False
        self._lock = threading.RLock()  # a signal's handler may flush or close while its thread holds it
        self._stepping = threading.Lock()
        self._woken: SimpleQueue[None] = SimpleQueue()  # unlike an Event's, its `put` may interrupt itself
        self._thread: threading.Thread | None = None
        self._hurried = 0
        self._end: float | None = None
        self._own = self._batches(self._wal)
        self._others: dict[str, Batches] = {}

    def wake(self) -> None:
        """Start the thread where none runs in this process, and have it look for something to send."""
        if not self.awake:
            self._start()
        self._woken.put(None)

    def hurry(self) -> None:
        """Send without waiting for more, until `ease`, and try now what failed before."""
        with self._lock:
            self._hurried += 1
        self._backoff.hurry()
        self.wake()

    def ease(self) -> None:
        """Take a `hurry` back: batches wait for others again."""
        with self._lock:
            self._hurried -= 1

    def flush(self, deadline: float) -> bool:
        """Send what is in the log now; whether all of it is done within so many seconds."""
        if self._closed:
            return self._sent_all
        end = self._clock() + deadline
        target = self._wal.next()
        with self._lock:
            self._hurried += 1
        try:
            self._backoff.hurry()
            self.wake()
            while not (done := self._done(target)) and self._clock() < end:
                if not self.awake:  # no thread can be started any more: the interpreter is shutting down
                    self._work(end)
                    return self._done(target)
                time.sleep(min(WAIT, max(0.0, end - self._clock())))
            return done
        finally:
            with self._lock:
                self._hurried -= 1

    def close(self, deadline: float) -> bool:
        """Send what is there within the seconds, and stop; whether all was sent. Again, it does nothing.

        A request that is under way then is not waited for: its batch is sent again, the same, by the next
        process.
        """
        end = self._clock() + deadline
        with self._lock:
            if self._closed:
                return self._sent_all
            self._closed = True
            self._hurried += 1
            self._end = end
        self._backoff.hurry()
        thread = self._thread
        if thread is not None and thread.is_alive():
            self._woken.put(None)
            thread.join(max(0.0, end - self._clock()))
        elif not self._done(self._wal.next()):
            self._work(end)
        self._delivery.abandon(end - self._clock())
        if thread is None:  # else it is the thread's to close, which may be in the midst of a request
            self._transport.close()
        self._waiting = max(0, self._wal.next() - self._wal.progress(self._transport.name).acknowledged)
        self._sent_all = self._waiting == 0
        return self._sent_all

    def stats(self) -> dict[str, Any]:
        """Return what was done, what waits, and in `why` what is wrong, "" where it goes on."""
        done, waiting = self._delivery, self._waiting
        if not self._closed:
            waiting = self._wal.next() - self._wal.progress(self._transport.name).acknowledged
        return {
            "transport": self._transport.name,
            "sent": done.sent,
            "batches": done.batches,
            "tries": done.tries,
            "refused": done.refused,
            "altered": done.altered,
            "waiting": max(0, waiting),
            "orphans": len(self._others),
            "why": done.why,
            "retry_in": round(self._backoff.left(), 3),
        }

    def _batches(self, log: Log) -> Batches:
        pace, transport = self._pace, self._transport
        entries = min(pace.max_entries or transport.max_entries, transport.max_entries)
        size = min(pace.max_bytes or transport.max_bytes, transport.max_bytes)
        return Batches(log, transport.name, entries, size, pace.max_age, self._clock)

    def _done(self, target: int) -> bool:
        return self._wal.progress(self._transport.name).acknowledged >= target

    def _start(self) -> None:
        with self._lock:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            made = threading.Thread(target=self._run, name=f"sentinel-{self._transport.name}", daemon=True)
            try:
                made.start()
            except RuntimeError:  # none may be started at the interpreter's end
                return
            self._thread = made
            self.awake = True
        _at_exit_once()

    def _run(self) -> None:
        self._work(None)
        self.awake = False
        self._transport.close()

    def _work(self, end: float | None) -> None:
        """Send until `end`, or until this shipper is closed, and all is sent or its time is over."""
        with self._stepping:
            while True:
                until = self._end if end is None else end
                now = self._clock()
                if until is not None and now >= until:
                    return
                wait = self._step(None if until is None else until - now)
                if until is not None and (wait is None or now + wait >= until):
                    return
                if wait != 0.0:
                    self._sleep(LOOK if wait is None else min(wait, LOOK))

    def _sleep(self, seconds: float) -> None:
        """Wait until somebody wakes this shipper."""
        with contextlib.suppress(Empty):
            self._woken.get(timeout=seconds)
            while True:
                self._woken.get_nowait()

    def _step(self, left: float | None) -> float | None:
        """Send one batch where one is due: 0.0 then, else in how many seconds; None where there is none."""
        wait = self._backoff.left()
        if wait > 0:
            return wait
        try:
            return self._next(self._pace.timeout if left is None else min(self._pace.timeout, left))
        except Exception as error:  # noqa: BLE001 - a disk that fails must not end the thread
            self._delivery.why = f"the log raised {type(error).__name__}"
            self._backoff.failed()
            return self._backoff.left()

    def _next(self, timeout: float) -> float | None:
        sources = self._sources()
        dues = []
        for at in range(len(sources)):
            source = sources[(self._turn + at) % len(sources)]
            due = source.due()
            if due is not None and (due == 0.0 or self._hurried or source is not self._own):
                self._turn += at + 1  # the next one has the next turn: no slot waits for another
                self._delivery.send(source, timeout)
                return 0.0
            if due is not None:
                dues.append(due)
        return min(dues, default=None)

    def _sources(self) -> list[Batches]:
        """Return our own log and those of dead processes, which are not begun with where this one ends."""
        orphans = [] if self._closed else self._wal.orphans()
        self._others = {
            each.producer: self._others.get(each.producer) or self._batches(each) for each in orphans
        }
        return [self._own, *self._others.values()]


_ALL: weakref.WeakSet[Shipper] = weakref.WeakSet()
_registered: list[bool] = []


def _at_exit_once() -> None:
    if not _registered:
        _registered.append(True)
        atexit.register(_at_exit)


def _at_exit() -> None:
    """Close all shippers that ran in this process, together within the longest of their bounds."""
    begun = time.monotonic()
    ran = [each for each in _ALL if each._thread is not None and not each._closed]
    for shipper in ran:
        shipper.hurry()  # so that one that is down does not take the time of the others
    for shipper in sorted(ran, key=lambda each: each._pace.exit):
        with contextlib.suppress(Exception):
            shipper.close(max(0.0, begun + shipper._pace.exit - time.monotonic()))


def _after_fork() -> None:
    """Begin anew in a child: it has no thread, and its own slot of the log."""
    for shipper in list(_ALL):
        shipper._begin()
        shipper._delivery.begin_anew()
        shipper._backoff.succeeded()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
