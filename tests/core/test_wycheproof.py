"""Project Wycheproof's attacks on signatures, through the very function that takes tokens: `jws.verify`.

What is invalid must be refused. What is valid and refused all the same is listed with its reason: HMAC is
never taken, and some keys of the examples contradict what they sign.
"""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from sentinel.core import jws
from sentinel.errors import Unauthenticated
from tests.data import need

FILES = ("json_web_signature", "json_web_key", "json_web_crypto")
# Valid by the vectors and refused here: why, by what the vectors call it.
REFUSED_ON_PURPOSE = {
    ("hs256", "acceptsValid"): "HMAC is never taken",
    ("jws_aes", "acceptsValid"): "HMAC is never taken",
    ("jws_keyset", "acceptsValid"): "HMAC is never taken",
    ("HS256", "long_key"): "HMAC is never taken",
    ("base64", "InvalidCharacterInsertedInPayload"): "HMAC, and a ? that is no base64url",
    ("base64", "ValidSpacesInJsonHeader"): "HMAC is never taken",
    ("base64", "ValidWhiteSpaceInJsonHeader"): "HMAC is never taken",
    ("rfc7520", "Figure27"): "the key's alg is ES521, which there is not",
    ("rfc7520WithKeyOps", "Figure27"): "the key's alg is ES521, which there is not",
    ("rfc7520WithKeyOps", "Figure20"): "the key's alg is PS256 and the token's PS384",
}


def vectors(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield (group, case) of a file."""
    path = need("badinput", "wycheproof", f"{name}_test.json")
    for group in orjson.loads(path.read_bytes())["testGroups"]:
        for case in group["tests"]:
            yield group, case


def accepts(keys: dict[str, jws.PublicKey], token: object) -> bool:
    """Say whether a token is taken; anything but `Unauthenticated` is a failure of ours."""
    try:
        jws.verify(token if isinstance(token, str) else orjson.dumps(token).decode(), keys, 0)
    except Unauthenticated:
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_no_invalid_token_is_taken(name: str) -> None:
    """No case that the vectors call invalid is taken, with the public or the private form of the key."""
    taken, refused, invalid = [], set(), 0
    for group, case in vectors(name):
        key = group.get("public") or group["private"]
        keys = jws.public_keys(key if "keys" in key else {"keys": [key]})
        yes = accepts(keys, case.get("jws", case.get("jwe", "")))
        about = (group["comment"], case["comment"])
        if case["result"] == "valid" and not yes:
            refused.add(about)
        if case["result"] == "invalid":
            invalid += 1
            if yes:
                taken.append((case["tcId"], *about))
    assert invalid > 5
    assert taken == []
    assert refused <= set(REFUSED_ON_PURPOSE), refused - set(REFUSED_ON_PURPOSE)


def test_what_is_refused_on_purpose_is_refused() -> None:
    """Every entry of the list is met: a reason that no longer holds is taken off it."""
    refused = set()
    for name in FILES:
        for group, case in vectors(name):
            key = group.get("public") or group["private"]
            keys = jws.public_keys(key if "keys" in key else {"keys": [key]})
            if case["result"] == "valid" and not accepts(keys, case.get("jws", case.get("jwe", ""))):
                refused.add((group["comment"], case["comment"]))
    assert refused == set(REFUSED_ON_PURPOSE)


def text(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def point(uncompressed: str) -> dict[str, str]:
    """Return the JWK of a point on P-256."""
    raw = bytes.fromhex(uncompressed)
    return {"kty": "EC", "crv": "P-256", "x": text(raw[1:33]), "y": text(raw[33:])}


@pytest.mark.parametrize(("name", "alg"), [("ecdsa_secp256r1_sha256_p1363", "ES256"), ("ed25519", "Ed25519")])
def test_signatures_are_verified(name: str, alg: str) -> None:
    """Every raw signature of the vectors over a message is taken exactly where they call it valid.

    The vectors sign messages of their own, so that the algorithm is asked below the token's form.
    """
    valid = invalid = 0
    for group, case in vectors(name):
        told = group.get("publicKeyJwk") or point(group["publicKey"]["uncompressed"])
        [key] = jws.public_keys({"keys": [{**told, "kid": "k", "alg": alg}]}).values()
        header = jws.Header(alg, "k", "")
        token = jws.Unverified(header, b"", bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
        try:
            jws.check(token, key, 0)
        except Unauthenticated:
            assert case["result"] != "valid", case
            invalid += 1
        else:
            assert case["result"] != "invalid", case
            valid += 1
    assert valid > 10
    assert invalid > 10


def test_the_library_alone_takes_weak_keys() -> None:
    """Why keys are looked at here: joserfc takes a key whose private half can be worked out (ROCA)."""
    from joserfc import jwk
    from joserfc import jws as library

    taken = 0
    for group, case in vectors("json_web_crypto"):
        if group["comment"] == "jws_rsa_roca_key":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                key = jwk.RSAKey.import_key(group["public"])
                library.deserialize_compact(case["jws"], key, algorithms=["RS256"])
            taken += 1
            assert jws.public_keys({"keys": [group["public"]]}) == {}
    assert taken == 1
