"""The loops of the child processes: the schedule and the workers, each calling its function's handler."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable
from typing import Any

from sentinel.local.feeds import Stop
from sentinel.local.functions import Context, Handler

SWEEP_SECONDS = 1.0
DELIVER_SECONDS = 1.0
SEAL_SECONDS = 60.0
SEAL_LATER = 2.0  # seconds that the first round waits, while everything else starts
ARCHIVE_SECONDS = 3_600.0
ARCHIVE_LATER = 60.0  # seconds that the first call waits: many an `up` ends within the hour
SEAL_LAST = 13.0  # seconds of the last round, within what a child has to end in
CALL_SECONDS = 120.0
_BREATH = 0.01
SCHEDULED: dict[str, Any] = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": {}}
_PAUSES = (0.1, 0.5, 2.0, 5.0)

log = logging.getLogger("sentinel.loops")


def every(seconds: float, function: str, handler: Handler, stop: Stop) -> None:
    """Call a scheduled function every `seconds` until `stop` is set; at once where a call took longer.

    A call that is going on then is told that its time is up.
    """
    spent = 0.0
    while not stop.wait(max(seconds - spent, _BREATH)):
        begun = time.monotonic()
        _call(function, handler, SCHEDULED, stop.is_set)
        spent = time.monotonic() - begun


def seal(handler: Handler, stop: Stop, seconds: float = SEAL_SECONDS) -> None:
    """Seal all chains soon, then every `seconds`, and a last time when `stop` is set.

    The last round has `SEAL_LAST` seconds: what has come since the one before is sealed where that is quick.
    """
    if not stop.wait(min(SEAL_LATER, seconds)):
        _call("seal", handler, SCHEDULED, stop.is_set)
        every(seconds, "seal", handler, stop)
    _call("seal", handler, SCHEDULED, lambda: False, SEAL_LAST)


def archive(
    handler: Handler, stop: Stop, seconds: float = ARCHIVE_SECONDS, later: float = ARCHIVE_LATER
) -> None:
    """Archive `later` seconds after the start, then every `seconds`; at once where a call's time was up."""
    pause = later
    while not stop.wait(pause):
        answer = _answer("archive", handler, SCHEDULED, stop.is_set)
        pause = _BREATH if answer is not None and answer.get("more") else seconds


def seconds_of(stream: str) -> float:
    """Return how long a call of a stream's worker may take: twice the margin at least."""
    from sentinel.core.tasks import SECOND
    from sentinel.usecases.run import MARGIN, MARGINS

    return max(CALL_SECONDS, 2 * MARGINS.get(stream, MARGIN) / SECOND)


def work(function: str, handler: Handler, stop: Stop, seconds: float = CALL_SECONDS) -> None:
    """Call a worker's function over and over; it waits for hints itself. Ends after the step in hand.

    `seconds` is how long a call may take, of which no new step is begun in the stream's margin.
    """
    failures = 0
    while not stop.is_set():
        if _call(function, handler, {}, stop.is_set, seconds):
            failures = 0
        else:
            stop.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1


def _call(
    function: str,
    handler: Handler,
    event: dict[str, Any],
    cut: Callable[[], bool],
    seconds: float = CALL_SECONDS,
) -> bool:
    """Call a handler; return whether it went well. One that found a store or the queue away says so."""
    answer = _answer(function, handler, event, cut, seconds)
    return answer is not None and "unavailable" not in answer


def _answer(
    function: str,
    handler: Handler,
    event: dict[str, Any],
    cut: Callable[[], bool],
    seconds: float = CALL_SECONDS,
) -> dict[str, Any] | None:
    """Call a handler; return its answer, or None where it failed."""
    try:
        return handler(event, Context(function, uuid.uuid4().hex, seconds, cut))
    except Exception as error:
        # The entrypoint of everything below. Tasks are durable: the next call goes on where this one ended.
        log.warning("%s: %s: %s", function, type(error).__name__, error)
        log.debug("%s failed", function, exc_info=True)
        return None
