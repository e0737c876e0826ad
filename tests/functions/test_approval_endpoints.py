"""Approvals by the functions behind both APIs: as a service, by a signature, and by a one-time link."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core import tokens
from sentinel.core.access import Author
from sentinel.core.approval_links import LONGEST, TYPE, Link, audience, read, sign
from sentinel.core.approval_statements import Statement
from sentinel.core.approval_statements import sign as signed
from sentinel.core.approvals import Asked, Verdict
from sentinel.core.ring import Ring
from sentinel.core.states import State
from sentinel.core.tasks import SECOND, Task
from sentinel.entrypoints.approval_page import PAGE, SCRIPT, STYLE
from sentinel.errors import Unauthenticated
from tests.approvals import ALICE, BOB, approving_recipe, awaiting
from tests.core.test_dsse import KEYS, SEEDS
from tests.functions.test_api_handlers import event, load
from tests.scenario import rule

HOOKS = "https://hooks.example.com"
BY = [ALICE, BOB, "service:ops"]
Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An application with authors, signing keys, and an address for links."""
    for name, value in {"HOME": str(tmp_path), "DOOR_SECONDS": "0", "APPROVE_URL": HOOKS}.items():
        monkeypatch.setenv(f"SENTINEL_{name}", value)
    bootstrap.cache_clear()
    made = bootstrap()
    made.authors.add(Author(ALICE, ""), KEYS["A"])
    made.authors.add(Author(BOB, "", groups=("team",)), KEYS["B"])
    made.rotation.ensure_signing_keys()
    yield made
    bootstrap.cache_clear()


@pytest.fixture
def call(app: App) -> Call:
    """Call the function that answers a route; returns status and decoded body."""
    del app
    handlers = {name: load(name) for name in ("control", "token", "approve")}

    def call(method: str, resource: str, body: object = None, **changes: Any) -> tuple[int, Any]:
        service = changes.pop("service", "ops")
        function = "approve" if resource == "/approve" else "token" if "links" in resource else "control"
        told = event(method, resource, orjson.dumps(body) if body is not None else b"", **changes)
        told["requestContext"]["authorizer"] = {"service": service, "scopes": "tasks:approve admin"}
        answer = handlers[function](told, None)
        raw = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"].encode()
        assert (
            answer["headers"].get("Cache-Control") == "no-store"
            or method == "POST"
            or answer["statusCode"] > 399
        )
        return answer["statusCode"], orjson.loads(raw)

    return call


@pytest.fixture
def task(app: App) -> Task:
    """A task that asks two of alice, bob and the service ops to have it wait a second."""
    recipe = approving_recipe("uses: wait, with: {for: 1s}", by=BY, more=", needs: 2")
    return awaiting(app, recipe, rule("errors", "boom"))


def _ask(call: Call, task: Task, method: str, body: object = None, **more: Any) -> tuple[int, Any]:
    resource = "/v1/tasks/{task}/approval"
    return call(method, resource, body, params={"task": task.id}, **more)


def _link(call: Call, task: Task, **body: Any) -> tuple[int, Any]:
    return call("POST", "/v1/tasks/{task}/links", {"for": ALICE, **body}, params={"task": task.id})


def _token(call: Call, task: Task, author: str = ALICE) -> str:
    status, told = _link(call, task, **{"for": author})
    assert status == 200, told
    return str(told["url"].partition("#")[2])


def test_a_service_sees_and_approves(app: App, call: Call, task: Task) -> None:
    """Whom the recipe names sees the exact action and approves it by its digest."""
    status, told = _ask(call, task, "GET")
    assert (status, told["state"], told["missing"]) == (
        200,
        "awaiting-approval",
        f"2 more of {', '.join(BY)}",
    )
    form = json.dumps(told["shown"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert told["digest"] == hashlib.sha256(form.encode()).hexdigest()
    said = {"verdict": "approve", "digest": told["digest"], "why": "checked"}
    status, answer = _ask(call, task, "POST", said)
    assert (status, answer["approved_by"], answer["missing"]) == (
        200,
        ["service:ops"],
        f"1 more of {', '.join(BY)}",
    )
    assert app.tasks.lineage(task.id)[-1].body["how"] == "service"


def test_others_services_see_nothing(call: Call, task: Task) -> None:
    """Whose entries set it off may look, and not decide; to others there is no such task."""
    said = {"verdict": "approve", "digest": "0" * 64}
    assert _ask(call, task, "GET", service="checkout")[0] == 200
    assert _ask(call, task, "POST", said, service="checkout")[0] == 403
    for method, body in (("GET", None), ("POST", said)):
        assert _ask(call, task, method, body, service="stranger")[0] == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"digest": "0" * 64}, 409),
        ({"digest": 7}, 400),
        ({"verdict": "maybe"}, 400),
        ({"why": "x" * 501}, 400),
        ({"why": "a\nb"}, 400),
        ({"more": 1}, 400),
    ],
)
def test_a_bad_verdict_is_refused(
    app: App, call: Call, task: Task, change: dict[str, Any], status: int
) -> None:
    """The body is checked whole; a stale digest is a conflict; nothing is written."""
    good = {"verdict": "approve", "digest": _ask(call, task, "GET")[1]["digest"], "why": ""}
    assert _ask(call, task, "POST", {**good, **change})[0] == status
    assert app.tasks.get(task.id) == task


def test_a_signed_approval_is_brought_by_anybody_who_may_see(app: App, call: Call, task: Task) -> None:
    """Who signed is who approves, whoever brings it; a body that says something else is refused."""
    digest = _ask(call, task, "GET")[1]["digest"]
    statement = Statement(task.id, digest, Verdict.APPROVE, "fine", 1)
    envelope = signed(statement, SEEDS["B"])
    for wrong in ({"digest": "0" * 64}, {"verdict": "refuse"}, {"why": "other"}):
        assert _ask(call, task, "POST", {"envelope": envelope, **wrong})[0] == 400
    other = signed(replace(statement, task="b" * 26), SEEDS["B"])
    assert _ask(call, task, "POST", {"envelope": other})[0] == 400
    unknown = signed(statement, bytes(32))
    assert _ask(call, task, "POST", {"envelope": unknown})[0] == 401
    status, told = _ask(call, task, "POST", {"envelope": envelope}, service="checkout")
    assert (status, told["approved_by"]) == (200, [BOB])
    assert app.tasks.lineage(task.id)[-1].body["envelope"] == envelope


def test_a_link_is_used_once(app: App, call: Call, task: Task) -> None:
    """Looking changes nothing; the first verdict counts, and the link is good for no other."""
    token = _token(call, task)
    for _ in range(2):
        status, told = call("POST", "/approve", {"token": token, "look": True})
        assert (status, told["for"], told["digest"]) == (200, ALICE, told["asked"])
    assert app.tasks.get(task.id) == task
    status, told = call("POST", "/approve", {"token": token, "verdict": "approve", "why": "by phone"})
    assert (status, told["approved_by"]) == (200, [ALICE])
    event = app.tasks.lineage(task.id)[-1].body
    assert (event["how"], event["who"], event["link_by"]) == ("link", ALICE, "service:ops")
    for body in ({"look": True}, {"verdict": "approve", "why": ""}, {"verdict": "refuse", "why": "no"}):
        status, told = call("POST", "/approve", {"token": token, **body})
        assert (status, "used already" in told["message"]) == (409, True)
    assert app.tasks.get(task.id).state is State.AWAITING_APPROVAL  # type: ignore[union-attr]
    # Another link for the same author counts for the same person, once.
    status, told = call("POST", "/approve", {"token": _token(call, task), "verdict": "approve", "why": ""})
    assert (status, told["approved_by"]) == (200, [ALICE])


def test_what_the_page_shows_hides_nothing(app: App, call: Call) -> None:
    """Texts are made by the server: each is the JSON of what is hashed, with nothing unseen or rounded."""
    inputs = 'uses: wait, with: {for: 1s, x: 9007199254740993, y: "a\\u202eb"}'
    found = awaiting(app, approving_recipe(inputs, by=[ALICE]), rule("errors", "boom"))
    status, told = call("POST", "/approve", {"token": _token(call, found), "look": True})
    (step,), about = told["told"]["steps"], told["told"]["before"]
    texts = dict(step["parts"])
    assert (status, step["title"], step["how"]) == (200, "1. s0: wait", "at-least-once")
    assert '"x": 9007199254740993' in texts["Its inputs"]
    assert '"y": "a\\u202eb"' in texts["Its inputs"]
    (whole,) = told["shown"]["steps"]
    names = {"inputs": "Its inputs", "plan": "What it would do", "problem": "It would fail"}
    left = {name: value for name, value in whole.items() if name not in {"id", "uses", "effect", "timeout"}}
    assert {name: orjson.loads(texts.pop(names[name])) for name in left} == left
    assert texts == {}
    names_before = ("cause", "results", "makers", "lineage")
    assert orjson.loads(about) == {name: told["shown"][name] for name in names_before}
    assert "JSON.stringify(rest" not in SCRIPT
    assert "unicode-bidi: bidi-override" in STYLE
    assert 'addEventListener("hashchange"' in SCRIPT  # a second link in the same tab shows what it is for


def test_a_link_of_who_is_asked_no_more_shows_nothing(app: App, call: Call) -> None:
    """Whoever left the group that is asked neither decides by an older link nor sees what it was for."""
    found = awaiting(
        app, approving_recipe("uses: wait, with: {for: 1s}", by=["team"]), rule("errors", "boom")
    )
    token = _token(call, found, BOB)
    assert call("POST", "/approve", {"token": token, "look": True})[0] == 200
    app.authors.add(Author(BOB, ""), KEYS["B"])
    for body in ({"look": True}, {"verdict": "approve", "why": ""}):
        status, told = call("POST", "/approve", {"token": token, **body})
        assert (status, told["message"]) == (403, "bob is not asked: team are")


def test_a_link_refuses(app: App, call: Call, task: Task) -> None:
    """The other verdict ends the task."""
    token = _token(call, task)
    status, told = call("POST", "/approve", {"token": token, "verdict": "refuse", "why": "not now"})
    assert (status, told["state"]) == (200, "failed")
    assert app.tasks.get(task.id).reason == "refused by alice: not now"  # type: ignore[union-attr]


def test_a_link_is_for_what_was_asked_when_it_was_made(app: App, call: Call, task: Task) -> None:
    """Where something else would be done now, the link shows nothing and decides nothing."""
    token = _token(call, task)
    row = replace(task, inputs={"s0": {"for": "2s"}})
    with app.tasks._database.transaction() as connection:  # type: ignore[attr-defined]
        from sentinel.adapters.task_json import task_to_json

        connection.execute("UPDATE tasks SET body = ? WHERE id = ?", (task_to_json(row), row.id))
    for body in ({"look": True}, {"verdict": "approve", "why": ""}):
        status, told = call("POST", "/approve", {"token": token, **body})
        assert (status, "not what it is now" in told["message"]) == (409, True)


def test_links_are_made_for_authors_who_are_asked(app: App, call: Call, task: Task) -> None:
    """Not for strangers, groups, services or what is over; and not longer than the approval."""
    app.authors.add(Author("carol", ""), bytes(31) + b"\x01")
    assert _link(call, task, **{"for": "carol"})[0] == 403
    for stranger in ("dave", "team", "service:ops"):
        assert _link(call, task, **{"for": stranger})[0] == 404
    for bad in ({"seconds": 0}, {"seconds": LONGEST + 1}, {"seconds": "1h"}, {"seconds": True}, {"more": 1}):
        assert _link(call, task, **bad)[0] == 400
    status, told = _link(call, task, seconds=LONGEST)
    asked = Asked.of(task.asked)
    assert asked is not None
    assert (status, told["until"]) == (200, asked.until // SECOND)  # eight hours, not a day
    assert call("POST", "/v1/tasks/{task}/links", {"for": ALICE}, params={"task": "b" * 26})[0] == 404
    assert told["url"].startswith(f"{HOOKS}/approve#")


def _mint(app: App, **changes: Any) -> str:
    """Sign what our own keys would sign, with changes."""
    now = int(time.time())
    issuer = app.settings.issuer
    good = {
        "iss": issuer, "aud": audience(issuer), "sub": ALICE, "iat": now, "exp": now + 600, "jti": "j" * 22,
        "task": "b" * 26, "digest": "0" * 64, "maker": "service:ops",
    }  # fmt: skip
    kind = changes.pop("kind", TYPE)
    claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
    ring = Ring.decode(app.door_secrets.value(app.settings.signing_secret))
    return tokens.sign(claims, tokens.signing_key(ring.keys[-1]), kind)


# Times are told from now on, in seconds: the test may run long after it was collected.
TIMES = {"iat", "exp"}
BAD: dict[str, dict[str, Any]] = {
    "an access token's type": {"kind": "at+jwt"},
    "no type": {"kind": ""},
    "JWT": {"kind": "JWT"},
    "another deployment's issuer": {"iss": "https://other.example.com"},
    "the audience of access tokens": {"aud": "sentinel"},
    "a list of audiences": {"aud": [audience("https://sentinel.local"), "sentinel"]},
    "expired": {"iat": -700, "exp": -100},
    "expires now": {"iat": -700, "exp": 0},
    "of the future": {"iat": 300, "exp": 600},
    "valid for longer than a day": {"exp": LONGEST + 600},
    "no expiry": {"exp": None},
    "an expiry with a fraction": {"exp": 600.5},
    "an expiry that is true": {"exp": True},
    "no id": {"jti": None},
    "a short id": {"jti": "j"},
    "no task": {"task": None},
    "a task that is a number": {"task": 7},
    "no digest": {"digest": ""},
    "no approver": {"sub": None},
    "an author that is none": {"sub": "carol"},
}


@pytest.mark.parametrize("name", BAD)
def test_a_link_that_is_good_but_for_one_thing_opens_nothing(app: App, call: Call, name: str) -> None:
    """Signed by our own keys, and still no link: 401, with nothing of it quoted."""
    now = int(time.time())
    claims = {
        claim: now + told if type(told) in {int, float} and claim in TIMES else told
        for claim, told in BAD[name].items()
    }
    token = _mint(app, **claims)
    for body in ({"look": True}, {"verdict": "approve", "why": ""}):
        status, told = call("POST", "/approve", {"token": token, **body})
        assert (status, told["error"]) == (401, "Unauthenticated"), told
        assert token not in told["message"]


def test_the_forger_would_get_in(app: App, call: Call, task: Task) -> None:
    """The tokens of the test above are refused for their one change alone."""
    asked = Asked.of(task.asked)
    assert asked is not None
    good = _mint(app, task=task.id, digest=asked.digest)
    assert call("POST", "/approve", {"token": good, "look": True})[0] == 200


def test_links_and_access_tokens_are_not_taken_for_each_other(app: App, call: Call, task: Task) -> None:
    """An access token opens no link's page, and a link no route behind a token."""
    token = _token(call, task)
    rules = tokens.Rules(app.settings.issuer, app.settings.audience, ours=True)
    found = tokens.read(token)
    key = app.directory.signing_keys()[found.kid]
    with pytest.raises(Unauthenticated, match="of another type"):
        tokens.checked(found, key, rules, int(time.time()))
    claims = tokens.access_claims(rules, "ops", frozenset({"admin"}), "x" * 43, int(time.time()), "j" * 22)
    ring = Ring.decode(app.door_secrets.value(app.settings.signing_secret))
    access = tokens.sign(claims, tokens.signing_key(ring.keys[-1]))
    assert call("POST", "/approve", {"token": access, "look": True})[0] == 401


NO_LINKS: list[object] = [
    *({}, {"token": 7, "look": True}, {"look": True}, {"token": "x.y.z"}, [], "x"),
    *({"token": "", "verdict": "approve"}, {"token": "a" * 9000, "look": True}),
]


@pytest.mark.parametrize("body", NO_LINKS)
def test_what_is_no_link_is_refused(call: Call, body: object) -> None:
    """Anything else is answered 400 or 401."""
    assert call("POST", "/approve", body)[0] in {400, 401}


def test_a_good_link_with_a_bad_verdict_is_not_used_up(app: App, call: Call, task: Task) -> None:
    """What was refused for its form can be said again rightly."""
    token = _token(call, task)
    bad: list[dict[str, object]] = [
        {"verdict": "maybe"},
        {"verdict": "approve", "why": "a\nb"},
        {"look": True, "verdict": "approve"},
    ]
    for body in bad:
        assert call("POST", "/approve", {"token": token, **body})[0] == 400
    assert call("POST", "/approve", {"token": token, "verdict": "approve", "why": ""})[0] == 200
    assert app.tasks.get(task.id).version == task.version + 1  # type: ignore[union-attr]


def test_a_link_read_back_is_the_link(app: App) -> None:
    """What is signed is what is read, with the deployment's published keys alone."""
    now = int(time.time())
    ring = Ring.decode(app.door_secrets.value(app.settings.signing_secret))
    link = Link("b" * 26, "0" * 64, ALICE, "operator:ann", "j" * 22, now + 60)
    token = sign(link, "https://s.example.com", now, tokens.signing_key(ring.keys[-1]))
    keys = app.directory.signing_keys()
    assert read(token, keys, "https://s.example.com", now) == link
    for at in (now - 31, now + 60):
        with pytest.raises(Unauthenticated, match="time is over"):
            read(token, keys, "https://s.example.com", at)
    with pytest.raises(Unauthenticated, match="another deployment"):
        read(token, keys, "https://t.example.com", now)
    with pytest.raises(Unauthenticated, match="key is not known"):
        read(token, {}, "https://s.example.com", now)


def test_half_a_link_says_so(app: App) -> None:
    """Who opens a link that a mail has cut learns what to do."""
    for text in ("", "e30", "a.b", "a.b.c!"):
        with pytest.raises(Unauthenticated, match="the link is not whole: open all of it"):
            read(text, app.directory.signing_keys(), "https://x.example", 0)


def test_the_page_can_do_nothing_but_its_one_thing() -> None:
    """Its policy has the hashes of its script and style, and its own origin, and nothing else."""
    answer = load("approve")(event("GET", "/approve"), None)
    page = base64.b64decode(answer["body"]).decode()
    headers = answer["headers"]
    assert (answer["statusCode"], page) == (200, PAGE)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(each.strip().partition(" ")[::2] for each in headers["Content-Security-Policy"].split(";"))
    for kind, text in (("script-src", SCRIPT), ("style-src", STYLE)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert policy[kind] == f"'sha256-{digest}'"
    for name in ("default-src", "frame-ancestors", "base-uri", "form-action", "trusted-types"):
        assert policy[name] == "'none'"
    assert policy["connect-src"] == "'self'"
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")
    assert headers["X-Frame-Options"] == "DENY"
    # One script, one style, no reference to anywhere, and text is never put in as markup.
    assert re.findall(r"<script[^>]*>", page) == ["<script>"]
    assert re.findall(r"<style[^>]*>", page) == ["<style>"]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:|//|\bon\w+=", page
    )
    assert "history.replaceState" in SCRIPT
