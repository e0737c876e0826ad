"""What people do to tasks through the API: proxy events in, answers out, on real SQLite stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.states import NEVER, State
from sentinel.core.tasks import SECOND, Task, born, moved
from sentinel.entrypoints.api_tasks import MAX_BODY, who_of
from sentinel.entrypoints.web import Identity, Request
from sentinel.errors import Unavailable
from sentinel.usecases.forks import fork_id
from tests.functions.test_api_handlers import app as app  # noqa: PLC0414 - a fixture
from tests.functions.test_api_handlers import event, load

Ask = Callable[..., tuple[int, Any]]
OWN = "ingest tasks:read tasks:control"
ADMIN = f"{OWN} admin"
RECIPE = b"""\
id: desk
on: {rule: errors}
steps:
  - {id: open, uses: http.call, with: {method: POST, url: "https://desk.example.com/tickets"}}
  - {id: note, uses: http.call, with: {method: POST, url: "https://desk.example.com/notes"}}
"""


@pytest.fixture
def ask(app: App) -> Iterator[Ask]:
    """Send a request to the control function; return status and decoded body."""
    app.catalog.push("recipe", "desk", RECIPE)
    handler = load("control")

    def ask(method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        parts = path.split("/")
        name = "queue" if parts[2] == "queues" else "task"
        named = len(parts) > 3 and parts[3] != "bulk"
        resource = "/".join([*parts[:3], f"{{{name}}}", *parts[4:]]) if named else path
        raw = body if isinstance(body, bytes) else orjson.dumps(body) if body is not None else b""
        sent = event(
            method, resource, raw, params={name: parts[3]} if named else None, query=more.get("query")
        )
        sent["requestContext"]["authorizer"] |= {
            "service": more.get("service", "checkout"),
            "scopes": more.get("scopes", OWN),
            "subject": more.get("subject", ""),
        }
        answer = handler(sent, None)
        return answer["statusCode"], orjson.loads(answer["body"])

    yield ask
    bootstrap.cache_clear()


def put(app: App, name: str, state: State, service: str = "checkout", **changes: Any) -> Task:
    """Store a task of a service in some state."""
    recipe = app.playbook.recipe("desk", 1)
    places = [{"chain": f"{service}/0", "seq": 0}]
    cause = {"rule": "errors", "title": "Errors", "fingerprint": "f", "entries": places}
    told = {"recipe": "desk", "version": 1, "digest": recipe.digest, "rule": "errors", "entries": places}
    begins = State.PROPOSED if state is State.PROPOSED else State.QUEUED
    about = ("desk", 1, recipe.digest, begins, 0, 0, 0, 0, "action", 5 * SECOND, NEVER, cause)
    blank = Task(name * 26, *about)
    task, first = born(replace(blank, **changes), bytes(32), told)
    assert app.tasks.create(task, first)
    way = (State.RUNNING,) if state is State.RUNNING else (State.RUNNING, state)
    for to in () if state is task.state else way:
        facts = {"step": "open", "last": False}
        after, event = moved(task, to, 6 * SECOND, bytes(32), facts, due=NEVER)
        app.tasks.move(task, after, event)
        task = after
    return task


@pytest.mark.parametrize(
    ("act", "state", "after", "body"),
    [
        ("cancel", State.WAITING, "cancelled", {}),
        ("retry", State.WAITING, "queued", {}),
        ("redrive", State.FAILED, "queued", {}),
        ("accept", State.PROPOSED, "queued", {}),
        ("resolve", State.AMBIGUOUS, "queued", {"verdict": "happened"}),
    ],
)
def test_an_act_is_done_and_told(
    app: App, ask: Ask, act: str, state: State, after: str, body: dict[str, str]
) -> None:
    """200 with the task as it then is; the lineage has who came in by the door, and why; again it is 409."""
    task = put(app, "a", state)
    status, told = ask("POST", f"/v1/tasks/{task.id}/{act}", {"why": "as agreed", **body})
    assert (status, told["id"], told["state"]) == (200, task.id, after)
    status, shown = ask("GET", f"/v1/tasks/{task.id}")
    assert status == 200
    last = shown["lineage"][-1]
    assert (last["who"], last["why"], last["from"]) == ("service/checkout", "as agreed", state.value)
    status, told = ask("POST", f"/v1/tasks/{task.id}/{act}", {"why": "once more", **body})
    assert (status, told["error"]) == (409, "Conflict")
    assert f"is {after}" in told["message"]


@pytest.mark.parametrize("act", ["cancel", "retry", "redrive", "accept", "resolve", "fork"])
def test_anothers_task_is_not_there(app: App, ask: Ask, act: str) -> None:
    """It is answered as one that does not exist, and stays as it is; an admin may act on all."""
    task = put(app, "a", State.QUEUED, service="victim")
    body = {"why": "mine now", **({"verdict": "again"} if act == "resolve" else {})}
    theirs = ask("POST", f"/v1/tasks/{task.id}/{act}", body)
    assert theirs == ask("POST", f"/v1/tasks/{'b' * 26}/{act}", body)
    assert theirs == (404, {"error": "Missing", "message": "there is no such task"})
    assert ask("GET", f"/v1/tasks/{task.id}")[0] == 404
    assert app.tasks.get(task.id) == task
    assert app.tasks.get(fork_id(task, 1)) is None
    status, _ = ask("POST", f"/v1/tasks/{task.id}/{act}", body, scopes=ADMIN)
    assert status == (200 if act in {"cancel", "fork"} else 409)
    assert ask("GET", f"/v1/tasks/{task.id}", scopes=ADMIN)[0] == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_task_that_asks_nobody_tells_others_nothing(app: App, ask: Ask, method: str) -> None:
    """Whoever asks about the approval of another's task does not learn that there is one, nor its state."""
    task = put(app, "a", State.FAILED, service="victim")
    body = {"verdict": "approve", "digest": "0" * 64, "why": "x"}
    answers = [
        ask(method, f"/v1/tasks/{each}/approval", body, scopes="tasks:approve")
        for each in (task.id, "b" * 26)
    ]
    assert answers[0] == answers[1] == (404, {"error": "Missing", "message": "there is no such task"})
    mine = put(app, "c", State.FAILED)
    assert ask(method, f"/v1/tasks/{mine.id}/approval", body, scopes="tasks:approve")[0] == 409


BODIES: list[Any] = [b"", b"{", b"[]", b'"x"', {}, {"why": ""}, {"why": 5}, {"why": " "}, {"why": "a\nb"}]
BODIES += [{"why": "x" * 501}, {"why": "x", "who": "root"}, {"why": "x", "service": "victim"}]


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_is_none_is_refused(app: App, ask: Ask, body: Any) -> None:
    """Every act needs a reason and takes nothing that it does not know: nobody says who they are."""
    task = put(app, "a", State.WAITING)
    for path in (*(f"/v1/tasks/{task.id}/{act}" for act in ("cancel", "fork", "resolve")), "/v1/tasks/bulk"):
        status, told = ask("POST", path, body)
        assert (status, told["error"]) == (400, "Malformed")
    assert app.tasks.get(task.id) == task


def test_a_body_is_bounded(app: App, ask: Ask) -> None:
    """What is longer than any order is refused by its length."""
    task = put(app, "a", State.WAITING)
    body = orjson.dumps({"why": "x", "inputs": {"open": {"body": "x" * MAX_BODY}}})
    assert ask("POST", f"/v1/tasks/{task.id}/fork", body)[0] == 413


def test_who_acts_is_who_came_in() -> None:
    """The service, and the token's subject where an outside issuer names it; one bounded line."""

    def named(service: str, subject: str) -> str:
        return who_of(Request("POST", "/", Identity(service, subject), "r"))

    assert named("checkout", "") == named("checkout", "checkout") == "service/checkout"
    ann = "oidc:https://login.example.com#ann"
    assert named("checkout", ann) == f"service/checkout ({ann})"
    odd = named("x" * 128, "oidc:https://a#b\nc\x00" + "d" * 900)
    assert len(odd) == 200
    assert odd.isprintable()


FORK = {"why": "the path was wrong", "inputs": {"note": {"url": "https://desk.example.com/v2/notes"}}}


def test_a_fork_is_made_once_for_a_request(app: App, ask: Ask) -> None:
    """The fork is answered, and found from its parent; the same request again gives the same one."""
    parent = put(app, "a", State.FAILED, step=1, results={"open": {"status": 201}})
    order = {**FORK, "from": "note", "request": "r-1"}
    scopes = f"{OWN} recipes:write"
    status, made = ask("POST", f"/v1/tasks/{parent.id}/fork", order, scopes=scopes)
    assert (status, made["state"], made["step"], made["fork_of"]) == (200, "queued", 1, parent.id)
    assert ask("POST", f"/v1/tasks/{parent.id}/fork", order, scopes=scopes) == (200, made)
    status, told = ask("POST", f"/v1/tasks/{parent.id}/fork", {**order, "inputs": {}}, scopes=scopes)
    assert (status, told["error"]) == (409, "Conflict")
    assert ask("GET", f"/v1/tasks/{parent.id}")[1]["forks"] == [made["id"]]
    _, shown = ask("GET", f"/v1/tasks/{made['id']}")
    assert shown["inputs"] == FORK["inputs"]
    assert shown["results"] == {"open": {"status": 201}}
    assert shown["lineage"][0]["who"] == "service/checkout"
    assert shown["lineage"][0]["changed"] == ["note.url"]


def test_changed_inputs_take_the_right_to_write_recipes(app: App, ask: Ask) -> None:
    """Whoever may not push a recipe cannot have its steps do something else, but may have them done again."""
    parent = put(app, "a", State.FAILED)
    status, told = ask("POST", f"/v1/tasks/{parent.id}/fork", FORK)
    assert (status, told["error"]) == (403, "Forbidden")
    assert "recipes:write" in told["message"]
    assert ask("POST", f"/v1/tasks/{parent.id}/fork", {"why": "again"})[0] == 200


@pytest.mark.parametrize(
    ("order", "why"),
    [
        ({"inputs": []}, "inputs is an object"),
        ({"inputs": {"open": "x"}}, "inputs is an object"),
        ({"inputs": {"shut": {}}}, "the steps that the fork does are open, note"),
        ({"inputs": {"open": {"verb": "GET"}}}, "inputs: step open: http.call: verb"),
        ({"inputs": {"open": {"url": "https://${entry.host}/"}}}, "behind the host"),
        ({"from": "shut"}, "the recipe's steps are open, note"),
        ({"from": "note"}, "has no result of step open"),
        ({"from": 1}, "from is a text"),
        ({"request": "x" * 129}, "request is at most"),
    ],
)
def test_a_fork_that_cannot_be_says_why(app: App, ask: Ask, order: dict[str, Any], why: str) -> None:
    """400 with what is wrong; nothing is made."""
    parent = put(app, "a", State.FAILED)
    status, told = ask("POST", f"/v1/tasks/{parent.id}/fork", {"why": "x", **order}, scopes=ADMIN)
    assert (status, told["error"]) == (400, "Malformed")
    assert why in told["message"]
    assert app.tasks.get(fork_id(parent, 1)) is None


def test_bulk_acts_on_ones_own(app: App, ask: Ask) -> None:
    """A dry run tells how many; the act is done to one's own tasks alone, and to all by an admin."""
    for name in "abc":
        put(app, name, State.FAILED, reason="step open: the host is away")
    put(app, "d", State.FAILED, service="victim")
    put(app, "e", State.SUCCEEDED)
    order: dict[str, Any] = {
        "act": "redrive",
        "filter": {"states": ["failed", "succeeded"]},
        "why": "it is back",
    }
    status, told = ask("POST", "/v1/tasks/bulk", {**order, "dry_run": True})
    expected = {"matched": 4, "done": 3, "not_possible": {"it is succeeded": 1}, "more": False}
    assert (status, told) == (200, expected)
    assert len(app.tasks.listing(State.FAILED)) == 4
    status, told = ask("POST", "/v1/tasks/bulk", {**order, "limit": 2})
    assert (told["done"], told["more"]) == (2, True)
    status, told = ask("POST", "/v1/tasks/bulk", {**order, "limit": 2, "next": told["next"]})
    assert (told["done"], told["more"]) == (1, False)
    assert [task.id for task in app.tasks.listing(State.FAILED)] == ["d" * 26]
    assert ask("POST", "/v1/tasks/bulk", order)[1]["done"] == 0
    assert ask("POST", "/v1/tasks/bulk", order, scopes=ADMIN)[1]["done"] == 1
    for name in "abcd":
        last = app.tasks.lineage(name * 26)[-1].body
        assert (last["who"], last["why"]) == ("service/checkout", "it is back")


@pytest.mark.parametrize(
    "changes",
    [
        {"act": "fork"},
        {"act": None},
        {"filter": None},
        {"filter": {"owner": "victim"}},
        {"filter": {"states": ["done"]}},
        {"limit": 0},
        {"limit": 1001},
        {"limit": True},
        {"limit": "5"},
        {"dry_run": "yes"},
        {"next": "x"},
        {"next": 5},
    ],
)
def test_a_bulk_order_that_is_none_is_refused(app: App, ask: Ask, changes: dict[str, Any]) -> None:
    """400, and nothing is touched."""
    task = put(app, "a", State.WAITING)
    order = {"act": "cancel", "filter": {}, "why": "x", **changes}
    status, told = ask("POST", "/v1/tasks/bulk", order)
    assert (status, told["error"]) == (400, "Malformed"), told
    assert app.tasks.get(task.id) == task


def test_tasks_are_listed_page_by_page(app: App, ask: Ask) -> None:
    """Filters narrow, `next` goes on, and at the end there is none; others' take the scope admin."""
    for name in "abcde":
        put(app, name, State.QUEUED)
    put(app, "f", State.FAILED)
    put(app, "g", State.FAILED, service="other")
    assert {each["id"][0] for each in ask("GET", "/v1/tasks")[1]["tasks"]} == set("abcdef")
    assert "next" not in ask("GET", "/v1/tasks")[1]
    seen, query = "", {"limit": "2", "state": "queued"}
    while True:
        status, page = ask("GET", "/v1/tasks", query=query)
        assert status == 200
        seen += "".join(each["id"][0] for each in page["tasks"])
        if "next" not in page:
            break
        query["next"] = page["next"]
    assert seen == "abcde"
    assert ask("GET", "/v1/tasks", query={"recipe": "other"})[1] == {"tasks": []}
    for service in ("other", "*"):
        assert ask("GET", "/v1/tasks", query={"service": service})[0] == 403
    assert (
        ask("GET", "/v1/tasks", query={"service": "checkout", "state": "failed"})[1]["tasks"][0]["id"]
        == "f" * 26
    )
    of = {
        name: ask("GET", "/v1/tasks", query={"service": name}, scopes=ADMIN)[1]["tasks"]
        for name in ("other", "*")
    }
    assert [each["id"][0] for each in of["other"]] == ["g"]
    assert len(of["*"]) == 7
    assert len(ask("GET", "/v1/tasks", scopes=ADMIN)[1]["tasks"]) == 6


@pytest.mark.parametrize(
    "query", [{"state": "done"}, {"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"next": "1"}]
)
def test_a_bad_query_is_refused(ask: Ask, query: dict[str, str]) -> None:
    """400 that says what there is."""
    assert ask("GET", "/v1/tasks", query=query)[0] == 400


@pytest.mark.parametrize("path", ["/v1/tasks/bulk", f"/v1/tasks/{'a' * 26}/cancel"])
def test_the_scope_is_asked_for(ask: Ask, path: str) -> None:
    """Seeing tasks is not touching them."""
    body = {"why": "x", "act": "cancel", "filter": {}}
    assert ask("POST", path, body, scopes="ingest tasks:read")[0] == 403


def test_a_store_that_is_away_is_503(app: App, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told that something was done where that is not known."""
    task = put(app, "a", State.WAITING)

    def away(*_: object) -> None:
        raise Unavailable("injected", 2.0)

    for port in ("get", "newest"):
        monkeypatch.setattr(app.tasks, port, away)
    for path in (f"/v1/tasks/{task.id}/cancel", f"/v1/tasks/{task.id}/fork"):
        assert ask("POST", path, {"why": "x"})[0] == 503
    assert ask("POST", "/v1/tasks/bulk", {"act": "cancel", "filter": {}, "why": "x"})[0] == 503
    assert ask("GET", "/v1/tasks")[0] == 503


def test_queues_are_stopped_counted_and_emptied_by_admins(app: App, ask: Ask) -> None:
    """A pause tells who and until when, an overview counts, a purge cancels, a resume ends the pause."""
    for name in "abc":
        put(app, name, State.WAITING)
    put(app, "d", State.WAITING, service="other")
    where = "/v1/queues/service:checkout"
    for method, path in (("GET", "/v1/queues"), ("POST", f"{where}/pause"), ("POST", f"{where}/purge")):
        assert ask(method, path, {"why": "x"})[0] == 403
    status, told = ask("POST", f"{where}/pause", {"why": "maintenance", "until": NEVER}, scopes=ADMIN)
    assert status == 200
    assert (told["target"], told["who"], told["until"]) == ("service:checkout", "service/checkout", NEVER)
    status, told = ask("GET", "/v1/queues", scopes=ADMIN)
    assert (status, told["streams"]) == (200, {"action": {"waiting": 4}})
    assert [each["why"] for each in told["pauses"]] == ["maintenance"]
    order = {"why": "out of date", "limit": 2}
    dry = ask("POST", f"{where}/purge", {"why": "x", "dry_run": True}, scopes=ADMIN)[1]
    assert (dry["cancelled"], dry["more"]) == (3, False)
    purged = [ask("POST", f"{where}/purge", order, scopes=ADMIN)[1] for _ in range(2)]
    assert [(each["cancelled"], each["more"]) for each in purged] == [(2, True), (1, False)]
    assert [task.id[0] for task in app.tasks.listing(State.WAITING)] == ["d"]
    last = app.tasks.lineage("a" * 26)[-1].body
    assert (last["event"], last["who"], last["why"]) == ("cancelled", "service/checkout", "out of date")
    assert ask("POST", f"{where}/resume", {"why": "done"}, scopes=ADMIN)[1]["woken"] == 0
    assert ask("POST", f"{where}/resume", {"why": "done"}, scopes=ADMIN)[0] == 404
    assert ask("GET", "/v1/queues", scopes=ADMIN)[1]["pauses"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("nowhere/pause", {"why": "x"}),
        ("all/pause", {}),
        ("all/pause", {"why": "x", "until": 1}),
        ("all/pause", {"why": "x", "until": "tomorrow"}),
        ("all/pause", {"why": "x", "who": "root"}),
        ("all/resume", {"why": "x", "until": 1}),
        ("all/purge", {"why": "x", "limit": 501}),
        ("all/purge", {"why": "x", "limit": True}),
        ("all/purge", {"why": "x", "dry_run": 1}),
        ("all/purge", {"why": "x", "all_states": "yes"}),
    ],
)
def test_an_order_for_a_queue_that_is_none_is_refused(
    app: App, ask: Ask, path: str, body: dict[str, Any]
) -> None:
    """400, and nothing is paused or cancelled."""
    task = put(app, "a", State.WAITING)
    assert ask("POST", f"/v1/queues/{path}", body, scopes=ADMIN)[0] == 400
    assert ask("GET", "/v1/queues", scopes=ADMIN)[1]["pauses"] == []
    assert app.tasks.get(task.id) == task
