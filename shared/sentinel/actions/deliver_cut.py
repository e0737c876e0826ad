"""Cutting batches from the chains of a delivery: in each chain's order, all chains in turn."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.actions.deliver_course import Course
from sentinel.actions.deliver_read import Event
from sentinel.actions.deliver_ship import Limits, Part, Shipment, Shipping
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.pace import Pace
from sentinel.siem.sink import Fate


class Cutter:
    """What is ready to be sent. `ready` has the chains that have something pending, the next one first."""

    def __init__(self, plan: DeliveryPlan, shipping: Shipping, limits: Limits) -> None:
        self.ready: dict[Course, None] = {}
        self._plan = plan
        self._shipping = shipping
        self._limits = limits
        self._most = 0  # events, where the target minds one and does not say which; 0 for no such bound

    @property
    def doubt(self) -> int:
        """Return how many events of a chain its last holder may have had on their way."""
        return self._limits.events * (self._plan.parallel if self._plan.order == "any" else 1)

    def offer(self, course: Course) -> None:
        """Note that a chain may have something pending."""
        if course.pending:
            self.ready.setdefault(course)
        else:
            self.ready.pop(course, None)

    def learned(self, fates: Sequence[Fate]) -> None:
        """Make batches half as large where nobody said which event is minded, and larger again after that."""
        count = len(fates)
        if count > 1 and all(fate is Fate.OPEN for fate in fates):
            self._most = max(1, count // 2)
        elif self._most:
            self._most = 2 * self._most if 2 * self._most < self._limits.events else 0

    def cut(self, now: int, pace: Pace, trial: int) -> tuple[Shipment | None, list[Course]]:
        """Return the next batch, if it is time for one, and chains of which all was there already.

        `trial`: a small one, and at once. A batch is full, or its oldest event has waited for long enough.
        """
        chains = [each for each in self.ready if self._plan.order == "any" or not each.busy]
        waiting = sum(len(each.pending) for each in chains)
        limit = self._limit(pace, trial)
        full = waiting >= limit or sum(each.size for each in chains) >= self._limits.bytes
        if not waiting or not (full or any(self._due(each.pending[0], now) for each in chains)):
            return None, []
        if pace.wait(now, min(waiting, limit)):
            return None, []
        return self._taken(chains, limit)

    def ahead(self, pace: Pace) -> Shipment | None:
        """Return a full batch that may leave when those are settled that its chains have on their way."""
        chains = [each for each in self.ready if not each.doubt and each.busy < 2]
        limit = self._limit(pace)
        full = sum(len(each.pending) for each in chains) >= limit
        if not full and sum(each.size for each in chains) < self._limits.bytes:
            return None
        return self._taken(chains, limit)[0]

    def undo(self, shipment: Shipment) -> None:
        """Take a batch back that was not sent: its events are the next ones of their chains."""
        for course in shipment.courses:
            course.put_back([part.event for part in shipment.parts if part.course is course])
            course.busy -= 1
            self.offer(course)

    def leaves(self, shipment: Shipment) -> bool:
        """Say whether a batch that was cut ahead may leave: nothing of its chains is on its way."""
        return self._plan.order == "any" or all(course.busy == 1 for course in shipment.courses)

    def _limit(self, pace: Pace, trial: int = 0) -> int:
        bounds = (self._limits.events, self._most, pace.most, trial)
        return min(bound for bound in bounds if bound)

    def _due(self, event: Event, now: int) -> bool:
        within = self._plan.batch.within
        return now - event.t >= within or not 0 <= now - event.seen < within

    def _taken(self, chains: Sequence[Course], limit: int) -> tuple[Shipment | None, list[Course]]:
        parts: list[Part] = []
        passed: list[Course] = []
        size = 0
        for course in chains:
            events: list[Event] = []
            while course.pending and len(parts) + len(events) < limit:
                more = len(course.pending[0].item.data) + 1
                if (parts or events) and size + more > self._limits.bytes:
                    break
                size += more
                events.append(course.take())
            fresh = self._fresh(course, events)
            parts += [Part(course, event, course.again) for event in fresh]
            if fresh:
                course.busy += 1
            elif events:
                passed.append(course)
            self.ready.pop(course, None)
            self.offer(course)
            if course.pending:
                break  # the batch is full
        if not parts:
            return None, passed
        return Shipment(self._shipping.batch([part.event.item for part in parts]), parts), passed

    def _fresh(self, course: Course, events: list[Event]) -> list[Event]:
        """Return the events that the target cannot have, or cannot be asked for; count the doubtful ones."""
        if not course.doubt or not events:
            return events
        if not self._shipping.file:
            if self._shipping.repeats:
                course.doubtful(min(len(events), course.doubt))
            course.doubt = max(0, course.doubt - len(events))
            return events
        held = self._shipping.held(events)
        for event in events[:held]:
            course.settled(event.seq, again=course.again)
        if held < len(events):
            course.doubt = 0
        return events[held:]
