"""Models of providers, by their SDKs over real HTTP against a server that speaks both wire formats."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sentinel import ai
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.ai import KINDS, HostedConfig, Reach
from sentinel.ai.answers import wait
from sentinel.core import edit_answers
from sentinel.core.budgets import worst
from sentinel.core.questions import Busy, CutOff, Declined, NotAnswered, Question, Reply, Turn, Usage
from sentinel.errors import (
    BadAnswer,
    Forbidden,
    Malformed,
    Missing,
    SentinelError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from tests.loopback import Told, nobody
from tests.model_servers import (
    KEY,
    anthropic_error,
    by_tool,
    message,
    openai_error,
    raw,
    response,
    serving,
    strict_problems,
    told,
    trickling,
)

PROVIDERS = ("openai", "anthropic")
SECOND = 1_000_000_000
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
QUESTION = Question("Count.", (Turn("user", "one"), Turn("assistant", "?"), Turn("user", "two")), SCHEMA)
PRICES = {"input": 3.0, "cached": 0.3, "written": 3.75, "output": 15.0}


class _Secrets:
    def __init__(self, key: str = KEY) -> None:
        self._key = key

    def get(self, name: str) -> str:
        """Return the key."""
        if name != "model.key":
            raise Missing("no such secret")
        return self._key


def _reach(
    sleep: Callable[[float], None] = lambda _: None, key: str = KEY, hosts: str = "127.0.0.1"
) -> Reach:
    return Reach(HttpClient(Hosts([hosts], private=True), max_idle=0), _Secrets(key), sleep=sleep)


def _config(kind: str, url: str, **more: object) -> HostedConfig:
    model = {"openai": "gpt-6.1-terra", "anthropic": "claude-sonnet-5-5"}[kind]
    body = {"kind": kind, "model": model, "key": "model.key", "url": url, "prices": PRICES, **more}
    found = ai.load("models.yaml", orjson.dumps({"models": {"m": body}}))["m"]
    assert isinstance(found, HostedConfig)
    return found


def _ask(
    kind: str,
    url: str,
    question: Question = QUESTION,
    reach: Reach | None = None,
    within: float = 60.0,
    **more: object,
) -> Reply:
    model = ai.make(_config(kind, url, **more), reach or _reach())
    return model.ask(question, time.time_ns() + int(within * SECOND))


def _good(kind: str, text: str = '{"n": 1}', **over: object) -> Told:
    return told(response(text, **over) if kind == "openai" else message(text, **over))


def _error(kind: str, status: int, code: str = "", **headers: str) -> Told:
    return (
        openai_error(status, code or None, **headers)
        if kind == "openai"
        else anthropic_error(status, code, **headers)
    )


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import both SDKs, which takes seconds on a busy machine, so that short deadlines are of questions."""
    for kind in PROVIDERS:
        with serving(_good(kind)) as server:
            _ask(kind, server.url(kind), within=60)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_reply_is_the_text_with_what_it_cost(kind: str) -> None:
    """The text comes byte for byte; cached and written tokens are parts of the input; prices make dollars."""
    text = '{ "n":1,  "é": "\\u2028" }'
    with serving(_good(kind, text)) as server:
        reply = _ask(kind, server.url(kind))
    model = "gpt-6.1-terra-2026-09-01" if kind == "openai" else "claude-sonnet-5-5"
    assert (reply.text, reply.provider, reply.model) == (text, kind, model)
    assert reply.usage == Usage(input=1_000, cached=600, written=100, output=200)
    assert reply.usd == pytest.approx((300 * 3 + 600 * 0.3 + 100 * 3.75 + 200 * 15) / 1e6)
    assert reply.counted
    assert not reply.scripted
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", PROVIDERS)
def test_only_the_question_is_sent(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment gets into a request: no header, address, key, organisation or proxy."""
    for name in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{name}_CUSTOM_HEADERS", "X-Extra: 1\nAuthorization: Bearer other")
        monkeypatch.setenv(f"{name}_BASE_URL", "http://127.0.0.1:9/elsewhere")
        monkeypatch.setenv(f"{name}_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "someone")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with serving(_good(kind)) as server:
        _ask(kind, server.url(kind), replace(QUESTION, sample=3), effort="low")
    (asked,) = server.asked
    names = {name.lower() for name in asked.headers}
    ours = {"host", "accept", "accept-encoding", "content-type", "content-length", "user-agent"}
    assert names - ours <= {"authorization", "anthropic-version"}
    assert asked.headers.get("Authorization", asked.headers.get("authorization")) == f"Bearer {KEY}"
    body = orjson.loads(asked.body)
    turns = body["input"] if kind == "openai" else body["messages"]
    assert [(each["role"], each["content"]) for each in turns] == [
        (each.role, each.text) for each in QUESTION.turns
    ]
    system = body["instructions"] if kind == "openai" else body["system"][0]["text"]
    assert system == "Count."
    effort = body["reasoning"] if kind == "openai" else body["output_config"]
    assert effort["effort"] == "low"
    assert b"sample" not in asked.body


def test_a_forced_tool_gives_its_input() -> None:
    """With `structured: tool` the answer is the input of the one tool, which is forced and strict."""
    with serving(told(by_tool({"n": 7}))) as server:
        reply = _ask("anthropic", server.url("anthropic"), structured="tool")
    assert reply.text == '{"n":7}'


@pytest.mark.parametrize("kind", PROVIDERS)
def test_the_schema_of_edits_is_strict(kind: str) -> None:
    """Providers take the schema of edits in their strict modes, and refuse one that is not strict."""
    assert strict_problems(edit_answers.schema()) == []
    loose = {**SCHEMA, "additionalProperties": True}
    assert strict_problems(loose)
    with serving(_good(kind)) as server:
        assert _ask(kind, server.url(kind), replace(QUESTION, schema=edit_answers.schema()))
        with pytest.raises(Malformed, match="does not take the question"):
            _ask(kind, server.url(kind), replace(QUESTION, schema=loose))


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 529])
def test_a_busy_provider_is_asked_again(kind: str, status: int) -> None:
    """A status that says `not now` is followed by another try; the wait that it wishes is kept."""
    waits: list[float] = []
    script = (_error(kind, status, retry_after="2"), _error(kind, status, retry_after_ms="1500"), _good(kind))
    with serving(*script) as server:
        assert _ask(kind, server.url(kind), reach=_reach(waits.append)).text == '{"n": 1}'
    assert waits == [2.0, 1.5]
    assert len(server.asked) == 3


@pytest.mark.parametrize("kind", PROVIDERS)
def test_tries_are_bounded(kind: str) -> None:
    """After the last try the error says so, and that nothing was charged."""
    with serving(_error(kind, 529, "overloaded_error")) as server, pytest.raises(Busy, match="529"):
        _ask(kind, server.url(kind))
    assert len(server.asked) == 4


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(("wish", "told_back"), [("31", 31.0), ("4250000000", 3600.0), ("3", 3.0)])
def test_a_long_wait_is_not_waited_for(kind: str, wish: str, told_back: float) -> None:
    """A wait over 30 s, or over the time that is left, ends the asking; whoever asked is told how long."""
    waits: list[float] = []
    with serving(_error(kind, 429, retry_after=wish)) as server, pytest.raises(Busy) as caught:
        _ask(kind, server.url(kind), reach=_reach(waits.append), within=2.0)
    assert (len(server.asked), waits, caught.value.retry_after) == (1, [], told_back)


def test_waits_are_read_in_all_their_forms() -> None:
    """Milliseconds, seconds, a date; what is no wait is none, and no wait is longer than an hour."""
    date = {"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}
    assert [wait(date, now) for now in (90, 200)] == [10, 0]
    for text in ("", "-1", "nan", "inf", "1e999", "9" * 50, "x", "Thu, 01 Jan 1970 00:01:40 -0000"):
        assert wait({"retry-after": text}, 0) is None, text
    assert wait({"retry-after": "1e300"}, 0) == 3600


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "code", "error", "words"),
    [
        (401, "invalid_api_key", Forbidden, "secret model.key"),
        (403, "permission_error", Forbidden, "secret model.key"),
        (402, "billing_error", NotAnswered, "no credit"),
        (429, "insufficient_quota", NotAnswered, "no credit"),
        (404, "model_not_found", Missing, "model"),
        (400, "invalid_request_error", Malformed, "does not take"),
        (422, "", Malformed, "does not take"),
        (400, "context_length_exceeded", TooLarge, "longer"),
        (413, "request_too_large", TooLarge, "longer"),
        (408, "", Unavailable, "408"),
        (504, "timeout_error", Unavailable, "504"),
    ],
)
def test_errors_say_what_to_do(
    kind: str, status: int, code: str, error: type[SentinelError], words: str
) -> None:
    """Each status is an error by what to do about it; none of these is tried again, or quotes the answer."""
    with serving(_error(kind, status, code)) as server, pytest.raises(error, match=words) as caught:
        _ask(kind, server.url(kind))
    assert len(server.asked) == 1
    assert not isinstance(caught.value, Busy)
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("kind", "over", "error"),
    [
        ("openai", {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, CutOff),
        ("openai", {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, Declined),
        ("openai", {"status": "incomplete", "incomplete_details": None}, NotAnswered),
        ("openai", {"status": "failed", "error": {"code": "server_error", "message": "x"}}, NotAnswered),
        (
            "openai",
            {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
            Declined,
        ),
        ("openai", {"output": []}, NotAnswered),
        ("openai", {"output": "text"}, NotAnswered),
        ("anthropic", {"stop_reason": "max_tokens"}, CutOff),
        ("anthropic", {"stop_reason": "model_context_window_exceeded"}, CutOff),
        ("anthropic", {"stop_reason": "refusal"}, Declined),
        ("anthropic", {"stop_reason": "pause_turn"}, NotAnswered),
        ("anthropic", {"stop_reason": "stop_sequence"}, NotAnswered),
        ("anthropic", {"stop_reason": None}, NotAnswered),
        ("anthropic", {"stop_reason": "a_new_one"}, NotAnswered),
        ("anthropic", {"content": []}, NotAnswered),
        ("anthropic", {"content": {"0": 1}}, NotAnswered),
    ],
)
def test_what_is_no_answer_is_none(kind: str, over: dict[str, Any], error: type[NotAnswered]) -> None:
    """Refused, cut off, stopped or empty: an error of its kind, that says what is charged all the same."""
    with serving(_good(kind, **over)) as server, pytest.raises(NotAnswered) as caught:
        _ask(kind, server.url(kind))
    assert type(caught.value) is error
    assert caught.value.usage == Usage(input=1_000, cached=600, written=100, output=200)
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(
    "answer",
    [
        Told(200, b'{"status": "compl', {"Content-Type": "application/json"}),
        Told(200, b"[" * 100_000, {"Content-Type": "application/json"}),
        Told(200, b"[]", {"Content-Type": "application/json"}),
        Told(200, b'{"n": "\\ud800"}', {"Content-Type": "application/json"}),
        Told(200, b"", {"Content-Type": "application/json"}),
        Told(200, b"<html>sign in</html>", {"Content-Type": "text/html"}),
        Told(200, b"{}", {"Content-Type": "application/json", "Content-Encoding": "gzip"}),
        Told(200, b'{"x": "' + b"a" * 3_000_000 + b'"}', {"Content-Type": "application/json"}),
    ],
    ids=["cut", "deep", "list", "surrogate", "nothing", "html", "gzip", "gigantic"],
)
def test_an_answer_that_cannot_be_read_is_bad(kind: str, answer: Told) -> None:
    """What is no whole JSON object of a bounded size is a bad answer, not tried again: it may be charged."""
    with serving(answer) as server, pytest.raises(BadAnswer):
        _ask(kind, server.url(kind))
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(
    "counts", [None, {}, {"input_tokens": -1, "output_tokens": 5}, "many", {"input_tokens": True}]
)
def test_usage_that_is_not_told_is_the_worst(kind: str, counts: object) -> None:
    """A reply without a usage that can be is charged at worst, and says that it was not counted."""
    with serving(_good(kind, usage=counts)) as server:
        reply = _ask(kind, server.url(kind))
    assert not reply.counted
    assert reply.usage == worst(QUESTION)
    assert reply.usd >= QUESTION.max_output * 15 / 1e6


@pytest.mark.parametrize("kind", PROVIDERS)
def test_redirects_are_not_followed(kind: str) -> None:
    """A provider that leads elsewhere does not get the question, nor the key, sent there."""
    with serving(_good(kind)) as other:
        away = Told(307, b"", {"Location": f"http://localhost:{other.port}/v1/responses"})
        with serving(away) as server, pytest.raises(Malformed, match="leads elsewhere"):
            _ask(kind, server.url(kind), reach=_reach())
        assert other.asked == []


@pytest.mark.parametrize("kind", PROVIDERS)
def test_only_allowed_hosts_are_asked(kind: str) -> None:
    """A host that the deployment does not allow gets nothing."""
    with serving(_good(kind)) as server, pytest.raises(Forbidden, match="SENTINEL_HTTP_HOSTS"):
        _ask(kind, server.url(kind), reach=_reach(hosts="api.openai.com"))
    assert server.asked == []


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n",
    ],
    ids=["silent", "headers", "body"],
)
def test_a_slow_server_does_not_outlast_the_deadline(kind: str, head: bytes) -> None:
    """However slowly an answer trickles, asking ends at its deadline, and is not begun again."""
    began = time.monotonic()
    with raw(trickling(head)) as port, pytest.raises(Unavailable) as caught:
        _ask(kind, f"http://127.0.0.1:{port}" + "/v1" * (kind == "openai"), within=1.0)
    assert time.monotonic() - began < 30.0  # it trickles for ever; with the import of the SDK
    assert not caught.value.unsent
    assert not isinstance(caught.value, Busy)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_reply_that_is_lost_is_not_asked_for_again(kind: str) -> None:
    """Where the connection breaks behind the question the reply may be charged: whoever asked decides."""
    taken: list[socket.socket] = []
    with raw(taken.append) as port, pytest.raises(BadAnswer) as caught:
        _ask(kind, f"http://127.0.0.1:{port}" + "/v1" * (kind == "openai"))
    assert len(taken) == 1
    assert not caught.value.unsent


@pytest.mark.parametrize("kind", PROVIDERS)
def test_a_connection_that_is_not_made_is_tried_again(kind: str) -> None:
    """Nothing was sent, so it is tried as often as a busy provider is, and the error says `unsent`."""
    waits: list[float] = []
    with nobody() as port, pytest.raises(Unavailable) as caught:
        _ask(kind, f"http://127.0.0.1:{port}/v1", reach=_reach(waits.append), within=60)
    assert (waits, caught.value.unsent) == ([0.5, 1.0, 2.0], True)


def test_a_question_past_its_deadline_is_not_sent() -> None:
    """Without time left nobody is asked."""
    with serving(_good("openai")) as server, pytest.raises(TimedOut) as caught:
        _ask("openai", server.url("openai"), within=0)
    assert (server.asked, caught.value.unsent) == ([], True)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_time_that_an_import_takes_counts(kind: str) -> None:
    """The time that is left is looked at when the question is sent, after the SDK was imported."""
    now = iter([0, 6 * SECOND, 6 * SECOND])
    with serving(_good(kind)) as server:
        model = ai.make(_config(kind, server.url(kind)), replace(_reach(), clock=lambda: next(now)))
        with pytest.raises(TimedOut):
            model.ask(QUESTION, 5 * SECOND)
    assert server.asked == []


def test_a_question_over_the_context_is_not_sent() -> None:
    """A question that the model's context does not hold, with its answer, is refused before it is sent."""
    long = replace(QUESTION, turns=(Turn("user", "word " * 10_000),))
    with serving(_good("openai")) as server:
        with pytest.raises(TooLarge, match="context is 10,000"):
            _ask("openai", server.url("openai"), long, context=10_000)
        assert server.asked == []
        assert _ask("openai", server.url("openai"), long, context=40_000)


def test_the_models_own_bound_of_output_holds() -> None:
    """A question never asks for more than the configuration's `max_output`."""
    with serving(_good("anthropic")) as server:
        _ask("anthropic", server.url("anthropic"), replace(QUESTION, max_output=90_000), max_output=64_000)
    assert orjson.loads(server.asked[0].body)["max_tokens"] == 64_000


@pytest.mark.parametrize("kind", PROVIDERS)
@pytest.mark.parametrize("key", ["", "sk bad", "sk-\nX-Evil: 1", "sk-\xe9"])
def test_a_secret_that_is_no_key_is_refused(kind: str, key: str) -> None:
    """A key with blanks, breaks or letters that no header may have is refused by its name, unquoted."""
    with serving(_good(kind)) as server, pytest.raises(Malformed, match=r"secret model\.key") as caught:
        _ask(kind, server.url(kind), reach=_reach(key=key))
    assert server.asked == []
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("kind", PROVIDERS)
def test_nothing_is_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither key nor question nor answer gets into a log, at the level of debugging, whatever happens."""
    with caplog.at_level(logging.DEBUG):
        for name in ("openai", "anthropic", "httpx2"):
            logging.getLogger(name).setLevel(logging.DEBUG)
        with serving(_error(kind, 500), _good(kind)) as server:
            _ask(kind, server.url(kind))
        with serving(_error(kind, 401)) as server, pytest.raises(Forbidden):
            _ask(kind, server.url(kind))
    assert caplog.records == []


def test_importing_models_imports_no_sdk() -> None:
    """The package, and making a model, load no SDK and no HTTP library of theirs: only a question does."""
    code = (
        "import sys, sentinel.ai as ai\n"
        "body = b'models: {m: {kind: openai, model: m, key: model.k, prices: {input: 1, output: 2}}}'\n"
        "ai.make(ai.load('m', body)['m'], ai.Reach(None, None))\n"
        "print(sorted({'openai', 'anthropic', 'httpx2', 'httpcore2'} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"key": "sk-abcdefgh"}, "looks like a key"),
        ({"url": "http://api.example.com/v1"}, "https://"),
        ({"url": "https://me:pw@example.com"}, "user or a password"),
        ({"prices": {"input": 1}}, "output"),
        ({"prices": {"input": float("inf"), "output": 1}}, "input"),
        ({"max_output": 10}, "max_output"),
        ({"effort": "heroic"}, "effort"),
        ({"model": "a b"}, "model"),
        ({"kind": "oracle"}, "anthropic, openai, recorded, scripted"),
    ],
)
def test_documents_are_checked(change: dict[str, Any], words: str) -> None:
    """A document that cannot be right is refused with what to change, and nothing of it is quoted."""
    body = {"kind": "openai", "model": "m", "key": "model.k", "prices": {"input": 1, "output": 2}, **change}
    text = repr({"models": {"m": body}}).replace("inf", ".inf")
    with pytest.raises(Malformed, match=words) as caught:
        ai.load("models.yaml", text.encode())
    assert "abcdefgh" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_the_registry_has_each_kind_once() -> None:
    """Each kind's configuration takes its own name only."""
    for kind, each in KINDS.items():
        assert each.config.model_fields["kind"].annotation.__args__ == (kind,)  # type: ignore[union-attr]
