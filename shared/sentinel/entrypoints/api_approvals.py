"""The endpoints of approvals. `APPROVAL_ENDPOINTS` has them all; `api.ENDPOINTS` takes them in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from sentinel.entrypoints.web import Request, Response, json_response
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.tasks import Task
    from sentinel.usecases.approve import Decision

MAX_BODY = 65_536
NOT_KEPT = {"Cache-Control": "no-store"}
_KEYS = frozenset({"verdict", "digest", "why", "envelope"})


def approval(app: App, request: Request) -> Response:
    """`GET /v1/tasks/{task}/approval`: what a task asks, as it would be done now."""
    from sentinel.usecases.approvers import service

    found = app.approving.look(request.params["task"], service(request.identity.service))
    return Response(200, orjson.dumps(found), headers=NOT_KEPT)


def decide(app: App, request: Request) -> Response:
    """`POST /v1/tasks/{task}/approval`: a verdict of the calling service, or a signed one that it brings."""
    from sentinel.usecases.approvers import service

    caller = service(request.identity.service)
    app.approving.sees(request.params["task"], caller)
    told = json_object(request.body)
    if not set(told) <= _KEYS:
        raise Malformed(f"the body has {', '.join(sorted(_KEYS))}, and nothing else")
    decision = _signed(app, request, told) if "envelope" in told else _own(request, told)
    return json_response(200, decided(app.approving.decide(request.params["task"], decision)))


def _own(request: Request, told: Mapping[str, Any]) -> Decision:
    from sentinel.core.approval_statements import reason, verdict_of
    from sentinel.usecases.approve import Decision
    from sentinel.usecases.approvers import service

    verdict, digest, why = (text(told, name) for name in ("verdict", "digest", "why"))
    return Decision(service(request.identity.service), verdict_of(verdict), digest, reason(why))


def _signed(app: App, request: Request, told: Mapping[str, Any]) -> Decision:
    """Return what an envelope says; what the body says beside it has to be the same."""
    from sentinel.usecases.approve import Decision

    approver, statement = app.approvers.signed(told["envelope"])
    said = {"verdict": statement.verdict.value, "digest": statement.digest, "why": statement.why}
    if statement.task != request.params["task"] or any(told.get(key, said[key]) != said[key] for key in said):
        raise Malformed("what was signed is about another task, or is not what the body says")
    return Decision(approver, statement.verdict, statement.digest, statement.why, told["envelope"])


def link(app: App, request: Request) -> Response:
    """`POST /v1/tasks/{task}/links`: a one-time link for an author."""
    told = json_object(request.body)
    seconds = told.get("seconds", 3600)
    if not set(told) <= {"for", "seconds"} or type(seconds) is not int:
        raise Malformed("the body has for, an author, and perhaps seconds, a whole number")
    maker = f"service:{request.identity.service}"
    found = app.link_maker.make(request.params["task"], text(told, "for"), maker, seconds)
    return Response(200, orjson.dumps(found), headers=NOT_KEPT)


def page(app: App, request: Request) -> Response:
    """`GET /approve`: the page that a link opens; it changes nothing, whoever fetches it."""
    from sentinel.entrypoints.approval_page import HEADERS, PAGE

    del app, request
    return Response(200, PAGE.encode(), "text/html; charset=utf-8", HEADERS)


def by_link(app: App, request: Request) -> Response:
    """`POST /approve`: what a link's bearer is asked (`look`), or what they say."""
    from sentinel.core.approval_statements import reason, verdict_of
    from sentinel.entrypoints.approval_told import as_text
    from sentinel.usecases.approval_links import decision

    told = json_object(request.body)
    found, approver = app.link_reader.open(text(told, "token"))
    if set(told) == {"token", "look"}:
        shown: dict[str, Any] = app.approving.look(found.task)
        app.link_reader.check(found, approver, shown)
        answer = {**shown, "for": approver.id, "link_until": found.until, "told": as_text(shown["shown"])}
        return Response(200, orjson.dumps(answer), headers=NOT_KEPT)
    if not set(told) <= {"token", "verdict", "why"}:
        raise Malformed("the body has token, and look, or verdict and why")
    said = decision(found, approver, verdict_of(text(told, "verdict")), reason(text(told, "why")))
    return Response(200, orjson.dumps(decided(app.approving.decide(found.task, said))), headers=NOT_KEPT)


def decided(task: Task) -> dict[str, object]:
    """Return what is answered to a decision."""
    from sentinel.core.approvals import Asked
    from sentinel.core.states import State

    asked = Asked.of(task.asked)
    waits = asked is not None and task.state is State.AWAITING_APPROVAL
    return {
        "task": task.id,
        "state": task.state.value,
        "approved_by": list(asked.approvers) if asked else [],
        "missing": asked.missing if asked and waits else "",
    }


def json_object(body: bytes) -> dict[str, Any]:
    """Return a request's body, a JSON object. Raises `Malformed`, without quoting it."""
    if len(body) > MAX_BODY:
        raise Malformed(f"the body is over {MAX_BODY:,} bytes")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise Malformed("the body is a JSON object")
    return found


def text(told: Mapping[str, Any], name: str) -> str:
    """Return a text of a body, "" where it is not there. Raises `Malformed`."""
    found = told.get(name, "")
    if not isinstance(found, str):
        raise Malformed(f"{name} is a text")
    return found


APPROVAL_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("GET", "/v1/tasks/{task}/approval"): approval,
    ("POST", "/v1/tasks/{task}/approval"): decide,
    ("POST", "/v1/tasks/{task}/links"): link,
    ("GET", "/approve"): page,
    ("POST", "/approve"): by_link,
}
