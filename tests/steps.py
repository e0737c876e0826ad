"""Steps for tests of actions: a task, its recipe and the entries that set it off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sentinel.core.recipes import Recipe
from sentinel.core.steps import Matched, StepRun
from sentinel.core.tasks import State, Task, effect_key

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def step_run(
    uses: str,
    inputs: Mapping[str, Any],
    entries: list[bytes] | None = None,
    *,
    resumed: bool = False,
    tries: int = 0,
    done: Mapping[str, object] | None = None,
    hook: str = "",
) -> StepRun:
    """Return one try of a step; the same inputs give the same effect key."""
    recipe = Recipe.model_validate(
        {"id": "tell", "on": {"rule": "r"}, "steps": [{"id": "s", "uses": uses, "with": inputs}]}
    )
    task = Task(
        id="mfrggzdfmztwq2lknnwg23tpoa",
        recipe="tell",
        recipe_version=1,
        recipe_digest="d" * 64,
        state=State.RUNNING,
        version=1,
        attempt=1,
        step=0,
        tries=tries,
        stream="siem",
        created=0,
        due=0,
        cause={"rule": "rule-1", "title": "A burst", "level": "high", "entries": []},
    )
    bodies = [b'{"n":%d}' % number for number in range(3)] if entries is None else entries
    matched = [
        Matched("checkout/0", number, 1_732_435_200_123_000_000 + number, body, hook)
        for number, body in enumerate(bodies)
    ]
    key = effect_key(task.id, task.recipe_digest, "s", inputs)
    return StepRun(task, recipe, recipe.steps[0], key, matched, resumed, done or {}, traceparent=TRACEPARENT)
