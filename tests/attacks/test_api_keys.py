"""`POST /v1/token`: keys that do not fit, clients that are not who they say, and guessing."""

from __future__ import annotations

import time
from base64 import b64encode
from urllib.parse import urlencode

import pytest

from sentinel.core import api_keys
from sentinel.core.access import ApiKey, encode
from sentinel.ports_doors import Record
from tests.attacks.deployment import Deployment, Member
from tests.attacks.guessing import slowed
from tests.attacks.record import Answer, case
from tests.attacks.test_certificates import basic
from tests.attacks.wire import request

pytestmark = pytest.mark.xdist_group("attacks")

GATEWAY = "gateway"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GRANT = b"grant_type=client_credentials"
TOKEN = "/v1/token"


def _swapped(key: str) -> str:
    """Return a key with the same id and another secret."""
    return f"{key[:-43]}{key[-43:].swapcase()}"


def _ended(tree: Deployment, service: str) -> str:
    """Give a service one more key, whose time is over."""
    key = tree.keep("API key", api_keys.make("eeeeeeeeeeeeeeee", bytes(range(32))))
    made = ApiKey("eeeeeeeeeeeeeeee", service, api_keys.digest(key[-43:]), 0, int(time.time()) - 5)
    assert tree.app.registry.put(Record(ApiKey.KIND, made.id, encode(made), service=service))
    return key


def test_a_key_that_does_not_fit_gets_no_token(tree: Deployment, victim: Member) -> None:
    """One code for all of them, over a good certificate."""
    names = ("keys-1", "keys-2", "keys-3")
    clients = [tree.join(name) for name in names]
    off = tree.join("keys-off")
    tree.app.services.disable("keys-off")
    one = clients[0]
    key = one.api_key
    proofs = {
        "wrong secret": basic(one.name, _swapped(key)),
        "secret of zeros": basic(one.name, f"{key[:-43]}{'A' * 43}"),
        "unknown id": basic(one.name, f"sk_{'0' * 16}_{key[-43:]}"),
        "id of another key": basic(one.name, f"{victim.api_key[:-43]}{key[-43:]}"),
        "another service's key": basic(one.name, victim.api_key),
        "another service, its key": basic(victim.name, victim.api_key),
        "another service, the own key": basic(victim.name, key),
        "expired key": basic(one.name, _ended(tree, one.name)),
        "key in capitals": basic(one.name, key.upper()),
        "key cut": basic(one.name, key[:-1]),
        "key with more": basic(one.name, f"{key}x"),
        "key with a NUL": basic(one.name, f"{key}\0"),
        "key that is a path": basic(one.name, "../../doors/signing-keys"),
        "key that is SQL": basic(one.name, "sk_0000000000000000' OR '1'='1"),
        "service in capitals": basic(one.name.upper(), key),
        "service with a blank": basic(f"{one.name} ", key),
        "service that does not exist": basic("nobody", key),
        "no key": basic(one.name, ""),
        "no service": basic("", key),
        "no colon": {"Authorization": "Basic " + b64encode(one.name.encode()).decode()},
        "not base64": {"Authorization": "Basic ????"},
        "base64 without padding": {"Authorization": basic(one.name, key)["Authorization"].rstrip("=")[:-1]},
        "not UTF-8": {"Authorization": "Basic " + b64encode(b"\xff:\xff").decode()},
        "Bearer": {"Authorization": f"Bearer {key}"},
        "the key alone": {"Authorization": key},
        "a token in the place of a key": basic(one.name, tree.token(one)),
        "10,000 characters": basic(one.name, "s" * 5_000),
    }
    for number, (name, proof) in enumerate(proofs.items()):
        # Each of a few certificates gets a few tries: the bound on guessing is another test's matter.
        who = one if name == "expired key" else clients[number % len(clients)]
        with case("API keys", name, GATEWAY, 401) as tried:
            answer = who.client.ask("POST", TOKEN, GRANT, FORM | proof)
            tried.refused(answer, f"POST {TOKEN}")
            tried.holds(answer.told.get("error") == "invalid_client", f"{answer.told}")
    with case("API keys", "key of a disabled service", GATEWAY, 401) as tried:
        tried.refused(
            off.client.ask("POST", TOKEN, GRANT, FORM | basic(off.name, off.api_key)), f"POST {TOKEN}"
        )


def test_what_is_no_request_for_a_token_is_refused(tree: Deployment, me: Member) -> None:
    """Forms that are none, grants that there are not, proofs that come twice."""
    proof = basic(me.name, me.api_key)
    inside = {"client_id": me.name, "client_secret": me.api_key}
    forms: dict[str, tuple[bytes, dict[str, str], int]] = {
        "no grant": (b"", proof, 400),
        "grant password": (b"grant_type=password&username=victim&password=x", proof, 400),
        "grant authorization_code": (b"grant_type=authorization_code&code=x", proof, 400),
        "grant token-exchange": (
            urlencode({"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange"}).encode(),
            proof,
            400,
        ),
        "grant jwt-bearer": (
            urlencode(
                {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x"}
            ).encode(),
            proof,
            400,
        ),
        "grant twice": (GRANT + b"&" + GRANT, proof, 400),
        "form and header": (GRANT + b"&" + urlencode(inside).encode(), proof, 400),
        "two clients": (GRANT + b"&client_id=victim", proof, 400),
        "client twice": (GRANT + b"&client_id=mallory&client_id=victim", proof, 400),
        "secret in JSON": (b'{"grant_type":"client_credentials"}', proof, 400),
        "not UTF-8": (b"grant_type=%ff", proof, 400),
        "1,000 fields": (b"&".join(b"f%d=1" % at for at in range(1_000)), proof, 400),
        "a form of 9,000 bytes": (GRANT + b"&x=" + b"x" * 9_000, proof, 400),
    }
    for name, (body, headers, status) in forms.items():
        with case("API keys", f"form: {name}", GATEWAY, status) as tried:
            tried.refused(me.client.ask("POST", TOKEN, body, FORM | headers), f"POST {TOKEN}")
    kinds = {"JSON": "application/json", "multipart": "multipart/form-data; boundary=x", "none": ""}
    for name, kind in kinds.items():
        with case("API keys", f"content type: {name}", GATEWAY, 400) as tried:
            tried.refused(
                me.client.ask("POST", TOKEN, GRANT, {"Content-Type": kind} | proof), f"POST {TOKEN}"
            )
    with case("API keys", "key in the query", GATEWAY, 401) as tried:
        answer = me.client.ask("POST", f"{TOKEN}?{urlencode(inside)}", GRANT, FORM)
        tried.refused(answer, f"POST {TOKEN}")


def test_two_proofs_are_none(tree: Deployment, me: Member) -> None:
    """Of two Authorization headers neither counts."""
    good, bad = basic(me.name, me.api_key)["Authorization"], "Basic eDp4"
    for name, values in {
        "right, then wrong": (good, bad),
        "wrong, then right": (bad, good),
        "both right": (good, good),
    }.items():
        with case("API keys", f"two Authorization headers: {name}", GATEWAY, 400) as tried:
            for spelling in ("Authorization", "authorization"):
                lines = [f"Authorization: {values[0]}", f"{spelling}: {values[1]}"]
                kind = f"Content-Type: {FORM['Content-Type']}"
                data = request(
                    "POST",
                    TOKEN,
                    "Host: localhost",
                    kind,
                    *lines,
                    f"Content-Length: {len(GRANT)}",
                    body=GRANT,
                )
                tried.refused(me.client.one(data), f"POST {TOKEN}")


def test_guessing_is_slowed(tree: Deployment) -> None:
    """Ten wrong keys a minute and no more, whichever client they are for; then not even the right one."""
    guesser = tree.join("guesser")
    with case("API keys", "brute force", GATEWAY, 401, 429) as tried:

        def ask(name: str, key: str) -> Answer:
            return guesser.client.ask("POST", TOKEN, GRANT, FORM | basic(name, key))

        def guess(number: int) -> Answer:
            name = guesser.name if number % 2 else f"client-{number}"
            return ask(name, _swapped(guesser.api_key))

        slowed(tried, guess, lambda: ask(guesser.name, guesser.api_key), f"POST {TOKEN}")
