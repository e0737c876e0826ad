"""Selections: which tasks somebody means, by what they are and why; lists and bulk acts share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core.chain import service_of
from sentinel.core.states import State
from sentinel.core.tasks import Task
from sentinel.errors import Malformed

# The texts that a filter has, with the characters that each may have at most, and its times.
TEXTS: Mapping[str, int] = {"recipe": 100, "rule": 500, "service": 128, "reason_contains": 500}
TIMES = ("created_after", "created_before")


def services_of(task: Task) -> set[str]:
    """Return the services whose entries set a task off."""
    entries = task.cause.get("entries")
    return {service_of(str(each["chain"])) for each in entries} if isinstance(entries, list) else set()


def state_named(name: str) -> State:
    """Return a state by its name. Raises `Malformed` with the names there are."""
    try:
        return State(name)
    except ValueError:
        raise Malformed(f"state is one of {', '.join(State)}") from None


@dataclass(frozen=True, slots=True)
class Selection:
    """What a task has to be; what is empty or None is not asked for. Times are epoch nanoseconds.

    `rule` is a rule's id or title. `service` is one whose entries set the task off; `owner` as well, and is
    who asks, where they may see and touch their own tasks only. Created from `created_after` on, and before
    `created_before`.
    """

    states: tuple[State, ...] = ()
    recipe: str = ""
    rule: str = ""
    service: str = ""
    created_after: int | None = None
    created_before: int | None = None
    reason_contains: str = ""
    owner: str | None = None

    def holds(self, task: Task) -> bool:
        """Whether a task is meant."""
        return (
            (not self.states or task.state in self.states)
            and self.recipe in {"", task.recipe}
            and self.rule in {"", task.cause.get("rule"), task.cause.get("title")}
            and self.reason_contains in task.reason
            and (self.created_after is None or task.created >= self.created_after)
            and (self.created_before is None or task.created < self.created_before)
            and self._is_of(task)
        )

    def _is_of(self, task: Task) -> bool:
        wanted = {name for name in (self.service, self.owner) if name}
        return not wanted or wanted <= services_of(task)


def parse(told: object, owner: str | None = None) -> Selection:
    """Read a selection that came as JSON. Raises `Malformed` that says what is wrong; quotes no value."""
    if not isinstance(told, Mapping):
        raise Malformed("filter is an object")
    values: dict[str, Any] = {}
    for name, value in told.items():
        values[name] = _value(name, value)
    return Selection(**values, owner=owner)


def _value(name: str, value: object) -> object:
    if name == "states":
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Malformed("filter: states is a list of names of states")
        return tuple(dict.fromkeys(map(state_named, value)))
    if name in TEXTS:
        if not isinstance(value, str) or not 0 < len(value) <= TEXTS[name]:
            raise Malformed(f"filter: {name} is a text of 1 to {TEXTS[name]} characters")
        return value
    if name in TIMES:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise Malformed(f"filter: {name} is a time in epoch nanoseconds")
        return value
    raise Malformed(f"filter: it has {', '.join(('states', *TEXTS, *TIMES))}, and nothing else")
