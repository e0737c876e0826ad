"""Tokens as attackers and broken issuers make them: one of them is taken, the good one."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwk
from joserfc import jws as library

from sentinel.core import jws, tokens
from sentinel.core.ring import Key, Ring
from sentinel.errors import Malformed, Unauthenticated
from tests.doors import AUDIENCE, ISSUER, NOW, private_key

RULES = tokens.Rules(ISSUER, AUDIENCE, ours=True)
OTHERS = tokens.Rules("https://id.example.com", "us", ours=False)
RING = Ring((Key("k1", private_key()),))
KEYS = jws.public_keys(tokens.jwks(RING, NOW))
SIGNING = tokens.signing_key(RING.keys[0])
GOOD = tokens.access_claims(RULES, "checkout", frozenset({"ingest"}), "t" * 43, NOW, "j" * 22)


def b64(raw: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: bytes, payload: bytes) -> str:
    """Return a token of exactly these bytes, signed with the good key."""
    text = f"{b64(header)}.{b64(payload)}"
    algorithm = library.JWSRegistry(algorithms=["ES256"]).get_alg("ES256")
    return f"{text}.{b64(algorithm.sign(text.encode(), SIGNING.key))}"


def head(**changes: Any) -> bytes:
    """Return a good header with changes; None takes one away."""
    told = {"alg": "ES256", "kid": "k1", "typ": "at+jwt", **changes}
    return orjson.dumps({name: value for name, value in told.items() if value is not None})


def body(**changes: Any) -> bytes:
    """Return the good claims with changes; None takes one away."""
    told = {**GOOD, **changes}
    return orjson.dumps({name: value for name, value in told.items() if value is not None})


def take(token: str, rules: tokens.Rules = RULES, now: int = NOW) -> tokens.Claims:
    """Take a token as the authorizer does."""
    found = tokens.read(token)
    key = KEYS.get(found.kid)
    if key is None:
        raise Unauthenticated("unknown")
    return tokens.checked(found, key, rules, now)


def test_a_token_of_ours_is_taken() -> None:
    """What `sign` makes is what `checked` takes, and its header and claims are those of RFC 9068."""
    token = tokens.sign(GOOD, SIGNING)
    assert take(token) == tokens.Claims(ISSUER, "checkout", frozenset({"ingest"}), "t" * 43)
    assert jws.parse(token).header == jws.Header("ES256", "k1", "at+jwt")
    told = orjson.loads(jws.parse(token).payload)
    assert set(told) == {"iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope", "cnf"}
    assert told["exp"] - told["iat"] == 900


HEADERS: dict[str, bytes] = {
    "none": head(alg="none"),
    "None": head(alg="None"),
    "HS256": head(alg="HS256"),
    "RS256": head(alg="RS256"),
    "ES384": head(alg="ES384"),
    "lower case": head(alg="es256"),
    "no alg": head(alg=None),
    "alg is no text": head(alg=["ES256"]),
    "no kid": head(kid=None),
    "kid is a number": head(kid=1),
    "kid is a path": head(kid="../../etc/passwd"),
    "kid is a file": head(kid="file:///dev/null"),
    "kid is SQL": head(kid="k1' UNION SELECT 'x"),
    "kid with NUL": head(kid="k1\0"),
    "kid is long": head(kid="k" * 129),
    "kid is empty": head(kid=""),
    "kid of another": head(kid="k2"),
    "crit": head(crit=["exp"], exp=1),
    "crit of what is known": head(crit=["alg"]),
    "empty crit": head(crit=[]),
    "b64": head(b64=False, crit=["b64"]),
    "b64 alone": head(b64=True),
    "jwk": head(jwk={"kty": "EC"}),
    "jku": head(jku="https://evil.example/keys"),
    "x5u": head(x5u="https://evil.example/cert"),
    "x5c": head(x5c=["MIIB"]),
    "zip": head(zip="DEF"),
    "another type": head(typ="JWT"),
    "no type": head(typ=None),
    "type of a logout token": head(typ="logout+jwt"),
    "type is no text": head(typ=7),
    "name twice": b'{"alg":"none","alg":"ES256","kid":"k1","typ":"at+jwt"}',
    "escaped name twice": b'{"alg":"none","\\u0061lg":"ES256","kid":"k1","typ":"at+jwt"}',
    "escaped name": b'{"\\u0061lg":"ES256","kid":"k1","typ":"at+jwt"}',
    "not ASCII": '{"alg":"ES256","kid":"k1","typ":"at+jwt","x":"ä"}'.encode(),
    "NUL": b'{"alg":"ES256","kid":"k1","typ":"at+jwt"}\0',
    "BOM": b"\xef\xbb\xbf" + head(),
    "UTF-16": head().decode().encode("utf-16"),
    "UTF-32 without BOM": head().decode().encode("utf-32-le"),
    "two objects": head() + head(),
    "an array": b"[" + head() + b"]",
    "text": b'"ES256"',
    "NaN": b'{"alg":"ES256","kid":"k1","typ":"at+jwt","x":NaN}',
    "deep": b'{"alg":"ES256","kid":"k1","typ":"at+jwt","x":' + b"[" * 600 + b"]" * 60 + b"}",
    "over its bound": head(x="x" * 800),
    "nothing": b"",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_headers_are_held_to_their_form(header: bytes) -> None:
    """A token that is signed well is refused for its header alone."""
    with pytest.raises(Unauthenticated):
        take(signed(header, body()))


def test_an_unknown_parameter_that_is_not_critical_is_ignored() -> None:
    """RFC 7515, 4: what is not understood and not critical does no harm. White space is none either."""
    assert take(signed(head(x5t="abc", nonce="1"), body())).subject == "checkout"
    assert take(signed(b' {"alg": "ES256",\n\t"kid":"k1","typ":"Application/AT+JWT"} ', body()))


CLAIMS: dict[str, bytes] = {
    "expired": body(iat=NOW - 930, exp=NOW - 30),
    "no exp": body(exp=None),
    "exp is text": body(exp=str(NOW + 900)),
    "exp is true": body(exp=True),
    "exp is huge": b'{"exp":1e999,' + body(exp=None)[1:],
    "exp is NaN": b'{"exp":NaN,' + body(exp=None)[1:],
    "exp is negative": body(exp=-1),
    "exp is null": b'{"exp":null,' + body(exp=None)[1:],
    "early by nbf": body(nbf=NOW + 31),
    "early by iat": body(iat=NOW + 31, exp=NOW + 931),
    "nbf is text": body(nbf="0"),
    "no iat": body(iat=None),
    "valid too long": body(exp=NOW + 901),
    "expires before it was issued": body(iat=NOW + 20, exp=NOW + 10),
    "another issuer": body(iss="https://evil.example"),
    "issuer with a slash": body(iss=ISSUER + "/"),
    "issuer in capitals": body(iss=ISSUER.upper()),
    "issuer is a list": body(iss=[ISSUER]),
    "no issuer": body(iss=None),
    "another audience": body(aud="other"),
    "part of the audience": body(aud="sentinel2"),
    "audience among none": body(aud=[]),
    "audience nested": body(aud=[["sentinel"]]),
    "audience is an object": body(aud={"sentinel": 1}),
    "no audience": body(aud=None),
    "no subject": body(sub=None),
    "empty subject": body(sub=""),
    "subject is a number": body(sub=1),
    "subject with NUL": body(sub="checkout\0"),
    "subject with a line break": body(sub="checkout\n"),
    "client_id of another": body(client_id="billing"),
    "no client_id": body(client_id=None),
    "no jti": body(jti=None),
    "no cnf": body(cnf=None),
    "cnf of a DPoP key": body(cnf={"jkt": "t" * 43}),
    "cnf is text": body(cnf="t" * 43),
    "cnf is short": body(cnf={"x5t#S256": "t" * 42}),
    "cnf is null": b'{"cnf":null,' + body(cnf=None)[1:],
    "scope is a list": body(scope=["ingest"]),
    "scope with quotes": body(scope='ingest "admin"'),
    "claim twice": b'{"sub":"billing",' + body()[1:],
    "escaped claim twice": b'{"\\u0073ub":"billing",' + body()[1:],
    "not UTF-8": body()[:-1] + b',"x":"\xff"}',
    "lone surrogate as subject": body(sub=None, client_id=None)[:-1]
    + b',"sub":"\\ud800","client_id":"\\ud800"}',
    "UTF-16": body().decode().encode("utf-16"),
    "BOM": b"\xef\xbb\xbf" + body(),
    "array": b"[" + body() + b"]",
    "deep": b'{"x":' + b"[" * 4000,
    "nothing": b"",
}


@pytest.mark.parametrize("payload", CLAIMS.values(), ids=CLAIMS.keys())
def test_claims_are_held_to_their_rules(payload: bytes) -> None:
    """A token that is signed well is refused for its claims alone."""
    with pytest.raises(Unauthenticated):
        take(signed(head(), payload))


@pytest.mark.parametrize(
    "payload",
    [
        body(),
        body(aud=["other", AUDIENCE]),
        body(iat=NOW - 929, exp=NOW - 29),
        body(iat=NOW + 30, exp=NOW + 930),
        body(nbf=NOW + 30),
        body(scope=None),
        body(scope=""),
    ],
)
def test_what_is_within_the_rules_is_taken(payload: bytes) -> None:
    """The rules' own edges: the audience among others, and clocks that are 30 seconds apart."""
    assert take(signed(head(), payload)).subject == "checkout"


def test_another_issuers_tokens_need_less() -> None:
    """OIDC: no jti, no client_id, no iat, no cnf, type JWT or none, fractions of a second; 25 hours."""
    least = {"iss": OTHERS.issuer, "aud": "us", "sub": "repo:x/y:ref:main", "exp": NOW + 3600.5}
    for typ in ("JWT", "at+jwt", None):
        found = take(signed(head(typ=typ), orjson.dumps(least)), OTHERS)
        assert found == tokens.Claims(OTHERS.issuer, "repo:x/y:ref:main", None, "")
    for worse in ({"exp": NOW + 90_001}, {"aud": AUDIENCE}, {"sub": "a b"}, {"cnf": {"jkt": "x"}}):
        with pytest.raises(Unauthenticated):
            take(signed(head(typ=None), orjson.dumps({**least, **worse})), OTHERS)
    with pytest.raises(Unauthenticated):
        take(signed(head(typ="secevent+jwt"), orjson.dumps(least)), OTHERS)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_an_edited_token_is_refused(part: int) -> None:
    """One bit of any part, and no longer the token that was signed."""
    parts = signed(head(), body()).split(".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + "=="))
    for at in range(0, len(raw), 7):
        raw[at] ^= 1
        edited = [*parts]
        edited[part] = b64(bytes(raw))
        with pytest.raises(Unauthenticated):
            take(".".join(edited))
        raw[at] ^= 1


def test_a_token_has_one_spelling() -> None:
    """Padding, other alphabets, loose bits at the end, white space and further parts: all refused."""
    token = signed(head(), body())
    parts = token.split(".")
    loose = parts[2][:-1] + chr(ord(parts[2][-1]) + 1)
    assert base64.urlsafe_b64decode(loose + "==") == base64.urlsafe_b64decode(parts[2] + "==")
    spellings = [f"{token}=", f"{token}==", f" {token}", f"{token}\n", f"{token}.", f"{token}.e30"]
    spellings += [token + "\0", token + "A", token[:-1], token.replace(".", "..", 1), "", ".", "a" * 8193]
    spellings += [".".join([*parts[:2], loose]), ".".join(parts[:2]), f"{parts[0]}..{parts[2]}", parts[0]]
    spellings += [f"{parts[0]}.{parts[1]}.", f".{parts[1]}.{parts[2]}"]
    spellings += [json.dumps({"protected": parts[0], "payload": parts[1], "signature": parts[2]})]
    for spelling in spellings:
        with pytest.raises(Unauthenticated):
            take(spelling)
    assert take(token)


def test_the_public_key_is_no_hmac_secret() -> None:
    """A token with an HMAC under anything public is refused, whatever form of the key was the secret."""
    public = serialization.load_pem_private_key(RING.keys[0].value.encode(), None).public_key()
    forms = [
        public.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER)
    ]
    forms += [orjson.dumps(tokens.jwks(RING, NOW)), orjson.dumps(tokens.jwks(RING, NOW)["keys"][0]), b""]
    for secret in forms:
        for alg in ("HS256", "ES256"):
            text = f"{b64(head(alg=alg))}.{b64(body())}"
            mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
            with pytest.raises(Unauthenticated):
                take(f"{text}.{b64(mac)}")


def test_other_signatures_of_the_same_values_are_refused() -> None:
    """Zeros, the DER form, and numbers at or over the order are no signatures."""
    parts = signed(head(), body()).split(".")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for r, s in ((0, 0), (1, 0), (order, order), (1, 1), (order - 1, 1)):
        with pytest.raises(Unauthenticated):
            take(".".join([*parts[:2], b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))]))
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    raw = base64.urlsafe_b64decode(parts[2] + "==")
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    for wrong in (der, raw + b"\0", raw[:-1], b"\0" + raw):
        with pytest.raises(Unauthenticated):
            take(".".join([*parts[:2], b64(wrong)]))


CHARACTERS = st.text(
    st.sampled_from("ABab01-_.=~ \n\0ä{}\"'\\:,[]eyJhbGciOi") | st.characters(), max_size=200
)


@given(CHARACTERS)
def test_whatever_text_comes_only_unauthenticated_comes_out(text: str) -> None:
    """No text is a token, and none breaks anything."""
    with pytest.raises(Unauthenticated):
        take(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    [
        "alg",
        "kid",
        "typ",
        "crit",
        "jwk",
        "iss",
        "aud",
        "sub",
        "exp",
        "iat",
        "nbf",
        "jti",
        "scope",
        "cnf",
        "client_id",
    ]
)


@given(st.dictionaries(NAMES, JSON, max_size=4), st.dictionaries(NAMES, JSON, min_size=1, max_size=6))
def test_whatever_claims_are_signed_only_unauthenticated_comes_out(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Claims and headers of any JSON, well signed: taken by the rules, or `Unauthenticated`."""
    told = json.dumps({"alg": "ES256", "kid": "k1", "typ": "at+jwt", **header}).encode()
    try:
        found = take(signed(told, json.dumps({**GOOD, **claims}).encode()))
    except Unauthenticated:
        return
    assert found.issuer == ISSUER
    assert found.subject.isprintable()


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_whatever_bytes_are_signed_only_unauthenticated_comes_out(header: bytes, payload: bytes) -> None:
    """Header and payload of any bytes, well signed."""
    for first, second in ((header, body()), (head(), payload), (header, payload)):
        with pytest.raises(Unauthenticated):
            take(signed(first, second))


@given(JSON)
def test_whatever_a_key_set_is_it_holds_good_keys_or_is_malformed(told: Any) -> None:
    """Any JSON as a key set: `Malformed`, or no key at all."""
    for document in (
        told,
        {"keys": told},
        {"keys": [told]},
        {"keys": [{"kty": "EC", "crv": "P-256", "x": told}]},
    ):
        with contextlib.suppress(Malformed):
            assert jws.public_keys(document) == {}


@given(st.sampled_from(["kty", "crv", "x", "y", "kid", "use", "alg", "exp", "key_ops", "n", "e", "d"]), JSON)
def test_whatever_a_members_value_is_a_key_counts_or_not(name: str, value: Any) -> None:
    """A good key with any JSON in the place of one member is the key that it was, or none."""
    [good] = tokens.jwks(RING, NOW)["keys"]
    for kty in ("EC", "RSA", "OKP"):
        found = jws.public_keys({"keys": [{**good, "kty": kty, "n": "AQAB", "e": "AQAB", name: value}]})
        assert all(key.names == {"ES256"} for key in found.values())


def test_keys_are_for_signatures_and_of_one_algorithm() -> None:
    """`use`, `key_ops`, `alg`, `kty` and `crv` have to fit; private members of a key are not looked at."""
    [good] = tokens.jwks(RING, NOW)["keys"]
    assert set(jws.public_keys({"keys": [{**good, "d": "AAAA", "alg": "ES256"}]})) == {"k1"}
    bad: list[dict[str, Any]] = [{"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}]
    bad += [{"alg": "HS256"}, {"alg": "none"}, {"alg": "RS256"}, {"alg": "ES384"}, {"alg": ["ES256"]}]
    bad += [
        {"kty": "oct", "k": "AAAA"},
        {"crv": "secp256k1"},
        {"crv": ["P-256"]},
        {"kid": "../x"},
        {"kid": 1},
    ]
    bad += [{"x": "AAAA"}, {"y": good["x"]}, {"x": None}]
    for change in bad:
        assert jws.public_keys({"keys": [{**good, **change}]}) == {}, change
    for fine in ({"alg": None}, {"use": None}):
        told = {name: value for name, value in {**good, **fine}.items() if value is not None}
        assert jws.public_keys({"keys": [told]})["k1"].names == {"ES256"}
    assert set(jws.public_keys({"keys": [{**good, "key_ops": ["verify"]}]})) == {"k1"}


def test_a_kid_stands_for_one_key() -> None:
    """The same key twice is one; two keys of the same kid are none."""
    [good] = tokens.jwks(RING, NOW)["keys"]
    [other] = tokens.jwks(Ring((Key("k1", private_key()),)), NOW)["keys"]
    assert set(jws.public_keys({"keys": [good, good]})) == {"k1"}
    assert jws.public_keys({"keys": [good, other, good]}) == {}


def test_a_key_counts_until_its_end() -> None:
    """A key that was rotated out verifies until its overlap ends, even if the set is not published anew."""
    ring = Ring((Key("k1", RING.keys[0].value, until=NOW + 100), Key("k2", private_key(), since=NOW)))
    told = tokens.jwks(ring, NOW)
    assert [(key["kid"], key.get("exp")) for key in told["keys"]] == [("k2", None), ("k1", NOW + 100)]
    key = jws.public_keys(told)["k1"]
    token = tokens.read(tokens.sign(GOOD, SIGNING))
    assert tokens.checked(token, key, RULES, NOW + 99)
    with pytest.raises(Unauthenticated, match="out of use"):
        tokens.checked(token, key, RULES, NOW + 100)


def test_ed25519_keys_sign_and_verify_under_both_names() -> None:
    """RFC 8037 calls the algorithm EdDSA, RFC 9864 Ed25519: for the key they are one."""
    key = ed25519.Ed25519PrivateKey.generate()
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    ring = Ring((Key("k1", pem),))
    keys = jws.public_keys(tokens.jwks(ring, NOW))
    assert jws.verify(tokens.sign(GOOD, tokens.signing_key(ring.keys[0])), keys, NOW)
    for alg in ("EdDSA", "Ed25519"):
        text = f"{b64(head(alg=alg))}.{b64(body())}"
        assert jws.verify(f"{text}.{b64(key.sign(text.encode()))}", keys, NOW)


def test_rsa_keys_verify_with_the_one_algorithm_of_the_key() -> None:
    """RS256 where the key says nothing, else what it says; no other hash, no other padding."""
    key = jwk.RSAKey.import_key(
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    public = {**key.as_dict(private=False), "kid": "r"}
    made = {
        alg: library.serialize_compact({"alg": alg, "kid": "r"}, b"{}", key, algorithms=[alg])
        for alg in ("RS256", "RS512", "PS256")
    }
    for own, told in (("RS256", public), ("PS256", {**public, "alg": "PS256"})):
        keys = jws.public_keys({"keys": [told]})
        for alg, token in made.items():
            if alg == own:
                assert jws.verify(token, keys, NOW) == b"{}"
            else:
                with pytest.raises(Unauthenticated):
                    jws.verify(token, keys, NOW)


@pytest.mark.parametrize(
    "value", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_what_is_no_signing_key_is_malformed(value: str) -> None:
    """A ring's value that is no private key is refused without being quoted."""
    with pytest.raises(Malformed) as caught:
        tokens.signing_key(Key("k1", value))
    assert "AAAA" not in str(caught.value)
    assert "PRIVATE" not in repr(SIGNING)
