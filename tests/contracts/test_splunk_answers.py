"""What each answer of Splunk's event collector means for a batch."""

from __future__ import annotations

import json

import pytest

from sentinel import siem
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.hec_codes import CODES
from sentinel.siem.sink import (
    Acknowledging,
    Batch,
    Delivered,
    Fate,
    Item,
    Outcome,
    Parked,
    Refused,
    RetryAfter,
)
from sentinel.siem.splunk import CHANNEL

SINK = siem.make(
    siem.load("x", b"sinks: {a: {kind: splunk, url: 'https://h', token: t}}")["a"], "canary-token"
)
BATCH = Batch("k", tuple(Item(str(n), b"{}") for n in range(4)))
D, R, O = Fate.DELIVERED, Fate.REFUSED, Fate.OPEN  # noqa: E741 - as in the table below


def answer(status: int, code: object = None, number: object = None, **headers: str) -> HttpResponse:
    """Return an answer as HEC writes it."""
    told = {"text": "canary-body", "code": code, "invalid-event-number": number}
    body = json.dumps({name: value for name, value in told.items() if value is not None})
    return HttpResponse(
        status, {name.replace("_", "-"): value for name, value in headers.items()}, body.encode()
    )


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (answer(200, 0), Delivered()),
        (answer(200, 24), Delivered(slow_down=True)),
        (answer(200, 25), Delivered(slow_down=True)),
        (answer(403, 1), Parked("token disabled (403/1)")),
        (answer(401, 2), Parked("token is required (401/2)")),
        (answer(401, 3), Parked("invalid authorization (401/3)")),
        (answer(403, 4), Parked("invalid token (403/4)")),
        (answer(400, 7, 1), Parked("incorrect index (400/7)")),
        (answer(400, 10), Parked("data channel is missing (400/10)")),
        (answer(400, 11), Parked("invalid data channel (400/11)")),
        (answer(400, 14), Parked("acknowledgement is disabled (400/14)")),
        (answer(400, 16), Parked("query string authorization is not enabled (400/16)")),
        (answer(400, 21), Parked("invalid token (400/21)")),
        (answer(400, 22), Parked("token disabled (400/22)")),
        (answer(500, 8), RetryAfter("internal server error (500/8)", unsure=True)),
        (answer(503, 9, 2), RetryAfter("server is busy (503/9)")),
        (answer(503, 9, retry_after="7"), RetryAfter("server is busy (503/9)", 7.0)),
        (answer(503, 18), RetryAfter("queues are full (503/18)")),
        (answer(503, 23), RetryAfter("server is shutting down (503/23)")),
        (answer(429, 26, retry_after="soon"), RetryAfter("queue is at capacity (429/26)")),
        (answer(429, 27), RetryAfter("acknowledgement queue is at capacity (429/27)")),
        (answer(400, 5), Refused("no data (400/5)", (O, O, O, O))),
        (answer(400, 6, 0), Refused("invalid data format (400/6)", (R, O, O, O))),
        (answer(400, 12, 1), Refused("event field is required (400/12)", (D, R, O, O))),
        (answer(400, 13, 3), Refused("event field cannot be blank (400/13)", (D, D, D, R))),
        (answer(400, 15, 2), Refused("error in handling indexed fields (400/15)", (D, D, R, O))),
        (answer(400, 15, 4), Refused("error in handling indexed fields (400/15)", (O, O, O, O))),
        (answer(400, 15, -1), Refused("error in handling indexed fields (400/15)", (O, O, O, O))),
        (answer(400, 6, "1"), Refused("invalid data format (400/6)", (O, O, O, O))),
        (answer(200, 6, 1), Refused("invalid data format (200/6)", (D, R, O, O))),
        (answer(200, 4), Parked("invalid token (200/4)")),
        (answer(503, 0), RetryAfter("status 503")),
        (answer(408), RetryAfter("status 408", unsure=True)),
        (answer(425), RetryAfter("status 425")),
        (answer(429, retry_after="3"), RetryAfter("status 429", 3.0)),
        (answer(502), RetryAfter("status 502", unsure=True)),
        (answer(413), Refused("the request is too large (413)", (O, O, O, O))),
        (answer(200), Parked("status 200 with no answer of an event collector; is the URL right?")),
        (answer(200, 99), Parked("status 200 with no answer of an event collector; is the URL right?")),
        (answer(302), Parked("status 302 with no answer of an event collector; is the URL right?")),
        (answer(404), Parked("status 404 with no answer of an event collector; is the URL right?")),
        (
            HttpResponse(200, {}, b"<html>canary-body"),
            Parked("status 200 with no answer of an event collector; is the URL right?"),
        ),
        (
            HttpResponse(200, {}, b"[0]"),
            Parked("status 200 with no answer of an event collector; is the URL right?"),
        ),
    ],
)
def test_an_answer_means_one_thing(response: HttpResponse, outcome: Outcome) -> None:
    """The code decides also where the status is 200; the answer's text is never repeated."""
    found = SINK.outcome(response, BATCH)
    assert found == outcome
    assert "canary" not in repr(found)


@pytest.mark.parametrize("code", CODES)
def test_every_known_code_is_judged(code: int) -> None:
    """No code of the table falls through to the judgement by status."""
    status = 200 if code in {0, 24, 25} else 400
    found = SINK.outcome(answer(status, code), BATCH)
    assert isinstance(found, Delivered) or f"/{code})" in getattr(found, "reason", "")


def test_a_batch_of_one_is_the_item_that_is_minded() -> None:
    """Where one event is sent and no number comes back, that event is refused, not tried for ever."""
    one = Batch("k", BATCH.items[:1])
    assert SINK.outcome(answer(400, 6), one) == Refused("invalid data format (400/6)", (R,))
    assert SINK.outcome(answer(413), one) == Refused("the request is too large (413)", (R,))


ACKNOWLEDGED = siem.load(
    "ack", b"sinks: {it: {kind: splunk, url: 'https://hec.example.com:8088', token: hec, ack: true}}"
)["it"]


@pytest.mark.parametrize(
    ("body", "stored"),
    [
        (b'{"acks":{"7":true}}', True),
        (b'{"acks":{"7":false}}', False),
        (b'{"acks":{"7":"true"}}', False),
        (b'{"acks":{"8":true}}', False),
        (b'{"acks":[7]}', False),
        (b"", False),
    ],
)
def test_only_true_for_its_own_number_is_an_acknowledgement(body: bytes, stored: bool) -> None:
    """The question names the number of the answer, on the batch's channel, and only `true` for it counts."""
    it = siem.make(ACKNOWLEDGED, "canary-token")
    assert isinstance(it, Acknowledging)
    request = it.request(Batch("k", (Item("a", b"{}"),)))
    asking = it.ask(HttpResponse(200, {}, b'{"text":"Success","code":0,"ackId":7}'))
    assert isinstance(request, HttpRequest)
    assert asking is not None
    assert asking.url == "https://hec.example.com:8088/services/collector/ack"
    assert asking.headers[CHANNEL] == request.headers[CHANNEL]
    assert asking.body == b'{"acks":[7]}'
    assert it.stored(asking, HttpResponse(200, {}, body)) is stored
    assert it.ask(HttpResponse(200, {}, b'{"text":"Success","code":0}')) is None


def test_without_the_option_nothing_is_asked() -> None:
    """A sink that does not ask for acknowledgement names no channel."""
    it = siem.make(ACKNOWLEDGED.model_copy(update={"ack": False}), "canary-token")
    assert not isinstance(it, Acknowledging)
    request = it.request(Batch("k", (Item("a", b"{}"),)))
    assert isinstance(request, HttpRequest)
    assert CHANNEL not in request.headers
