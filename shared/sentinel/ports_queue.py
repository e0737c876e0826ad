"""The ports between the tasks and their workers: hints, dead letters and the doorbell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Hint:
    """A message of a queue: a task id, never the truth about the task. `line` is where it stood."""

    id: str
    task_id: str
    deliveries: int = 1
    line: str = ""


@dataclass(frozen=True, slots=True)
class Buried:
    """A message of the dead-letter stream: a task failed for good at `t` (nanoseconds), and why."""

    task_id: str
    reason: str
    t: int


class Queue(Protocol):
    """Hints that a task waits, at least once each; losing all of them loses no task (the sweep adds again).

    One consumer group; a stream is named by the worker that reads it, and is made of lines (`core.lines`).
    """

    def add(self, line: str, task_ids: Iterable[str]) -> None:
        """Add hints to a line, in order; a stream's plain name means its normal line with share 0."""

    def take(self, stream: str, consumer: str, count: int, block_ms: int) -> list[Hint]:
        """Return new hints of a stream for `consumer`; waits at most `block_ms` for the first (0: not).

        Higher priorities come first, but for a small part of the calls, in which lower ones do; within a
        priority each share that has hints gets an equal part.
        """

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> list[Hint]:
        """Take over hints of a stream that other consumers have had for `idle_ms` unacknowledged.

        Follows the cursors to the end of all lines' pending lists across calls.
        """

    def done(self, stream: str, hints: Sequence[Hint]) -> None:
        """Acknowledge and delete hints."""

    def bury(self, task_id: str, reason: str) -> None:
        """Add a task to the dead-letter stream. Best effort: the task's state is the truth."""

    def buried(self, limit: int) -> list[Buried]:
        """Return the newest messages of the dead-letter stream, newest first.

        It keeps about ten thousand. A task that failed again after a redrive is there once for each time.
        """


class Doorbell(Protocol):
    """Wakes a worker that is not running. Losing a ring only delays: schedules ring too."""

    def ring(self, worker: str) -> None:
        """Wake the worker of a stream, which is the stream's name; returns at once."""
