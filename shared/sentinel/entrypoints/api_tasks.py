"""The endpoints of tasks: seeing them and acting on them. `api.ENDPOINTS` takes `TASK_ENDPOINTS` in.

A service sees and touches the tasks that its own entries set off; a token with the scope `admin`, all. Who
acts is who came in by the door, and never what a body says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from sentinel.core.selection import Selection, parse, services_of, state_named
from sentinel.entrypoints.web import Request, Response, json_response
from sentinel.errors import Forbidden, Malformed, Missing, TooLarge

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.tasks import Task

MAX_BODY = 262_144
MAX_PAGE = 100
ADMIN = "admin"
CHANGES_INPUTS = ("recipes:write", ADMIN)
EVERYBODY = "*"
_MAX_WHO = 200


def tasks(app: App, request: Request) -> Response:
    """`GET /v1/tasks`: a page of tasks, newest change first; one's own unless an admin asks for others'."""
    query = request.query
    wanted = Selection(
        states=(state_named(query["state"]),) if query.get("state") else (),
        recipe=query.get("recipe", ""),
        owner=listed(request, "tasks"),
    )
    page = app.inspect.tasks(wanted, limit_of(query.get("limit")), query.get("next", ""))
    return json_response(200, page.json())


def listed(request: Request, what: str) -> str | None:
    """Return whose tasks or alerts are listed; None: everybody's. Raises `Forbidden`."""
    named = request.query.get("service", "") or request.identity.service
    if named != request.identity.service and ADMIN not in request.identity.scopes:
        raise Forbidden(f"the {what} of others take the scope admin")
    return None if named == EVERYBODY else named


def limit_of(text: str | None) -> int:
    """Return how many a page may have. Raises `Malformed`."""
    if text is None:
        return MAX_PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= MAX_PAGE):
        raise Malformed(f"limit is 1 to {MAX_PAGE}")
    return int(text)


def task(app: App, request: Request) -> Response:
    """`GET /v1/tasks/{task}`: one task with its lineage."""
    return json_response(200, app.inspect.task(owner_of(request), request.params["task"]))


def owner_of(request: Request) -> str | None:
    """Return the service whose tasks or alerts these must be; None: anybody's."""
    return None if ADMIN in request.identity.scopes else request.identity.service


def _own(request: Request) -> Callable[[Task], None]:
    """Return what refuses others' tasks, as if there were none."""
    owner = owner_of(request)

    def check(found: Task) -> None:
        if owner is not None and owner not in services_of(found):
            raise Missing("there is no such task")

    return check


def who_of(request: Request) -> str:
    """Return the name that the lineage tells: the service, and the token's subject where it is another."""
    service, subject = request.identity.service, request.identity.subject
    told = f"service/{service}" if subject in {"", service} else f"service/{service} ({subject})"
    return "".join(each if each.isprintable() else "?" for each in told)[:_MAX_WHO]


def body_of(request: Request, *known: str) -> dict[str, Any]:
    """Return the body's object, which has `why`, and of `known` what it likes. Raises `Malformed`."""
    if len(request.body) > MAX_BODY:
        raise TooLarge(f"the body is over {MAX_BODY:,} bytes")
    try:
        told = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise Malformed("the body is not JSON") from None
    if not isinstance(told, dict) or not isinstance(told.get("why"), str):
        raise Malformed("the body is an object with why, a text: it is kept in the lineage")
    if told.keys() - {"why", *known}:
        raise Malformed(f"the body has {', '.join(('why', *known))}, and nothing else")
    return told


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name, "")
    if not isinstance(value, str):
        raise Malformed(f"{name} is a text")
    return value


def _told(found: Task) -> Response:
    from sentinel.usecases.inspect import summary

    return json_response(200, summary(found))


def act(app: App, request: Request, *, name: str) -> Response:
    """`POST /v1/tasks/{task}/{name}`: one act of a person on one task; answers what the task then is."""
    told = body_of(request)
    control = replace(app.control, check=_own(request))
    return _told(getattr(control, name)(request.params["task"], who_of(request), told["why"]))


def resolve(app: App, request: Request) -> Response:
    """`POST /v1/tasks/{task}/resolve`: says what became of an ambiguous effect."""
    told = body_of(request, "verdict")
    control = replace(app.control, check=_own(request))
    return _told(
        control.resolve(request.params["task"], _text(told, "verdict"), who_of(request), told["why"])
    )


def fork(app: App, request: Request) -> Response:
    """`POST /v1/tasks/{task}/fork`: makes a new task of one; answers the new one."""
    from sentinel.usecases.fork import Wish

    told = body_of(request, "inputs", "from", "request")
    inputs = told.get("inputs", {})
    if not isinstance(inputs, dict) or not all(isinstance(own, dict) for own in inputs.values()):
        raise Malformed("inputs is an object of steps, each an object of the inputs to change")
    if inputs and not request.identity.scopes.intersection(CHANGES_INPUTS):
        raise Forbidden("changed inputs are as good as another recipe: they take the scope recipes:write too")
    wish = Wish(who_of(request), told["why"], inputs, _text(told, "from"), _text(told, "request"))
    return _told(replace(app.fork, check=_own(request)).fork(request.params["task"], wish))


def bulk(app: App, request: Request) -> Response:
    """`POST /v1/tasks/bulk`: one act on all tasks of a selection, so many a call."""
    from sentinel.usecases.bulk import MOST, Order

    told = body_of(request, "act", "filter", "limit", "dry_run", "next")
    dry, limit = told.get("dry_run", False), told.get("limit", MOST)
    if not isinstance(dry, bool) or not isinstance(limit, int) or isinstance(limit, bool):
        raise Malformed("dry_run is true or false, and limit a number")
    wanted = parse(told.get("filter"), owner_of(request))
    order = Order(_text(told, "act"), wanted, who_of(request), told["why"], limit, dry)
    return json_response(200, app.bulk.run(order, _text(told, "next")).json())


TASK_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    ("GET", "/v1/tasks"): tasks,
    ("GET", "/v1/tasks/{task}"): task,
    ("POST", "/v1/tasks/bulk"): bulk,
    ("POST", "/v1/tasks/{task}/accept"): partial(act, name="accept"),
    ("POST", "/v1/tasks/{task}/cancel"): partial(act, name="cancel"),
    ("POST", "/v1/tasks/{task}/fork"): fork,
    ("POST", "/v1/tasks/{task}/redrive"): partial(act, name="redrive"),
    ("POST", "/v1/tasks/{task}/resolve"): resolve,
    ("POST", "/v1/tasks/{task}/retry"): partial(act, name="retry"),
}
