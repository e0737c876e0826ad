"""CloudEvents: which of its three forms a message has, and what is one and the same event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.errors import Malformed
from sentinel.webhooks import SOURCES
from sentinel.webhooks.cloudevents import CloudEvents
from sentinel.webhooks.source import Unparsed, hashed

SOURCE = SOURCES["cloudevents"].make({})
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/s",
    "type": "t",
    "data": {"title": "x"},
}
BODY = json.dumps(EVENT).encode()
BINARY = {
    "ce-id": "e-1",
    "ce-source": "/s",
    "ce-type": "t",
    "ce-specversion": "1.0",
    "content-type": "text/plain",
}


def titles(headers: dict[str, str], body: bytes) -> list[str]:
    """Return the titles of what is told."""
    return [each.title for each in SOURCE.alerts(headers, body)]


@pytest.mark.parametrize(
    ("kind", "body", "found"),
    [
        ("application/cloudevents+json", EVENT, ["x"]),
        ("APPLICATION/CloudEvents+JSON; charset=utf-8", EVENT, ["x"]),
        ("application/cloudevents-batch+json", [EVENT, EVENT], ["x", "x"]),
        ("application/json", EVENT, ["x"]),
        ("", EVENT, ["x"]),
        ("application/cloudevents+json", [EVENT], None),
        ("application/cloudevents-batch+json", [], None),
        ("application/cloudevents-batch+json", EVENT, ["x"]),
        ("application/json", [EVENT], None),
    ],
)
def test_the_media_type_says_which_form(kind: str, body: Any, found: list[str] | None) -> None:
    """The batch's is looked for first, since it begins with the other; a list that is no batch is parked."""
    if found is None:
        with pytest.raises(Unparsed):
            titles({"content-type": kind}, json.dumps(body).encode())
    else:
        assert titles({"content-type": kind}, json.dumps(body).encode()) == found


def test_attributes_in_headers() -> None:
    """Percent-encoded; the body is the data, whatever it is; each required one is needed."""
    assert titles({**BINARY, "ce-subject": "%E2%82%AC"}, b"\xff\x00 no text") == ["t €"]
    assert titles({**BINARY, "content-type": "application/json"}, b'{"title":"y"}') == ["y"]
    assert titles({**BINARY, "content-type": "application/json"}, b"{") == ["t"]
    for name in ("ce-source", "ce-type", "ce-specversion"):
        with pytest.raises(Unparsed):
            titles({key: value for key, value in BINARY.items() if key != name}, b"x")


@pytest.mark.parametrize("member", ["specversion", "id", "source", "type"])
def test_an_event_has_four_attributes(member: str) -> None:
    """Without one of them, or with another version, it is parked."""
    strange: list[Any] = [None, "", {}, "0.3" if member == "specversion" else []]
    for wrong in strange:
        with pytest.raises(Unparsed):
            titles({}, json.dumps({**EVENT, member: wrong}).encode())


def test_an_event_is_named_by_source_and_id() -> None:
    """In either form; one id from two sources is two events. What names nothing has the body's hash."""
    structured = SOURCE.message({"content-type": "application/cloudevents+json"}, BODY)
    assert structured == SOURCE.message(BINARY, b"anything") == "e-1 /s"
    assert SOURCE.message(BINARY | {"ce-source": "/other"}, b"anything") != structured
    batch = json.dumps([EVENT, EVENT]).encode()
    assert SOURCE.message({"content-type": "application/cloudevents-batch+json"}, batch) == hashed(batch)
    blank = json.dumps({**EVENT, "id": "e 1"}).encode()
    long = json.dumps({**EVENT, "id": "e" * 300}).encode()
    for body in (blank, long, b"", b"[]", b"{}"):
        assert SOURCE.message({}, body) == hashed(body)


def test_what_is_signed_is_the_body_alone() -> None:
    """Who replays a signed body cannot make another event of it by headers."""
    signed = SOURCES["cloudevents"].make({"auth": "signature"})
    forged = {**BINARY, "ce-id": "other", "ce-type": "forged", "content-type": "text/plain"}
    assert signed.message(forged, BODY) == "e-1 /s"
    assert [each.kind for each in signed.alerts(forged, BODY)] == ["t"]
    assert signed.proof == ("x-signature",)
    assert set(SOURCE.proof) >= {"content-type", "ce-id", "ce-source", "ce-type", "ce-specversion"}


def test_who_is_invited() -> None:
    """Listed origins, in any case, with a rate; `*` is everybody; without the option nobody is."""
    invites = CloudEvents({"origins": "eventgrid.azure.net, Sender.example"}).invites
    told = {"WebHook-Allowed-Origin": "EventGrid.azure.net", "WebHook-Allowed-Rate": "600"}
    assert invites("EventGrid.azure.net") == told
    for origin in ("", "*", "evil.example", "x.sender.example", "sender.example\r\nX: y", "sender.example,"):
        assert invites(origin) == {}, origin
    everybody = CloudEvents({"origins": "*", "rate": "0030"}).invites
    assert everybody("a.example") == {"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": "30"}
    for origin in ("", "*", "a\nb", "a" * 254):
        assert everybody(origin) == {}
    assert CloudEvents({}).invites("a.example") == {}


@pytest.mark.parametrize(
    "options", [{"origins": "https://a"}, {"origins": "*.a"}, {"rate": "0"}, {"rate": "x"}]
)
def test_invitations_that_are_none(options: dict[str, str]) -> None:
    """An origin is a name, and a rate a number."""
    with pytest.raises(Malformed):
        CloudEvents(options)
