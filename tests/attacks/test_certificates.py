"""Certificates that must not count, on every route of the running gateway; the TLS layer first, then we."""

from __future__ import annotations

import socket
import ssl
import warnings
from base64 import b64encode
from contextlib import closing

import pytest

from tests.attacks import walk
from tests.attacks.certificates import BAD, VICTIM, Held
from tests.attacks.deployment import Deployment, Member
from tests.attacks.record import TLS, case
from tests.attacks.wire import Client, request, tls

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"


def proof(tree: Deployment, held: Held, service: str, door: str) -> dict[str, str]:
    """Return what a thief of our signing key, or of an API key, would send along with a certificate."""
    if door == "token":
        mint = tree.mint()
        mint.thumbprint = held.thumbprint
        token = tree.keep("token", mint.good(sub=service, client_id=service))
        return {"Authorization": f"Bearer {token}"}
    return basic(service, tree.members["victim"].api_key)


def basic(service: str, key: str) -> dict[str, str]:
    """Return HTTP Basic authentication."""
    return {"Authorization": "Basic " + b64encode(f"{service}:{key}".encode()).decode()}


@pytest.mark.parametrize("name", BAD)
def test_a_certificate_that_is_good_but_for_one_thing_opens_nothing(tree: Deployment, name: str) -> None:
    """With a token that is bound to it and rightly signed, on every route."""
    bad = BAD[name]
    held = bad.make(tree.forge)
    tree.forge.record(held, bad.service)
    client = tree.client(held)
    # Public keys are public: behind `certificate` the TLS layer alone decides.
    doors = ("token", "key", "certificate") if bad.tls else ("token", "key")
    with case("certificate", name, GATEWAY, TLS if bad.tls else 401) as tried, closing(client):
        for target in walk.some(name, *doors):
            headers = proof(tree, held, bad.service, target.route.door)
            answer = client.ask(target.method, target.path, target.body, {**target.headers, **headers})
            tried.refused(answer, str(target))


def test_a_certificate_that_is_not_on_record_opens_nothing(tree: Deployment) -> None:
    """Good in every way, signed with the CA's very key, but not issued: a thief of that key gets nowhere."""
    held = tree.forge.leaf()
    with case("certificate", "not on record", GATEWAY, 401) as tried, closing(tree.client(held)) as client:
        for target in walk.service("token", "key"):
            headers = proof(tree, held, VICTIM, target.route.door)
            answer = client.ask(target.method, target.path, target.body, {**target.headers, **headers})
            tried.refused(answer, str(target))


def test_no_certificate_opens_nothing(tree: Deployment, victim: Member) -> None:
    """Neither with a stolen token nor with a stolen key."""
    client = tree.client()
    with case("certificate", "none", GATEWAY, TLS) as tried, closing(client):
        for target in walk.service():
            headers = (
                tree.bearer(victim) if target.route.door == "token" else basic(victim.name, victim.api_key)
            )
            answer = client.ask(target.method, target.path, target.body, {**target.headers, **headers})
            tried.refused(answer, str(target))


OLD = {
    "TLS 1.2": ssl.TLSVersion.TLSv1_2,
    "TLS 1.1": ssl.TLSVersion.TLSv1_1,
    "TLS 1.0": ssl.TLSVersion.TLSv1,
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_tls_opens_nothing(tree: Deployment, me: Member, name: str) -> None:
    """Both APIs speak TLS 1.3 alone."""
    with case("certificate", name, GATEWAY, TLS) as tried:
        for port, path in ((tree.port, "/v1/chains"), (tree.hooks_port, "/.well-known/jwks.json")):
            context = tls(tree.roots, me.held.files(tree.folder))
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                context.maximum_version = OLD[name]
            client = Client(port, context)
            tried.refused(client.ask("GET", path, headers=tree.bearer(me)), path)


def test_plain_http_opens_nothing(tree: Deployment, me: Member) -> None:
    """What does not begin with a handshake is not answered."""
    with case("certificate", "no TLS at all", GATEWAY, TLS) as tried:
        data = request(
            "GET", "/v1/chains", "Host: localhost", f"Authorization: {tree.bearer(me)['Authorization']}"
        )
        for port in (tree.port, tree.hooks_port):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
                plain.sendall(data)
                tried.holds(b"HTTP" not in plain.recv(1000), "it was answered")


def test_a_session_of_the_webhook_api_opens_nothing(tree: Deployment) -> None:
    """A TLS session that was begun without a certificate is not taken up again where one is needed."""
    context = tls(tree.roots)

    def ask(port: int, session: ssl.SSLSession | None = None) -> tuple[bytes, ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
            context.wrap_socket(plain, server_hostname="localhost", session=session) as connection,
        ):
            connection.sendall(request("GET", "/healthz", "Host: localhost"))
            try:
                return connection.recv(1000), connection.session, bool(connection.session_reused)
            except (ssl.SSLError, ConnectionError):
                return b"", None, bool(connection.session_reused)

    with case("certificate", "a TLS session of the webhook API", GATEWAY) as tried:
        answer, session, _ = ask(tree.hooks_port)
        tried.holds(answer.startswith(b"HTTP/1.1 200 ") and session, "there is no session to try")
        answer, _, reused = ask(tree.port, session)
        tried.holds(not answer and not reused, "the session was taken up")


def test_a_name_in_the_subject_is_nobodys(tree: Deployment, me: Member) -> None:
    """Who somebody is stands in the SPIFFE id; the subject may say `victim`."""
    from tests import pki
    from tests.attacks.certificates import profile

    held = tree.forge.leaf(profile(tree.forge.service(me.name)), subject=pki.name("victim"))
    tree.forge.record(held, me.name)
    mint = tree.mint()
    mint.thumbprint = held.thumbprint
    with (
        case("certificate", "victim in the subject, mallory in the id", GATEWAY) as tried,
        closing(tree.client(held)) as client,
    ):
        answers = {}
        for service in ("victim", me.name):
            token = tree.keep("token", mint.good(sub=service, client_id=service))
            bearer = {"Authorization": f"Bearer {token}"}
            answers[service] = client.ask("POST", "/v1/entries", b'{"a":1}', bearer)
        tried.holds(answers["victim"].status == 401, f"{answers['victim']}")
        tried.holds(answers[me.name].told.get("chain") == "mallory/0", f"{answers[me.name]}")
