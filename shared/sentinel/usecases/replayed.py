"""What a replay has found: differences, task by task, and how much was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sentinel.core.tasks import Task
from sentinel.usecases.asked import Wanted
from sentinel.usecases.recompute import places_of

DIFFERENCES = ("missing", "unexpected", "different", "added", "gone", "changed")
_COUNTED = ("entries", "matches", "firings", "asked", "recorded", "waiting", "doubtful", "reenacted", "older")
_TOLD = (*_COUNTED, "erased", "notes")


@dataclass(frozen=True, slots=True)
class Difference:
    """One task that is not as it is asked for.

    `what` is "missing" (asked for, and not there), "unexpected" (there, and not asked for), "different" (its
    cause, lineage, state or effects are not as they should be); with other rules "added", "gone", "changed".
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


def of_task(what: str, task: Task, why: Sequence[str]) -> Difference:
    """Return a difference of a task that there is."""
    rule = str(task.cause.get("rule", ""))
    places = tuple(places_of(task.cause))
    return Difference(what, task.id, task.recipe, task.recipe_version, rule, places, tuple(why))


@dataclass(slots=True)
class Replayed:
    """What was looked at and found. `asked` are tasks asked for, `recorded` tasks that were compared.

    `waiting` are asked for and may not have been made yet, `doubtful` could not be decided: two sets of rules
    may have been in force, a correlation may have been silent, or a schedule's time missed. `reenacted` tasks
    were lived once more by the code; `older` ones tell too little for that. Of `erased` ones an entry that
    set them off was erased, so nothing but their lineage was compared. `notes` are for people. `missing` are
    the tasks that are asked for by entries and not there, by id.
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
    erased: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missing: dict[str, Wanted] = field(default_factory=dict)

    def differ(self, task: Task, wrong: Sequence[str]) -> None:
        """Add what is wrong with a task that there is, to what was found before where there was something."""
        if not wrong:
            return
        for number, each in enumerate(self.differences):
            if (each.what, each.task) == ("different", task.id):
                self.differences[number] = replace(each, why=(*each.why, *wrong))
                return
        self.differences.append(of_task("different", task, wrong))

    def json(self) -> dict[str, object]:
        """Return the result as it is printed."""
        told = {name: getattr(self, name) for name in _TOLD}
        return {**told, "differences": [each.json() for each in self.differences]}
