"""The endpoints of queues: what waits, and stopping, letting go and emptying it. For admins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from sentinel.entrypoints.api_tasks import body_of, who_of
from sentinel.entrypoints.web import Request, Response, json_response
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App

COUNTED = 5_000  # tasks of each state that an overview counts: it is answered in time
PURGED = 500  # tasks that one call cancels: each takes a read and a write


def overview(app: App, request: Request) -> Response:
    """`GET /v1/queues`: what waits, by stream, recipe and state, and what is paused."""
    del request
    return json_response(200, app.queues.overview(COUNTED))


def pause(app: App, request: Request) -> Response:
    """`POST /v1/queues/{queue}/pause`: lets no task of it start, until a time or a resume."""
    told = body_of(request, "until")
    until = _number(told, "until", 0)
    return json_response(200, app.queues.pause(request.params["queue"], who_of(request), told["why"], until))


def resume(app: App, request: Request) -> Response:
    """`POST /v1/queues/{queue}/resume`: ends a pause."""
    told = body_of(request)
    return json_response(200, app.queues.resume(request.params["queue"], who_of(request), told["why"]))


def purge(app: App, request: Request) -> Response:
    """`POST /v1/queues/{queue}/purge`: cancels what waits in it, so many a call."""
    told = body_of(request, "all_states", "dry_run", "limit")
    limit = _number(told, "limit", PURGED)
    if not 1 <= limit <= PURGED:
        raise Malformed(f"limit is 1 to {PURGED}")
    done = app.queues.purge(
        request.params["queue"],
        who_of(request),
        told["why"],
        all_states=_flag(told, "all_states"),
        dry_run=_flag(told, "dry_run"),
        most=limit,
    )
    return json_response(200, done)


def _flag(told: Mapping[str, Any], name: str) -> bool:
    value = told.get(name, False)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is true or false")
    return value


def _number(told: Mapping[str, Any], name: str, default: int) -> int:
    value = told.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Malformed(f"{name} is a whole number")
    return value


QUEUE_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("GET", "/v1/queues"): overview,
    ("POST", "/v1/queues/{queue}/pause"): pause,
    ("POST", "/v1/queues/{queue}/resume"): resume,
    ("POST", "/v1/queues/{queue}/purge"): purge,
}
