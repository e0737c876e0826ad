"""Logs and witnesses to test with: trees of plain numbers, keys that are known, C2SP's formats by hand."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sentinel.adapters.sqlite_witness import SqliteWitnessed
from sentinel.core import merkle, notes
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.core.witnessing import Logs, Submission
from sentinel.usecases.witness import SECOND, Witness

THEN = 1_700_000_000


class Signer:
    """`ports_log.LogSigner` with a key made of one byte."""

    def __init__(self, seed: int) -> None:
        self.secret = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)

    def public_key(self) -> bytes:
        return self.secret.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        return self.secret.sign(message)


@dataclass
class Tree:
    """A log's tree over `history`, and what its log signs of it."""

    origin: str = "log.example/checkout/0"
    history: str = ""
    signer: Signer = field(default_factory=lambda: Signer(1))

    @property
    def key(self) -> Key:
        return Key(self.origin, ED25519, self.signer.public_key())

    def hashes(self, size: int) -> list[bytes]:
        return [sha256(f"{self.history}{number}".encode()).digest() for number in range(size)]

    def root(self, size: int) -> bytes:
        return merkle.root(merkle.grow(0, (), self.hashes(size)))

    def note(self, size: int, *extra: notes.Signature) -> Note:
        text = Checkpoint(self.origin, size, self.root(size)).text
        return Note(text, (notes.signed(text, self.key, self.signer.sign), *extra))

    def proof(self, old: int, new: int) -> list[bytes]:
        leaves = [merkle.leaf(each) for each in self.hashes(new)]

        def node(level: int, index: int) -> bytes:
            row = leaves[index << level : (index + 1) << level]
            while len(row) > 1:
                row = [merkle.node(a, b) for a, b in zip(row[::2], row[1::2], strict=True)]
            return row[0]

        return merkle.consistency(old, new, node)

    def submission(self, old: int, new: int) -> Submission:
        note = self.note(new)
        return Submission(old, tuple(self.proof(old, new)), note, Checkpoint.read(note.text))

    def body(self, old: int, new: int) -> bytes:
        """Write a submission by hand, as the specification shows it."""
        lines = [f"old {old}", *(b64encode(each).decode() for each in self.proof(old, new)), ""]
        return "\n".join(lines).encode() + b"\n" + self.note(new).bytes


def witness(
    *vkeys: str, path: Path | str = ":memory:", seconds: int = THEN, name: str = "witness.example/w1"
) -> Witness:
    """Make a witness of logs; its clock stands at `seconds`."""
    return Witness(name, Logs.read(vkeys), SqliteWitnessed(path), Signer(9), lambda: seconds * SECOND)


def cosigned_by_hand(line: str, key: Key, text: str) -> int:
    """Verify a cosignature without our code for it; return its time. Raises `InvalidSignature`.

    Format: C2SP tlog-cosignature, Ed25519: key id, then the time in eight bytes, then the signature.
    """
    from base64 import b64decode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    dash, name, encoded = line.split(" ")
    raw = b64decode(encoded)
    key_id = sha256(key.name.encode() + b"\n\x04" + key.public).digest()[:4]
    assert (dash, name, raw[:4], len(raw)) == ("\u2014", key.name, key_id, 4 + 8 + 64)
    assert key.type == COSIGNATURE
    assert line.endswith("\n")
    seconds = int.from_bytes(raw[4:12], "big")
    message = b"cosignature/v1\ntime " + str(seconds).encode() + b"\n" + text.encode()
    Ed25519PublicKey.from_public_bytes(key.public).verify(raw[12:], message)
    return seconds


@dataclass
class Running:
    """A witness's process, where it answers, and its verifier key."""

    process: subprocess.Popen[bytes]
    url: str
    vkey: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])


@contextmanager
def running(
    home: Path, *vkeys: str, name: str = "witness.example/w1", port: int = 0, more: Sequence[str] = ()
) -> Iterator[Running]:
    """Run `sentinel witness` as a process of its own."""
    command = [sys.executable, "-m", "sentinel.cli.main", "witness", "--json", "--name", name]
    command += ["--home", str(home), "--port", str(port), *more]
    for vkey in vkeys:
        command += ["--log", vkey]
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        told = orjson.loads(process.stdout.readline())
        yield Running(process, told["url"], told["vkey"])
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()
