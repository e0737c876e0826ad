"""JSON Web Signatures as they are taken here: compact form (RFC 7515), one algorithm for each key.

joserfc does the cryptography, and is given nothing but bytes and a key that were checked here first: the
whole size, the alphabet and canonical form of base64url (so a token has one spelling), a header of plain
ASCII without escapes or repeated names, and no header parameter that would choose a key or an extension
(`jwk`, `jku`, `x5c`, `x5u`, `crit`, `b64`, `zip`, `enc`). What verifies is the key's business, never the
token's: the header's `alg` must be the one of the key, and no key is symmetric.
"""

from __future__ import annotations

import base64
import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sentinel.core.roca import is_roca
from sentinel.errors import Malformed, Unauthenticated

MAX_TOKEN = 8_192  # characters of a whole token
MAX_HEADER = 1_024  # of them, of its header
MAX_KEYS = 100  # keys in a set
RSA_BITS = range(2_048, 8_193)
KID = re.compile(r"[A-Za-z0-9._=+@:-]{1,128}")

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)\.([A-Za-z0-9_-]+)")
_PLAIN = re.compile(rb"[\t\n\r\x20-\x5b\x5d-\x7e]+")  # ASCII without the backslash
_MEMBER = re.compile(r"[A-Za-z0-9_-]{1,1400}")
_REFUSED = frozenset({"jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"})
# Last characters whose unused bits are zero, by the length's remainder (RFC 4648, 3.5). 1 cannot be.
_ENDINGS = {0: "", 2: "AQgw", 3: "AEIMQUYcgkosw048"}
# What `alg` a key may have, by its `kty` and `crv`; the first is meant where it names none.
_ALGORITHMS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("Ed25519", "EdDSA"),
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
}
_MATERIAL = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that verifies. `names` are the header's words for its one algorithm.

    `until` is epoch seconds from which it counts no more (the `exp` of OpenID Federation's keys); 0: no end.
    """

    kid: str
    names: frozenset[str]
    until: int
    material: Mapping[str, str] = field(repr=False)
    algorithm: Any = field(repr=False, compare=False)
    key: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Header:
    """What counts of a header. `typ` is in lower case and without `application/`, "" where there is none."""

    alg: str
    kid: str
    typ: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """A token that was taken apart. Nothing in it may be believed before `check`."""

    header: Header
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse(token: str) -> Unverified:
    """Take a compact token apart. Raises `Unauthenticated`, quoting nothing.

    >>> parse("eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AA").header
    Header(alg='ES256', kid='a', typ='')
    """
    if len(token) > MAX_TOKEN:
        raise Unauthenticated(f"the token is over {MAX_TOKEN} characters")
    found = _COMPACT.fullmatch(token)
    if found is None:
        raise Unauthenticated("the token is not three parts of base64url")
    header, payload, signature = found.groups()
    return Unverified(_header(header), _decode(payload), token[: found.end(2)].encode(), _decode(signature))


def check(token: Unverified, key: PublicKey, now: int) -> None:
    """Raise `Unauthenticated` unless `key` is the token's, is in force at `now`, and signed it."""
    if token.header.kid != key.kid or token.header.alg not in key.names:
        raise Unauthenticated("the token's algorithm is not the one of its key")
    if key.until and now >= key.until:
        raise Unauthenticated("the token's key is out of use")
    if not key.algorithm.verify(token.signed, token.signature, key.key):
        raise Unauthenticated("the token's signature does not verify")


def verify(token: str, keys: Mapping[str, PublicKey], now: int) -> bytes:
    """Return the payload of a token that one of `keys` signed. Raises `Unauthenticated`."""
    found = parse(token)
    key = keys.get(found.header.kid)
    if key is None:
        raise Unauthenticated("the token's key is not known")
    check(found, key, now)
    return found.payload


@functools.lru_cache(maxsize=64)  # a service's tokens have the same header for as long as a key is in use
def _header(text: str) -> Header:
    if len(text) > MAX_HEADER:
        raise Unauthenticated(f"the token's header is over {MAX_HEADER} characters")
    raw = _decode(text)
    if not _PLAIN.fullmatch(raw):
        raise Unauthenticated("the token's header is not plain ASCII")
    told = json_object(raw)
    refused = sorted(_REFUSED & set(told))
    if refused:
        raise Unauthenticated(f"a token's header may not have {', '.join(refused)}")
    alg, kid, typ = told.get("alg"), told.get("kid"), told.get("typ", "")
    if not (isinstance(alg, str) and isinstance(kid, str) and isinstance(typ, str)):
        raise Unauthenticated("a token's header has alg and kid, both text")
    if not KID.fullmatch(kid):
        raise Unauthenticated("a token's kid is up to 128 of letters, digits and ._=+@:-")
    return Header(alg, kid, typ.lower().removeprefix("application/"))


def _decode(text: str) -> bytes:
    ending = _ENDINGS.get(len(text) % 4)
    if ending is None or (ending and text[-1] not in ending):
        raise Unauthenticated("the token is not in canonical base64url")
    return base64.urlsafe_b64decode(text + "==")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _no_constant(_text: str) -> Any:
    raise ValueError  # NaN and the infinities are no JSON


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def json_object(raw: bytes) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, no name twice, no NaN. Raises `Unauthenticated`."""
    try:
        found = _DECODER.decode(raw.decode())
    except (ValueError, RecursionError):
        raise Unauthenticated("the token holds no valid JSON") from None
    if not isinstance(found, dict):
        raise Unauthenticated("the token holds no JSON object")
    return found


def public_keys(told: object) -> dict[str, PublicKey]:
    """Return the keys of a JSON Web Key Set (RFC 7517) that may verify, by kid.

    Left out are keys without a kid, for another use, private-only or of an algorithm that is not taken, weak
    ones, and every kid that stands for two different keys. Raises `Malformed` for what is no key set.
    """
    listed = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise Malformed(f"this is not a set of up to {MAX_KEYS} JSON Web Keys")
    found: dict[str, PublicKey] = {}
    ambiguous = set()
    for key in map(_public_key, listed):
        if key is not None and found.setdefault(key.kid, key) != key:
            ambiguous.add(key.kid)
    return {kid: key for kid, key in found.items() if kid not in ambiguous}


def _public_key(told: object) -> PublicKey | None:
    if not isinstance(told, dict) or not _for_signatures(told):
        return None
    kid, kty, until = told.get("kid"), told.get("kty"), told.get("exp", 0)
    if not (isinstance(kid, str) and KID.fullmatch(kid) and isinstance(kty, str) and type(until) is int):
        return None
    curve = "" if kty == "RSA" else told.get("crv")
    names = _ALGORITHMS.get((kty, curve), ()) if isinstance(curve, str) else ()
    alg = told.get("alg", names[0] if names else None)
    if alg not in names:
        return None
    material = {name: told.get(name) for name in _MATERIAL[kty]}
    if not all(isinstance(value, str) and _MEMBER.fullmatch(value) for value in material.values()):
        return None
    if kty == "OKP":
        names, alg = ("Ed25519", "EdDSA"), "Ed25519"  # two names of one algorithm (RFC 8037, RFC 9864)
    else:
        names = (alg,)
    return _imported(kid, frozenset(names), alg, until, {"kty": kty, **material})


def _for_signatures(told: Mapping[str, Any]) -> bool:
    """Say whether a key's `use` and `key_ops` let it verify signatures (RFC 7517, 4.2 and 4.3)."""
    operations = told.get("key_ops", ["verify"])
    return told.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _imported(
    kid: str, names: frozenset[str], alg: str, until: int, material: dict[str, Any]
) -> PublicKey | None:
    from joserfc.errors import JoseError
    from joserfc.jwk import import_key
    from joserfc.jws import JWSRegistry

    try:
        if material["kty"] == "RSA" and not _strong(_number(material["n"]), _number(material["e"])):
            return None
        key = import_key(material)
        algorithm = JWSRegistry(algorithms=[alg]).get_alg(alg)
        algorithm.check_key(key)
        key.get_op_key("verify")
    except (JoseError, Unauthenticated, ValueError, TypeError):
        return None
    return PublicKey(kid, names, until, material, algorithm, key)


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _strong(modulus: int, exponent: int) -> bool:
    """Say whether an RSA key is of a size that is taken, and not of the ones with guessable primes."""
    return (
        modulus.bit_length() in RSA_BITS
        and modulus % 2 == 1
        and exponent % 2 == 1
        and 3 <= exponent < 1 << 32
        and not is_roca(modulus)
    )
