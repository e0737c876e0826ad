"""In whose line requests wait: what a stranger makes up gets none of its own."""

from __future__ import annotations

from base64 import b64encode

import pytest
from aiohttp.test_utils import make_mocked_request

from sentinel.local import callers
from sentinel.local.callers import STRANGERS, Callers
from sentinel.local.peer import Peer
from sentinel.local.proxy_events import Call
from sentinel.routes import HOOK_ROUTES, ROUTES

HOOK = next(route for route in HOOK_ROUTES if route.door == "signature")
OPEN = next(route for route in HOOK_ROUTES if route.door == "open")


def message(hook: str, source: str = "generic") -> Call:
    """Return a message to a webhook."""
    path = f"/hooks/{source}/{hook}"
    return Call(make_mocked_request("POST", path), HOOK, {"source": source, "hook": hook}, Peer(), "r")


def test_names_share_a_line_until_a_message_was_taken() -> None:
    """Refusals, failures and limits give nobody a line; then source and webhook have one together."""
    lines = Callers()
    for status in (401, 429, 503, 409):
        lines.answered(message("real"), status)
        assert lines.line(message("real"), None) == STRANGERS
    lines.answered(message("real"), 200)
    assert lines.line(message("real"), None) == "generic/real"
    assert lines.line(message("real", "standard-webhooks"), None) == STRANGERS
    assert lines.line(message("made-up"), None) == STRANGERS


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The webhook that was heard of least lately is forgotten, and shares the line again."""
    monkeypatch.setattr(callers, "MOST", 2)
    lines = Callers()
    for name in ("a", "b", "a", "c"):
        lines.answered(message(name), 200)
    assert [lines.line(message(name), None) for name in "abc"] == ["generic/a", STRANGERS, "generic/c"]


def test_who_is_known_otherwise_has_a_line_by_that() -> None:
    """A service by its id, a certificate by its digest; a task's id or a public key's path is no webhook."""
    lines = Callers()
    request = make_mocked_request("GET", "/v1/tasks/t")
    task = Call(request, next(each for each in ROUTES if "{task}" in each.path), {"task": "t"}, Peer(), "r")
    lines.answered(task, 200)
    assert lines.line(task, {"service": "checkout"}) == "checkout"
    assert lines.line(task, None) == STRANGERS
    assert lines.line(Call(request, OPEN, {}, Peer(None, "d"), "r"), None) == "d"
    assert lines.line(Call(request, OPEN, {}, Peer(), "r"), None) == ""


def test_a_token_has_a_line_once_events_with_it_were_taken() -> None:
    """The collector's paths name no webhook: its line is the token's, and strangers share theirs."""
    lines = Callers()
    route = next(each for each in HOOK_ROUTES if each.path == "/services/collector")

    def sent(token: str) -> Call:
        headers = {"Authorization": f"Splunk {token}"} if token else {}
        return Call(make_mocked_request("POST", route.path, headers), route, {}, Peer(), "r")

    for status in (401, 403, 503, 400):
        lines.answered(sent("a.b"), status)
        assert lines.line(sent("a.b"), None) == STRANGERS
    lines.answered(sent("a.b"), 200)
    line = lines.line(sent("a.b"), None)
    assert line not in {STRANGERS, ""}
    assert "a.b" not in line
    assert [lines.line(sent(token), None) for token in ("a.c", "")] == [STRANGERS, STRANGERS]


def test_a_token_has_one_line_however_it_is_shown() -> None:
    """Whoever has one takes no more places by writing it in another way, and pushes nobody else out."""
    lines = Callers()
    route = next(each for each in HOOK_ROUTES if each.path == "/services/collector")

    def sent(header: str, query: str = "") -> Call:
        headers = {"Authorization": header} if header else {}
        return Call(make_mocked_request("POST", route.path + query, headers), route, {}, Peer(), "r")

    basic = [b64encode(f"{user}:a.b".encode()).decode() for user in ("x", "y", "")]
    ways = [sent(f"{scheme} a.b") for scheme in ("Splunk", "splunk", "Bearer", "Splunk  ")]
    ways += [sent(f"Basic {each}") for each in basic]
    ways += [sent("", "?token=a.b"), sent("", "?token=x&token=a.b"), sent("", "?channel=1&token=a.b")]
    for each in ways:
        lines.answered(each, 200)
    assert len({lines.line(each, None) for each in ways}) == 1
    assert [lines.line(each, None) for each in (sent("", "?token=a.c"), sent("x"))] == [STRANGERS, STRANGERS]
