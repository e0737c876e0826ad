"""The walk itself: whoever behaves is let in everywhere, and a route that is new is attacked with no edit."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest

from sentinel import routes
from sentinel.routes import Door, Route
from tests.attacks import walk
from tests.attacks.deployment import Deployment, Member
from tests.attacks.record import Answer
from tests.attacks.test_certificates import basic
from tests.attacks.test_tokens import attack
from tests.attacks.walk import Target
from tests.webhooks.test_standard import sign

pytestmark = pytest.mark.xdist_group("attacks")

# 409: a certificate is renewed late in its life, and this one is new; and the victim's task asks nobody.
CHANNEL = "11111111-2222-4333-8444-555555555555"
SERVED = {200, 409}


def honest(tree: Deployment, member: Member, target: Target) -> Answer:
    """Send a route's request as somebody who may."""
    door = target.route.door
    if door == "link":
        client = tree.client(hooks=True)
        body = json.dumps({"token": tree.link(), "look": True}).encode()
        answer = client.ask(target.method, target.path, body, target.headers)
        client.close()
        return answer
    if door == "secret":
        client = tree.client(hooks=True)
        headers = {**target.headers, **basic("monitors", tree.token_secrets["monitors"])}
        answer = client.ask(target.method, target.path, target.body, headers)
        client.close()
        return answer
    if door in {"signature", "open"}:
        headers = sign(target.body, tree.hook_secret, uuid.uuid4().hex, int(time.time()))
        if target.path.startswith("/services/"):
            headers = {"Authorization": f"Splunk {tree.hec_token}", "X-Splunk-Request-Channel": CHANNEL}
        client = tree.client(hooks=True)
        answer = client.ask(target.method, target.path, target.body, {**target.headers, **headers})
        client.close()
        return answer
    headers = tree.bearer(member) if door == "token" else {}
    headers |= basic(member.name, member.api_key) if door == "key" else {}
    sent = walk.with_things(target, tree.victims_task, tree.victims_alert)
    return member.client.ask(sent.method, sent.path, sent.body, {**sent.headers, **headers})


def served(tree: Deployment, member: Member) -> None:
    """Check that every request of the walk is served to somebody who may: nothing is refused by mistake."""
    for target in (*walk.service(), *walk.hooks()):
        answer = honest(tree, member, target)
        assert answer.status in SERVED, f"{target}: {answer.status} {answer.body!r}"


def test_who_may_is_served_on_every_route(tree: Deployment, victim: Member) -> None:
    """The requests that are refused elsewhere are good ones: only who sends them is wrong."""
    served(tree, victim)


def test_every_route_is_walked() -> None:
    """The walk has every route of both lists, and what takes any method with several."""
    walked = {(target.route.method, target.route.path) for target in (*walk.service(), *walk.hooks())}
    assert walked == {(route.method, route.path) for route in (*routes.ROUTES, *routes.HOOK_ROUTES)}
    methods = {target.method for target in walk.service() if target.route.method == "ANY"}
    assert methods == set(walk.ANY)


def imagine(monkeypatch: pytest.MonkeyPatch, door: Any = "token") -> Route:
    """Add a route that nobody has written yet, and have all be attacked."""
    monkeypatch.setenv("SENTINEL_THOROUGH", "1")
    made = Route("POST", "/v1/imaginary/{thing}/{rest+}", "control", "admin", door)
    monkeypatch.setattr(routes, "ROUTES", (*routes.ROUTES, made))
    return made


class Open:
    """A gateway that lets everybody in everywhere."""

    def ask(self, method: str, path: str, *_about: object) -> Answer:
        """Serve, but keep the doors of the routes that there are."""
        door = 200 if "imaginary" in path else 401
        body = b'{"error": "Unauthenticated", "message": "no"}'
        return Answer(door, (("content-type", "application/json"),), body)


def test_a_new_route_that_lets_strangers_in_is_found(
    tree: Deployment, me: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A route that was just added and forgets its door fails each attack, by name."""
    imagine(monkeypatch)
    open_door: Any = Open()
    with pytest.raises(AssertionError, match=r"POST /v1/imaginary/.*: answered 200"):
        attack(tree, replace(me, client=open_door), "expired", "imaginary")


def test_a_new_route_that_is_not_served_is_found(
    tree: Deployment, victim: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that the gateway does not know is refused with 404, and not for the reason that was to be shown."""
    imagine(monkeypatch)
    with pytest.raises(AssertionError, match=r"POST /v1/imaginary/.*: answered 404"):
        attack(tree, victim, "expired", "imaginary")
    with pytest.raises(AssertionError, match=r"POST /v1/imaginary/.*: 404"):
        served(tree, victim)


def test_a_door_without_attacks_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A route behind a new kind of door is an error until somebody has written attacks on it."""
    door: Any = "password"
    imagine(monkeypatch, door)
    with pytest.raises(AssertionError, match="no attacks on a door password"):
        walk.service()
    assert set(Door.__args__) == walk.SERVICE_DOORS | walk.HOOK_DOORS  # type: ignore[attr-defined]
