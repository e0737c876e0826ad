"""Replays after the end: what was good a moment ago counts no more within `SENTINEL_DOOR_SECONDS`.

Everything is taken away at one time, so that the suite waits once.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson
import pytest

from sentinel.core import tokens as our_tokens
from sentinel.core.ring import Key, Ring
from sentinel.usecases.directory import JWKS
from sentinel.usecases.rotated_kinds import private_key
from sentinel.usecases.services import Changes
from tests.attacks import walk
from tests.attacks.deployment import SOURCE, Deployment, Member
from tests.attacks.record import Answer, case
from tests.attacks.test_certificates import basic
from tests.webhooks.test_standard import sign

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"


@dataclass
class Replay:
    """Something that is good, and how it ends."""

    name: str
    end: Callable[[], object]
    ask: Callable[[], Answer]
    expected: int
    after: Callable[[], list[tuple[Answer, str]]]
    begin: Callable[[], object] = lambda: None


def _everywhere(tree: Deployment, member: Member, bearer: dict[str, str]) -> list[tuple[Answer, str]]:
    return [
        (member.client.ask(each.method, each.path, each.body, {**each.headers, **bearer}), str(each))
        for each in walk.service("token")
    ]


def _with_token(
    tree: Deployment,
    name: str,
    member: Member,
    end: Callable[[], object],
    status: int,
    bearer: dict[str, str],
) -> Replay:
    return Replay(
        name,
        end,
        lambda: member.client.ask("GET", "/v1/chains", headers=bearer),
        status,
        lambda: _everywhere(tree, member, bearer),
    )


def _key_at_its_end(tree: Deployment) -> tuple[Key, Callable[[], None], Callable[[], None]]:
    """Publish one more signing key; return it, what publishes it again, and what gives it its end."""
    key = Key(uuid.uuid4().hex[:16], private_key())
    tree.keep("signing key", key.value.split("\n")[1])

    def publish(until: int = 0) -> None:
        ring = Ring((*tree.ring.keys, replace(key, until=until)))
        told = our_tokens.jwks(ring, 0)
        record = tree.app.registry.get(*JWKS)
        assert record is not None
        assert tree.app.registry.put(replace(record, body=orjson.dumps(told)))

    publish()
    return key, publish, lambda: publish(int(time.time()))


def _replays(tree: Deployment) -> list[Replay]:
    revoked, disabled, poorer, rotated, keyless, distrusted = (
        tree.join(name) for name in ("revoked", "disabled", "poorer", "rotated", "keyless", "of-the-mesh")
    )
    key, published, ended = _key_at_its_end(tree)
    mint = tree.mint(rotated, key)
    old = tree.keep("token", mint.good(sub="rotated", client_id="rotated"))
    mesh_id = "spiffe://mesh.example/ns/shop/sa/mesh"
    tree.app.services.change("of-the-mesh", Changes(identities=[mesh_id]))
    from tests.attacks.certificates import profile

    held = tree.forge.leaf(profile(mesh_id), ca=tree.forge.mesh)
    meshed = replace(distrusted, held=held, client=tree.client(held))
    hook = tree.app.services.add_hook("ending", "disabled", SOURCE)
    secret = tree.keep("webhook secret", hook.secret)
    mine = tree.app.services.add_hook("switched", "mallory", SOURCE)
    other = tree.keep("webhook secret", mine.secret)
    anybody = tree.client(hooks=True)

    def message(name: str, signed_with: str) -> Answer:
        headers = sign(b"{}", signed_with, uuid.uuid4().hex, int(time.time()))
        return anybody.ask("POST", f"/hooks/{SOURCE}/{name}", b"{}", headers)

    def token() -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        proof = kind | basic("keyless", keyless.api_key)
        return keyless.client.ask("POST", "/v1/token", b"grant_type=client_credentials", proof)

    app, poorers = tree.app, tree.bearer(poorer)
    return [
        _with_token(
            tree,
            "certificate revoked",
            revoked,
            lambda: app.authority.revoke(revoked.held.thumbprint, "stolen"),
            401,
            tree.bearer(revoked),
        ),
        _with_token(
            tree,
            "service disabled",
            disabled,
            lambda: app.services.disable("disabled"),
            403,
            tree.bearer(disabled),
        ),
        replace(
            _with_token(
                tree, "signing key rotated out", rotated, ended, 401, {"Authorization": f"Bearer {old}"}
            ),
            begin=published,
        ),
        _with_token(
            tree,
            "mesh identity taken away",
            meshed,
            lambda: app.services.change("of-the-mesh", Changes(identities=[])),
            401,
            tree.bearer(meshed),
        ),
        Replay(
            "scope taken away",
            lambda: app.services.change("poorer", Changes(scopes=["tasks:read"])),
            lambda: poorer.client.ask("GET", "/v1/chains", headers=poorers),
            403,
            list,
        ),
        Replay("API key at its end", lambda: _end_keys(tree, "keyless"), token, 401, list),
        Replay("webhook of a disabled service", lambda: None, lambda: message("ending", secret), 401, list),
        Replay(
            "webhook disabled",
            lambda: app.services.disable_hook("switched"),
            lambda: message("switched", other),
            401,
            list,
        ),
    ]


def _end_keys(tree: Deployment, service: str) -> None:
    """End a service's API key now, by a rotation that has no overlap.

    A record alone would not stay: upkeep sees to it that the key in force has no end.
    """
    name = tree.app.services.secret_of(service)
    tree.app.rotation.now(name, at_once=True)
    tree.keep("API key", tree.app.door_secrets.value(name))


def _wait(replays: list[Replay], deadline: float, good: bool) -> list[str]:
    """Wait until all are good, or none is; return the names of those that are not so by the deadline.

    What counts is a question that began after the deadline: on a loaded machine one that began before it
    may be answered long after it, and by what was still right when it began.
    """
    left = list(replays)
    while left:
        last = time.monotonic() >= deadline
        left = [each for each in left if (each.ask().status == 200) != good]
        if last:
            break
        time.sleep(0.05)
    return [each.name for each in left]


def test_what_was_taken_away_counts_no_more(tree: Deployment) -> None:
    """Each is good before; after `door_seconds` each is refused, everywhere, however often it is sent."""
    replays = _replays(tree)
    never = [each.name for each in replays]
    for _ in range(3):  # each minute upkeep publishes the deployment's own keys alone
        for each in replays:
            each.begin()
        never = _wait(replays, tree.fresh(), good=True)
        if not never:
            break
    assert never == []
    for each in replays:
        each.end()
    late = _wait(replays, tree.fresh(), good=False)
    for each in replays:
        with case("replay", each.name, GATEWAY, each.expected) as tried:
            tried.holds(each.name not in late, "it was good for longer")
            for _ in range(3):
                tried.refused(each.ask())
            for answer, route in each.after():
                tried.refused(answer, route)
