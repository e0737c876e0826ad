"""What each answer of Elasticsearch, Datadog, Microsoft Sentinel and CrowdStrike means for a batch."""

from __future__ import annotations

import json

import pytest

from sentinel import siem
from sentinel.ports import HttpResponse
from sentinel.siem.elastic import TYPES
from sentinel.siem.microsoft_sentinel import ERRORS, MicrosoftSentinelSink
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Item,
    Outcome,
    Parked,
    Partly,
    Refused,
    RetryAfter,
    Token,
)
from tests.contracts.test_sinks import sink

BATCH = Batch("k", tuple(Item(str(n), b"{}") for n in range(3)))
ONE = Batch("k", BATCH.items[:1])
D, R, O = Fate.DELIVERED, Fate.REFUSED, Fate.OPEN  # noqa: E741 - as in the table below
STORED = (201, "")
THERE = (409, "version_conflict_engine_exception")
BUSY = (429, "es_rejected_execution_exception")
ODD = (400, "document_parsing_exception")


def answer(status: int, body: str = "canary", **headers: str) -> HttpResponse:
    """Return an answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, named, body.encode())


def bulk(*items: tuple[int, str], **headers: str) -> HttpResponse:
    """Return the answer of a bulk request with an item for each pair of status and type of error."""
    told = [
        {"create": {"status": status, **({"error": {"type": kind, "reason": "canary"}} if kind else {})}}
        for status, kind in items
    ]
    return answer(200, json.dumps({"errors": any(kind for _, kind in items), "items": told}), **headers)


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (bulk(STORED, STORED, STORED), Delivered()),
        (bulk(STORED, THERE, THERE), Delivered()),
        (bulk(STORED, ODD, THERE), Refused("document parsing (400)", (D, R, D))),
        (
            bulk(STORED, BUSY, STORED, retry_after="4"),
            Partly((D, O, D), "", RetryAfter("es rejected execution (429)", 4.0)),
        ),
        (
            bulk(ODD, STORED, (503, "unavailable_shards_exception")),
            Partly((R, D, O), "document parsing (400)", RetryAfter("unavailable shards (503)")),
        ),
        (bulk(STORED, (409, ""), STORED), Partly((D, O, D), "", RetryAfter("refused (409)"))),
        (bulk(STORED, (500, "canary"), STORED), Partly((D, O, D), "", RetryAfter("refused (500)"))),
        (bulk(STORED, (400, "canary"), STORED), Refused("refused (400)", (D, R, D))),
        (
            bulk(*[(403, "security_exception")] * 3),
            Parked("the data stream or index does not take documents: security (403)"),
        ),
        (
            bulk(*[(404, "index_not_found_exception")] * 3),
            Parked("the data stream or index does not take documents: index not found (404)"),
        ),
        (
            bulk(*[(403, "cluster_block_exception")] * 3),
            Partly((O, O, O), "", RetryAfter("cluster block (403)")),
        ),
        (answer(429, retry_after="3"), RetryAfter("status 429", 3.0)),
        (answer(503), RetryAfter("status 503")),
        (answer(502), RetryAfter("status 502", unsure=True)),
        (answer(413), Refused("the request is too large (413)", (O, O, O))),
        (answer(400), Refused("the request is refused (400)", (O, O, O))),
        (answer(401), Parked("the credentials are refused, or may not create documents there (401)")),
        (answer(403), Parked("the credentials are refused, or may not create documents there (403)")),
        (answer(200, "<html>"), Parked("status 200 with no answer of a bulk request; is the URL right?")),
        (bulk(STORED), Parked("status 200 with no answer of a bulk request; is the URL right?")),
        (
            answer(200, '{"items":[{"create":{}},{"create":{}},{"create":{}}]}'),
            Parked("status 200 with no answer of a bulk request; is the URL right?"),
        ),
        (
            answer(200, '{"items":[{"index":{"status":201}},1,null]}'),
            Parked("status 200 with no answer of a bulk request; is the URL right?"),
        ),
        (answer(302), Parked("status 302 with no answer of a bulk request; is the URL right?")),
    ],
)
def test_an_answer_of_elastic_means_one_thing(response: HttpResponse, outcome: Outcome) -> None:
    """Each item is judged by itself, and no text of the answer is repeated."""
    found = sink("elastic").outcome(response, BATCH)
    assert found == outcome
    assert "canary" not in repr(found)


@pytest.mark.parametrize("kind", sorted(TYPES))
@pytest.mark.parametrize("status", [400, 403, 404, 409, 429, 500, 503])
def test_no_error_of_an_item_counts_as_stored(status: int, kind: str) -> None:
    """Whatever is wrong with one document, it is not delivered, but for the conflict with itself."""
    found = sink("elastic").outcome(bulk((status, kind)), ONE)
    assert isinstance(found, Delivered) == ((status, kind) == THERE)


def test_the_failure_store_is_no_delivery() -> None:
    """201 with `failure_store: used` is a refusal; not used is not."""
    told = '{"items":[{"create":{"status":201,"failure_store":"%s"}}]}'
    it = sink("elastic")
    assert it.outcome(answer(200, told % "used"), ONE) == Refused("kept in the failure store (201)", (R,))
    assert it.outcome(answer(200, told % "not_enabled"), ONE) == Delivered()


@pytest.mark.parametrize(
    ("kind", "status", "outcome"),
    [
        ("datadog", 202, Delivered()),
        ("datadog", 200, Parked("status 200 with no answer of a log intake; is the site right?")),
        ("datadog", 400, Refused("the request is refused (400)", (O, O, O))),
        ("datadog", 401, Parked("the API key is refused, or is another site's (401)")),
        ("datadog", 403, Parked("the API key is refused, or is another site's (403)")),
        ("datadog", 404, Parked("status 404 with no answer of a log intake; is the site right?")),
        ("datadog", 408, RetryAfter("status 408", unsure=True)),
        ("datadog", 413, Refused("the request is too large (413)", (O, O, O))),
        ("datadog", 429, RetryAfter("status 429")),
        ("datadog", 500, RetryAfter("status 500", unsure=True)),
        ("datadog", 503, RetryAfter("status 503")),
        ("microsoft_sentinel", 204, Delivered()),
        ("microsoft_sentinel", 200, Parked("status 200 with no answer of an ingestion endpoint")),
        ("microsoft_sentinel", 400, Refused("the rows are not what the stream declares (400)", (O, O, O))),
        (
            "microsoft_sentinel",
            401,
            Parked("the token is refused: is the audience this cloud's? (401)"),
        ),
        ("microsoft_sentinel", 404, Parked("there is no such rule or stream at this endpoint (404)")),
        ("microsoft_sentinel", 413, Refused("the request is too large (413)", (O, O, O))),
        ("microsoft_sentinel", 429, RetryAfter("status 429")),
        ("microsoft_sentinel", 500, RetryAfter("status 500", unsure=True)),
        ("crowdstrike", 400, Refused("the request is refused (400)", (O, O, O))),
        ("crowdstrike", 401, Parked("the connector refuses its key (401)")),
        ("crowdstrike", 403, Parked("the connector refuses its key (403)")),
        ("crowdstrike", 413, Refused("the request is too large (413)", (O, O, O))),
        ("crowdstrike", 429, RetryAfter("status 429")),
        ("crowdstrike", 503, RetryAfter("status 503")),
        (
            "crowdstrike",
            200,
            Parked("status 200 with no answer of an event collector; is the URL right?"),
        ),
    ],
)
def test_a_status_means_one_thing(kind: str, status: int, outcome: Outcome) -> None:
    """An answer whose body says nothing is judged by its status."""
    found = sink(kind).outcome(answer(status), BATCH)
    assert found == outcome
    assert "canary" not in repr(found)


def test_crowdstrike_answers_with_codes_too() -> None:
    """What HEC's codes mean they mean here."""
    it = sink("crowdstrike")
    assert it.outcome(answer(200, '{"text":"Success","code":0}'), BATCH) == Delivered()
    assert it.outcome(answer(403, '{"text":"x","code":4}'), BATCH) == Parked("invalid token (403/4)")
    assert it.outcome(answer(400, '{"text":"x","code":6,"invalid-event-number":1}'), BATCH) == Refused(
        "invalid data format (400/6)", (D, R, O)
    )


def test_the_role_that_is_missing_is_named() -> None:
    """403 of the Logs Ingestion API is nearly always the role, and nearly as often one of minutes ago."""
    found = sink("microsoft_sentinel").outcome(answer(403), BATCH)
    assert isinstance(found, Parked)
    assert "Monitoring Metrics Publisher" in found.reason


@pytest.mark.parametrize("kind", [kind for kind in siem.SINKS if kind not in {"file", "s3", "syslog"}])
@pytest.mark.parametrize("status", [100, 200, 201, 202, 204, 206, 301, 302, 307, 404, 405, 418, 451])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b"\xff", b"<html>", b'{"items":[]}', b'{"code":"0"}']
)
def test_a_strange_answer_delivers_nothing(kind: str, status: int, body: bytes) -> None:
    """A proxy's page, a login form or another product's answer is never taken for a delivery."""
    takes = {"datadog": 202, "microsoft_sentinel": 204}
    found = sink(kind).outcome(HttpResponse(status, {}, body), BATCH)
    assert isinstance(found, Delivered) == (takes.get(kind) == status)


def entra() -> MicrosoftSentinelSink:
    """Return the sink that signs in."""
    found = sink("microsoft_sentinel")
    assert isinstance(found, MicrosoftSentinelSink)
    return found


@pytest.mark.parametrize(
    ("response", "outcome"),
    [
        (answer(200, '{"access_token":"t.o-k_en","expires_in":3599}'), Token("t.o-k_en", 3599.0)),
        (answer(200, '{"access_token":"t","expires_in":"3599"}'), Token("t", 3600.0)),
        (answer(200, '{"access_token":"t","expires_in":-1}'), Token("t", 3600.0)),
        (answer(200, '{"access_token":"t\\r\\nX: y","expires_in":3599}'), "no token (200)"),
        (answer(200, '{"access_token":""}'), "no token (200)"),
        (answer(200, "<html>"), "no token (200)"),
        (answer(401, '{"error":"canary"}'), "no token (401)"),
        (answer(429, retry_after="5"), RetryAfter("the sign-in at Entra: status 429", 5.0)),
        (answer(500), RetryAfter("the sign-in at Entra: status 500")),
        *[(answer(400, json.dumps({"error": error})), f"{error} (400)") for error in sorted(ERRORS)],
    ],
)
def test_an_answer_of_entra_means_one_thing(response: HttpResponse, outcome: object) -> None:
    """A token for as long as it says, a wish to come again, or what is wrong with the application."""
    found = entra().token(response)
    if isinstance(outcome, str):
        outcome = Parked(f"Entra refuses the application 00000000-0000-4000-8000-00000000000b: {outcome}")
    assert found == outcome
    assert "canary" not in repr(found)


def test_a_token_is_in_no_repr() -> None:
    """Nor is one that a sign-in gave."""
    assert "canary" not in repr(entra().token(answer(200, '{"access_token":"canary","expires_in":9}')))


def test_a_batch_of_one_is_the_item_that_is_minded() -> None:
    """Where one event is sent and the status says no, that event is refused, not tried for ever."""
    for kind, status in (
        ("elastic", 413),
        ("datadog", 400),
        ("microsoft_sentinel", 400),
        ("crowdstrike", 400),
    ):
        found = sink(kind).outcome(answer(status), ONE)
        assert isinstance(found, Refused)
        assert found.fates == (R,)
