"""Standing deliveries: every entry of the ledger that a plan means is sent to its sink, for good.

The ledger is the buffer. A delivery remembers how far it is in each chain, and nothing else, so a sink that
is down for a day loses nothing and catches up at its limit. Of any number of runners one has a delivery at a
time; after a crash its lease runs out and the next goes on from the cursors. `docs/deliveries.md` has what
is promised for which sink.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256

from sentinel.actions.deliver_read import Reader
from sentinel.actions.deliver_session import REST, Session
from sentinel.actions.deliver_ship import Shipping
from sentinel.actions.deliver_store import LeaseLost
from sentinel.actions.deliver_tools import Counts, Tools
from sentinel.actions.siem_carry import Carrier, target
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.rules import RuleSet
from sentinel.core.tasks import SECOND
from sentinel.errors import Rejected, Unavailable
from sentinel.ports import Files, Ledger, Secrets
from sentinel.siem.sink import SinkConfig

AT_ONCE = 16  # deliveries of one runner
FAULT = 2.0  # seconds until a delivery is run again that ended by a fault
LOOK = SECOND  # between looks whether plans and sinks are still the same

log = logging.getLogger("sentinel.deliveries")


@dataclass(frozen=True, slots=True)
class Sources:
    """What deliveries read and send with. `plans`, `sinks` and `rules` are asked for what is in force."""

    ledger: Ledger
    carrier: Carrier
    files: Files
    secrets: Secrets
    plans: Callable[[], Mapping[str, DeliveryPlan]]
    sinks: Callable[[], Mapping[str, SinkConfig]]
    rules: Callable[[], RuleSet]


class Deliverer:
    """Runs the deliveries in force. One process has one; its holder's name is no other process's."""

    def __init__(self, sources: Sources, tools: Tools) -> None:
        self._sources = sources
        self._tools = tools

    def run(self, until: int, stopped: Callable[[], bool], idle: float = 0) -> dict[str, Counts]:
        """Deliver until `until` (epoch nanoseconds) or until `stopped`; return what was done, by delivery.

        With `idle` it ends once none of them has had anything to do for so many seconds: none has anything
        new, or its sink does not answer. Each delivery has a thread of its own, `AT_ONCE` at most. A plan
        that is pushed meanwhile begins, one that is retired ends. Raises `Unavailable` only where the plans
        cannot be looked up at all.
        """
        found: dict[str, Counts] = {}
        running: dict[str, Future[Counts]] = {}
        begun, quiet = self._tools.clock(), threading.Event()

        def over() -> bool:
            return quiet.is_set() or stopped()

        with ThreadPoolExecutor(AT_ONCE, "delivery") as pool:
            while not self._over(until, over):
                for name in [name for name, future in running.items() if future.done()]:
                    self._ended(name, running.pop(name), found[name])
                for name in self._sources.plans():
                    if name not in running and len(running) < AT_ONCE:
                        counts = found.setdefault(name, Counts())
                        running[name] = pool.submit(self.one, name, until, over, counts)
                if idle and self._quiet(found, begun, idle):
                    quiet.set()
                    break
                self._tools.sleep(REST)
        for name, future in running.items():
            self._ended(name, future, found[name])
        return found

    def _quiet(self, found: Mapping[str, Counts], begun: int, idle: float) -> bool:
        newest = max([begun, *(counts.busy for counts in found.values())]) if self._sources.plans() else 0
        return self._tools.clock() - newest > int(idle * SECOND)

    def _ended(self, name: str, future: Future[Counts], counts: Counts) -> None:
        """Tell of a fault of ours: the others go on, and the cursors are where they were."""
        error = future.exception()
        if error is not None:
            counts.problem = f"a fault of Sentinel: {type(error).__name__}"
            log.error("delivery %s ended by a fault", name, exc_info=error)
            self._tools.sleep(FAULT)

    def one(self, name: str, until: int, stopped: Callable[[], bool], counts: Counts | None = None) -> Counts:
        """Run one delivery in the caller's thread, for as long as its plan is in force."""
        counts = counts or Counts()
        begun = False
        while not self._over(until, stopped):
            plan = self._sources.plans().get(name)
            if plan is None:
                break
            try:
                if not begun:
                    self._tools.store.begin(name)  # before its sink is looked at, which may be set up wrongly
                    begun = True
                if not self._session(name, plan, until, stopped, counts):
                    self._tools.sleep(REST)
            except LeaseLost:
                log.info("delivery %s: another runner has it now", name)
                counts.running = True
                self._tools.sleep(REST)
            except Unavailable as error:
                counts.problem = str(error)
                log.warning("delivery %s: waiting: %s", name, error)
                self._tools.sleep(1.0)
        return counts

    def _session(
        self, name: str, plan: DeliveryPlan, until: int, stopped: Callable[[], bool], counts: Counts
    ) -> bool:
        """Run one session; return False where there was nothing to do but to wait."""
        config = self._sources.sinks().get(plan.to)
        breakers, tools = self._tools.breakers, self._tools
        setup = setup_of(config)
        breaker = breakers.now(plan.to, setup)
        if breaker.setup and breaker.wait(tools.clock()):
            counts.problem = breaker.reason
            return False
        used = self._secret(config)
        shipping = self._shipping(name, plan, config, setup, counts)
        if shipping is None:
            return False
        lease = tools.store.take(name, tools.holder)
        counts.running = lease is None
        if lease is None:
            return False
        ending = _Ending(self._sources, name, plan, config, tools.clock, lambda: self._over(until, stopped))
        reader = Reader(self._sources.ledger, plan, shipping.sink, self._sources.rules, tools.clock)
        session = Session(name, plan, shipping, reader, tools, ending, counts, setup)
        clean = False
        try:
            clean = session.run(lease)
        finally:
            self._released(name, clean=clean)
        if session.parked and self._secret(config) not in {"", used}:
            breakers.tried(plan.to)  # what was refused is not the secret any more: it was rotated meanwhile
        return True

    def _secret(self, config: SinkConfig | None) -> str:
        """Return the secret of a sink as it is now; "" where there is none, or none can be had."""
        try:
            return self._sources.secrets.get(config.token) if config is not None and config.token else ""
        except (Rejected, Unavailable):
            return ""

    def _shipping(
        self, name: str, plan: DeliveryPlan, config: SinkConfig | None, setup: str, counts: Counts
    ) -> Shipping | None:
        """Return what sends to the sink; None where that is set up wrongly, which its breaker says then."""
        sources = self._sources
        try:
            if config is None:
                counts.problem = f"there is no sink {plan.to!r}; push a sink document that has it"
            else:
                to = target(config, sources.secrets.get(config.token) if config.token else "")
                return Shipping(name, to, sources.carrier, sources.files)
        except Rejected as error:
            counts.problem = str(error)
        self._tools.breakers.parked(plan.to, counts.problem, setup)
        return None

    def _released(self, name: str, *, clean: bool) -> None:
        try:
            self._tools.store.release(name, self._tools.holder, clean=clean)
        except Unavailable as error:
            log.warning("delivery %s: its lease runs out by itself: %s", name, error)

    def _over(self, until: int, stopped: Callable[[], bool]) -> bool:
        return stopped() or self._tools.clock() >= until


class _Ending:
    """Whether a session is to end: its time is over, or its plan or sink is another; looks once a second.

    Once it has said so it stays with that.
    """

    def __init__(
        self,
        sources: Sources,
        name: str,
        plan: DeliveryPlan,
        config: SinkConfig | None,
        clock: Callable[[], int],
        over: Callable[[], bool],
    ) -> None:
        self._sources = sources
        self._name = name
        self._plan = plan
        self._config = config
        self._clock = clock
        self._over = over
        self._looked = clock()
        self._ended = False

    def __call__(self) -> bool:
        self._ended = self._ended or self._over() or self._changed()
        return self._ended

    def _changed(self) -> bool:
        now = self._clock()
        if 0 <= now - self._looked < LOOK:
            return False
        self._looked = now
        try:
            plan = self._sources.plans().get(self._name)
            return plan != self._plan or self._sources.sinks().get(self._plan.to) != self._config
        except Unavailable:
            return False


def setup_of(config: SinkConfig | None) -> str:
    """Name a sink's set-up: another configuration has another name."""
    told = config.model_dump_json() if config is not None else "none"
    return sha256(told.encode()).hexdigest()[:16]
