"""Access tokens that must not count, each good but for one thing: who forges them has our signing key.

`Mint` is the forger; `BAD` names each kind of token. All are for the service `mallory`, whose certificate
they come with and who may do a lot, so that a refusal is about the token alone.
"""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests import pki

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ME = "mallory"
VICTIM = "victim"


def b64(data: bytes) -> str:
    """Return base64url without padding."""
    return urlsafe_b64encode(data).decode().rstrip("=")


def compact(value: object) -> str:
    """Return a JSON value in base64url; text and bytes as they are."""
    raw = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return b64(raw)


def unpacked(part: str) -> dict[str, Any]:
    """Return the JSON object of a token's part."""
    found: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def ecdsa(key: ec.EllipticCurvePrivateKey, data: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    """Return an ECDSA signature as JWS has it: r and s side by side."""
    size = (key.key_size + 7) // 8
    pair = decode_dss_signature(key.sign(data, ec.ECDSA(algorithm)))
    return b"".join(each.to_bytes(size, "big") for each in pair)


@dataclass
class Mint:
    """Makes tokens. `pem` is the private key that signs, `kid` its id, `thumbprint` the certificate's."""

    pem: str = field(repr=False)
    kid: str
    issuer: str
    audience: str
    thumbprint: str
    victims_thumbprint: str
    other_thumbprint: str
    now: int
    scope: str = "ingest tasks:read tasks:control proxy admin"

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """The signing key."""
        found = serialization.load_pem_private_key(self.pem.encode(), None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        return found

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return a good header with changes; None takes a member away."""
        return _changed({"typ": "at+jwt", "alg": "ES256", "kid": self.kid}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return good claims with changes; None takes one away."""
        good = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": ME,
            "client_id": ME,
            "iat": self.now,
            "exp": self.now + 900,
            "jti": "j" * 22,
            "scope": self.scope,
            "cnf": {"x5t#S256": self.thumbprint},
        }
        return _changed(good, changes)

    def signed(self, header: object = None, claims: object = None, key: Any = None) -> str:
        """Return the token of a header and claims, signed with ES256, whatever the header says."""
        told = f"{compact(self.header() if header is None else header)}."
        told += compact(self.claims() if claims is None else claims)
        return f"{told}.{b64(ecdsa(key or self.key, told.encode(), hashes.SHA256()))}"

    def good(self, **changes: Any) -> str:
        """Return a token that is good but for changes of its claims."""
        return self.signed(claims=self.claims(**changes))

    def by(self, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
        """Return a token of good claims with a header, signed by a function."""
        told = f"{compact(header)}.{compact(self.claims())}"
        return f"{told}.{b64(sign(told.encode()))}"

    def public(self) -> dict[str, str]:
        """Return the signing key's public half as a JWK."""
        return jwk(self.key)


def jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    """Return the public half of a P-256 key as a JWK."""
    numbers = key.public_key().public_numbers()
    x, y = (b64(each.to_bytes(32, "big")) for each in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _changed(good: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


Make = Callable[[Mint], str]


def _claims(**changes: Any) -> Make:
    """Make a token with changed claims; a function gets the mint."""
    return lambda mint: mint.good(
        **{name: value(mint) if callable(value) else value for name, value in changes.items()}
    )


def _header(**changes: Any) -> Make:
    return lambda mint: mint.signed(mint.header(**changes))


def _none(name: str, signature: str = "") -> Make:
    return lambda mint: f"{compact(mint.header(alg=name))}.{compact(mint.claims())}.{signature}"


def _hmac(secret: Callable[[Mint], bytes], name: str = "HS256") -> Make:
    return lambda mint: mint.by(mint.header(alg=name), lambda data: hmac.digest(secret(mint), data, sha256))


def _public_pem(mint: Mint) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return mint.key.public_key().public_bytes(serialization.Encoding.PEM, form)


def _public_der(mint: Mint) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return mint.key.public_key().public_bytes(serialization.Encoding.DER, form)


def _rs256(mint: Mint) -> str:
    key = pki.rsa_key(2048)
    return mint.by(mint.header(alg="RS256"), lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()))


def _ps256(mint: Mint) -> str:
    key: rsa.RSAPrivateKey = pki.rsa_key(2048)
    how = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return mint.by(mint.header(alg="PS256"), lambda data: key.sign(data, how, hashes.SHA256()))


def _es384(mint: Mint) -> str:
    key = ec.generate_private_key(ec.SECP384R1())
    return mint.by(mint.header(alg="ES384"), lambda data: ecdsa(key, data, hashes.SHA384()))


def _ed25519(mint: Mint) -> str:
    return mint.by(mint.header(alg="EdDSA"), ed25519.Ed25519PrivateKey.generate().sign)


def _own_key(**header: Callable[[Any], Any]) -> Make:
    """Sign with a key of one's own, and have the header say where to find it."""

    def make(mint: Mint) -> str:
        key = pki.p256()
        told = {name: value(key) for name, value in header.items()}
        return mint.signed(mint.header(**told), key=key)

    return make


def _edited(**changes: Any) -> Make:
    """Change claims under the signature of a good token."""

    def make(mint: Mint) -> str:
        header, payload, signature = mint.good().split(".")
        return ".".join((header, compact({**unpacked(payload), **changes}), signature))

    return make


def _spelled(change: Callable[[str], str]) -> Make:
    """Write a good token in another way."""
    return lambda mint: change(mint.good())


def _part(number: int, change: Callable[[str], str]) -> Make:
    def make(mint: Mint) -> str:
        parts = mint.good().split(".")
        parts[number] = change(parts[number])
        return ".".join(parts)

    return make


def _signature(change: Callable[[bytes], bytes]) -> Make:
    return _part(2, lambda part: b64(change(urlsafe_b64decode(part + "=="))))


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _loose_ending(part: str) -> str:
    """Set a bit of the last character that stands for nothing."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return part[:-1] + letters[letters.index(part[-1]) | 1]


def _der_signature(mint: Mint) -> str:
    return mint.by(mint.header(), lambda data: mint.key.sign(data, ec.ECDSA(hashes.SHA256())))


def _json_form(mint: Mint) -> str:
    header, payload, signature = mint.good().split(".")
    told = {"protected": header, "payload": payload, "signature": signature}
    return json.dumps(told, separators=(",", ":"))


def _general_form(mint: Mint) -> str:
    header, payload, signature = mint.good().split(".")
    told = {"payload": payload, "signatures": [{"protected": header, "signature": signature}]}
    return json.dumps(told, separators=(",", ":"))


def _twice(name: str, first: str, second: str) -> Make:
    """Name a claim twice."""

    def make(mint: Mint) -> str:
        told = json.dumps(mint.claims(**{name: "@@"}), separators=(",", ":"))
        return mint.signed(
            claims=told.replace(f'"{name}":"@@"', f'"{name}":{first},"{name}":{second}').encode()
        )

    return make


def _raw_claim(name: str, text: str) -> Make:
    """Write a claim's value as given, JSON or not."""

    def make(mint: Mint) -> str:
        told = json.dumps(mint.claims(**{name: "@@"}), separators=(",", ":"))
        return mint.signed(claims=told.replace('"@@"', text).encode())

    return make


def _zeros(r: int, s: int) -> Make:
    return _signature(lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big"))


BAD: dict[str, Make] = {
    # times
    "expired": _claims(iat=lambda m: m.now - 1_000, exp=lambda m: m.now - 100),
    "expired long ago": _claims(iat=1, exp=901),
    "issued in the future": _claims(iat=lambda m: m.now + 600, exp=lambda m: m.now + 1_000),
    "not before the future": _claims(nbf=lambda m: m.now + 600),
    "lifetime too long": _claims(exp=lambda m: m.now + 86_400),
    "lifetime without end": _claims(exp=(1 << 53) - 1),
    "no exp": _claims(exp=None),
    "no iat": _claims(iat=None),
    "exp is text": _claims(exp=lambda m: str(m.now + 900)),
    "exp is true": _claims(exp=True),
    "exp is negative": _claims(exp=-1),
    "exp is NaN": _raw_claim("exp", "NaN"),
    "exp is infinite": _raw_claim("exp", "1e999"),
    "exp twice": _twice("exp", "9999999999", "1"),
    "exp before iat": _claims(exp=lambda m: m.now - 1, iat=lambda m: m.now),
    # whose, for whom
    "wrong audience": _claims(aud="another"),
    "audience of a longer name": _claims(aud=lambda m: f"{m.audience}.evil"),
    "audiences without ours": _claims(aud=["another", "third"]),
    "no audience": _claims(aud=None),
    "audience is an object": _claims(aud=lambda m: {m.audience: True}),
    "wrong issuer": _claims(iss="https://evil.example"),
    "issuer with a slash": _claims(iss=lambda m: f"{m.issuer}/"),
    "issuer in capitals": _claims(iss=lambda m: m.issuer.upper()),
    "outside issuer, not listed": _claims(iss="https://accounts.google.com", sub="1", client_id=None),
    "no issuer": _claims(iss=None),
    "issuer is a list": _claims(iss=lambda m: [m.issuer]),
    "subject of another service": _claims(sub=VICTIM, client_id=VICTIM),
    "client of another service": _claims(client_id=VICTIM),
    "subject twice": _twice("sub", '"mallory"', '"victim"'),
    "no subject": _claims(sub=None),
    "empty subject": _claims(sub="", client_id=""),
    "subject with a line break": _claims(sub="mallory\n", client_id="mallory\n"),
    "no jti": _claims(jti=None),
    "scope is a list": _claims(scope=["admin"]),
    "scope with quotes": _claims(scope='"admin"'),
    # binding
    "no cnf": _claims(cnf=None),
    "empty cnf": _claims(cnf={}),
    "cnf is text": _claims(cnf=lambda m: m.thumbprint),
    "bound by jkt": _claims(cnf=lambda m: {"jkt": m.thumbprint}),
    "bound to nothing": _claims(cnf={"x5t#S256": ""}),
    "bound in padded form": _claims(cnf=lambda m: {"x5t#S256": f"{m.thumbprint}="}),
    "bound to another service's certificate": _claims(cnf=lambda m: {"x5t#S256": m.victims_thumbprint}),
    "bound to another certificate of the service": _claims(cnf=lambda m: {"x5t#S256": m.other_thumbprint}),
    # type
    "typ JWT": _header(typ="JWT"),
    "no typ": _header(typ=None),
    "typ of a logout token": _header(typ="logout+jwt"),
    "typ is a list": _header(typ=["at+jwt"]),
    # algorithm
    "alg none": _none("none"),
    "alg None": _none("None"),
    "alg NONE": _none("NONE"),
    "alg nOnE": _none("nOnE"),
    "alg empty": _none(""),
    "alg none with a signature": _none("none", "AAAA"),
    "no alg": _header(alg=None),
    "alg is a list": _header(alg=["ES256"]),
    "alg es256": _header(alg="es256"),
    "HS256 with the public key, PEM": _hmac(_public_pem),
    "HS256 with the public key, PEM without its last line break": _hmac(lambda m: _public_pem(m).strip()),
    "HS256 with the public key, DER": _hmac(_public_der),
    "HS256 with the public key, JWK": _hmac(lambda m: json.dumps(m.public()).encode()),
    "HS256 with the key's x": _hmac(lambda m: urlsafe_b64decode(m.public()["x"] + "=")),
    "HS256 with no secret": _hmac(lambda _: b""),
    "HS512 with the public key": _hmac(_public_pem, "HS512"),
    "RS256 under an EC key's kid": _rs256,
    "PS256 under an EC key's kid": _ps256,
    "ES384 under a P-256 key's kid": _es384,
    "ES384 said of an ES256 signature": _header(alg="ES384"),
    "ES256K said of an ES256 signature": _header(alg="ES256K"),
    "EdDSA under an EC key's kid": _ed25519,
    # key
    "signed by a stranger": _own_key(),
    "no kid": _header(kid=None),
    "kid unknown": _header(kid="0123456789abcdef"),
    "kid empty": _header(kid=""),
    "kid is a path": _header(kid="../../../../../../dev/null"),
    "kid is a URL": _header(kid="https://evil.example/jwks.json"),
    "kid is SQL": _header(kid="x' UNION SELECT 'AA' --"),
    "kid is a command": _header(kid="|/usr/bin/id"),
    "kid with a NUL": _header(kid="k\0"),
    "kid of 10,000 characters": _header(kid="k" * 5_000),
    "kid is a number": _header(kid=1),
    "kid is an object": _header(kid={"$ne": ""}),
    "jwk in the header": _own_key(jwk=jwk),
    "jku in the header": _own_key(jku=lambda _: "https://evil.example/jwks.json"),
    "x5u in the header": _own_key(x5u=lambda _: "https://evil.example/cert.pem"),
    "x5c in the header": _own_key(x5c=lambda _: ["MIIB"]),
    "jwk of our own key": lambda m: m.signed(m.header(jwk=m.public())),
    "jku of our own keys": lambda m: m.signed(m.header(jku=f"{m.issuer}/.well-known/jwks.json")),
    "crit": _header(crit=["exp"]),
    "b64 false": _header(b64=False, crit=["b64"]),
    "zip": _header(zip="DEF"),
    "alg twice": lambda m: m.signed(
        f'{{"typ":"at+jwt","alg":"none","alg":"ES256","kid":"{m.kid}"}}'.encode()
    ),
    "escapes in the header": lambda m: m.signed(
        f'{{"typ":"at+jwt","\\u0061lg":"ES256","kid":"{m.kid}"}}'.encode()
    ),
    # edited
    "claims edited: subject": _edited(sub=VICTIM, client_id=VICTIM),
    "claims edited: scope": _edited(scope="ingest tasks:read tasks:approve recipes:write proxy admin"),
    "claims edited: lifetime": _edited(exp=1 << 40),
    "header edited": _part(0, lambda part: compact({**unpacked(part), "cty": "JWT"})),
    "signature edited at its begin": _signature(lambda data: _flipped(data, 0)),
    "signature edited at its end": _signature(lambda data: _flipped(data, len(data) - 1)),
    "signature cut": _signature(lambda data: data[:-1]),
    "signature longer": _signature(lambda data: data + b"\0"),
    "signature left out": _part(2, lambda _: ""),
    "signature in DER form": _der_signature,
    "signature of zeros": _zeros(0, 0),
    "signature of the order": _zeros(ORDER, ORDER),
    "signature r = 0": _zeros(0, 1),
    "signature with s over the order": _signature(
        lambda d: d[:32] + (int.from_bytes(d[32:], "big") + ORDER & (1 << 256) - 1).to_bytes(32, "big")
    ),
    "signature of another token": lambda m: ".".join(
        (*m.good(jti="other").split(".")[:2], m.good().split(".")[2])
    ),
    # spelled otherwise
    "truncated": _spelled(lambda token: token[:-20]),
    "two parts": _spelled(lambda token: token.rpartition(".")[0]),
    "four parts": _spelled(lambda token: f"{token}.AA"),
    "JWE": _spelled(lambda token: f"{token}.AAAA.BBBB"),
    "dots alone": lambda _: "..",
    "padded base64": _part(1, lambda part: part + "=" * (-len(part) % 4 or 4)),
    "padded signature": _part(2, lambda part: f"{part}=="),
    "standard base64": _part(2, lambda part: f"+/{part[2:]}"),
    "bits that stand for nothing": _part(2, _loose_ending),
    "blank in it": _part(1, lambda part: f"{part[:10]} {part[10:]}"),
    "tab behind it": _spelled(lambda token: f"{token}\t."),
    "two blanks before it": _spelled(lambda token: f" {token}"),
    "Bearer twice": _spelled(lambda token: f"Bearer {token}"),
    "two tokens in one": _spelled(lambda token: f"{token}, Bearer {token}"),
    "JWS JSON, flattened": _json_form,
    "JWS JSON, general": _general_form,
    "percent-encoded": _spelled(lambda token: token.replace(".", "%2E")),
    "claims are a list": lambda m: m.signed(claims=[m.claims()]),
    "claims are text": lambda m: m.signed(claims=b"x"),
    "claims not UTF-8": lambda m: m.signed(claims=b'{"iss":"\xff"}'),
    "claims nested deeply": lambda m: m.signed(claims=b'{"a":' * 1_000),
    "token inside a token": lambda m: m.signed(m.header(cty="JWT"), claims=m.good().encode()),
    "over 8,192 characters": lambda m: m.good(x="x" * 7_000),
}
