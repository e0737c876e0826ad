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
from dataclasses import dataclass, replace
from hashlib import sha256

from sentinel.core.access import Author
from sentinel.core.steps import Action
from sentinel.core.tasks import SECOND, Event, KeyOf, Task
from sentinel.ports import Catalog, Document, Ledger, Tasks
from sentinel.usecases.asked import MAX_ENTRIES
from sentinel.usecases.authors import Past
from sentinel.usecases.evidence import cause_erased
from sentinel.usecases.forks import is_fork, wrong_fork
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
from sentinel.usecases.replayed import Difference, Replayed, of_task
from sentinel.usecases.timetabled import Due, is_scheduled, missed, time_of, timetable
from sentinel.usecases.wrong_causes import doubtful, wrong_cause

FEED_SLACK = 60 * SECOND  # how late detection may come to a segment, beside the time of its catalog's cache
SLACK = 30 * SECOND + FEED_SLACK
MOST_TASKS = 1_000_000
Given = tuple[str, str, bytes]  # kind, id and body of a document


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
    everyone: Callable[[], Sequence[Author]] | None = None  # all authors, where documents have to be signed
    keys: KeyOf | None = None  # the log's key of a lineage, by which erased events are known

    def with_slack(self, slack: int) -> Replay:
        """Return the same with another slack, in nanoseconds."""
        return replace(self, slack=slack)

    def compare(self, start: int, end: int) -> Replayed:
        """Compare the tasks of entries sealed from `start` to before `end` (nanoseconds) with those stored.

        Raises `Unavailable` where a store does not answer.
        """
        everything = self.tasks.listing(None, MOST_TASKS)
        there = {task.id: task for task in self._recorded(everything, start, end)}
        past = self._past()
        force = InForce.of(self.catalog, self.slack, (), past)
        runs = self._runs(force, {task.id: task.cause for task in there.values()}, start, end)
        found = _counted(*runs)
        found.recorded = len(there)
        gone = {task.id for task in there.values() if cause_erased(self.ledger, task)}
        found.erased = len(gone)
        asked = {task_id: request for run in runs for task_id, request in run.requests.items()}
        for task_id, _ in sorted(asked.items(), key=_by_time):
            if task_id not in gone:
                self._asked(found, task_id, runs, there)
        # A recipe is read as it was when its author counted, whoever counts now.
        recipes = Playbook(self.catalog, self.clock, opener=past.ever() if past else None)
        for task in sorted(there.values(), key=lambda task: (task.created, task.id)):
            if task.id in gone:
                found.differ(task, list(wrong_lineage(self._steady(task)[1], task, self.keys)))
                continue
            self._there(found, task, runs)
            self._lived(found, task, recipes)
        by_clock = timetable(force, start, min(end, self.clock()), _first_scheduled(everything, end))
        self._scheduled(found, by_clock, everything, (start, end), recipes)
        found.asked = len(asked) + sum(due.asked for due in by_clock.values())
        return found

    def instead(self, start: int, end: int, given: Sequence[Given]) -> Replayed:
        """Tell which tasks would differ if documents had been in the place of those of their ids."""
        documents = [self._document(*each) for each in given]
        past = self._past()
        now = InForce.of(self.catalog, self.slack, (), past)
        before, _ = self._run(now, {}, start, end, late=True)
        force = InForce.of(self.catalog, self.slack, documents, past)
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
        span = (start, min(end, self.clock()), _first_scheduled(self.tasks.listing(None, MOST_TASKS), end))
        was, will = (
            {key: due for key, due in timetable(f, *span).items() if due.asked} for f in (now, force)
        )
        for task_id in sorted(was.keys() ^ will.keys(), key=lambda each: ({**was, **will}[each].at, each)):
            what = "gone" if task_id in was else "added"
            found.differences.append(_of_time(what, task_id, {**was, **will}[task_id]))
        found.asked += len(will)
        return found

    def _past(self) -> Past | None:
        return Past(self.everyone()) if self.everyone is not None else None

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

    def _recorded(self, everything: Sequence[Task], start: int, end: int) -> Iterator[Task]:
        """Yield the stored tasks whose newest entry was sealed in a time; schedules' forks by their birth."""
        for task in everything:
            places = places_of(task.cause)
            if is_fork(task) and not places and start <= task.created < end:
                yield task
            elif places and task.created >= start - self.slack:
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
            found.differ(task, wrong_cause(task, requests, runs))
        elif self.tasks.get(task_id) is None:  # else it was there before, and is asked for again
            if any(request.seen + self.slack > self.clock() for request in requests):
                found.waiting += 1
            elif len(requests) < len(runs) or any(doubtful(request, runs) for request in requests):
                found.doubtful += 1
            else:
                found.differences.append(_of_request("missing", task_id, requests[0]))
                found.missing[task_id] = requests[0].wanted

    def _scheduled(
        self,
        found: Replayed,
        dues: Mapping[str, Due],
        everything: Sequence[Task],
        span: tuple[int, int],
        recipes: Playbook,
    ) -> None:
        """Compare the tasks of schedules' times with those that there are."""
        all_of_them = {task.id: task for task in everything if is_scheduled(task)}
        for task_id, due in sorted(dues.items(), key=lambda each: (each[1].at, each[0])):
            if task_id in all_of_them or not due.asked:
                continue
            skipped = missed(due, all_of_them.values())
            if skipped is None or due.at + self.slack > self.clock():
                found.waiting += 1
            elif skipped or not due.sure:
                found.doubtful += 1
            else:
                found.differences.append(_of_time("missing", task_id, due))
        for task in sorted(all_of_them.values(), key=lambda task: (task.created, task.id)):
            if span[0] <= time_of(task) < span[1]:
                self._on_time(found, task, dues.get(task.id))
                self._lived(found, task, recipes)

    def _on_time(self, found: Replayed, task: Task, due: Due | None) -> None:
        found.recorded += 1
        if due is None:
            why = "no schedule that was in force asks for it"
            found.differences.append(of_task("unexpected", task, [why]))
        else:
            names = sorted({*task.cause, *due.cause})
            found.differ(task, [f"another {n}" for n in names if task.cause.get(n) != due.cause.get(n)])

    def _there(self, found: Replayed, task: Task, runs: Sequence[Recomputed]) -> None:
        """Look at whether a task that there is is asked for, or else made of another one by a person."""
        if is_fork(task):
            found.differ(task, wrong_fork(self.tasks, task))
        elif not any(task.id in run.requests for run in runs):
            if any(task.cause.get("rule") in run.doubts for run in runs):
                found.doubtful += 1
            else:
                why = "nothing that was in force asks for it"
                found.differences.append(of_task("unexpected", task, [why]))

    def _lived(self, found: Replayed, task: Task, recipes: Playbook) -> None:
        """Look at all that is recorded of a task: its lineage, its state and its effects."""
        task, events = self._steady(task)
        wrong = list(wrong_lineage(events, task, self.keys))
        effects = self.tasks.effects(task.id)
        wrong += wrong_effects(effects, task, recipes.recipe, self.inputs)
        if any(event.erased for event in events):  # what they said was part of what was hashed
            found.notes.append(f"task {task.id} is not re-enacted: events of its lineage were erased")
        elif not wrong and self.actions is not None:
            if tells_enough(events):
                reenact = Reenact(
                    self.ledger, self.actions, recipes.recipe, self.tasks.get, self.tasks.lineage
                )
                left_out: list[str] = []
                wrong += reenact.differences(task, events, effects, left_out)
                found.reenacted += not left_out
                found.notes += [f"task {task.id} is re-enacted up to {each}" for each in left_out]
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


def _of_request(what: str, task_id: str, request: Request, why: Sequence[str] = ()) -> Difference:
    wanted = request.wanted
    places = tuple(wanted.places[:MAX_ENTRIES])
    recipe = wanted.recipe
    return Difference(what, task_id, recipe.id, recipe.version, wanted.rule.id, places, tuple(why))


def _first_scheduled(tasks: Sequence[Task], end: int) -> int:
    return min((time_of(task) for task in tasks if is_scheduled(task)), default=end)


def _of_time(what: str, task_id: str, due: Due) -> Difference:
    why = f"scheduled for {due.cause['scheduled']}"
    return Difference(what, task_id, due.recipe.id, due.recipe.version, "", (), (why,))
