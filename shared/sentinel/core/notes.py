"""Signed notes, checkpoints and cosignatures (C2SP signed-note, tlog-checkpoint and tlog-cosignature, v1).

A note is text and signature lines: ``— NAME BASE64(key id ‖ signature)``. A key is known by its name and id,
and is written down as a *vkey*: ``NAME+ID+BASE64(type ‖ public key)``. Two types are used here: Ed25519 over
the text (0x01), and Ed25519 over text and time (0x04, `cosignature/v1`). Everything else is ignored, as the
specification says; a signature of a known key that is wrong makes the note count for nothing.

A checkpoint's text is the origin, the size of the tree, and its root. The origin of a chain is the log's
name, a slash and the chain id, percent-encoded (RFC 3986): neither space nor plus may stand in it.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote, unquote

from sentinel.core.merkle import HASH_BYTES
from sentinel.errors import Malformed

ED25519, COSIGNATURE = 1, 4
MOST_SIGNATURES = 64
MOST_BYTES = 100_000
KEY_BYTES, SIGNATURE_BYTES, ID_BYTES = 32, 64, 4
_DASH = "\u2014 "
_NAME = re.compile(r"[^\s+]{1,1000}")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")

Sign = Callable[[bytes], bytes]


def origin_of(log: str, chain: str) -> str:
    """Return the origin of a chain's checkpoints.

    >>> origin_of("sentinel.example", "a+b/0")
    'sentinel.example/a%2Bb/0'
    """
    return f"{log}/{quote(chain, safe='/.:@-_~')}"


def chain_of(log: str, origin: str) -> str:
    """Return the chain of an origin. Raises `Malformed` where it is none of this log's."""
    chain = unquote(origin.removeprefix(log + "/"), errors="replace")
    if origin_of(log, chain) != origin:
        raise Malformed("this checkpoint is of another log")
    return chain


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that is known: its name, its type (`ED25519` or `COSIGNATURE`) and its 32 bytes."""

    name: str
    type: int
    public: bytes

    @property
    def id(self) -> bytes:
        """Its id: the first four bytes of SHA256(name ‖ LF ‖ type ‖ public key)."""
        return sha256(self.name.encode() + b"\n" + bytes((self.type,)) + self.public).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as it is written down."""
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes((self.type,)) + self.public).decode()}"

    @staticmethod
    def read(vkey: str) -> Key:
        """Read a key that was written down. Raises `Malformed`."""
        name, _, rest = vkey.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        raw = _decoded(encoded)
        if (
            raw is None
            or len(raw) != 1 + KEY_BYTES
            or raw[0] not in {ED25519, COSIGNATURE}
            or not _NAME.fullmatch(name)
        ):
            raise Malformed("a verifier key is NAME+ID+BASE64 of an Ed25519 key (C2SP signed-note)")
        key = Key(name, raw[0], raw[1:])
        if key.id.hex() != key_id:
            raise Malformed("this verifier key's id is not that of its key")
        return key

    def named(self, name: str) -> Key:
        """Return the same key under another name."""
        return Key(name, self.type, self.public)


@dataclass(frozen=True, slots=True)
class Signature:
    """One line of signature: whose, the key's id, and what stands behind that."""

    name: str
    id: bytes
    raw: bytes

    @property
    def line(self) -> str:
        """The line, with its end."""
        return f"{_DASH}{self.name} {b64encode(self.id + self.raw).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """Text, which ends with a line's end, and its signatures, none of them verified."""

    text: str
    signatures: tuple[Signature, ...]

    @property
    def bytes(self) -> bytes:
        """The note as it is stored and sent."""
        return (self.text + "\n" + "".join(each.line for each in self.signatures)).encode()

    def with_lines(self, lines: Iterable[Signature]) -> Note:
        """Return the note with further signatures, those that it has left out."""
        new = [each for each in lines if each not in self.signatures]
        return Note(self.text, (*self.signatures, *dict.fromkeys(new)))

    def verified(self, keys: Iterable[Key]) -> list[tuple[Key, int]]:
        """Return (key, time in epoch seconds) of each signature by one of `keys`; 0 where it has no time.

        Raises `Malformed` where one by such a key is wrong.
        """
        known = {(key.name, key.id): key for key in keys}
        found = []
        for each in self.signatures:
            key = known.get((each.name, each.id))
            if key is not None:
                found.append((key, _verified(key, each.raw, self.text)))
        return found


def read(raw: bytes) -> Note:
    """Read a signed note. Raises `Malformed` where it is none."""
    try:
        whole = raw.decode() if len(raw) <= MOST_BYTES else ""
    except UnicodeDecodeError:
        whole = ""
    text, gap, lines = whole.rpartition("\n\n")
    if not gap or not lines.endswith("\n") or any(c < " " and c != "\n" for c in whole):
        raise Malformed("this is no signed note (C2SP signed-note)")
    return Note(text + "\n", tuple(read_lines(lines)))


def read_lines(lines: str) -> list[Signature]:
    """Read signature lines, each with its end. Raises `Malformed`."""
    found = []
    for line in lines.split("\n")[:-1]:
        name, _, encoded = line.removeprefix(_DASH).partition(" ")
        raw = _decoded(encoded)
        if not line.startswith(_DASH) or raw is None or len(raw) <= ID_BYTES or not _NAME.fullmatch(name):
            raise Malformed("a line of signature is a dash, a name and base64 (C2SP signed-note)")
        found.append(Signature(name, raw[:ID_BYTES], raw[ID_BYTES:]))
    if not 1 <= len(found) <= MOST_SIGNATURES or not lines.endswith("\n"):
        raise Malformed(f"a note has 1 to {MOST_SIGNATURES} lines of signature")
    return found


def signed(text: str, key: Key, sign: Sign) -> Signature:
    """Sign a note's text with an `ED25519` key; `sign` is Ed25519 over a message (RFC 8032)."""
    return Signature(key.name, key.id, sign(text.encode()))


def cosigned(text: str, key: Key, sign: Sign, seconds: int) -> Signature:
    """Sign a checkpoint's text with a `COSIGNATURE` key, as of a time in epoch seconds."""
    return Signature(key.name, key.id, seconds.to_bytes(8, "big") + sign(_timed(text, seconds)))


def _timed(text: str, seconds: int) -> bytes:
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _verified(key: Key, raw: bytes, text: str) -> int:
    """Return the time of a signature, 0 where it has none. Raises `Malformed` where it is wrong."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    seconds, message = 0, text.encode()
    if key.type == COSIGNATURE:
        seconds, raw = int.from_bytes(raw[:8], "big"), raw[8:]
        message = _timed(text, seconds)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(raw, message)
    except InvalidSignature:
        raise Malformed(f"the signature by {key.name} is wrong") from None
    return seconds


def _decoded(encoded: str) -> bytes | None:
    """Return what base64 stands for; None where it is none, or not its one form (RFC 4648, 3.5)."""
    try:
        raw = b64decode(encoded, validate=True)
    except (NotBase64, ValueError):
        return None
    return raw if b64encode(raw).decode() == encoded else None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint says: the origin, how many leaves its tree has, and the root, 32 bytes."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    @staticmethod
    def read(text: str) -> Checkpoint:
        """Read a checkpoint's text; extension lines are let be. Raises `Malformed`."""
        lines: Sequence[str] = text.split("\n")
        root = _decoded(lines[2]) if len(lines) >= 4 and all(lines[:-1]) and not lines[-1] else None
        if root is None or len(root) != HASH_BYTES or not _NUMBER.fullmatch(lines[1]):
            raise Malformed("this is no checkpoint (C2SP tlog-checkpoint)")
        return Checkpoint(lines[0], int(lines[1]), root)
