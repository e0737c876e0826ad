"""Tokens that must not count, on every route behind a token of the running gateway."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest

from tests.attacks import tokens, walk
from tests.attacks.deployment import Deployment, Member
from tests.attacks.record import Answer, case
from tests.attacks.walk import Target
from tests.attacks.wire import request

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
# Over a line of HTTP or with a character that no header has: refused before anybody looks for a token.
NO_HTTP = {"over 8,192 characters": 400}


def ask(member: Member, target: Target, authorization: str | None) -> Answer:
    """Send a target's request with one Authorization header, or with none."""
    sent = {} if authorization is None else {"Authorization": authorization}
    return member.client.ask(target.method, target.path, target.body, {**target.headers, **sent})


def attack(tree: Deployment, member: Member, name: str, where: str = GATEWAY) -> None:
    """Send one kind of bad token to every route behind a token; all have to refuse it."""
    mint = tree.mint()
    with case("token", name, where, NO_HTTP.get(name, 401)) as tried:
        for target in walk.some(name, "token"):
            token = tree.keep("token", tokens.BAD[name](mint))
            tried.refused(ask(member, target, f"Bearer {token}"), str(target))


@pytest.mark.parametrize("name", tokens.BAD)
def test_a_token_that_is_good_but_for_one_thing_opens_nothing(
    tree: Deployment, me: Member, name: str
) -> None:
    """Over the right certificate, on every route."""
    attack(tree, me, name)


HEADERS: dict[str, Callable[[str], str | None]] = {
    "none": lambda token: None,
    "empty header": lambda token: "",
    "Bearer alone": lambda token: "Bearer",
    "Bearer and blanks": lambda token: "Bearer   ",
    "no scheme": lambda token: token,
    "Basic": lambda token: f"Basic {token}",
    "Token": lambda token: f"Token {token}",
    "DPoP": lambda token: f"DPoP {token}",
    "a tab behind Bearer": lambda token: f"Bearer\t{token}",
    "a comma behind it": lambda token: f"Bearer {token},",
    "quoted": lambda token: f'Bearer "{token}"',
    "a parameter": lambda token: f"Bearer token={token}",
    "not ASCII": lambda token: f"Bearer {token}\u00e4",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_good_token_in_another_form_opens_nothing(tree: Deployment, me: Member, name: str) -> None:
    """There is one way to send it."""
    with case("token", f"header: {name}", GATEWAY, 401) as tried:
        for target in walk.service("token"):
            tried.refused(ask(me, target, HEADERS[name](tree.token(me))), str(target))


def test_a_good_token_elsewhere_opens_nothing(tree: Deployment, me: Member) -> None:
    """In the query, in a cookie, in the body, in another header."""
    token = tree.token(me)
    places = {
        "query": ("?access_token=" + token, {}, b""),
        "cookie": ("", {"Cookie": f"access_token={token}"}, b""),
        "body": ("", {"Content-Type": "application/x-www-form-urlencoded"}, f"access_token={token}".encode()),
        "X-Authorization": ("", {"X-Authorization": f"Bearer {token}"}, b""),
        "Proxy-Authorization": ("", {"Proxy-Authorization": f"Bearer {token}"}, b""),
        "Authorization_": ("", {"Authorization_": f"Bearer {token}"}, b""),
    }
    for place, (query, headers, body) in places.items():
        with case("token", f"in another place: {place}", GATEWAY, 401) as tried:
            for target in walk.service("token"):
                answer = me.client.ask(target.method, target.path + query, body or target.body, headers)
                tried.refused(answer, str(target))


def test_two_tokens_open_nothing(tree: Deployment, me: Member, victim: Member) -> None:
    """The same twice, a good and a bad one in either order, in one spelling or in two."""
    good, other = (tree.bearer(each)["Authorization"] for each in (me, victim))
    pairs = {
        "twice the same": (good, good),
        "good, then bad": (good, "Bearer x"),
        "bad, then good": ("Bearer x", good),
        "mine, then the victim's": (good, other),
        "good, then none": (good, ""),
    }
    for name, values in pairs.items():
        with case("token", f"two headers: {name}", GATEWAY, 400) as tried:
            for target in walk.service("token"):
                for spelling in ("Authorization", "aUTHORIZATION"):
                    lines = [f"Authorization: {values[0]}", f"{spelling}: {values[1]}"]
                    data = request(
                        target.method,
                        target.path,
                        "Host: localhost",
                        *lines,
                        f"Content-Length: {len(target.body)}",
                        "Connection: close",
                        body=target.body,
                    )
                    tried.refused(me.client.one(data), str(target))


def test_a_stolen_token_opens_nothing(tree: Deployment, me: Member, victim: Member) -> None:
    """Over the thief's certificate, and over another good one of its owner, also while its answer is kept."""
    thieves = {"another service's": me.held, "another one of its owner": tree.forge.of(victim.name)}
    for whose, held in thieves.items():
        with (
            case("token", f"stolen, over a certificate: {whose}", GATEWAY, 401) as tried,
            closing(tree.client(held)) as thief,
        ):
            for target in walk.service("token"):
                bearer = tree.bearer(victim)
                assert (
                    victim.client.ask("GET", "/v1/chains", headers=bearer).status == 200
                )  # its answer is kept
                answer = thief.ask(target.method, target.path, target.body, {**target.headers, **bearer})
                tried.refused(answer, str(target))
