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


def is_fork(task: Task) -> bool:
    """Say whether a person made a task of another one."""
    return "fork_of" in task.cause


def wrong_fork(tasks: Tasks, fork: Task) -> list[str]:
    """Return what does not fit a fork to the task that it names; empty where all does."""
    parent = tasks.get(str(fork.cause["fork_of"]))
    if parent is None:
        return ["the task that it is a fork of is not there"]
    number = fork.cause.get("fork")
    if not isinstance(number, int) or fork.id != fork_id(parent, number):
        return ["its id is not that of a fork of the task that it names"]
    own = {"fork_of", "fork", "request"}
    names = sorted({*fork.cause, *parent.cause} - own)
    wrong = [f"another {name}" for name in names if fork.cause.get(name) != parent.cause.get(name)]
    if (fork.recipe, fork.recipe_version) != (parent.recipe, parent.recipe_version):
        wrong.append("another recipe or version")
    return wrong


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
