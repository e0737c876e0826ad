"""Dispatch, the outbox: hints the workers at tasks that are queued, after they are durable.

It reads the tasks' change feed, at least once. Only queued tasks are hinted. A waiting task is left to the
sweep, however soon it is due: a hint cannot carry a time, so a worker would have to sleep on it, or call a
target sooner than the target asked for; and a retry that starts at the next sweep is late by seconds at most.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sentinel.core.lines import line_named, stream_of
from sentinel.core.tasks import State
from sentinel.errors import Unavailable
from sentinel.ports import Doorbell, Queue

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a task, as the feed tells it: its state after it, and the line of its hints.

    Tasks that were written by an earlier version have a stream's plain name for a line.
    """

    task_id: str
    state: State
    line: str


def dispatch(changes: Iterable[Change], queue: Queue, doorbell: Doorbell) -> int:
    """Hint at every task that became queued, in its line, and ring each worker once; return how many hints.

    Raises `Unavailable` where the queue does not answer: give the same changes again.
    """
    found: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.state is State.QUEUED:
            found.setdefault(line_named(change.line), {})[change.task_id] = None
    return hint({line: list(ids) for line, ids in found.items()}, queue, doorbell)


def hint(by_line: Mapping[str, Sequence[str]], queue: Queue, doorbell: Doorbell) -> int:
    """Add hints, and ring once a stream. A bell that does not ring only delays: schedules ring too."""
    for line, ids in by_line.items():
        queue.add(line, ids)
    for stream in dict.fromkeys(map(stream_of, by_line)):
        try:
            doorbell.ring(stream)
        except Unavailable as error:
            log.warning("the worker of %s was not woken and will wake by its schedule: %s", stream, error)
    return sum(map(len, by_line.values()))
