"""Tasks and effects as JSON, the form in which every store keeps them. The chain does not hash this form."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from sentinel.core.tasks import Effect, EffectState, State, Task


def task_to_json(task: Task) -> bytes:
    """Return a task as one JSON object."""
    return orjson.dumps(task, default=_plain)


def task_from_json(body: bytes | str) -> Task:
    """Return the task that `task_to_json` wrote."""
    found = orjson.loads(body)
    return Task(**{**found, "state": State(found["state"])})


def effect_to_json(effect: Effect) -> bytes:
    """Return an effect as one JSON object."""
    return orjson.dumps(effect, default=_plain)


def effect_from_json(body: bytes | str) -> Effect:
    """Return the effect that `effect_to_json` wrote."""
    found = orjson.loads(body)
    return Effect(**{**found, "state": EffectState(found["state"])})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a task's facts are JSON values, not {type(value).__name__}")
