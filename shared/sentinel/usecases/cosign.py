"""Cosign: offer a checkpoint that was stored to witnesses, and attach what they sign (C2SP tlog-witness).

Whoever seals is never stopped by it: all witnesses are asked at once, within one budget of time, and one that
fails is left alone for a while. A quorum that is missed is told, and tried again at the next checkpoint.

Nothing that a witness says is believed, but for one thing that it can say against us: that it has cosigned
more than this log has ever signed, or another tree. Then either somebody else signs with the log's key, or
what this log knows of itself is an old copy. That is raised as `Tampered` once everything else is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sentinel.core.breaker import CLOSED, LEAST, Breaker
from sentinel.errors import SentinelError, Tampered, TimedOut, Unavailable
from sentinel.ports_log import Notes
from sentinel.usecases.checkpoints import TIMESTAMP, name_of
from sentinel.usecases.seal import Sealed
from sentinel.usecases.submit import Submitter
from sentinel.usecases.timestamp import Stamper

BUDGET = 8.0  # seconds for all of them together
SPARED = 45.0  # seconds that one is left alone which failed twice in a row: the next minute tries it once
AT_ONCE = 16  # chains that one is asked about at the same time, where several threads seal
TIMESTAMPS = "timestamp authority"

log = logging.getLogger("sentinel.cosign")


@dataclass(frozen=True, slots=True)
class Offered:
    """What became of a checkpoint: who cosigned it, and why the others did not.

    `reached` says whether as many cosigned as the quorum wants; `stamped` whether a timestamp was attached.
    """

    chain: str
    number: int
    cosigned: tuple[str, ...]
    missed: Mapping[str, str]
    reached: bool
    stamped: bool = False


@dataclass(slots=True)
class Cosigner:
    """The use case. `quorum` 0 is all witnesses; `clock` gives epoch nanoseconds.

    Threads may share it. It remembers who failed, and what each witness cosigned last, as long as it lives.
    """

    submitters: Sequence[Submitter]
    notes: Notes
    clock: Callable[[], int]
    quorum: int = 0
    stamper: Stamper | None = None
    budget: float = BUDGET
    _breakers: dict[str, Breaker] = field(default_factory=dict)
    _busy: set[tuple[str, str]] = field(default_factory=set)  # who is being asked, about which chain
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def offer(self, sealed: Sealed) -> Offered:
        """Offer a checkpoint that is stored to everybody; attach the cosignatures, and a timestamp where due.

        Never raises for what a witness does, or the way to it, or where attaching fails: that is in the
        result. Raises `Tampered` for what a witness says against this log, when everything else is done.
        """
        jobs: dict[str, Callable[[float], bytes]] = {
            each.key.name: partial(each.ask, sealed) for each in self.submitters
        }
        if self.stamper is not None and self.stamper.due(sealed):
            jobs[TIMESTAMPS] = partial(self.stamper.ask, sealed)
        found = self._all(sealed.chain, jobs)
        for each in self.submitters:
            self._keep(sealed, each.key.name, name_of(each.key), found)
        if self.stamper is not None and TIMESTAMPS in found:
            self._keep(sealed, TIMESTAMPS, TIMESTAMP, found)
            if isinstance(found[TIMESTAMPS], bytes):
                self.stamper.kept(sealed)
        return self._told(sealed, found)

    def _keep(self, sealed: Sealed, who: str, name: str, found: dict[str, bytes | SentinelError]) -> None:
        """Attach what one gave. Where that fails it has given nothing."""
        given = found[who]
        if isinstance(given, bytes):
            try:
                self.notes.attach(sealed.chain, sealed.number, name, given)
            except SentinelError as error:
                found[who] = error

    def _told(self, sealed: Sealed, found: dict[str, bytes | SentinelError]) -> Offered:
        """Tell what became of it, and raise the first of what was said against this log."""
        stamp = found.pop(TIMESTAMPS, None)
        if isinstance(stamp, SentinelError):
            log.warning("checkpoint %d of %s has no timestamp: %s", sealed.number, sealed.chain, stamp)
        missed = {name: str(each) for name, each in found.items() if isinstance(each, SentinelError)}
        cosigned = tuple(each.key.name for each in self.submitters if each.key.name not in missed)
        reached = len(cosigned) >= (self.quorum or len(self.submitters))
        if not reached:
            told = "; ".join(f"{name}: {why}" for name, why in missed.items())
            log.warning(
                "checkpoint %d of %s missed its quorum of witnesses: %s", sealed.number, sealed.chain, told
            )
        against = [each for each in found.values() if isinstance(each, Tampered)]
        for each in against[1:]:
            log.critical("tampered: %s", each)
        if against:
            raise against[0]
        stamped = isinstance(stamp, bytes)
        return Offered(sealed.chain, sealed.number, cosigned, missed, reached, stamped)

    def _all(
        self, chain: str, jobs: Mapping[str, Callable[[float], bytes]]
    ) -> dict[str, bytes | SentinelError]:
        """Do what may be done at once; return what each gave, or why it gave nothing, within the budget."""
        found: dict[str, bytes | SentinelError] = {}
        threads = []
        for name, ask in jobs.items():
            why = self._spared(name, chain)
            if why is not None:
                found[name] = why
                continue
            # A daemon: looking a name up may take longer than any budget, and nobody waits for it.
            thread = threading.Thread(target=self._one, args=(name, chain, ask, found), daemon=True)
            threads.append(thread)
            thread.start()
        end = time.monotonic() + self.budget
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        with self._lock:
            for name in jobs.keys() - found.keys():
                found[name] = late = TimedOut("it did not answer in time")
                self._breakers[name] = self._after(name, late)
            return dict(found)

    def _one(
        self,
        name: str,
        chain: str,
        ask: Callable[[float], bytes],
        found: dict[str, bytes | SentinelError],
    ) -> None:
        """Ask one; a thread's whole life."""
        result: bytes | SentinelError = Unavailable("asking it failed")
        try:
            result = ask(self.budget)
        except SentinelError as error:
            result = error
        finally:
            with self._lock:
                self._busy.discard((name, chain))
                if name not in found:  # else it was too late, and that has been counted
                    found[name] = result
                    self._breakers[name] = self._after(name, result)

    def _spared(self, name: str, chain: str) -> Unavailable | None:
        """Take a place for asking one; say why there is none."""
        with self._lock:
            breaker = self._breakers.get(name, CLOSED)
            if (name, chain) in self._busy or sum(who == name for who, _ in self._busy) >= AT_ONCE:
                return TimedOut("it has not answered yet what it was asked before")
            if breaker.wait(self.clock()):
                return Unavailable(f"it is left alone for a while: {breaker.reason}")
            self._busy.add((name, chain))
            return None

    def _after(self, name: str, result: bytes | SentinelError) -> Breaker:
        """Return a breaker after an answer. Only who is slow, silent or broken is left alone."""
        if not isinstance(result, Unavailable):
            return CLOSED
        breaker = self._breakers.get(name, CLOSED)
        after = SPARED if breaker.failures else LEAST
        return breaker.failed(self.clock(), str(result), after, 1.0)
