"""Signed documents: the DSSE envelope, version 1, with Ed25519 signatures.

The format is that of secure-systems-lab/dsse: `protocol.md` 1.0.0 for what is signed, `envelope.md` for the
JSON. A signature covers the payload's type as well as its bytes, so that what was signed as one kind of
document cannot be passed off as another. A key id is a hint of which key to try and decides nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from sentinel.errors import Malformed

MAX_ENVELOPE = 2_000_000  # bytes
MAX_SIGNATURES = 16
_KEYS = frozenset({"payload", "payloadType", "signatures"})


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature, 64 bytes, and the hint of which key made it."""

    sig: bytes
    keyid: str = ""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type, and who signed both."""

    payload: bytes = field(repr=False)
    payload_type: str
    signatures: tuple[Signature, ...] = ()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of a type and a payload.

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(public: bytes) -> str:
    """Return the id of a public key of 32 raw bytes: its SHA-256 in hex."""
    return sha256(public).hexdigest()


def sign(seed: bytes, payload_type: str, payload: bytes) -> Envelope:
    """Sign a payload with the private key of 32 raw bytes. The same input gives the same envelope."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(seed)
    made = Signature(key.sign(pae(payload_type, payload)), key_id(key.public_key().public_bytes_raw()))
    return Envelope(payload, payload_type, (made,))


def signers(envelope: Envelope, keys: Mapping[str, bytes]) -> tuple[str, ...]:
    """Return the names of those whose key made a signature, in order of the signatures, each once.

    `keys` are public keys of 32 raw bytes by the names of those who hold them.
    """
    signed = pae(envelope.payload_type, envelope.payload)
    found: dict[str, None] = {}
    for signature in envelope.signatures:
        # Every key is tried: the hint is unsigned, and other tools have ids of their own for the same key.
        found.update(dict.fromkeys(name for name, key in keys.items() if _made(key, signature.sig, signed)))
    return tuple(found)


def _made(public: bytes, sig: bytes, signed: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(sig, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def dump(envelope: Envelope) -> bytes:
    """Return an envelope as JSON, with a line break at its end."""
    told = {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [
            {"keyid": each.keyid, "sig": base64.b64encode(each.sig).decode()} for each in envelope.signatures
        ],
    }
    return orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def load(body: bytes) -> Envelope | None:
    """Return the envelope that `body` is; None where it is none at all.

    Raises `Malformed` for what has an envelope's keys and cannot be read as one.

    >>> load(b"id: a-recipe")
    >>> load(b'{"payload": "aGk=", "payloadType": "text/plain", "signatures": []}').payload
    b'hi'
    """
    if body.lstrip()[:1] != b"{" or len(body) > MAX_ENVELOPE:
        return None
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(told, dict) or not {"payload", "payloadType"} <= set(told):
        return None
    payload, kind, made = told["payload"], told["payloadType"], told.get("signatures", [])
    if not (set(told) <= _KEYS and isinstance(payload, str) and isinstance(kind, str)):
        raise Malformed("the envelope has payload, payloadType and signatures, and nothing else")
    return Envelope(_bytes(payload), kind, tuple(_signatures(made)))


def _signatures(made: object) -> Iterable[Signature]:
    if not isinstance(made, list) or len(made) > MAX_SIGNATURES:
        raise Malformed(f"the envelope has a list of at most {MAX_SIGNATURES} signatures")
    for each in made:
        sig = each.get("sig") if isinstance(each, dict) else None
        if not isinstance(sig, str):
            raise Malformed("a signature of the envelope has sig, and perhaps keyid")
        yield Signature(_bytes(sig), str(each.get("keyid", "")))


def _bytes(text: str) -> bytes:
    """Decode base64 of either alphabet, as the protocol asks for."""
    try:
        plain = text.translate(str.maketrans("-_", "+/")).encode("ascii")
        return binascii.a2b_base64(plain, strict_mode=True) if plain else b""
    except (binascii.Error, UnicodeEncodeError):
        raise Malformed("the envelope holds what is not base64") from None
