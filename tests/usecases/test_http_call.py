"""http.call end to end: one real request, judged by its status, with the same key in every attempt."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
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
from sentinel.core.steps import Action, Again, Done, Failed, Nothing, Outcome, Probing, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import HttpResponse
from tests.loopback import Asked, Loopback, Told, nobody
from tests.steps import step_run

CANARY = "canary-77aa"
NOW = 1_790_000_000 * SECOND  # Mon, 21 Sep 2026 14:13:20 GMT


class Target(ThreadingHTTPServer):
    """Answers with `status` and `headers`, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.headers: dict[str, str] = {}
        self.padding = 0
        self.told = CANARY.encode()
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
        told = self.server.told + b" " * self.server.padding if self.server.status != 204 else b""
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        with suppress(ConnectionError):  # nobody has to read all of it
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
    streams = {name: action.stream for name, action in built.items()}
    others = {"siem.send": "siem", "alert.reply": "siem", "git.pull_request": "git"}
    others |= {"ai.patch": "read", "ai.choose": "ai"}
    assert streams == {name: others.get(name, "action") for name in built}


def test_a_plan_is_what_is_sent(action: Action, target: Target) -> None:
    """The plan has the method, address, headers and body of the request, and the secret's name, not it."""
    inputs: dict[str, Any] = {
        "url": target.url,
        "headers": {"Authorization": {"secret": "api", "prefix": "Bearer "}, "X-Plain": "1"},
        "body": {"text": "$rule at $$5"},
    }
    plan = action.plan(step_run("http.call", inputs))
    assert target.calls == []
    _call(action, inputs)
    method, path, headers, body = target.calls[0]
    told: Any = plan["headers"]
    assert (plan["method"], plan["url"]) == (method, target.url.removesuffix("/hook") + path)
    assert str(plan["body"]).encode() == body
    assert plan["bytes"] == len(body)
    assert told["Authorization"] == "Bearer <secret api>"
    assert {name: headers[name] for name in told if name != "Authorization"} == {
        name: value for name, value in told.items() if name != "Authorization"
    }


class Store:
    """A server that keeps what is posted under its key, does not know the key twice, and can be asked."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.post = Told(201)
        self.get: Told | None = None
        self.acts = False  # whatever it answers
        self.server = Loopback(self._answer)

    def _answer(self, asked: Asked) -> Told:
        if asked.method == "POST":
            if self.acts or self.post.status < 400:
                self.kept.append(asked.headers["Idempotency-Key"].strip('"'))
            return self.post
        return self.get or Told(200 if asked.path.rpartition("/")[2] in self.kept else 404)

    @property
    def inputs(self) -> dict[str, Any]:
        """A step that posts here and says how to ask."""
        base = f"http://127.0.0.1:{self.server.port}/things"
        headers = {"Authorization": {"secret": "api", "prefix": "Bearer "}}
        return {"url": base, "probe": {"url": f"{base}/$task/$key", "headers": headers}}


@pytest.fixture
def store() -> Iterator[Store]:
    """Serve a store."""
    found = Store()
    yield found
    found.server.stop()


@pytest.mark.parametrize("lost", [Told(lost=True), Told(502), Told(504)])
def test_a_step_with_a_probe_acts_once(action: Action, store: Store, lost: Told) -> None:
    """A server that knows no keys gets one request, however its answer was lost: a later try asks first."""
    store.post, store.acts = lost, True
    first = _call(action, store.inputs)
    assert isinstance(first, Again)
    assert first.unsure
    again = _call(action, store.inputs, resumed=True)
    assert again == Done({"status": 200, "probed": True})
    assert len(store.kept) == 1
    asked = store.server.asked[-1]
    run = step_run("http.call", store.inputs)
    assert asked.path == f"/things/{run.task.id}/{run.key}"
    assert asked.headers["Authorization"] == f"Bearer {CANARY}"
    assert "Idempotency-Key" not in asked.headers


def test_a_first_try_asks_nothing(action: Action, store: Store) -> None:
    """Nothing can be there before the first request; one that did not arrive is sent again."""
    store.post = Told(503)
    assert isinstance(_call(action, store.inputs), Again)
    assert [asked.method for asked in store.server.asked] == ["POST"]
    store.post = Told(201)
    assert _call(action, store.inputs, resumed=True) == Done({"status": 201})
    assert [asked.method for asked in store.server.asked] == ["POST", "GET", "POST"]


@pytest.mark.parametrize(
    ("told", "unsure"), [(Told(403), True), (Told(302), True), (Told(500), False), (Told(429), False)]
)
def test_a_probe_that_says_nothing_is_no_leave_to_act(
    action: Action, store: Store, told: Told, unsure: bool
) -> None:
    """Only a status that says the effect is absent has the request sent again."""
    store.get = told
    found = _call(action, store.inputs, resumed=True)
    assert isinstance(found, Again)
    assert found.unsure is unsure
    assert not store.kept


def test_a_probe_answers_the_worker(action: Action, store: Store) -> None:
    """The worker of an at-most-once step learns: there, not there, cannot tell now, cannot be asked."""
    assert isinstance(action, Probing)
    run = step_run("http.call", store.inputs, resumed=True)
    assert action.probe(run) == Nothing()
    store.kept.append(run.key)
    assert action.probe(run) == Done({"status": 200, "probed": True})
    store.get = Told(403)
    assert isinstance(action.probe(run), Unknown)
    store.get = Told(503)
    with pytest.raises(Unavailable):
        action.probe(run)
    assert isinstance(action.probe(step_run("http.call", {"url": store.inputs["url"]})), Unknown)


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({}, "probe.url: Field required"),
        ({"url": "https://$key.example.com/"}, "cannot depend on the task"),
        ({"url": "https://h/$title"}, "may hold $key and $task"),
        ({"url": "https://h/$"}, "write $$ for a $"),
        ({"url": "https://h/", "absent": [200]}, "either that the effect is there"),
        ({"url": "https://h/", "absent": []}, "probe.absent"),
        ({"url": "https://h/", "headers": {"Cookie": "canary-77aa"}}, "{secret: NAME}"),
        ({"url": "http://h/", "headers": {"X": {"secret": "api"}}}, "begins with https://"),
        ({"url": "file:///etc/passwd"}, "begins with"),
    ],
)
def test_probes_that_make_no_sense_are_refused(action: Action, probe: dict[str, Any], words: str) -> None:
    """A probe keeps the rules of the request itself."""
    with pytest.raises(Malformed, match=r"http\.call: ") as refused:
        action.check({"url": "https://h/", "probe": probe})
    assert words in str(refused.value)
    assert CANARY not in str(refused.value)


def test_an_answer_that_does_not_end_is_cut(action: Action, target: Target) -> None:
    """Megabytes of an answer are not read: the status counts, and the step is done."""
    target.padding = 8_000_000
    assert _call(action, {"url": target.url}) == Done({"status": 200})


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
    with nobody() as port:
        gone = _call(action, {"url": f"http://127.0.0.1:{port}/"})
    assert isinstance(lost, Again)
    assert isinstance(gone, Again)
    assert (lost.unsure, gone.unsure) == (True, False)


def test_named_values_of_an_answer_are_kept(action: Action, target: Target) -> None:
    """Later steps and a replay have what the recipe names: single values, bounded, and nothing else."""
    said = {"issue": {"id": 4711, "open": True, "labels": ["a", {"name": "b"}]}, "long": "x" * 5000}
    target.told = orjson.dumps({**said, "secret": CANARY})
    target.headers = {"ETag": "v7"}
    names = (
        "issue.id",
        "issue.open",
        "issue.labels.1.name",
        "long",
        "issue",
        "issue.labels.9",
        "none.at.all",
    )
    keep: dict[str, Any] = {f"k{n}": {"json": name} for n, name in enumerate(names)}
    keep |= {"version": {"header": "etag"}, "absent": {"header": "x-none"}}
    outcome = _call(action, {"url": target.url, "keep": keep})
    kept = {"k0": 4711, "k1": True, "k2": "b", "k3": "x" * 1000, "version": "v7"}
    assert outcome == Done({"status": 200, "kept": kept})
    for told in (b"no json", b"[1, 2]", b"", b"\xff"):
        target.told = told
        assert _call(action, {"url": target.url, "keep": {"id": {"json": "issue.id"}}}) == Done(
            {"status": 200}
        )


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        ({"a": {}}, "either a header or a json path"),
        ({"a": {"json": "a", "header": "b"}}, "either a header or a json path"),
        ({"a": {"header": "Set-Cookie"}}, "may hold a secret"),
        ({"a b": {"json": "a"}}, "name"),
        ({f"k{n}": {"json": "a"} for n in range(21)}, "20"),
    ],
)
def test_what_may_not_be_kept_is_refused(action: Action, keep: dict[str, Any], words: str) -> None:
    """A recipe that names no value, a secret or too many is refused before anything is sent."""
    with pytest.raises(Malformed, match=words):
        action.check({"url": "https://a.example/x", "keep": keep})
