"""Trace: from any effect back to the entries that caused it, and forward again, with what proves it.

What is found damaged is told where it is and stops nothing: the rest is told as well. The JSON is that of
`docs/trace.md`, which also says what it proves and what it does not. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.chain import service_of
from sentinel.core.recipes import Recipe
from sentinel.core.selection import services_of
from sentinel.core.tasks import KeyOf, Task, lineage_chain
from sentinel.errors import Missing, Rejected, Tampered
from sentinel.ports import Ledger
from sentinel.ports_audit import AuditedTasks
from sentinel.usecases import story as stories
from sentinel.usecases.forks import MOST, fork_id
from sentinel.usecases.proofs import Place, Proven, Prover, Wish
from sentinel.usecases.recompute import places_of
from sentinel.usecases.recorded import Inputs, wrong_effects
from sentinel.usecases.set_off import Forward
from sentinel.usecases.story import Story
from sentinel.usecases.told_task import damage_json, told

FORMAT = 1
RELATED = 50  # tasks that one trace tells
FORKS = 2 * MOST  # forks that it looks for, one read each: forks of forks of forks would be without end
OTHERS = "it is of another service"

Json = dict[str, Any]
Family = tuple[str, Sequence[str]]  # the task that one was forked from ("" for none), and its own forks


@dataclass(slots=True)
class _Gathered:
    """What one trace has come to so far."""

    tasks: list[Json] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    damage: list[Tampered] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    forks: int = 0


@dataclass(frozen=True, slots=True)
class Trace:
    """The use case. `recipe` gives a version of a recipe, `inputs` a step's inputs for a task.

    `keys` gives the log's key of a lineage, by which erased events are known.
    Raises `Missing` for what there is nothing of, and `Unavailable` as the stores do.
    """

    ledger: Ledger
    tasks: AuditedTasks
    recipe: Callable[[str, int], Recipe]
    inputs: Inputs
    forward: Forward
    keys: KeyOf | None = None

    def of_task(self, task: str, wish: Wish, service: str | None = None) -> Json:
        """Trace a task: its entries, its effects, its parent and its forks.

        With `service` only a task that entries of that service set off, and proofs of its own entries alone.
        """
        story = self._story(task)
        if story is None or not _owned(story, service):
            raise Missing("there is no such task")
        return self._traced({"task": task}, [task], wish, service)

    def of_step(self, task: str, step: str, wish: Wish) -> Json:
        """Trace an effect by its task and step, from it back and forward again."""
        story = self._story(task)
        keys = [key for key, effect in (story.effects if story else {}).items() if effect.step == step]
        if not keys:
            raise Missing(f"the task has no effect of a step {step}; `sentinel trace {task}` tells all of it")
        newest = max(keys, key=lambda key: (story.effects[key].t, key) if story else (0, key))
        return self._traced({"effect": newest, "task": task, "step": step}, [task], wish)

    def of_effect(self, key: str, wish: Wish) -> Json:
        """Trace an effect by its key."""
        task = self.tasks.holder(key)
        story = self._story(task) if task else None
        if task is None or story is None:
            raise Missing(
                "no task has an effect with this key; is it the id of a delivery's event? "
                "`sentinel trace CHAIN:SEQ` takes the chain and the number that stand beside it"
            )
        step = story.effects[key].step if key in story.effects else ""
        return self._traced({"effect": key, "task": task, "step": step}, [task], wish)

    def of_entry(self, chain: str, seq: int, wish: Wish, most: int) -> Json:
        """Trace an entry: its proof, and the tasks it set off, among `most` tasks that are looked through."""
        newest = self.ledger.head(chain)
        if newest is None:
            raise Missing(f"there is no chain {chain}; `sentinel chains` lists them")
        if seq >= newest.first + newest.count:
            size = newest.first + newest.count
            raise Missing(f"{chain} has {size} entries, numbered from 0; `sentinel chains` lists all chains")
        found = self.forward.of(chain, seq, most)
        asked = {"entry": {"chain": chain, "seq": seq}}
        trace = self._traced(asked, list(found.tasks), wish, places=[(chain, seq)])
        trace["forward"] = {
            "tasks": [{"task": task, "how": how} for task, how in found.tasks.items()],
            "looked_at": found.looked_at,
            "complete": found.complete,
        }
        notes = trace["notes"]
        if not found.complete:
            notes.append(f"only {most} tasks were looked through: there may be more that it set off")
        for task in found.absent:
            notes.append(f"a rule asks for task {task}, which is not there; see `sentinel replay`")
        return trace

    def _story(self, task: str) -> Story | None:
        return stories.read(self.tasks, task, self.keys)

    def _traced(
        self,
        asked: Json,
        ids: Sequence[str],
        wish: Wish,
        service: str | None = None,
        places: Sequence[Place] | None = None,
    ) -> Json:
        gathered = _Gathered()
        for story, family in self._related(ids, service, gathered):
            self._add(story, family, gathered)
        wanted = gathered.places if places is None else places
        mine = [each for each in wanted if service is None or service_of(each[0]) == service]
        proven = Prover(self.ledger, wish).prove(mine)
        _others(proven, set(wanted) - set(mine))
        damage = [*gathered.damage, *proven.damage]
        return {
            "format": FORMAT,
            "asked": asked,
            "whole": not damage,
            "damage": damage_json(damage),
            "notes": [*gathered.notes, *proven.notes],
            "entries": proven.entries,
            "runs": proven.runs,
            "tasks": gathered.tasks,
        }

    def _related(
        self, ids: Sequence[str], service: str | None, gathered: _Gathered
    ) -> Iterator[tuple[Story, Family]]:
        """Yield the stories of tasks, of those that they were forked from, and of their forks."""
        left, seen = list(ids), set(ids)
        count = 0
        while left:
            story = self._story(left.pop(0))
            if story is None or not _owned(story, service):
                continue
            count += 1
            if count > RELATED:
                gathered.notes.append(f"only the first {RELATED} tasks are told")
                return
            parent = str(story.task.cause.get("fork_of") or "") if story.task else ""
            forks = list(self._forks(story.task, gathered)) if story.task else []
            yield story, (parent, forks)
            new = [each for each in (parent, *forks) if each and each not in seen]
            seen.update(new)
            left += new

    def _forks(self, task: Task, gathered: _Gathered) -> Iterator[str]:
        for number in range(1, MOST + 1):
            if gathered.forks >= FORKS:
                told = f"only {FORKS} forks were looked for: there may be more"
                gathered.notes += [] if told in gathered.notes else [told]
                return
            gathered.forks += 1
            fork = fork_id(task, number)
            if not self.tasks.lineage(fork):  # its state may be gone, or unreadable
                return
            yield fork

    def _add(self, story: Story, family: Family, gathered: _Gathered) -> None:
        task = story.task
        recipe: Recipe | None = None
        damage = list(story.damage)
        if task is not None:
            try:
                recipe = self.recipe(task.recipe, task.recipe_version)
                damage += [] if damage else self._foreign(task, len(story.events))
            except Rejected as error:
                gathered.notes.append(f"of task {task.id}: {error}")
            gathered.places += places_of(task.cause)
        gathered.tasks.append({**told(story, recipe, family), "whole": not damage})
        gathered.damage += damage

    def _foreign(self, task: Task, events: int) -> list[Tampered]:
        """Return the effects that the task's recipe does not have."""
        chain = lineage_chain(task.id)
        try:
            wrong = list(wrong_effects(self.tasks.effects(task.id), task, self.recipe, self.inputs))
        except Tampered:
            return []  # an entry cannot be read: its proof tells so
        return [Tampered(chain, max(events - 1, 0), "effect", each) for each in wrong]


def _owned(story: Story, service: str | None) -> bool:
    """Whether a task may be told to a service; what cannot be read is nobody's."""
    return service is None or (story.task is not None and service in services_of(story.task))


def _others(proven: Proven, places: Iterable[Place]) -> None:
    """Tell entries of other services by their places alone."""
    for chain, seq in places:
        proven.entries.append({"chain": chain, "seq": seq, "proven": False, "why": OTHERS})
    proven.entries.sort(key=lambda each: (each["chain"], each["seq"]))
