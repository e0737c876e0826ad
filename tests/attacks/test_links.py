"""Links to approve that must not count, each good but for one thing: the forger has our signing key."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from sentinel.core.approval_links import LONGEST, audience
from tests.attacks import tokens
from tests.attacks.deployment import Deployment, Member
from tests.attacks.record import Answer, case
from tests.attacks.wire import Client

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
ROUTE = "POST /approve"
KIND = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def anybody(tree: Deployment) -> Client:
    """Somebody without a certificate."""
    return tree.client(hooks=True)


def post(client: Client, body: object) -> Answer:
    """Post to the page's address."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.ask("POST", "/approve", raw, KIND)


def both(tried: Any, client: Client, token: object) -> None:
    """Look with a token, and decide with it: both have to be refused."""
    tried.refused(post(client, {"token": token, "look": True}), ROUTE)
    tried.refused(post(client, {"token": token, "verdict": "approve", "why": "mine"}), ROUTE)


def _now() -> int:
    return int(time.time())


CHANGED: dict[str, Callable[[], dict[str, Any]]] = {
    "type of an access token": lambda: {"typ": "at+jwt"},
    "type JWT": lambda: {"typ": "JWT"},
    "no type": lambda: {"typ": ""},
    "another issuer": lambda: {"iss": "https://evil.example"},
    "issuer with a slash": lambda: {"iss": "https://sentinel.local/"},
    "audience of access tokens": lambda: {"aud": "sentinel"},
    "two audiences": lambda: {"aud": [audience("https://sentinel.local"), "sentinel"]},
    "no audience": lambda: {"aud": None},
    "expired": lambda: {"iat": _now() - 700, "exp": _now() - 1},
    "of the future": lambda: {"iat": _now() + 120, "exp": _now() + 600},
    "for longer than a day": lambda: {"exp": _now() + LONGEST + 600},
    "no expiry": lambda: {"exp": None},
    "expiry as text": lambda: {"exp": str(_now() + 600)},
    "no id": lambda: {"jti": None},
    "id of another form": lambda: {"jti": "../" + "j" * 19},
    "no task": lambda: {"task": None},
    "no digest": lambda: {"digest": None},
    "digest as a number": lambda: {"digest": 0},
    "no approver": lambda: {"sub": None},
    "approver that is no author": lambda: {"sub": "mallory"},
    "a service as the approver": lambda: {"sub": "service:mallory"},
    "a list of approvers": lambda: {"sub": ["vera"]},
}


@pytest.mark.parametrize("name", CHANGED)
def test_a_link_that_is_good_but_for_one_thing_is_refused(
    tree: Deployment, anybody: Client, name: str
) -> None:
    """Signed with the deployment's own key."""
    with case("links", name, GATEWAY, 401) as tried:
        both(tried, anybody, tree.link(**CHANGED[name]()))


def test_no_access_token_is_a_link(tree: Deployment, me: Member, anybody: Client) -> None:
    """Neither a good one, nor one of the forged ones of the attacks on the doors."""
    with case("links", "an access token", GATEWAY, 401) as tried:
        both(tried, anybody, tree.token(me))
    with case("links", "every forged access token", GATEWAY, 401) as tried:
        for make in tokens.BAD.values():
            both(tried, anybody, tree.keep("token", make(tree.mint())))


def test_no_link_is_an_access_token(tree: Deployment, me: Member) -> None:
    """A good link opens no route, over whatever certificate."""
    with case("links", "in the place of an access token", GATEWAY, 401) as tried:
        for path in ("/v1/tasks", "/v1/chains", f"/v1/tasks/{tree.victims_task}/approval"):
            answer = me.client.ask("GET", path, headers={"Authorization": f"Bearer {tree.link()}"})
            tried.refused(answer, f"GET {path.replace(tree.victims_task, '{task}')}")


def test_a_link_that_was_changed_is_refused(tree: Deployment, anybody: Client) -> None:
    """Each part, cut, lengthened, swapped, or signed by nobody."""
    good = tree.link()
    header, payload, signature = good.split(".")
    other = tree.link(task="b" * 26).split(".")
    changed = {
        "another's payload": f"{header}.{other[1]}.{signature}",
        "another's signature": f"{header}.{payload}.{other[2]}",
        "no signature": f"{header}.{payload}.",
        "alg none": f"{tokens.compact({'alg': 'none', 'kid': tree.ring.keys[-1].id, 'typ': 'approval+jwt'})}"
        f".{payload}.{signature}",
        "cut": good[:-4],
        "lengthened": good + "AAAA",
        "with padding": good + "=",
        "with a blank": good + " ",
        "with a line break": good + "\n",
        "twice": f"{good},{good}",
    }
    for name, token in changed.items():
        with case("links", name, GATEWAY, 401) as tried:
            both(tried, anybody, token)


BODIES: dict[str, bytes] = {
    "no body": b"",
    "no JSON": b"token=x",
    "a list": b"[]",
    "a token that is a list": b'{"token": ["x"], "look": true}',
    "a token that is a number": b'{"token": 1, "look": true}',
    "deep": b"[" * 50_000,
    "over 65,536 bytes": b'{"token": "%s"}' % (b"x" * 70_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_link_is_refused(anybody: Client, name: str) -> None:
    """400, or 401 where there is a text that could be one."""
    with case("links", f"body: {name}", GATEWAY, 400, 401) as tried:
        tried.refused(post(anybody, BODIES[name]), ROUTE)


def test_the_link_in_the_query_or_a_header_counts_for_nothing(tree: Deployment, anybody: Client) -> None:
    """There is one place for it, which no log and no Referer has."""
    token = tree.link()
    with case("links", "token elsewhere", GATEWAY, 401) as tried:
        for path, headers in (
            (f"/approve?token={token}", {}),
            ("/approve", {"Authorization": f"Bearer {token}"}),
            ("/approve", {"Cookie": f"token={token}"}),
        ):
            tried.refused(anybody.ask("POST", path, b'{"look": true}', {**KIND, **headers}), ROUTE)


def test_fetching_the_page_does_nothing(tree: Deployment, anybody: Client) -> None:
    """Scanners that follow links see the same page each time, with no word of a task."""
    with case("links", "the page fetched by a scanner", GATEWAY) as tried:
        before = tree.app.tasks.get(tree.victims_task)
        answers = {anybody.ask("GET", "/approve").body for _ in range(3)}
        answers.add(anybody.ask("GET", f"/approve?token={tree.link()}").body)
        tried.holds(len(answers) == 1, "the page is not always the same")
        tried.holds(tree.app.tasks.get(tree.victims_task) == before, "it changed the task")
