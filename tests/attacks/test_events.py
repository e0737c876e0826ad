"""The same doors as they are in AWS, by the events that API Gateway sends to the functions."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import pytest

from sentinel import routes
from sentinel.core.access import SCOPES, Revoked
from sentinel.entrypoints import api, authorizer, identity
from sentinel.entrypoints.web import json_response
from sentinel.routes import Route
from tests.attacks import tokens, walk
from tests.attacks.certificates import BAD, DAY
from tests.attacks.cloud import Cloud, Headers, answer_of, deployed, setting
from tests.attacks.record import case
from tests.attacks.test_certificates import basic
from tests.attacks.tokens import ME, VICTIM
from tests.attacks.walk import Target
from tests.wire import Wire

pytestmark = pytest.mark.xdist_group("attacks")

EVENTS = "events"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A deployment in AWS."""
    with closing(Wire(ANSWER)) as upstream, deployed(upstream.port) as made:
        yield made


def chains() -> Target:
    """Return a request that is served to everybody who is let in."""
    return next(target for target in walk.service() if target.path == "/v1/chains")


def test_who_may_is_served(cloud: Cloud) -> None:
    """The requests that are refused below are good ones; only to renew it is too early."""
    for target in walk.service():
        headers: Headers = cloud.bearer(VICTIM) if target.route.door == "token" else ()
        if target.route.door == "key":
            headers = tuple(basic(VICTIM, cloud.keys[VICTIM]).items())
        answer = cloud.ask(target, cloud.held[VICTIM].leaf, headers)
        renewal = target.path == "/v1/certificate"
        nobodys = any(name in target.route.path for name in ("{task}", "{alert}", "{owner}"))
        assert answer.status == (409 if renewal else 404 if nobodys else 200), f"{target}: {answer}"


@pytest.mark.parametrize("name", BAD)
def test_a_bad_certificate_opens_nothing(cloud: Cloud, name: str) -> None:
    """Whatever a TLS layer let through: the authorizer and the token endpoint check all of it."""
    bad = BAD[name]
    held = bad.make(cloud.forge)
    cloud.forge.record(held, bad.service)
    token = cloud.mint(held).good(sub=bad.service, client_id=bad.service)
    with case("certificate", name, EVENTS, 401) as tried:
        for target in walk.some(name, "token", "key"):
            headers = {"Authorization": f"Bearer {token}"}
            if target.route.door == "key":
                headers = basic(bad.service, cloud.keys[VICTIM])
            tried.refused(cloud.ask(target, held.leaf, tuple(headers.items())), str(target))


def _pems(cloud: Cloud) -> dict[str, str]:
    """Return texts that are not one certificate."""
    good, mine = cloud.held[VICTIM].leaf, cloud.held[ME].leaf
    der = ssl.PEM_cert_to_DER_cert(good)
    return {
        "none": "",
        "blanks": " \n",
        "noise": "x" * 100,
        "two certificates": good + mine,
        "two certificates, mine first": mine + good,
        "text before it": f"subject=victim\n{good}",
        "text behind it": f"{good}x",
        "a private key behind it": good + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        "another label": good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
        "a request": good.replace("CERTIFICATE", "CERTIFICATE REQUEST"),
        "not base64": good.replace("MI", "??", 1),
        "NUL in it": good.replace("\n", "\0\n", 2),
        "not ASCII": good.replace("M", "\u041c", 1),
        "bytes behind the certificate": ssl.DER_cert_to_PEM_cert(der + b"\0\0"),
        "cut off": ssl.DER_cert_to_PEM_cert(der[:-10]),
        "an empty sequence": ssl.DER_cert_to_PEM_cert(b"\x30\x00"),
        "20,000 characters": good.replace("\n", "\n" + " " * 1_500),
        "a bit changed": ssl.DER_cert_to_PEM_cert(der[:-5] + bytes([der[-5] ^ 1]) + der[-4:]),
    }


def test_what_is_not_one_certificate_opens_nothing(cloud: Cloud) -> None:
    """With a token for the victim's certificate."""
    for name, pem in _pems(cloud).items():
        with case("certificate", f"PEM: {name}", EVENTS, 401) as tried:
            for target in walk.service("token", "key"):
                headers = cloud.bearer(VICTIM)
                if target.route.door == "key":
                    headers = tuple(basic(VICTIM, cloud.keys[VICTIM]).items())
                tried.refused(cloud.ask(target, pem, headers), str(target))


@pytest.mark.parametrize("name", tokens.BAD)
def test_a_bad_token_opens_nothing(cloud: Cloud, name: str) -> None:
    """As at the gateway, where API Gateway itself refuses none."""
    mint = cloud.mint()
    with case("token", name, EVENTS, 401) as tried:
        for target in walk.some(name, "token"):
            headers = (("Authorization", f"Bearer {tokens.BAD[name](mint)}"),)
            tried.refused(cloud.ask(target, cloud.held[ME].leaf, headers), str(target))


def test_headers_that_are_there_twice_open_nothing(cloud: Cloud) -> None:
    """API Gateway hands over all values of a name, and names in every spelling."""
    good = cloud.bearer(ME)[0][1]
    smuggled: dict[str, tuple[dict[str, str] | None, dict[str, list[str]] | None]] = {
        "no header": ({}, {}),
        "none in either form": (None, None),
        "twice the same": ({"Authorization": good}, {"Authorization": [good, good]}),
        "good, then bad": ({"Authorization": "Bearer x"}, {"Authorization": [good, "Bearer x"]}),
        "bad, then good": ({"Authorization": good}, {"Authorization": ["Bearer x", good]}),
        "two spellings": (
            {"Authorization": good, "authorization": "Bearer x"},
            {"Authorization": [good], "authorization": ["Bearer x"]},
        ),
        "in single form alone": ({"Authorization": good}, {}),
        "empty list": ({"Authorization": good}, {"Authorization": []}),
        "joined by a comma": ({"Authorization": f"{good}, {good}"}, {"Authorization": [f"{good}, {good}"]}),
        "blank at the name's end": ({"Authorization ": good}, {"Authorization ": [good]}),
        "underscore": ({"Authorization_": good}, {"Authorization_": [good]}),
        "over 8,300 characters": (
            {"Authorization": f"{good}{'a' * 9_000}"},
            {"Authorization": [f"{good}{'a' * 9_000}"]},
        ),
    }
    for name, (headers, many) in smuggled.items():
        with case("token", f"headers: {name}", EVENTS, 401) as tried:
            for target in walk.service("token"):
                tried.refused(_with(cloud, target, headers, many), str(target))


def _with(
    cloud: Cloud, target: Target, headers: dict[str, str] | None, many: dict[str, list[str]] | None
) -> Any:
    """Ask with headers in both forms as given."""
    event = cloud.event(target, cloud.held[ME].leaf) | {"headers": headers, "multiValueHeaders": many}
    context = cloud.decided(target, event)
    if not isinstance(context, dict):
        return context
    event["requestContext"]["authorizer"] = context
    return answer_of(cloud.call(target.route.function, event))


def test_an_answer_that_was_kept_opens_nothing_with_another_certificate(cloud: Cloud) -> None:
    """API Gateway may use the authorizer's answer again: each function looks at the connection itself."""
    event = cloud.event(chains(), cloud.held[VICTIM].leaf, cloud.bearer(VICTIM))
    kept = cloud.decided(chains(), event)
    assert isinstance(kept, dict)
    others = {
        "none": "",
        "another service's": cloud.held[ME].leaf,
        "another one of its owner": cloud.forge.of(VICTIM).leaf,
        "two, the right one first": cloud.held[VICTIM].leaf + cloud.held[ME].leaf,
        "no certificate at all": "x",
    }
    for name, pem in others.items():
        with case("token", f"kept answer, certificate: {name}", EVENTS, 401) as tried:
            for target in walk.service("token"):
                tried.refused(cloud.ask(target, pem, cloud.bearer(VICTIM), kept=kept), str(target))


def test_an_answer_that_was_kept_opens_no_route_without_its_scope(cloud: Cloud) -> None:
    """The policy has wildcards: each function holds the scopes against its route once more."""
    pem = cloud.held[ME].leaf
    event = cloud.event(chains(), pem, cloud.bearer(ME, scope="ingest"))
    kept = cloud.decided(chains(), event)
    assert isinstance(kept, dict)
    with case("authorization", "kept answer without the scope", EVENTS, 403) as tried:
        for target in walk.service("token"):
            if target.route.scope not in {"", "ingest"}:
                tried.refused(cloud.ask(target, pem, kept=kept), str(target))
    with case("authorization", "policy without the scope", EVENTS, 403) as tried:
        for target in walk.service("token"):
            if target.route.scope:
                others = " ".join(sorted(set(SCOPES) - {target.route.scope}))
                tried.refused(cloud.ask(target, pem, cloud.bearer(ME, scope=others)), str(target))


def test_no_answer_of_the_authorizer_opens_nothing(cloud: Cloud) -> None:
    """A function that is reached past the authorizer, or with half an answer, serves nobody."""
    pem = cloud.held[ME].leaf
    contexts: dict[str, dict[str, Any]] = {
        "nothing": {},
        "a principal alone": {"principalId": ME},
        "an empty service": {"service": "", "certificate": cloud.held[ME].thumbprint, "scopes": "ingest"},
        "no certificate": {"service": ME, "scopes": " ".join(SCOPES)},
        "another certificate": {"service": ME, "certificate": "x", "scopes": "ingest"},
    }
    for name, context in contexts.items():
        with case("token", f"authorizer's answer: {name}", EVENTS, 401) as tried:
            for target in walk.service("token"):
                tried.refused(cloud.ask(target, pem, kept=context), str(target))


def _claims(cloud: Cloud) -> dict[str, Headers]:
    """Return headers that bring the victim's certificate in every form that somebody believes."""
    leaf = cloud.held[VICTIM].leaf
    der = b64encode(ssl.PEM_cert_to_DER_cert(leaf)).decode()
    return {
        "Client-Cert": (("Client-Cert", f":{der}:"),),
        "X-Forwarded-Client-Cert": (("X-Forwarded-Client-Cert", f'Cert="{quote(leaf)}"'),),
        "X-SSL-Client-Cert": (("X-SSL-Client-Cert", quote(leaf)),),
        "X-Amzn-Mtls-Clientcert": (("X-Amzn-Mtls-Clientcert", quote(leaf)),),
        "Sentinel-Service": (("Sentinel-Service", VICTIM),),
    }


def test_a_certificate_in_a_header_is_none(cloud: Cloud) -> None:
    """The setting is off: headers are never believed, beside a certificate or in its place."""
    for name, headers in _claims(cloud).items():
        with case("certificate", f"in the header {name}", EVENTS, 401) as tried:
            for target in walk.service("token", "key"):
                proof = cloud.bearer(VICTIM)
                if target.route.door == "key":
                    proof = tuple(basic(VICTIM, cloud.keys[VICTIM]).items())
                for pem in ("", cloud.held[ME].leaf):
                    tried.refused(cloud.ask(target, pem, (*proof, *headers)), str(target))


def test_a_disabled_service_is_let_in_nowhere(cloud: Cloud) -> None:
    """403 with a token, 401 at the token endpoint; 401 with a certificate that was revoked."""
    with case("replay", "service disabled", EVENTS, 401, 403) as tried:
        for target in walk.service("token", "key"):
            proof = cloud.bearer("off")
            if target.route.door == "key":
                proof = tuple(basic("off", cloud.keys["off"]).items())
            tried.refused(cloud.ask(target, cloud.held["off"].leaf, proof), str(target))
    held = cloud.forge.of(VICTIM)
    bearer = (("Authorization", f"Bearer {cloud.mint(held).good(sub=VICTIM, client_id=VICTIM)}"),)
    assert cloud.ask(chains(), held.leaf, bearer).status == 200
    cloud.put(Revoked(held.thumbprint, cloud.forge.now, cloud.forge.now + DAY))
    with case("replay", "certificate revoked", EVENTS, 401) as tried:
        for target in walk.service("token"):
            tried.refused(cloud.ask(target, held.leaf, bearer), str(target))


def test_what_is_no_event_of_a_route_is_not_served(cloud: Cloud) -> None:
    """A function answers its own routes and methods alone, and bodies that are what they say."""
    pem, bearer = cloud.held[ME].leaf, cloud.bearer(ME)
    target = chains()
    kept = cloud.decided(target, cloud.event(target, pem, bearer))
    assert isinstance(kept, dict)
    changes: dict[str, tuple[dict[str, Any], int]] = {
        "unknown resource": ({"resource": "/v1/nothing"}, 404),
        "resource with dots": ({"resource": "/v1/../v1/chains"}, 404),
        "unknown method": ({"httpMethod": "TRACE"}, 404),
        "method in lower case": ({"httpMethod": "get"}, 404),
        "body that is not base64": ({"body": "%%%", "isBase64Encoded": True}, 400),
        "body that is no text": ({"body": "\ud800", "isBase64Encoded": False}, 400),
    }
    for name, (change, status) in changes.items():
        with case("events", name, EVENTS, status) as tried:
            event = {**cloud.event(target, pem, bearer), **change}
            event["requestContext"]["authorizer"] = dict(kept)
            tried.refused(answer_of(cloud.call("control", event)))


HEADERS = {"client-cert": "Client-Cert", "x-forwarded-client-cert": "X-Forwarded-Client-Cert"}


def _forged(cloud: Cloud, header: str) -> dict[str, Headers]:
    """Return headers that a proxy in front would not have sent."""
    name = HEADERS[header]
    leaf, mine = cloud.held[VICTIM].leaf, cloud.held[ME].leaf
    told, other = (b64encode(ssl.PEM_cert_to_DER_cert(each)).decode() for each in (leaf, mine))
    if header == "client-cert":
        return {
            "twice": ((name, f":{told}:"), (name, f":{other}:")),
            "twice in two spellings": ((name, f":{told}:"), (name.lower(), f":{told}:")),
            "no colons": ((name, told),),
            "two in one": ((name, f":{told}:, :{other}:"),),
            "PEM": ((name, quote(leaf)),),
            "not base64": ((name, ":????:"),),
            "empty": ((name, "::"),),
            "40,000 characters": ((name, f":{told * 40}:"),),
            "underscore": (("Client_Cert", f":{told}:"),),
            "in the chain's header": (("Client-Cert-Chain", f":{told}:"),),
        }
    return {
        "two elements": ((name, f'Cert="{quote(mine)}",Cert="{quote(leaf)}"'),),
        "two certificates": ((name, f'Cert="{quote(mine)}";Cert="{quote(leaf)}"'),),
        "hash alone": ((name, f"Hash={told[:64]};URI=spiffe://sentinel.local/service/victim"),),
        "subject alone": ((name, 'Subject="CN=victim";URI=spiffe://sentinel.local/service/victim'),),
        "chain alone": ((name, f'Chain="{quote(leaf)}"'),),
        "twice": ((name, f'Cert="{quote(leaf)}"'), (name, f'Cert="{quote(leaf)}"')),
        "a quote inside": ((name, f'By="x\\";Cert="{quote(leaf)}"'),),
        "not UTF-8": ((name, 'Cert="%ff%fe"'),),
        "40,000 characters": ((name, f'Cert="{quote(leaf) * 40}"'),),
    }


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_that_no_proxy_sent_opens_nothing(cloud: Cloud, header: str) -> None:
    """Where a proxy's header is believed, it has to be exactly one; and never beside a certificate of TLS."""
    name, leaf = HEADERS[header], cloud.held[VICTIM].leaf
    der = b64encode(ssl.PEM_cert_to_DER_cert(leaf)).decode()
    right = ((name, f":{der}:" if header == "client-cert" else f'Cert="{quote(leaf)}"'),)
    with setting("client_certificate_header", header):
        assert cloud.ask(chains(), "", (*cloud.bearer(VICTIM), *right)).status == 200
        for how, headers in _forged(cloud, header).items():
            with case("certificate", f"{name}, believed: {how}", EVENTS, 401) as tried:
                for target in walk.service("token"):
                    tried.refused(cloud.ask(target, "", (*cloud.bearer(VICTIM), *headers)), str(target))
        with case("certificate", f"{name}, believed: beside another certificate", EVENTS, 401) as tried:
            for target in walk.service("token"):
                sent = (*cloud.bearer(VICTIM), *right)
                tried.refused(cloud.ask(target, cloud.held[ME].leaf, sent), str(target))


@pytest.fixture
def imaginary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Route]:
    """A route that somebody just added to the list, with an endpoint that answers whoever gets to it."""
    made = Route("POST", "/v1/imaginary/{thing}", "control", "admin")
    every = (*routes.ROUTES, made)
    for module in (routes, identity, authorizer):
        monkeypatch.setattr(module, "ROUTES", every)
    monkeypatch.setattr(identity, "_BY_ROUTE", {**identity._BY_ROUTE, (made.method, made.path): made})
    endpoints: Any = api.ENDPOINTS
    monkeypatch.setitem(endpoints, (made.method, made.path), lambda app, request: json_response(200, {}))
    authorizer._policy.cache_clear()
    yield made
    authorizer._policy.cache_clear()


def test_a_new_route_is_attacked_with_no_edit(cloud: Cloud, imaginary: Route) -> None:
    """It is in the walk, serves who may, and refuses every attack above for its own door and scope."""
    [target] = [target for target in walk.service("token") if target.route == imaginary]
    pem = cloud.held[ME].leaf
    assert cloud.ask(target, pem, cloud.bearer(ME)).status == 200
    with case("events", "a new route", EVENTS, 401, 403) as tried:
        mint = cloud.mint()
        for make in tokens.BAD.values():
            tried.refused(cloud.ask(target, pem, (("Authorization", f"Bearer {make(mint)}"),)), str(target))
        tried.refused(cloud.ask(target, pem), str(target))
        tried.refused(cloud.ask(target, pem, cloud.bearer(ME, scope="ingest")), str(target))
        tried.refused(cloud.ask(target, pem, cloud.bearer(VICTIM)), str(target))
        event = cloud.event(chains(), pem, cloud.bearer(ME))
        kept = cloud.decided(chains(), event)
        assert isinstance(kept, dict)
        tried.refused(cloud.ask(target, cloud.held[VICTIM].leaf, kept=kept), str(target))
