"""Tasks and effects as JSON, the form in which every store keeps them. The chain does not hash this form.

What cannot be read was not written by us: it is `Tampered`, and where many tasks are read to be looked after
it is passed over and told, so that one damaged row does not stop all the others.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from sentinel.core.tasks import Effect, EffectState, State, Task, lineage_chain
from sentinel.errors import Tampered

log = logging.getLogger(__name__)


def task_to_json(task: Task) -> bytes:
    """Return a task as one JSON object."""
    return orjson.dumps(task, default=_plain)


def task_from_json(body: bytes | str) -> Task:
    """Return the task that `task_to_json` wrote."""
    found = orjson.loads(body)
    return Task(**{**found, "state": State(found["state"])})


def read_task(task_id: str, body: Any) -> Task:
    """Return the task of a stored row. Raises `Tampered` for one that we cannot have written."""
    try:
        return task_from_json(body)
    except (ValueError, KeyError, TypeError):
        raise Tampered(lineage_chain(task_id), 0, "payload", "the task's state cannot be read") from None


def readable(rows: Iterable[tuple[str, Any]]) -> Iterator[Task]:
    """Yield the tasks of rows of (id, body); one that cannot be read is passed over with an alarm."""
    for task_id, body in rows:
        try:
            yield read_task(task_id, body)
        except Tampered as error:
            log.critical("tampered: %s", error)


def readable_first(first: Callable[[int], Sequence[tuple[str, Any]]], limit: int) -> list[Task]:
    """Return the first `limit` tasks that can be read; `first(n)` gives the first n rows, or all there are.

    So those that cannot be read never stand in the way of those behind them, however many they are.
    """
    count = limit
    while True:
        rows = first(count)
        found = list(readable(rows))
        if len(found) >= limit or len(rows) < count:
            return found[:limit]
        count *= 2


def effect_to_json(effect: Effect) -> bytes:
    """Return an effect as one JSON object."""
    return orjson.dumps(effect, default=_plain)


def read_effect(task_id: str, key: str, body: Any) -> Effect:
    """Return the effect of a stored row. Raises `Tampered` for one that we cannot have written there."""
    try:
        found = effect_from_json(body)
        if (found.task_id, found.key) == (task_id, key):
            return found
        why = f"the effect stored under {key[:80]} is another one"
    except (ValueError, KeyError, TypeError):
        why = f"the effect {key[:80]} cannot be read"
    raise Tampered(lineage_chain(task_id), 0, "effect", why)


def effect_from_json(body: bytes | str) -> Effect:
    """Return the effect that `effect_to_json` wrote."""
    found = orjson.loads(body)
    return Effect(**{**found, "state": EffectState(found["state"])})


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a task's facts are JSON values, not {type(value).__name__}")
