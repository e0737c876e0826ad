"""Verification of all tasks: each one's lineage by its hashes, and all that is stored beside it against that.

Tasks are read one after the other, so that any number of them takes the same memory. What is gone as a whole,
state, lineage and effects, leaves nothing to be found by: `replay` finds that, from the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel.core.tasks import KeyOf
from sentinel.errors import Conflict, Tampered
from sentinel.ports_audit import AuditedTasks
from sentinel.usecases import story

MOST = 1_000  # damages that are told; all are counted


@dataclass(slots=True)
class VerifiedTasks:
    """What was looked at, and what was found damaged.

    `erased` are the events of which the leaf stays; `unsettled` were moved all the time.
    """

    tasks: int = 0
    events: int = 0
    effects: int = 0
    erased: int = 0
    damaged: int = 0
    damage: list[Tampered] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.damaged and not self.unsettled

    def json(self) -> dict[str, object]:
        """Return the account as it is printed."""
        return {
            "tasks": self.tasks,
            "events": self.events,
            "effects": self.effects,
            "erased": self.erased,
            "verified": self.whole,
            "damaged": self.damaged,
            "damage": [
                {"chain": it.chain, "seq": it.seq, "kind": it.kind, "detail": it.detail} for it in self.damage
            ],
            "unsettled": self.unsettled,
        }


def verify_tasks(
    tasks: AuditedTasks, told: Callable[[int], None] = lambda _: None, keys: KeyOf | None = None
) -> VerifiedTasks:
    """Check every task of which anything is stored. `told` hears how many have been looked at.

    `keys` gives the log's key of a lineage, by which erased events are known: without it they are damage.

    Raises `Unavailable` as the store does.
    """
    found = VerifiedTasks()
    for task_id in tasks.ids():
        try:
            read = story.read(tasks, task_id, keys)
        except Conflict:
            found.unsettled.append(task_id)
            continue
        if read is None:
            continue
        found.tasks += 1
        found.events += len(read.events)
        found.erased += sum(event.erased for event in read.events)
        found.effects += len(read.effects)
        found.damaged += bool(read.damage)
        found.damage += read.damage[: max(MOST - len(found.damage), 0)]
        told(found.tasks)
    return found
