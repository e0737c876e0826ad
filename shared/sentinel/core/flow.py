"""Flow: what a recipe's limits count a task for, and how a task of a recipe begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sentinel.core.pauses import first_service
from sentinel.core.states import State
from sentinel.core.tasks import MAX_REASON, Task, by_deadline

if TYPE_CHECKING:  # pydantic is slow to import, and a recipe is only named here
    from sentinel.core.recipes import Recipe

PLACE, RATE, PAUSE, WINDOW, DEBOUNCE = "place/", "rate", "pause/", "maintenance", "debounce"  # of `Task.held`
PROPOSED = "its recipe asks that a person accepts it first"
_BEFORE = "; before that: "
QUIET = "held: more matches of the same are waited for"


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit as it counts one task: the key of what it counts, how many may be, and what people are told."""

    key: str
    most: int
    text: str


def bounds(recipe: Recipe, task: Task) -> tuple[Bound, ...]:
    """Return the limits of a task's recipe, in the order in which every task takes its places.

    Of several limits that count the same the lowest holds.
    """
    found: dict[str, Bound] = {}
    for limit in recipe.concurrency:
        of = f"group/{limit.group}" if limit.group else f"recipe/{recipe.id}"
        suffix, text = _each(limit.per, task)
        key = f"{PLACE}{of}{suffix}"
        most = min(limit.most, found[key].most) if key in found else limit.most
        found[key] = Bound(key, most, f"{of.replace('/', ' ')}{text}")
    return tuple(sorted(found.values(), key=lambda each: each.key))


def rate_key(recipe: Recipe, task: Task) -> str:
    """Return the key of what a recipe's rate counts a task for."""
    assert recipe.rate is not None  # noqa: S101 - asked of recipes that have one
    return f"{RATE}/recipe/{recipe.id}{_each(recipe.rate.per, task)[0]}"


def _each(per: Literal["recipe", "service", "key"], task: Task) -> tuple[str, str]:
    """Return what follows in the key, and in the text for people."""
    if per == "service":
        service = first_service(task)
        return f"/service/{service}", f" for service {service}" if service else " for no service"
    if per == "key":
        return f"/key/{task.cause.get('fingerprint', '')}", " with the same key"
    return "", ""


def window_over(recipe: Recipe, now: int) -> int:
    """Return when the maintenance windows that `now` falls into are over, epoch nanoseconds; 0: in none."""
    return max((window.over(now) for window in recipe.maintenance), default=0)


def beginning(recipe: Recipe, now: int, grace: int, t: int) -> Mapping[str, Any]:
    """Return how a task of a recipe begins: its state, when it is looked at, its deadline, and why it waits.

    `now` is when it is made, `t` when it was asked for by the ledger's time, `grace` how long a queued task
    has to be taken in; all in nanoseconds. The time of a proposal does not count against the task's own.
    """
    timeout = recipe.timeout or 0
    if recipe.propose_for is not None:
        due = now + recipe.propose_for
        deadline = due + timeout if timeout else 0
        return {"state": State.PROPOSED, "due": due, "deadline": deadline, "reason": PROPOSED}
    deadline = now + timeout if timeout else 0
    if recipe.debounce is not None:
        due = min(t + recipe.debounce.quiet, now + recipe.debounce.most)
        return {"state": State.WAITING, "due": due, "deadline": deadline, "held": DEBOUNCE, "reason": QUIET}
    return {"state": State.QUEUED, "due": now + grace, "deadline": deadline}


def quiet_until(recipe: Recipe, task: Task, t: int) -> int:
    """Return until when a task waits since the same matched at `t`; 0 where that changes nothing to speak of.

    It follows from the ledger's time, so that what is delivered again asks for the same.
    """
    if recipe.debounce is None or task.state is not State.WAITING or task.held != DEBOUNCE:
        return 0
    until = by_deadline(task, min(t + recipe.debounce.quiet, task.created + recipe.debounce.most))
    return until if until - task.due > recipe.debounce.quiet // 10 else 0


def held_because(task: Task, reason: str) -> str:
    """Return the reason of a task as it is held: what its last try came to is kept, where there was one."""
    before = reason_before(task) if task.tries else ""
    return f"{reason}{_BEFORE}{before}"[:MAX_REASON] if before else reason[:MAX_REASON]


def reason_before(task: Task) -> str:
    """Return a task's reason without that of a hold."""
    return task.reason.partition(_BEFORE)[2] if task.held else task.reason
