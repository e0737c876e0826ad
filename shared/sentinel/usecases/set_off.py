"""Forward from an entry: which tasks it set off.

No index tells that, and none is kept: it would cost a write for each entry of each task. A task names the
entries that set it off, the first hundred of them, and was made after the newest was sealed: so the tasks
that changed since are looked through, newest change first, up to a bound that is told when it is met.
Besides, what a rule asks for can be computed, as replay does: the ids of tasks that the entry asked for and
that were there already, or that name others of the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sentinel.core.segment import Segment, entry_at
from sentinel.core.states import NEVER, State
from sentinel.core.tasks import SECOND, Task
from sentinel.errors import Tampered
from sentinel.ports import Catalog, Ledger, Tasks
from sentinel.usecases.asked import Asked, new_hits
from sentinel.usecases.in_force import InForce
from sentinel.usecases.recompute import places_of

SKEW = 300 * SECOND  # how far the clocks of ingest and detection may be apart


@dataclass(frozen=True, slots=True)
class SetOff:
    """The tasks that an entry set off, by id, with how that is known; and how far was looked.

    `how` is "named" (the task names the entry) or "asked" (a rule asks for the task because of the entry).
    `complete` says that all tasks were looked at that can name it; `absent` are tasks that are asked for and
    are not there.
    """

    tasks: dict[str, str]
    looked_at: int
    complete: bool
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forward:
    """The use case. `clock` is in epoch nanoseconds, `slack` is as at `in_force`, in nanoseconds."""

    ledger: Ledger
    tasks: Tasks
    catalog: Catalog
    clock: Callable[[], int]
    slack: int

    def of(self, chain: str, seq: int, most: int) -> SetOff:
        """Return what an entry set off, having looked at `most` tasks at most. Raises `Unavailable`."""
        segment = self._segment(chain, seq)
        since = segment.t - SKEW if segment else 0
        begun = self.clock()
        found: dict[str, str] = {}
        looked_at = 0
        complete = True
        # A task that moves meanwhile may escape the first look: the second one is for what has moved.
        for until in (since, begun - SKEW):
            for task in self._changed(until):
                if looked_at >= most:
                    complete = False
                    break
                looked_at += 1
                if (chain, seq) in places_of(task.cause):
                    found[task.id] = "named"
        absent = []
        for task_id in sorted(self._asked(segment, seq)) if segment else ():
            how = found.get(task_id) or self._how(task_id, (chain, seq))
            if how:
                found[task_id] = how
            else:
                absent.append(task_id)
        return SetOff(found, looked_at, complete, tuple(absent))

    def _how(self, task_id: str, place: tuple[str, int]) -> str:
        """Return how a task that is asked for has to do with an entry; "" where it is not there."""
        try:
            task = self.tasks.get(task_id)
        except Tampered:
            return "asked"
        if task is None:
            return ""
        return "named" if place in places_of(task.cause) else "asked"

    def _segment(self, chain: str, seq: int) -> Segment | None:
        try:
            return self.ledger.at(chain, seq)
        except Tampered:
            return None  # it is told by the entry's proof

    def _changed(self, since: int) -> Iterator[Task]:
        """Yield the tasks that changed at `since` or later, newest change first."""
        for changed, task in self.tasks.newest(tuple(State), NEVER):
            if changed < since:
                return
            yield task

    def _asked(self, segment: Segment, seq: int) -> set[str]:
        """Return the ids of the tasks that rules ask for because of an entry; of two sets, of both."""
        try:
            entry = entry_at(segment, seq)
        except Tampered:
            return set()
        if entry is None:
            return set()
        force = InForce.of(self.catalog, self.slack)
        asked = Asked()
        for late in (True, False):
            asked.by_entry(force.at(segment.t, late=late), segment, seq, entry, new_hits())
        return set(asked.tasks)
