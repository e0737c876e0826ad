"""One delivery while its holder has the lease: read, cut, send, settle, over and over, until it is to end.

Everything that matters is in the records before the next batch of a chain leaves. What goes wrong ends in a
pause, in a dead range or in a chain that stops and says so; nothing is passed over.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from sentinel.actions.deliver_course import Course
from sentinel.actions.deliver_cut import Cutter
from sentinel.actions.deliver_lanes import Lanes
from sentinel.actions.deliver_read import Reader
from sentinel.actions.deliver_ship import BYTES, EVENTS, Arrival, Limits, Shipment, Shipping, fates_of, split
from sentinel.actions.deliver_store import LEASE, Cursor, Lease
from sentinel.actions.deliver_tools import Counts, Tools
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.pace import Pace
from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered, Unavailable
from sentinel.siem.sink import Delivered, Fate, Parked, Partly, Refused, RetryAfter

HELD = 32_000_000  # bytes of events that wait in memory, over which nothing is read
REST = 0.25  # seconds: so soon an end or a change is noticed
TRIAL = 10  # events in the first batch after a breaker was open

log = logging.getLogger("sentinel.deliveries")


class Session:
    """Runs a delivery with one set-up. `ending` says when it is enough, `setup` names the set-up."""

    def __init__(
        self,
        name: str,
        plan: DeliveryPlan,
        shipping: Shipping,
        reader: Reader,
        tools: Tools,
        ending: Callable[[], bool],
        counts: Counts,
        setup: str,
    ) -> None:
        self._name = name
        self._plan = plan
        self._shipping = shipping
        self._reader = reader
        self._tools = tools
        self._ending = ending
        self._counts = counts
        self._setup = setup
        sink, batch = shipping.sink, plan.batch
        events = min(sink.max_events, batch.events or EVENTS)
        self._limits = Limits(events, min(sink.max_bytes, batch.bytes or BYTES))
        self._pace = Pace(plan.rate)
        self._cutter = Cutter(plan, shipping, self._limits)
        self._lanes: Lanes[Arrival] = Lanes(0 if shipping.file else plan.parallel)
        self._courses: dict[str, Course] = {}
        self._back: deque[Shipment] = deque()
        self._ahead: Shipment | None = None
        self._not_before = 0
        self.parked = False  # whether the sink was found to be set up wrongly
        self._kept = self._listed = 0
        self._lease = Lease()
        self._said = ""

    def run(self, lease: Lease) -> bool:
        """Deliver until it is to end; say whether nothing is left of which nobody knows. Raises `LeaseLost`.

        `lease` is as the last holder has left it.
        """
        self._lease = lease
        self._kept = self._tools.clock()
        try:
            while not self.parked and not self._ending():
                turned = self._turn()
                if turned or self._lanes.busy:
                    self._counts.busy = self._tools.clock()
                if not turned:
                    self._rest()
            self._finish()
        finally:
            self._lanes.close()
        return not self._lanes.busy and not any(each.tried for each in self._back)

    def _turn(self) -> bool:
        try:
            self._house()
            arrived = self._arrive()
            sent = self._send()  # what may leave leaves first: the rest is done while it is on its way
            return self._prepare() or self._read() or sent or arrived
        except Unavailable as error:
            self._say(str(error))
            return False

    def _finish(self) -> None:
        while self._lanes.busy:
            for arrival in self._lanes.done(60.0):
                self._settle(arrival)
        for course in self._courses.values():
            if course.unwritten:
                self._write(course)

    def _house(self) -> None:
        """Keep the lease, look what was redriven, and find new chains, each when it is time."""
        tools, now = self._tools, self._tools.clock()
        if not 0 <= now - self._kept < LEASE // 3:
            lease = tools.store.keep(self._name, tools.holder, int(self._pace.limit))
            self._kept = now
            if lease.redriven != self._lease.redriven:
                self._undo()
                for course in self._courses.values():
                    course.look()
                    self._cutter.offer(course)
            self._lease = replace(self._lease, redriven=lease.redriven)
        if not self._listed or not 0 <= now - self._listed < int(tools.listing * SECOND):
            for chain in self._reader.chains():
                if chain not in self._courses:
                    self._begin(chain)
            self._listed = now
            self._lease = replace(self._lease, clean=True)  # nobody had what comes later

    def _begin(self, chain: str) -> None:
        cursor = Cursor(self._tools.store, self._name, chain, self._wait)
        course = Course(chain, cursor, self._tools.clock)
        try:
            course.begin(self._reader, self._lease.since)
        except Tampered as error:
            course.stopped = str(error)
            self._counts.damaged += 1
            log.critical("delivery %s: the chain is not delivered: %s", self._name, error)
        if not self._lease.clean:
            course.doubt = self._cutter.doubt
        self._courses[chain] = course

    def _read(self) -> bool:
        found = False
        now = self._tools.clock()
        held = sum(course.size for course in self._cutter.ready)
        for course in self._courses.values():
            if held >= HELD or (found and self._lanes.over):
                break
            hungry = len(course.pending) < self._limits.events and course.size < self._limits.bytes
            if hungry and not course.stopped and not now < course.due < now + 3600 * SECOND:
                before = course.size
                found = self._read_one(course) or found
                held += course.size - before
            if course.passed:
                self._write(course)
        return found

    def _read_one(self, course: Course) -> bool:
        try:
            limits, idle = self._limits, int(self._tools.idle * SECOND)
            return course.read(self._reader, limits.bytes, limits.events, idle)
        except Tampered as error:
            if course.damaged(error):
                self._counts.damaged += 1
                log.critical("delivery %s: the chain stops at damage: %s", self._name, error)
            return False
        except Unavailable as error:
            course.due = self._tools.clock() + SECOND
            self._say(str(error))
            return False
        finally:
            self._cutter.offer(course)

    def _send(self) -> bool:
        sent = False
        while self._lanes.free:
            shipment = self._next()
            if shipment is None:
                break
            self._pace.sent(self._tools.clock(), len(shipment.parts))
            self._lanes.begin(partial(self._shipping.carry, shipment))
            sent = True
        return sent

    def _next(self) -> Shipment | None:
        """Return what may be sent now: first what was sent before, byte for byte as it was then."""
        now = self._tools.clock()
        breaker = self._tools.breakers.now(self._plan.to, self._setup)
        held_up = 0 < self._not_before - now < 3600 * SECOND
        if held_up or breaker.wait(now) or (breaker.tripped and self._lanes.busy):
            return None
        if self._back:
            ready = not self._pace.wait(now, len(self._back[0].parts))
            return self._back.popleft() if ready else None
        if self._ahead and self._cutter.leaves(self._ahead):
            if self._pace.wait(now, len(self._ahead.parts)):
                return None
            ahead, self._ahead = self._ahead, None
            return ahead
        shipment, passed = self._cutter.cut(now, self._pace, TRIAL if breaker.tripped else 0)
        for course in passed:
            self._write(course)
        return shipment

    def _prepare(self) -> bool:
        """Make the next batch ready to be sent while all lanes are busy; say whether there was one."""
        if self._lanes.free or self._back or self._ahead:
            return False
        self._ahead = self._cutter.ahead(self._pace)
        if self._ahead:
            self._shipping.prepare(self._ahead)
        return self._ahead is not None

    def _undo(self) -> None:
        """Take back what was made ready: something else has to be sent before it, or less at once."""
        if self._ahead:
            self._cutter.undo(self._ahead)
            self._ahead = None

    def _arrive(self) -> bool:
        arrivals = self._lanes.done()
        for arrival in arrivals:
            self._settle(arrival)
        return bool(arrivals)

    def _settle(self, arrival: Arrival) -> None:
        shipment, outcome = arrival.shipment, arrival.outcome
        if outcome != Delivered():
            self._undo()
        if isinstance(outcome, Unavailable):
            outcome = RetryAfter(str(outcome), None, unsure=not outcome.unsent)
        if isinstance(outcome, RetryAfter | Parked):
            self._failed(shipment, outcome)
            return
        fates, reason = fates_of(shipment, outcome)
        self._told(outcome)
        self._cutter.learned(fates)
        split(shipment, fates, reason)
        for course in shipment.courses:
            course.busy -= 1
            self._write(course)
            self._cutter.offer(course)

    def _told(self, outcome: Delivered | Refused | Partly) -> None:
        now = self._tools.clock()
        wait = outcome.wait if isinstance(outcome, Partly) else None
        self._tools.breakers.told(self._plan.to, outcome)
        if wait is None or Fate.DELIVERED in getattr(outcome, "fates", ()):
            self._said = self._counts.problem = ""
        if wait is not None:
            self._not_before = now + int((1.0 if wait.after is None else wait.after) * SECOND)
        if wait is not None or outcome == Delivered(slow_down=True):
            self._pace.throttled(now)

    def _failed(self, shipment: Shipment, outcome: RetryAfter | Parked) -> None:
        """Keep a shipment to be sent again as it is; nothing of it counts as settled."""
        self._back.append(shipment)
        self._counts.problem = outcome.reason
        if isinstance(outcome, Parked):
            self._tools.breakers.parked(self._plan.to, outcome.reason, self._setup)
            self.parked = True  # another set-up or secret is a new session
            return
        self._tools.breakers.failed(self._plan.to, outcome.reason, outcome.after)
        if not outcome.unsure:
            self._pace.throttled(self._tools.clock())
            return
        shipment.tried = True
        if self._shipping.doubles:  # each time anew: each may have left one more
            for part in shipment.parts:
                part.course.doubtful(1)

    def _write(self, course: Course) -> None:
        refused = course.cursor.record.refused
        move = course.write()
        self._counts.delivered += move.delivered
        self._counts.refused += course.cursor.record.refused - refused
        self._counts.twice += move.twice

    def _wait(self, error: Unavailable) -> None:
        """Wait for a store that does not answer. Raises its error where it is time to end."""
        if self._ending():
            raise error
        self._say(str(error))
        self._tools.sleep(REST)

    def _rest(self) -> None:
        if self._lanes.busy:
            for arrival in self._lanes.done(REST / 5):
                self._settle(arrival)
            return
        now = self._tools.clock()
        due = min((each.due for each in self._courses.values() if not each.stopped), default=0)
        left = (due - now) / SECOND if due > now else REST / 25
        self._tools.sleep(max(0.002, min(REST, left)))

    def _say(self, problem: str) -> None:
        if problem != self._said:
            log.warning("delivery %s: waiting: %s", self._name, problem)
        self._said = self._counts.problem = problem
