"""Rehearses a recipe: which tasks it would create from given entries, and what each step would do.

The very code of detection runs, over segments that are made here and stores that the caller throws away, and
each step's action is asked for its plan. Nothing is sent, and no secret is read. All entries are taken to
arrive at once and in order, since a file does not say when they came: correlations count them in one
timespan, and dedup windows are one window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count, groupby, islice

import orjson

from sentinel.core.expressions import Context
from sentinel.core.recipes import Recipe, Step
from sentinel.core.schedules import FAR
from sentinel.core.segment import Batch, Head
from sentinel.core.steps import Action, Matched, NotYet, StepRun
from sentinel.core.tasks import Task, effect_key
from sentinel.errors import Malformed
from sentinel.ports import Ledger, Tasks
from sentinel.usecases.detect import Detector
from sentinel.usecases.evidence import matched
from sentinel.usecases.resolve import first_entry, with_inputs
from sentinel.usecases.schedule import scheduled

CHAIN = "rehearsal/0"
MAX_TASKS = 100_000


@dataclass(frozen=True, slots=True)
class Planned:
    """One step: what it would do, or why it would fail."""

    step: str
    uses: str
    plan: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""

    def json(self) -> dict[str, object]:
        """Return the step as it is printed."""
        told: dict[str, object] = {"step": self.step, "uses": self.uses}
        return told | ({"problem": self.problem} if self.problem else {"plan": dict(self.plan)})


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One task: `lines` of the file that would set it off.

    `id` is what its id would be, "" where that hangs on where and when the entries are stored.
    """

    id: str
    rule: str
    title: str
    lines: tuple[int, ...]
    steps: tuple[Planned, ...]

    def json(self) -> dict[str, object]:
        """Return the task as it is printed."""
        return {
            "id": self.id or None,
            "rule": self.rule,
            "title": self.title,
            "lines": list(self.lines),
            "steps": [each.json() for each in self.steps],
        }


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """The stores and parts of a rehearsal; `nonce` gives 32 bytes, `now` is in epoch nanoseconds."""

    ledger: Ledger
    tasks: Tasks
    detector: Detector
    actions: Mapping[str, Action]
    nonce: Callable[[], bytes]
    now: int

    def of_entries(self, recipe: Recipe, batches: Iterable[tuple[list[bytes], list[int]]]) -> list[Rehearsed]:
        """Return the tasks of a recipe from batches of (entries, the lines they stand in), by their lines."""
        lines: list[int] = []
        head = Head.genesis(CHAIN)
        parts = count(1)
        for entries, numbers in batches:
            for webhook, those in groupby(entries, _claimed):
                batch = Batch(next(parts).to_bytes(16, "big"), list(those), _context(webhook))
                head = self._stored(batch, head)
            lines += numbers
        found = [task for task in self.tasks.listing(limit=MAX_TASKS) if task.recipe == recipe.id]
        told = [self._of_task(recipe, task, lines) for task in found]
        return sorted(told, key=lambda each: each.lines)

    def _stored(self, batch: Batch, head: Head) -> Head:
        offset = 0
        while offset < len(batch.entries):
            draft = batch.draft(offset, self.nonce())
            segment, head = draft.place(CHAIN, head, self.now)
            self.ledger.append(segment)
            self.detector.detect([segment])
            offset = draft.part.end
        return head

    def of_schedule(self, recipe: Recipe, most: int) -> list[Rehearsed]:
        """Return the tasks of the next `most` times at which a scheduled recipe fires."""
        schedule = recipe.on.schedule
        found = islice(schedule.times(self.now, self.now + FAR), most) if schedule else ()
        made = [scheduled(recipe, at, self.now, "") for at in found]
        return [
            Rehearsed(task.id, "", f"at {task.cause['scheduled']}", (), self._steps(recipe, task, []))
            for task in made
        ]

    def _of_task(self, recipe: Recipe, task: Task, lines: Sequence[int]) -> Rehearsed:
        entries = matched(self.ledger, task)
        derivable = bool(recipe.dedup.by) and recipe.dedup.within is None
        return Rehearsed(
            task.id if derivable else "",
            str(task.cause.get("rule", "")),
            str(task.cause.get("title", "")),
            tuple(lines[each.seq] for each in entries),
            self._steps(recipe, task, entries),
        )

    def _steps(self, recipe: Recipe, task: Task, entries: Sequence[Matched]) -> tuple[Planned, ...]:
        context = Context(task.id, task.recipe, task.cause, None, first_entry(task, entries))
        return tuple(self._step(recipe, task, step, entries, context) for step in recipe.steps)

    def _step(
        self, recipe: Recipe, task: Task, step: Step, entries: Sequence[Matched], context: Context
    ) -> Planned:
        action = self.actions.get(step.uses)
        if action is None:
            return Planned(step.id, step.uses, problem="there is no such action")
        try:
            step = with_inputs(step, action, context)
            action.check(step.with_)
            key = effect_key(task.id, task.recipe_digest, step.id, step.with_)
            plan = action.plan(StepRun(task, recipe, step, key, entries, resumed=False))
        except NotYet as error:
            return Planned(step.id, step.uses, {**step.with_, "hangs_on": str(error)})
        except Malformed as error:
            return Planned(step.id, step.uses, problem=str(error))
        return Planned(step.id, step.uses, plan)


def _claimed(entry: bytes) -> str:
    """Return the webhook that an entry of the file names, `SOURCE/HOOK`, "" for none.

    It is believed: a rehearsal does nothing to anybody.
    """
    try:
        about = orjson.loads(entry).get("webhook")
        return f"{about['source']}/{about['hook']}"
    except (ValueError, TypeError, LookupError, AttributeError):
        return ""


def _context(webhook: str) -> dict[str, object]:
    """Return the context of a segment that a webhook told, or that came by another door."""
    told: dict[str, object] = {"service": "rehearsal"}
    return {**told, "endpoint": f"/hooks/{webhook}", "subject": f"hook/{webhook}"} if webhook else told
