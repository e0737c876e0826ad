"""Detecting again: makes the tasks that a time's entries ask for and that detection did not make.

The feed gives up what it cannot get through detection in time, and a fault of ours may have kept entries
from being looked at. What they asked for is recomputed from the ledger, by the rules and recipes that were in
force when they were sealed (`replay`): with those of today, a recipe that has a new version since would do
everything once more under new ids. What is missing is made as detection makes it, so that doing this twice,
or while the feed still works, makes nothing twice. Counters of correlations are left alone: firings are
counted anew from the entries themselves. Alerts are folded as the feed does it, which changes nothing of
what it did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from sentinel.core.tasks import SECOND
from sentinel.errors import Tampered
from sentinel.ports_feeds import FailureQueue, GivenUp
from sentinel.usecases.asked import Asked
from sentinel.usecases.detect import Detector
from sentinel.usecases.fold_alerts import AlertFolder
from sentinel.usecases.recompute import segments
from sentinel.usecases.replay import Replay

# A segment comes to the feed after it was sealed: its writer may have had to send it again for some minutes.
BEFORE = 600 * SECOND
_FOLDED = 100  # segments whose alerts are folded at once
AFTER = 60 * SECOND  # a writer's clock may be ahead, and what came in a second came before its end


@dataclass(frozen=True, slots=True)
class Redetected:
    """What was looked at and made. `made` are ids of new tasks, `asked` is how many there should be in all.

    `waiting` may still be made by the feed, `doubtful` were not made: two sets of rules may have been in
    force, or a correlation may have been silent. `notes` are for people, `alerts` are records that changed.
    """

    entries: int
    matches: int
    asked: int
    made: tuple[str, ...]
    waiting: int
    doubtful: int
    notes: tuple[str, ...] = ()
    alerts: int = 0


@dataclass(frozen=True, slots=True)
class DetectAgain:
    """The use case. `table` is the ledger's: what other feeds gave up is not detection's."""

    replay: Replay
    detector: Detector
    table: str = ""
    folder: AlertFolder | None = None

    def with_slack(self, slack: int) -> DetectAgain:
        """Return the same with another slack (`Replay.with_slack`), in nanoseconds."""
        return replace(self, replay=self.replay.with_slack(slack))

    def over(self, start: int, end: int) -> Redetected:
        """Make what entries sealed from `start` to before `end` (nanoseconds) ask for and is not there.

        Raises `Unavailable` where a store does not answer: what was made by then stays made. Raises
        `Tampered`, when all the others are made, for a task that has a lineage and is not there.
        """
        found = self.replay.compare(start, end)
        made: list[str] = []
        alerts = 0
        tampered: Tampered | None = None
        for task_id, wanted in found.missing.items():
            try:
                made += self.detector.create(Asked({task_id: wanted}))
            except Tampered as error:
                tampered = tampered or error
        try:
            alerts = self._folded(start, end)
        except Tampered as error:
            tampered = tampered or error
        if tampered is not None:
            raise tampered
        return Redetected(
            found.entries,
            found.matches,
            found.asked,
            tuple(made),
            found.waiting,
            found.doubtful,
            tuple(found.notes),
            alerts,
        )

    def _folded(self, start: int, end: int) -> int:
        """Fold the alerts of a time, a hundred segments at once; return how many records changed."""
        if self.folder is None:
            return 0
        changed = 0
        these = segments(self.replay.ledger, start, end)
        while some := list(islice(these, _FOLDED)):
            changed += self.folder.fold(some).changed
        return changed

    def given_up(self, queue: FailureQueue) -> list[tuple[GivenUp, Redetected | None]]:
        """Detect again what waits in a queue of failures, and forget what is through; return all of it.

        None where the records are of another table's feed: they are left where they are. What the feed may
        still come to stays, too, and so does the rest where this raises; errors as at `over` and of the port.
        """
        found: list[tuple[GivenUp, Redetected | None]] = []
        for each in queue.waiting():
            if self.table and each.table != self.table:
                found.append((each, None))
                continue
            again = self.over(each.first - BEFORE, each.last + AFTER)
            if not again.waiting:
                queue.done(each)
            found.append((each, again))
        return found
