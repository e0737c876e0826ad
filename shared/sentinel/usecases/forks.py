"""The forks of a task: what they are called, and so how they are found. `usecases.fork` makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from sentinel.core.tasks import Event, Task, task_id
from sentinel.ports import Tasks

MOST = 100  # forks of one task: a fork is forked on

Inputs = Mapping[str, Mapping[str, object]]


def fork_id(parent: Task, number: int) -> str:
    """Return the id of a task's fork; numbers begin at 1, so that forks need no index."""
    key = orjson.dumps(["fork", parent.id, number]).decode()
    return task_id(parent.recipe, parent.recipe_version, key, 0)


def forks_of(tasks: Tasks, parent: Task) -> Iterator[Task]:
    """Yield a task's forks, in order: one read each, and one more."""
    for number in range(1, MOST + 1):
        found = tasks.get(fork_id(parent, number))
        if found is None:
            return
        yield found


def forkers(lineage: Sequence[Event]) -> list[str]:
    """Return who forked a task, and before them whatever it is a fork of, as its first event tells."""
    first: Mapping[str, object] = lineage[0].body if lineage else {}
    makers = first.get("makers")
    if isinstance(makers, list):
        return list(map(str, makers))
    return [str(first["who"])] if first.get("who") else []
