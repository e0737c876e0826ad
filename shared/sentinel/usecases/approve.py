"""Approving: what a task asks, shown as it would be done now, and what an approver says to it.

Every decision is bound to the digest of what was shown. Decisions race each other by conditional writes: who
loses reads again and has said the same to the task as it then is, so no approval is lost. Saying the same
twice is saying it once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sentinel.core.approvals import Approval, Approver, Asked, How, Shown, Verdict
from sentinel.core.recipes import Recipe
from sentinel.core.selection import services_of
from sentinel.core.states import By, State
from sentinel.core.steps import Action
from sentinel.core.tasks import MAX_REASON, QUEUE_GRACE, Event, Task, moved, overdue
from sentinel.errors import Conflict, Forbidden, Malformed, Missing
from sentinel.ports import Ledger, Queue, Tasks
from sentinel.usecases.evidence import matched
from sentinel.usecases.flow import Gates, Open
from sentinel.usecases.gather import Gathering, Question
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.transition import bury, write

_RACES = 100  # each lost one is somebody else's decision, of which there are twenty at most
USED = "this link was used already: it is for one decision"
SEEN = "what you saw is not what it is now: look again"


@dataclass(frozen=True, slots=True)
class Decision:
    """What an approver says to the digest that they saw.

    `envelope` is the signed statement, where there is one; `link` the id of the one-time link that was used,
    `maker` who had that link made.
    """

    approver: Approver
    verdict: Verdict
    digest: str
    why: str = ""
    envelope: Mapping[str, Any] = field(default_factory=dict)
    link: str = ""
    maker: str = ""

    def facts(self) -> dict[str, object]:
        """Return what the lineage tells."""
        told: dict[str, object] = {
            "who": self.approver.id,
            "how": self.approver.how.value,
            "verdict": self.verdict.value,
            "why": self.why,
            "digest": self.digest,
        }
        told |= {"envelope": dict(self.envelope)} if self.envelope else {}
        return told | ({"link": self.link, "link_by": self.maker} if self.link else {})


@dataclass(frozen=True, slots=True)
class Approving:
    """The use case. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes, `grace` nanoseconds.

    `removed` gives the authors who are trusted no more.
    """

    tasks: Tasks
    ledger: Ledger
    playbook: Playbook
    actions: Mapping[str, Action]
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    queue: Queue | None = None  # for the dead-letter stream
    grace: int = QUEUE_GRACE
    gates: Gates = field(default_factory=Open)
    removed: Callable[[], Collection[str]] = frozenset

    def look(self, task_id: str, viewer: Approver | None = None) -> dict[str, object]:
        """Return what a task asks, or has asked: what would be done now, its digest, and who approved.

        `asked` is the digest that the approvals are for; where `digest`, that of what is shown, is another
        one, `changed` says what has changed since. A service sees what its entries set off, and what it may
        decide on. Raises `Missing`, `Conflict` where the task never asked, `Forbidden` where a service is not
        asked and entries of others are part of it, `Unavailable`, `Tampered`.
        """
        task, asked = self._asked(task_id, viewer)
        if viewer is not None and not _may_read(viewer, task, asked):
            raise Forbidden("entries of other services are part of what it asks: those who are asked see it")
        asked = asked.standing(self.removed())
        shown = self._shown(task, asked, self._recipe(task))
        return {
            "task": task.id,
            "state": task.state.value,
            "step": asked.step,
            "by": list(asked.by),
            "needs": asked.needs,
            "message": asked.message,
            "until": asked.until,
            "approvals": [{"who": each.who, "how": each.how, "t": each.t} for each in asked.approvals],
            "missing": asked.missing if task.state is State.AWAITING_APPROVAL else "",
            "asked": asked.digest,
            "digest": shown.digest,
            "changed": asked.changed(shown),
            "shown": shown.document,
        }

    def decide(self, task_id: str, decision: Decision) -> Task:
        """Write down what an approver says, and return the task after it.

        Raises `Missing`; `Forbidden` for who is not asked; `Conflict` where nothing is asked, its time is
        over, the digest is not that of what would be done now, or the link was used. After `Unavailable` it
        may have been written: say the same again.
        """
        for left in range(_RACES, 0, -1):
            task, asked = self._asked(task_id)
            if not decision.approver.among(asked.by):
                raise Forbidden(f"{decision.approver.id} is not asked: {', '.join(asked.by)} are")
            if _said(asked, decision):
                return task
            after, event = self._decided(task, asked, decision)
            try:
                write(self.tasks, task, after, event)
            except Conflict:
                if left == 1:
                    raise
                continue
            if after.state is State.FAILED and self.queue is not None:
                bury(self.queue, after)
            if after.state.ended:
                self.gates.left(after)
            return after
        raise AssertionError("unreachable")

    def sees(self, task_id: str, viewer: Approver) -> None:
        """Raise `Missing` where a service may not know of a task, `Conflict` where that never asked."""
        self._asked(task_id, viewer)

    def _decided(self, task: Task, asked: Asked, decision: Decision) -> tuple[Task, Event]:
        now = self.clock()
        if task.state is not State.AWAITING_APPROVAL or overdue(task, now):
            over = " and its time is over" if task.state is State.AWAITING_APPROVAL else ""
            raise Conflict(f"task {task.id} is {task.state}{over}: nothing is to be approved")
        if decision.link in asked.used:
            raise Conflict(USED)
        used = replace(asked, used=(*asked.used, *filter(None, (decision.link,))))
        if decision.verdict is Verdict.REFUSE:
            return self._refused(task, used, decision, now)
        return self._approved(task, used, decision, now)

    def _refused(self, task: Task, asked: Asked, decision: Decision, now: int) -> tuple[Task, Event]:
        if decision.digest != asked.digest:
            self._check(task, asked, self._recipe(task), decision)
        who = decision.approver.id
        reason = f"refused by {who}" + (f": {decision.why}" if decision.why else "")
        return moved(
            task,
            State.FAILED,
            now,
            self.nonce(),
            {"step": asked.step, **decision.facts()},
            by=By.PERSON,
            due=now,
            reason=reason[:MAX_REASON],
            asked=replace(asked, refused=who).json(),
        )

    def _approved(self, task: Task, asked: Asked, decision: Decision, now: int) -> tuple[Task, Event]:
        recipe = self._recipe(task)
        shown = self._check(task, asked, recipe, decision)
        facts: dict[str, object] = {"step": asked.step, **decision.facts()}
        before, asked = asked, asked.standing(self.removed())
        if shown.digest != asked.digest:
            facts["changed"] = asked.changed(shown)
            asked = asked.renewed(shown)
        void = [who for who in before.approvers if who not in asked.approvers]
        facts |= {"void": void} if void or "changed" in facts else {}
        approver = decision.approver
        asked = asked.with_approval(Approval(approver.id, approver.how.value, now))
        facts |= {"approved_by": list(asked.approvers), "needs": asked.needs}
        to, changes = self._following(task, asked, recipe, now)
        told = self.nonce()
        return moved(task, to, now, told, facts, by=By.PERSON, asked=asked.json(), **changes)

    def _following(
        self, task: Task, asked: Asked, recipe: Recipe, now: int
    ) -> tuple[State, dict[str, object]]:
        """Return the state that follows an approval, and the task's other changes."""
        if not asked.enough:
            reason = f"waits for the approval of {asked.missing}"[:MAX_REASON]
            return State.AWAITING_APPROVAL, {"due": asked.until, "reason": reason}
        changes: dict[str, object] = {"results": {**task.results, asked.step: asked.result()}, "reason": ""}
        if asked.next == len(recipe.steps):
            return State.SUCCEEDED, {**changes, "due": now}
        action = self.actions.get(recipe.steps[asked.next].uses)
        stream = action.stream if action else task.stream
        changes |= {"step": asked.next, "tries": 0, "stream": stream, "due": now + self.grace}
        return State.QUEUED, changes

    def _check(self, task: Task, asked: Asked, recipe: Recipe, decision: Decision) -> Shown:
        """Return what would be done now. Raises `Conflict` where that is not what was decided on."""
        shown = self._shown(task, asked, recipe)
        if decision.digest != shown.digest:
            raise Conflict(SEEN)
        return shown

    def _asked(self, task_id: str, viewer: Approver | None = None) -> tuple[Task, Asked]:
        task = self.tasks.get(task_id)
        asked = Asked.of(task.asked) if task is not None else None
        if task is None or (viewer is not None and not _sees(viewer, task, asked)):
            raise Missing("there is no such task")
        if asked is None:
            raise Conflict(f"task {task.id} is {task.state}, and asks for no approval")
        return task, asked

    def _recipe(self, task: Task) -> Recipe:
        recipe = self.playbook.recipe(task.recipe, task.recipe_version)
        if recipe.digest != task.recipe_digest:
            raise Malformed(
                "the recipe is not the one that the task was made for: the catalog was changed from outside"
            )
        return recipe

    def _shown(self, task: Task, asked: Asked, recipe: Recipe) -> Shown:
        gathering = Gathering(self.actions, lambda found: matched(self.ledger, found), self.tasks.lineage)
        return gathering.shown(task, recipe, Question.of(asked, recipe))


def _said(asked: Asked, decision: Decision) -> bool:
    """Say whether an approver has said the same of the same already; a link says it once."""
    if decision.link or decision.digest != asked.digest:
        return False
    if decision.verdict is Verdict.REFUSE:
        return asked.refused == decision.approver.id
    return decision.approver.id in asked.approvers


def _sees(viewer: Approver, task: Task, asked: Asked | None) -> bool:
    if viewer.how is not How.SERVICE or (asked is not None and viewer.among(asked.by)):
        return True
    return viewer.id.partition(":")[2] in services_of(task)


def _may_read(viewer: Approver, task: Task, asked: Asked) -> bool:
    """Whether who may know of a task may also see what it would do, which may hold all its entries."""
    if viewer.how is not How.SERVICE or viewer.among(asked.by):
        return True
    return services_of(task) <= {viewer.id.partition(":")[2]}
