"""http.call end to end: one real request, judged by its status, with the same key in every attempt."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import actions
from sentinel.actions.http_call import LONGEST_WAIT, wait
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.core.steps import Action, Again, Done, Failed, Outcome
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed
from sentinel.ports import HttpResponse
from tests.steps import step_run

CANARY = "canary-77aa"
NOW = 1_790_000_000 * SECOND  # Mon, 21 Sep 2026 14:13:20 GMT


class Target(ThreadingHTTPServer):
    """Answers with `status` and `headers`, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Target

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.calls.append((self.command, self.path, dict(self.headers), body))
        if self.server.status == 0:
            self.close_connection = True
            return
        told = CANARY.encode() if self.server.status != 204 else b""
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def __getattr__(self, name: str) -> Callable[[], None]:
        """Serve every method alike."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def target() -> Iterator[Target]:
    """Serve a target on this machine."""
    server = Target()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def action(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Action]:
    """Give the action; afterwards no log line may hold a secret or an answer's body."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "secrets").mkdir()
    for name, value in {"api": CANARY, "split": f"{CANARY}\r\nX: y"}.items():
        (tmp_path / "secrets" / name).write_text(value)
        (tmp_path / "secrets" / name).chmod(0o600)
    http = HttpClient(Hosts(["127.0.0.1"], private=True))
    secrets = FileSecrets(tmp_path / "secrets")
    built = actions.build(http, AppendFiles(tmp_path), secrets, dict, clock=lambda: NOW)
    yield built["http.call"]
    http.close()
    assert CANARY not in caplog.text


def _call(action: Action, inputs: dict[str, Any], **more: Any) -> Outcome:
    found = action.perform(step_run("http.call", inputs, **more))
    assert CANARY not in repr(found)
    return found


def test_the_default_request_names_the_task_and_the_places(action: Action, target: Target) -> None:
    """Without more inputs a JSON object is posted that names task, rule and places, and no content."""
    inputs = {"url": target.url}
    assert _call(action, inputs) == Done({"status": 200})
    method, path, headers, body = target.calls[0]
    key = step_run("http.call", inputs).key
    assert (method, path) == ("POST", "/hook")
    assert headers["Content-Type"] == "application/json"
    assert headers["Idempotency-Key"] == f'"{key}"'
    assert orjson.loads(body) == {
        "task": "mfrggzdfmztwq2lknnwg23tpoa",
        "recipe": "tell",
        "step": "s",
        "key": key,
        "rule": "rule-1",
        "title": "A burst",
        "level": "high",
        "entries": [{"chain": "checkout/0", "seq": number} for number in range(3)],
    }


def test_a_body_is_filled_in_by_value(action: Action, target: Target) -> None:
    """Placeholders fill strings wherever they stand and cannot change the JSON around them."""
    body = {"text": "$rule: ${count} at $$5", "list": ["$title", 1, None], "$rule": True}
    _call(action, {"url": target.url, "body": body})
    assert orjson.loads(target.calls[0][3]) == {
        "text": "rule-1: 3 at $5",
        "list": ["A burst", 1, None],
        "$rule": True,
    }


def test_secrets_travel_in_headers_only_and_show_nowhere(action: Action, target: Target) -> None:
    """A header's value is looked up under a secret's name, with what stands before it."""
    headers = {"Authorization": {"secret": "api", "prefix": "Bearer "}, "X-Plain": "1"}
    _call(action, {"url": target.url, "headers": headers})
    assert target.calls[0][2]["Authorization"] == f"Bearer {CANARY}"
    assert target.calls[0][2]["X-Plain"] == "1"


def test_the_same_step_has_the_same_key_in_every_attempt(action: Action, target: Target) -> None:
    """A lost reply is followed by the same request under the same key."""
    target.status = 0
    lost = _call(action, {"url": target.url})
    assert isinstance(lost, Again)
    assert "gave no answer" in lost.reason
    assert lost.after is None
    target.status = 200
    _call(action, {"url": target.url}, resumed=True, tries=1)
    first, second = target.calls
    assert first[2]["Idempotency-Key"] == second[2]["Idempotency-Key"]
    assert first[3] == second[3]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_request_without_a_body_has_none(action: Action, target: Target, method: str) -> None:
    """GET and DELETE carry a body only where the step gives one."""
    _call(action, {"url": target.url, "method": method})
    assert target.calls[0][0] == method
    assert target.calls[0][3] == b""
    assert "Content-Type" not in target.calls[0][2]


@pytest.mark.parametrize(
    ("status", "expect", "kind"),
    [
        (200, ["2xx"], Done),
        (204, ["2xx"], Done),
        (204, [204], Done),
        (200, [204], Failed),
        (404, ["2xx", "404"], Done),
        (503, ["5xx"], Done),
        (301, ["2xx"], Failed),
        (400, ["2xx"], Failed),
        (401, ["2xx"], Failed),
        (404, ["2xx"], Failed),
        (409, ["2xx"], Failed),
        (408, ["2xx"], Again),
        (425, ["2xx"], Again),
        (429, ["2xx"], Again),
        (500, ["2xx"], Again),
        (503, ["2xx"], Again),
    ],
)
def test_a_status_means_one_thing(
    action: Action, target: Target, status: int, expect: list[object], kind: type
) -> None:
    """What is expected is done, what may pass is tried again, all else fails; only the status is told."""
    target.status = status
    target.headers = {"X-Canary": CANARY}
    found = _call(action, {"url": target.url, "expect": expect})
    assert isinstance(found, kind)
    assert str(status) in repr(found)


def test_a_conflict_on_a_repeated_key_is_tried_again(action: Action, target: Target) -> None:
    """409 is what the draft has for a first request that is still being served."""
    target.status = 409
    assert isinstance(_call(action, {"url": target.url}, resumed=True), Again)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7 * SECOND),
        ("0", 0),
        ("900", LONGEST_WAIT),
        ("901", LONGEST_WAIT),
        ("9" * 400, LONGEST_WAIT),
        ("Mon, 21 Sep 2026 14:13:50 GMT", 30 * SECOND),
        ("Mon, 21 Sep 2026 14:13:00 GMT", 0),
        ("Tue, 22 Sep 2026 14:13:50 GMT", LONGEST_WAIT),
        ("Mon, 21 Sep 2026 14:13:50 -0000", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("Mon, 99 Sep 9999 99:99:99 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_honoured_within_bounds(text: str, expected: int | None) -> None:
    """Seconds and dates are read, both bounded by 15 minutes; anything else is as if it were not there."""
    assert wait(HttpResponse(503, {"retry-after": text}), NOW) == expected


def test_retry_after_of_a_real_answer_is_handed_on(action: Action, target: Target) -> None:
    """The server's wish reaches the worker."""
    target.status, target.headers = 429, {"Retry-After": "12"}
    found = _call(action, {"url": target.url})
    assert found == Again("the server answered 429", 12 * SECOND)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"url": "http://10.0.0.1/"}, "SENTINEL_HTTP_HOSTS"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "SENTINEL_HTTP_HOSTS"),
        ({"headers": {"X": {"secret": "nothing"}}}, "there is no secret nothing"),
        ({"headers": {"X": {"secret": "split"}}}, "the header X has a line break"),
    ],
)
def test_what_cannot_be_sent_fails(
    action: Action, target: Target, inputs: dict[str, Any], words: str
) -> None:
    """A forbidden host, a missing secret and one that would split a request fail the step."""
    found = _call(action, {"url": target.url, **inputs})
    assert isinstance(found, Failed)
    assert words in found.reason
    assert target.calls == []


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "url: Field required"),
        ({"url": "ftp://h/"}, "the URL begins with"),
        ({"url": "https://me:canary-77aa@h/"}, "holds a user"),
        ({"url": "https://h/\r\nX: y"}, "blanks, line breaks"),
        ({"url": "https://h/", "method": "TRACE"}, "method: "),
        ({"url": "https://h/", "timeout": "31s"}, "timeout: "),
        ({"url": "https://h/", "timeout": "999ms"}, "timeout: "),
        ({"url": "https://h/", "expect": []}, "expect: "),
        ({"url": "https://h/", "expect": ["ok"]}, "expect: "),
        ({"url": "https://h/", "expect": [1200]}, "expect: "),
        ({"url": "https://h/", "body": {"a": ["$entry"]}}, "a string may hold $count"),
        ({"url": "https://h/", "body": "5 $"}, "write $$ for a $"),
        ({"url": "https://h/", "headers": {"Idempotency-Key": "1"}}, "the action's"),
        ({"url": "https://h/", "headers": {"authorization": "Bearer canary-77aa"}}, "{secret: NAME}"),
        ({"url": "https://h/", "headers": {"X": {"secret": "../x"}}}, "a name is"),
        ({"url": "http://h/", "headers": {"X": {"secret": "api"}}}, "begins with https://"),
        ({"url": "https://h/", "colour": "red"}, "colour: Extra inputs"),
    ],
)
def test_inputs_that_make_no_sense_are_refused(action: Action, inputs: dict[str, Any], words: str) -> None:
    """`check` says what to change without quoting values; a step that got past it fails."""
    with pytest.raises(Malformed, match=r"http\.call: ") as refused:
        action.check(inputs)
    assert words in str(refused.value)
    assert CANARY not in str(refused.value)
    assert isinstance(_call(action, inputs), Failed)


def test_every_action_is_registered_under_its_own_name(tmp_path: Path) -> None:
    """The registry, the built actions and their streams agree."""
    http = HttpClient(Hosts([]))
    built = actions.build(http, AppendFiles(tmp_path), FileSecrets(tmp_path), dict)
    assert set(built) == set(actions.ACTIONS) == {kind.name for kind in actions.ACTIONS.values()}
    assert {name: action.stream for name, action in built.items()} == {
        "siem.send": "siem",
        "http.call": "action",
    }


@pytest.mark.parametrize(
    ("status", "kind", "unsure"),
    [
        *((429, Again, False), (503, Again, False), (425, Again, False), (404, Failed, False)),
        *((500, Again, True), (502, Again, True), (408, Again, True), (301, Failed, True)),
    ],
)
def test_what_an_answer_says_of_the_effect(
    action: Action, target: Target, status: int, kind: type, unsure: bool
) -> None:
    """Some statuses say that nothing was done; the others leave open whether something was."""
    target.status = status
    found = _call(action, {"url": target.url})
    assert isinstance(found, kind)
    assert getattr(found, "unsure", None) is unsure


def test_a_request_that_was_not_sent_did_nothing(action: Action) -> None:
    """A server that cannot be reached has nothing; one that hangs up on a request may have all of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        inputs = {"url": f"http://127.0.0.1:{listener.getsockname()[1]}/"}

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(10)
            connection.close()

        server = threading.Thread(target=hang_up)
        server.start()
        lost = _call(action, inputs)
        server.join()
    gone = _call(action, inputs)
    assert isinstance(lost, Again)
    assert isinstance(gone, Again)
    assert (lost.unsure, gone.unsure) == (True, False)
