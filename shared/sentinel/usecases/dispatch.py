"""Dispatch, the outbox: hints the workers at tasks that are queued, after they are durable.

It reads the tasks' change feed, at least once. Only queued tasks are hinted. A waiting task is left to the
sweep, however soon it is due: a hint cannot carry a time, so a worker would have to sleep on it, or call a
target sooner than the target asked for; and a retry that starts at the next sweep is late by seconds at most.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.tasks import State
from sentinel.errors import Unavailable
from sentinel.ports import Doorbell, Queue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a task, as the feed tells it: its state and stream after it."""

    task_id: str
    state: State
    stream: str


def dispatch(changes: Iterable[Change], queue: Queue, doorbell: Doorbell) -> int:
    """Hint at every task that became queued and ring its worker once; return the number of hints.

    Raises `Unavailable` where the queue does not answer: give the same changes again.
    """
    found: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.state is State.QUEUED:
            found.setdefault(change.stream, {})[change.task_id] = None
    return hint({stream: list(ids) for stream, ids in found.items()}, queue, doorbell)


def hint(by_stream: Mapping[str, Sequence[str]], queue: Queue, doorbell: Doorbell) -> int:
    """Add hints and ring once a stream. A bell that does not ring only delays: schedules ring too."""
    for stream, ids in by_stream.items():
        queue.add(stream, ids)
        try:
            doorbell.ring(stream)
        except Unavailable as error:
            log.warning("the worker of %s was not woken and will wake by its schedule: %s", stream, error)
    return sum(map(len, by_stream.values()))
