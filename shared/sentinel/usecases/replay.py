"""Replay: recomputes what a time's entries ask for, and compares it with the tasks that there are.

From the ledger, the catalog's versions and the times of their activation it follows which tasks rules,
correlations and recipes ask for, with which ids and causes. Compared with the stored tasks, some may be
missing, unexpected or different. Lineages are checked step by step and recorded effects by their keys.
Nothing is written, no action runs, no target is asked.

Where two sets of rules may have been in force (`in_force`), what only one of them asks for is allowed and not
required. What detection may not have come to yet is not required either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from sentinel.core.steps import Action
from sentinel.core.tasks import SECOND, Event, Task
from sentinel.ports import Catalog, Document, Ledger, Tasks
from sentinel.usecases.asked import MAX_ENTRIES
from sentinel.usecases.in_force import InForce
from sentinel.usecases.playbook import Playbook, Plays
from sentinel.usecases.recompute import (
    Cause,
    Recomputation,
    Recomputed,
    Request,
    look_back,
    places_of,
    unlike,
)
from sentinel.usecases.recorded import Inputs, as_written, wrong_effects, wrong_lineage
from sentinel.usecases.reenact import Reenact, tells_enough

FEED_SLACK = 60 * SECOND  # how late detection may come to a segment, beside the time of its catalog's cache
SLACK = 30 * SECOND + FEED_SLACK
MOST_TASKS = 1_000_000
Given = tuple[str, str, bytes]  # kind, id and body of a document
DIFFERENCES = ("missing", "unexpected", "different", "added", "gone", "changed")


@dataclass(frozen=True, slots=True)
class Difference:
    """One task that is not as it is asked for.

    `what` is "missing" (asked for, and not there), "unexpected" (there, and not asked for), "different" (its
    cause, lineage or effects are not what they should be); with other rules "added", "gone" or "changed".
    """

    what: str
    task: str
    recipe: str
    version: int
    rule: str
    entries: tuple[tuple[str, int], ...]
    why: tuple[str, ...] = ()

    def json(self) -> dict[str, object]:
        """Return the difference as it is printed."""
        entries = [{"chain": chain, "seq": seq} for chain, seq in self.entries]
        named = {"recipe": self.recipe, "version": self.version, "rule": self.rule, "entries": entries}
        return {"difference": self.what, "task": self.task, **named, "why": list(self.why)}


_COUNTED = ("entries", "matches", "firings", "asked", "recorded", "waiting", "doubtful", "reenacted", "older")
_TOLD = (*_COUNTED, "notes")


@dataclass(slots=True)
class Replayed:
    """What was looked at and found. `asked` are tasks asked for, `recorded` tasks that were compared.

    `waiting` are asked for and may not have been made yet, `doubtful` could not be decided: two sets of rules
    may have been in force, or a correlation may have been silent. `reenacted` tasks were lived once more by
    the code; `older` ones tell too little for that. `notes` are for people.
    """

    entries: int = 0
    matches: int = 0
    firings: int = 0
    asked: int = 0
    recorded: int = 0
    waiting: int = 0
    doubtful: int = 0
    reenacted: int = 0
    older: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def differ(self, task: Task, wrong: Sequence[str]) -> None:
        """Add what is wrong with a task that there is, to what was found before where there was something."""
        if not wrong:
            return
        for number, each in enumerate(self.differences):
            if (each.what, each.task) == ("different", task.id):
                self.differences[number] = replace(each, why=(*each.why, *wrong))
                return
        self.differences.append(_of_task("different", task, wrong))

    def json(self) -> dict[str, object]:
        """Return the result as it is printed."""
        told = {name: getattr(self, name) for name in _TOLD}
        return {**told, "differences": [each.json() for each in self.differences]}


@dataclass(frozen=True, slots=True)
class Replay:
    """The use case. `clock` is in epoch nanoseconds; `slack` as at `in_force`, in nanoseconds."""

    ledger: Ledger
    catalog: Catalog
    tasks: Tasks
    clock: Callable[[], int]
    slack: int = SLACK
    inputs: Inputs = as_written
    actions: Mapping[str, Action] | None = None  # without them nothing is re-enacted

    def with_slack(self, slack: int) -> Replay:
        """Return the same with another slack, in nanoseconds."""
        return replace(self, slack=slack)

    def compare(self, start: int, end: int) -> Replayed:
        """Compare the tasks of entries sealed from `start` to before `end` (nanoseconds) with those stored.

        Raises `Unavailable` where a store does not answer.
        """
        there = {task.id: task for task in self._recorded(start, end)}
        force = InForce.of(self.catalog, self.slack)
        runs = self._runs(force, {task.id: task.cause for task in there.values()}, start, end)
        found = _counted(*runs)
        found.recorded = len(there)
        asked = {task_id: request for run in runs for task_id, request in run.requests.items()}
        for task_id, _ in sorted(asked.items(), key=_by_time):
            self._asked(found, task_id, runs, there)
        recipes = Playbook(self.catalog, self.clock)
        for task in sorted(there.values(), key=lambda task: (task.created, task.id)):
            self._there(found, task, runs, recipes)
        found.asked = len(asked)
        return found

    def instead(self, start: int, end: int, given: Sequence[Given]) -> Replayed:
        """Tell which tasks would differ if documents had been in the place of those of their ids."""
        documents = [self._document(*each) for each in given]
        before, _ = self._run(InForce.of(self.catalog, self.slack), {}, start, end, late=True)
        force = InForce.of(self.catalog, self.slack, documents)
        after, plays = self._run(force, {}, start, end, late=True)
        found = _counted(after)
        found.asked = len(after.requests)
        found.notes += sorted({f"{name}: {why}" for each in plays for name, why in each.problems})
        both = {**before.requests, **after.requests}
        for task_id, request in sorted(both.items(), key=_by_time):
            old, new = before.requests.get(task_id), after.requests.get(task_id)
            if old is None or new is None:
                found.differences.append(_of_request("gone" if old else "added", task_id, request))
            elif wrong := unlike(old.wanted.cause, new.wanted.cause):
                found.differences.append(_of_request("changed", task_id, request, wrong))
        return found

    def _document(self, kind: str, doc_id: str, body: bytes) -> Document:
        """Return a document as a push would store it: what is in force already keeps its version."""
        digest = sha256(body).hexdigest()
        active = [each for each in self.catalog.active(kind) if each.id == doc_id]
        if active and active[0].digest == digest:
            return active[0]
        known = [each.version for each in self.catalog.activations(kind) if each.id == doc_id]
        newest = max([*known, *(each.version for each in active)], default=0)
        return Document(kind, doc_id, newest + 1, digest, body)

    def _runs(self, force: InForce, causes: Mapping[str, Cause], start: int, end: int) -> list[Recomputed]:
        """Recompute once, or twice where something is in doubt: with changes counting late, and early."""
        late, plays = self._run(force, causes, start, end, late=True)
        if not force.in_doubt(start - look_back(plays), end):
            return [late]
        return [late, self._run(force, causes, start, end, late=False)[0]]

    def _run(
        self, force: InForce, causes: Mapping[str, Cause], start: int, end: int, *, late: bool
    ) -> tuple[Recomputed, list[Plays]]:
        """Recompute, and return everything that was in force then, too."""
        plays = force.between(start, end)
        begin = max(start - look_back(plays), 0)
        run = Recomputation(lambda t: force.at(t, late=late), causes, start, end)
        return run.run(self.ledger, begin), plays

    def _recorded(self, start: int, end: int) -> Iterator[Task]:
        """Yield the stored tasks whose newest entry was sealed in a time."""
        for task in self.tasks.listing(None, MOST_TASKS):
            places = places_of(task.cause)
            if places and task.created >= start - self.slack:
                segment = self.ledger.at(*places[-1])
                if segment is not None and start <= segment.t < end:
                    yield task

    def _asked(
        self, found: Replayed, task_id: str, runs: Sequence[Recomputed], there: Mapping[str, Task]
    ) -> None:
        """Compare a task that is asked for with the one that there is."""
        requests = [run.requests[task_id] for run in runs if task_id in run.requests]
        task = there.get(task_id)
        if task is not None:
            found.differ(task, _wrong_cause(task, requests, runs))
        elif self.tasks.get(task_id) is None:  # else it was there before, and is asked for again
            if any(request.seen + self.slack > self.clock() for request in requests):
                found.waiting += 1
            elif len(requests) < len(runs) or any(request.doubtful for request in requests):
                found.doubtful += 1
            else:
                found.differences.append(_of_request("missing", task_id, requests[0]))

    def _there(self, found: Replayed, task: Task, runs: Sequence[Recomputed], recipes: Playbook) -> None:
        """Look at a task that there is: whether it is asked for, and at all that is recorded of it."""
        if not any(task.id in run.requests for run in runs):
            if any(task.cause.get("rule") in run.doubts for run in runs):
                found.doubtful += 1
            else:
                why = "nothing that was in force asks for it"
                found.differences.append(_of_task("unexpected", task, [why]))
        task, events = self._steady(task)
        wrong = list(wrong_lineage(events, task))
        effects = self.tasks.effects(task.id)
        wrong += wrong_effects(effects, task, recipes.recipe, self.inputs)
        if not wrong and self.actions is not None:
            if tells_enough(events):
                reenact = Reenact(self.ledger, self.actions, recipes.recipe)
                wrong += reenact.differences(task, events, effects)
                found.reenacted += 1
            else:
                found.older += 1
        found.differ(task, wrong)

    def _steady(self, task: Task) -> tuple[Task, list[Event]]:
        """Return a task and its lineage as they are together: it may be going on right now."""
        events = self.tasks.lineage(task.id)
        if len(events) > task.version:
            task = self.tasks.get(task.id) or task
            events = self.tasks.lineage(task.id)[: task.version]
        return task, events


def _by_time(each: tuple[str, Request]) -> tuple[int, str]:
    return each[1].t, each[0]


def _counted(*runs: Recomputed) -> Replayed:
    """Return what was looked at; of two runs the one that found more says how much there is."""
    notes = [f"cannot be read, so it was left out: {problem}" for problem in runs[0].problems]
    matches, firings = max(run.matches for run in runs), max(run.firings for run in runs)
    return Replayed(runs[0].entries, matches, firings, notes=notes)


def _wrong_cause(task: Task, requests: Sequence[Request], runs: Sequence[Recomputed]) -> list[str]:
    """Return what of a recorded cause nobody asks for.

    A firing may name other entries than in order, where its feeds were not; they have to count for its group.
    """
    asked = requests[0].wanted
    wrong = [] if any(request.met for request in requests) else unlike(task.cause, asked.cause)
    if wrong == ["another entries"] and _supported(task, runs):
        wrong = []
    if (task.recipe, task.recipe_version) != (asked.recipe.id, asked.recipe.version):
        wrong.append("another recipe or version")
    elif task.recipe_digest != asked.recipe.digest:
        wrong.append("another recipe under this version")
    return wrong


def _supported(task: Task, runs: Sequence[Recomputed]) -> bool:
    return any(
        groups and all(run.hits.get(place, set()) & groups for place in places_of(task.cause))
        for run in runs
        for groups in [run.groups.get(task.id, set())]
    )


def _of_task(what: str, task: Task, why: Sequence[str]) -> Difference:
    rule = str(task.cause.get("rule", ""))
    places = tuple(places_of(task.cause))
    return Difference(what, task.id, task.recipe, task.recipe_version, rule, places, tuple(why))


def _of_request(what: str, task_id: str, request: Request, why: Sequence[str] = ()) -> Difference:
    wanted = request.wanted
    places = tuple(wanted.places[:MAX_ENTRIES])
    recipe = wanted.recipe
    return Difference(what, task_id, recipe.id, recipe.version, wanted.rule.id, places, tuple(why))
