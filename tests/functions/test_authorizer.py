"""The authorizer's function: API Gateway's REQUEST events in, policies out."""

from __future__ import annotations

import copy
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.bootstrap import bootstrap
from sentinel.core.access import SCOPES, Service
from sentinel.core.certificates import thumbprint
from sentinel.errors import Unavailable
from sentinel.local.policies import decision_of
from sentinel.routes import ROUTES
from tests.doors import World
from tests.functions.test_api_handlers import load

EVENT = json.loads((Path(__file__).parent / "events" / "authorize.json").read_text())
STAGE = "arn:aws:execute-api:eu-central-1:111122223333:a1b2c3d4e5/live"

Authorize = Callable[[dict[str, Any], Any], dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A registry below a folder that the function's application uses as well."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_DOOR_SECONDS", "0")
    bootstrap.cache_clear()
    yield World(tmp_path / "registry.db", now=int(time.time()))
    bootstrap.cache_clear()


@pytest.fixture
def authorize(world: World) -> Authorize:
    """The handler, as Lambda loads it."""
    return load("authorize")


def event(world: World, *tokens: str, pem: str | None = None, name: str = "Authorization") -> dict[str, Any]:
    """Return the event of a request with these tokens (one good one where there are none)."""
    made: dict[str, Any] = copy.deepcopy(EVENT)
    given = [f"Bearer {token}" for token in tokens or (world.token(),)]
    for headers in (made["headers"], made["multiValueHeaders"]):
        del headers["Authorization"]
    made["headers"][name] = given[-1]
    made["multiValueHeaders"][name] = given
    made["requestContext"]["identity"]["clientCert"]["clientCertPem"] = world.pem if pem is None else pem
    return made


def test_the_policy_names_every_route_of_the_scopes(world: World, authorize: Authorize) -> None:
    """One Allow with the ARNs of all routes that the token allows: API Gateway uses it for all of them."""
    answer = authorize(event(world), None)
    assert answer["principalId"] == "checkout"
    statement, denied = answer["policyDocument"]["Statement"]
    # `GET/v1/tasks/*` covers it, and this token has not its scope.
    assert (denied["Effect"], denied["Resource"]) == ("Deny", [f"{STAGE}/GET/v1/tasks/*/approval"])
    assert (statement["Effect"], statement["Action"]) == ("Allow", "execute-api:Invoke")
    assert set(statement["Resource"]) == {
        f"{STAGE}/POST/v1/entries",
        f"{STAGE}/POST/v1/logs",
        f"{STAGE}/GET/v1/chains",
        f"{STAGE}/GET/v1/chains/*/*/checkpoint",
        f"{STAGE}/GET/v1/chains/*/*/proof",
        f"{STAGE}/GET/v1/tasks",
        f"{STAGE}/GET/v1/tasks/*",
        f"{STAGE}/GET/v1/tasks/*/trace",
        f"{STAGE}/GET/v1/alerts",
        f"{STAGE}/GET/v1/alerts/*",
        f"{STAGE}/POST/v1/certificate",
    }
    assert re.fullmatch(r"0 @\d{10}", answer["context"].pop("spread"))
    assert answer["context"] == {
        "service": "checkout",
        "subject": "checkout",
        "certificate": thumbprint(world.pem),
        "scopes": "ingest tasks:read",
        "tier": "standard",
        "lanes": 0,
        "encryption": "store",
    }
    assert "usageIdentifierKey" not in answer


@pytest.mark.parametrize("route", [route for route in ROUTES if route.door == "token"], ids=lambda r: r.path)
def test_every_route_needs_its_scope(world: World, authorize: Authorize, route: Any) -> None:
    """For each route of the list: a token with its scope may call it, one with all others may not."""
    every = SCOPES
    world.put(Service("checkout", scopes=every))
    method = "PATCH" if route.method == "ANY" else route.method
    path = route.path.replace("{task}", "t-1").replace("{upstream}", "shop").replace("{path+}", "a/b/c")
    with_it = decision_of(authorize(event(world, world.token(scope=route.scope or "ingest")), None))
    assert with_it.allows(f"{STAGE}/{method}{path}")
    others = " ".join(scope for scope in every if scope != route.scope)
    without = decision_of(authorize(event(world, world.token(scope=others)), None))
    assert without.allows(f"{STAGE}/{method}{path}") is (not route.scope)
    assert not with_it.allows(f"{STAGE}/DELETE/v1/entries")
    assert not with_it.allows(f"{STAGE.replace('live', 'other')}/{method}{path}")


def test_no_arn_is_over_api_gateways_bound(world: World, authorize: Authorize) -> None:
    """API Gateway takes resources of up to 512 characters."""
    world.put(Service("checkout", scopes=("ingest", "tasks:read", "proxy", "admin")))
    answer = authorize(event(world, world.token(scope=None)), None)
    assert all(len(arn) < 512 for arn in answer["policyDocument"]["Statement"][0]["Resource"])


def test_the_usage_key_is_told_where_there_is_one(world: World, authorize: Authorize) -> None:
    """API Gateway finds the usage plan by it; tier, lanes and encryption go to the function."""
    before = ((1, 1_764_000_600),)
    world.put(
        Service("checkout", tier="high", lanes=4, lanes_before=before, usage="u" * 32, encryption="own")
    )
    answer = authorize(event(world), None)
    assert answer["usageIdentifierKey"] == "u" * 32
    told = answer["context"]
    assert (told["tier"], told["lanes"], told["encryption"]) == ("high", 4, "own")
    assert told["spread"].startswith("4 1<1764000600 @")


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION", "aUTHORIZATION"])
def test_header_names_are_in_any_case(world: World, authorize: Authorize, name: str) -> None:
    """HTTP/2 sends them in lower case."""
    assert authorize(event(world, name=name), None)["principalId"] == "checkout"


def unauthorized(authorize: Authorize, sent: dict[str, Any]) -> None:
    """Assert that the answer is API Gateway's word for 401, and nothing else."""
    with pytest.raises(Exception, match=r"^Unauthorized$") as caught:
        authorize(sent, None)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_one_authorization_header(world: World, authorize: Authorize) -> None:
    """Two of them, in one spelling or in two, and none: 401, though one of them is good."""
    good = world.token()
    unauthorized(authorize, event(world, good, good))
    unauthorized(authorize, event(world, "x", good))
    twice = event(world, good)
    twice["multiValueHeaders"]["authorization"] = [f"Bearer {good}"]
    unauthorized(authorize, twice)
    nothing: tuple[dict[str, list[str]] | None, ...] = ({}, None)
    for many in nothing:
        without = event(world, good)
        del without["headers"]["Authorization"]
        without["multiValueHeaders"] = many
        unauthorized(authorize, without)
    long = event(world, "a" * 9_000)
    unauthorized(authorize, long)
    single = event(world, good)
    single["multiValueHeaders"] = None
    assert authorize(single, None)["principalId"] == "checkout"


@pytest.mark.parametrize("where", ["clientCert", "identity"])
def test_no_certificate_no_entry(world: World, authorize: Authorize, where: str) -> None:
    """An event without a certificate is one of a door without mutual TLS."""
    sent = event(world)
    if where == "identity":
        sent["requestContext"]["identity"] = None
    else:
        del sent["requestContext"]["identity"]["clientCert"]
    unauthorized(authorize, sent)
    sent["headers"]["client-cert"] = sent["headers"]["x-forwarded-client-cert"] = "x"
    unauthorized(authorize, sent)


def test_a_foreign_certificate_is_no_entry(world: World, authorize: Authorize) -> None:
    """Neither nonsense in its place."""
    for pem in (World().pem, "x", "x" * 20_000):
        unauthorized(authorize, event(world, pem=pem))


def test_a_disabled_service_is_denied_everything(world: World, authorize: Authorize) -> None:
    """An explicit Deny of the whole stage, which says nothing of who or why."""
    world.put(Service("checkout", disabled=True, usage="secret-usage"))
    answer = authorize(event(world), None)
    assert answer == {
        "principalId": "denied",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [{"Action": "execute-api:Invoke", "Effect": "Deny", "Resource": [f"{STAGE}/*"]}],
        },
    }
    assert not decision_of(answer).allows(f"{STAGE}/POST/v1/entries")


def test_the_door_stays_shut_when_the_registry_is_away(
    world: World, authorize: Authorize, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any exception but `Unauthorized` is 500 at API Gateway: nobody is let in, nobody called a stranger."""

    def away(*_about: str) -> None:
        raise Unavailable("the registry is away")

    monkeypatch.setattr(bootstrap().registry, "get", away)
    monkeypatch.setattr(bootstrap().registry, "listing", away)
    with pytest.raises(Unavailable):
        authorize(event(world), None)


@pytest.mark.parametrize(
    "arn", ["", "*", "arn:aws:execute-api:x:1:a/*/GET/", "arn:aws:s3:::bucket/live/GET/x", None]
)
def test_an_odd_arn_gives_no_policy(world: World, authorize: Authorize, arn: Any) -> None:
    """A policy is made of nothing but an ARN of API Gateway's own."""
    sent = event(world)
    sent["methodArn"] = arn
    with pytest.raises((ValueError, TypeError)):
        authorize(sent, None)


def test_logs_hold_no_token(world: World, authorize: Authorize, caplog: pytest.LogCaptureFixture) -> None:
    """Refusals are told in the log, tokens are not."""
    caplog.set_level(logging.DEBUG)
    token = world.token(aud="other")
    unauthorized(authorize, event(world, token))
    assert "refused" in caplog.text
    assert token not in caplog.text
    assert all(part not in caplog.text for part in token.split("."))
