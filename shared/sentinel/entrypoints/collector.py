"""Splunk's HTTP Event Collector over HTTP: its paths, its headers, its answers.

`COLLECTOR_ENDPOINTS` has them all; `api.ENDPOINTS` takes them in. Every answer, refusals too, is of the table
in `core.hec`. Over a limit it is 503 and 9, never 429: every forwarder sends again after a 5xx, and some drop
what they sent after any 4xx.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from sentinel.core import hec
from sentinel.entrypoints import limits, observe
from sentinel.entrypoints.web import Request, Response, error_response, json_response, trace_of
from sentinel.errors import Malformed, SentinelError, Tampered, TooLarge, Unavailable
from sentinel.routes import COLLECTOR

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.usecases.collect import Way
    from sentinel.usecases.prove import Sender

CHANNEL: Final = "x-splunk-request-channel"

log = logging.getLogger("sentinel")


def _reply(reply: hec.Reply, **more: object) -> Response:
    return json_response(reply.status, {"text": reply.text, "code": reply.code, **more})


def _refusal(error: SentinelError) -> Response:
    """Answer with an error: Splunk's words and code, `message` with ours where they say more."""
    if isinstance(error, hec.Refused):
        more: dict[str, object] = {"message": error.why} if error.why else {}
        if error.number is not None:
            more["invalid-event-number"] = error.number
        return _reply(error.reply, **more)
    plain = error_response(error)
    message = orjson.loads(plain.body)["message"]
    if isinstance(error, Unavailable):
        return replace(
            _reply(hec.BUSY, message=message), headers={"Retry-After": plain.headers["Retry-After"]}
        )
    if isinstance(error, Malformed):
        return _reply(hec.TOO_LARGE if isinstance(error, TooLarge) else hec.BAD_DATA, message=message)
    if isinstance(error, Tampered):
        log.critical("tampered: %s", error)
        observe.count("receive", "tampered", 1)
    return _reply(hec.INTERNAL, message=message)


def _answered(answer: Callable[[App, Request], Response]) -> Callable[[App, Request], Response]:
    def answered(app: App, request: Request) -> Response:
        try:
            return answer(app, request)
        except SentinelError as error:
            return _refusal(error)

    return answered


def _sender(app: App, request: Request) -> Sender[Way]:
    """Return who sends. Raises `hec.Refused` and `Unavailable`."""
    authorization = request.headers.get("authorization")
    token = request.query.get("token")
    if authorization is None and token is None:
        raise hec.Refused(hec.NO_TOKEN)
    if authorization is None:
        return app.collector.admit(f"Splunk {token}", True)
    return app.collector.admit(authorization, False, request.repeated)


def _channel(request: Request, sender: Sender[Way]) -> str:
    """Return the channel, "" for none where none is needed. Raises `hec.Refused`."""
    found = hec.channel(request.headers.get(CHANNEL) or request.query.get("channel") or "")
    if sender.how.ack and not found:
        raise hec.Refused(hec.NO_CHANNEL)
    return found


def _known(request: Request, sender: Sender[Way]) -> Request:
    """Return the request as one of its service, whose limits it takes of; the sender is not told of them."""
    who = replace(request.identity, service=sender.service.id, tier=sender.service.tier)
    return replace(request, identity=who)


def _taken(app: App, request: Request, read: Callable[[bytes], hec.Found]) -> Response:
    """Store what `read` finds in the body: all of it, or what stands before the first bad event."""
    from sentinel.usecases.ingest import Origin, decompress

    sender = _sender(app, request)
    channel = _channel(request, sender)
    with limits.admission(app, _known(request, sender)) as admit:
        body = decompress(request.body, request.headers.get("content-encoding", ""))
        found = read(body)
        admit(len(found.events), len(body))
    origin = Origin(
        service=sender.service.id,
        endpoint=request.path,
        request_id=request.request_id,
        address=request.identity.address,
        agent=request.headers.get("user-agent", ""),
        trace=trace_of(request),
    )
    number = app.collector.store(sender, found, channel, origin)
    observe.count("receive", "entries", len(found.events))
    if found.bad is not None:
        raise found.bad
    return _reply(hec.SUCCESS, **({"ackId": number} if sender.how.ack else {}))


def event(app: App, request: Request) -> Response:
    """`POST /services/collector/event`: JSON objects in, each with its `event`."""
    return _taken(app, request, hec.events)


def raw(app: App, request: Request) -> Response:
    """`POST /services/collector/raw`: lines of text in; what they have in common is in the query."""
    return _taken(app, request, lambda body: hec.lines(body, request.query))


def ack(app: App, request: Request) -> Response:
    """`POST /services/collector/ack`: whether each of these ack ids was given out: then it is sealed."""
    sender = _sender(app, request)
    if not sender.how.ack:
        raise hec.Refused(hec.NO_ACKS)
    channel = _channel(request, sender)
    limits.Admission(app, _known(request, sender))()
    asked = hec.acks(request.body)
    told = {str(number): hec.issued(sender.hook.id, channel, number) for number in asked}
    return json_response(200, {"acks": told})


def health(app: App, request: Request) -> Response:
    """`GET /services/collector/health`: whether events are taken, and a token that is shown is good."""
    try:
        if "authorization" in request.headers or "token" in request.query:
            _sender(app, request)
    except hec.Refused as refused:
        wrong = refused.reply in {hec.BAD_TOKEN, hec.BAD_AUTHORIZATION}
        return _reply(hec.SICK_TOKEN) if wrong else _refusal(refused)
    except Unavailable:
        return _reply(hec.UNHEALTHY)
    return _reply(hec.HEALTHY)


def options(app: App, request: Request) -> Response:
    """`OPTIONS /services/collector/event`: somebody is there, which is all that Docker's driver asks."""
    del app, request
    return replace(_reply(hec.HEALTHY), headers={"Allow": "POST, OPTIONS"})


COLLECTOR_ENDPOINTS: Mapping[tuple[str, str], Callable[[App, Request], Response]] = {
    **{("POST", COLLECTOR + path): _answered(event) for path in ("", "/event", "/event/1.0")},
    **{("POST", COLLECTOR + path): _answered(raw) for path in ("/raw", "/raw/1.0")},
    ("POST", COLLECTOR + "/ack"): _answered(ack),
    **{("GET", COLLECTOR + path): health for path in ("/health", "/health/1.0")},
    **{("OPTIONS", COLLECTOR + path): options for path in ("", "/event", "/event/1.0")},
}
