"""A small sealed and witnessed chain with erased entries, always the same, and what verifies it."""

from __future__ import annotations

import contextlib
import io
import os
import random
import tempfile
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import sentinel_verify
from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import chain as hashing
from sentinel.core import merkle, notes
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key
from sentinel.core.payload import CODEC_ERASED, ERASED_ENTRY, Opened
from sentinel.core.segment import Draft, Head, Segment
from sentinel.core.window import Part
from sentinel.errors import Tampered
from sentinel.usecases.bundle import Bundler
from sentinel.usecases.course import Attested
from sentinel.usecases.seal import LogKeys, Sealed, Sealer
from sentinel.usecases.verify_chain import ChainVerification, Verified

ROOT = Path(__file__).resolve().parents[2]

CHAIN, LOG = "checkout/0", "log.example"
SIZES = (3, 2, 4, 1, 3, 2, 3, 2, 3)  # entries of the segments before the erasures
SEALED_AFTER = (4, 4, 8)  # segments after which a checkpoint is signed; the last stands behind the records
ERASED = ((5, 8), (10, 11))  # a whole segment, and two entries of another
MINUTE = 60_000_000_000
BEGIN = 1_764_000_000_000_000_000


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder for the stores, in memory where the machine has that: each checkpoint is flushed."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as made:
        yield Path(made)


class Signer:
    """`ports_log.LogSigner` with a key that is made from a word."""

    def __init__(self, word: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(sha256(word.encode()).digest())

    def public_key(self) -> bytes:
        """Return the public key."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Sign."""
        return self._key.sign(message)


SIGNER, WITNESS = Signer("log"), Signer("witness")
KEYS = LogKeys(LOG, SIGNER.public_key())
VKEY = Key(LOG, ED25519, SIGNER.public_key()).vkey
WITNESS_KEY = Key("witness.example/w1", COSIGNATURE, WITNESS.public_key())


@dataclass(frozen=True, slots=True)
class Content:
    """What a segment holds before it is placed: what somebody decides who writes a chain."""

    opened: Opened
    part: Part
    t: int

    @staticmethod
    def of(segment: Segment) -> Content:
        """Take a stored segment's."""
        return Content(segment.opened, segment.parts[-1][0], segment.t)

    def holding(self, entries: Sequence[bytes]) -> Content:
        """Return it with other entries, as one batch; what is erased is so by its line."""
        opened = replace(self.opened, entries=list(entries), erased={})
        return replace(self, opened=opened, part=replace(self.part, count=len(entries), total=len(entries)))


def written(contents: Iterable[Content], head: Head | None = None) -> list[Segment]:
    """Return the chain of these, with every link, head, window and tree as they have to be."""
    head = head or Head.genesis(CHAIN)
    segments = []
    for each in contents:
        opened = each.opened
        draft = Draft(each.part, hashing.salt(opened.nonce, opened.context), opened.leaves(), opened.pack())
        segment, head = draft.place(CHAIN, head, each.t)
        codec = segment.codec | (CODEC_ERASED if opened.erased else 0)
        segments.append(replace(segment, codec=codec))
    return segments


def content(number: int, entries: Sequence[bytes], endpoint: str = "entries") -> Content:
    """Return what an ingest would write: nonce, batch id and time are of the number."""
    rng = random.Random(number)
    part = Part(rng.randbytes(16), len(entries), 0, len(entries))
    context = {"service": "checkout", "endpoint": endpoint, **part.context()}
    return Content(
        Opened(rng.randbytes(32), orjson.dumps(context), list(entries)), part, BEGIN + number * MINUTE // 4
    )


def record(first: int, last: int, leaves: Sequence[bytes], signer: Signer = SIGNER) -> bytes:
    """Return the entry that records an erasure (docs/erasure.md)."""
    origin, reason = notes.origin_of(LOG, CHAIN), "request 4711"

    def b64(raw: bytes) -> str:
        return b64encode(sha256(raw).digest()).decode()

    lines = ("sentinel-erasure/v1", origin, f"{first}-{last}", str(BEGIN // 10**9))
    text = "".join(f"{each}\n" for each in (*lines, b64(b"".join(leaves)), b64(reason.encode())))
    key = Key(origin, ED25519, signer.public_key())
    note = notes.Note(text, (notes.signed(text, key, signer.sign),)).bytes.decode()
    told = {"sentinel": "erasure", "first": first, "last": last, "by": "ada", "reason": reason, "note": note}
    return orjson.dumps(told)


def erased(segment: Segment, first: int, last: int) -> Segment:
    """Return a segment with its entries from `first` to `last` erased, as far as it has them."""
    opened, leaves = segment.opened, segment.opened.leaves()
    gone = {
        place: leaf for place, leaf in enumerate(leaves) if first <= segment.first + place <= last
    } | opened.erased
    if not gone:
        return segment
    entries = [ERASED_ENTRY if at in gone else each for at, each in enumerate(opened.entries)]
    nonce, context = (bytes(32), b"{}") if len(gone) == segment.count else (opened.nonce, opened.context)
    payload = Opened(nonce, context, entries, gone).pack()
    return replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED)


def leaves_of(segments: Iterable[Segment]) -> list[bytes]:
    """Return all leaves of a chain."""
    return [leaf for each in segments for leaf in each.opened.leaves()]


def chain(
    sizes: Sequence[int] = SIZES, gone: Sequence[tuple[int, int]] = ERASED
) -> tuple[list[Segment], list[Segment]]:
    """Return a chain as it is written, and as it is after the erasures, each with its record inside."""
    counter = iter(range(sum(sizes)))
    contents = [
        content(number, [b'{"n":%d,"user":"u%d"}' % (n, n % 3) for n in islice(counter, size)])
        for number, size in enumerate(sizes)
    ]
    for number, (first, last) in enumerate(gone, len(sizes)):
        leaves = leaves_of(written(contents))[first : last + 1]
        contents.append(content(number, [record(first, last, leaves)], "erase"))
    before = written(contents)
    after = before
    for first, last in gone:
        after = [erased(each, first, last) for each in after]
    return before, after


BEFORE, SEGMENTS = chain()
ENTRIES = SEGMENTS[-1].next
TAIL = [content(20 + n, [b'{"tail":%d}' % n, b'{"tail":"%d"}' % n]) for n in range(3)]


def tail() -> list[Segment]:
    """Return segments that follow the chain and that no checkpoint has yet."""
    return written(TAIL, Head.after(SEGMENTS[-1]))


class World:
    """The stores, below a folder of their own, and everything that looks for damage in them."""

    def __init__(
        self,
        folder: Path,
        unsealed: bool = False,
        segments: Sequence[Segment] = SEGMENTS,
        sealed_after: Sequence[int] = SEALED_AFTER,
    ) -> None:
        self.ledger = SqliteLedger(":memory:")
        self.notes = FolderNotes(folder)
        self.tiles = FolderTiles(folder)
        self.folder = folder
        self.now = BEGIN + len(SIZES) * MINUTE
        clock = self._clock
        self.sealer = Sealer(self.ledger, self.notes, self.tiles, SIGNER, LOG, clock)
        self.segments: list[Segment] = []
        for number in range(sealed_after.count(0)):
            self._seal_empty(number)
        for number, segment in enumerate(segments, 1):
            self._append(segment)
            for _ in range(sealed_after.count(number) + (number == len(segments))):
                self.seal()
        for segment in tail() if unsealed else ():
            self._append(segment)
        self._fed = self._last_change()

    def _clock(self) -> int:
        self.now += MINUTE
        return self.now

    def _append(self, segment: Segment) -> None:
        self.ledger.append(segment)
        self.segments.append(segment)

    def seal(self) -> None:
        """Sign a checkpoint, and have it cosigned."""
        self._cosign(self.sealer.seal(CHAIN))

    def _seal_empty(self, number: int) -> None:
        """Sign what this log never signs, but the format allows: a chain without an entry."""
        text = Checkpoint(KEYS.of(CHAIN).name, 0, merkle.EMPTY_ROOT).text
        seconds = self._clock() // 10**9
        signed = notes.signed(text, KEYS.of(CHAIN), SIGNER.sign)
        note = notes.Note(text, (signed, notes.cosigned(text, KEYS.timed, SIGNER.sign, seconds)))
        self.notes.put(CHAIN, number, note.bytes)
        self._cosign(KEYS.read(CHAIN, number, note.bytes))

    def _cosign(self, sealed: Sealed) -> None:
        line = notes.cosigned(sealed.note.text, WITNESS_KEY, WITNESS.sign, sealed.seconds + 1).line
        self.notes.attach(CHAIN, sealed.number, "witness-1", line.encode())

    def note(self, number: int) -> Path:
        """Return the file of a checkpoint."""
        return self.notes._path(CHAIN, number)

    def write(self, segments: Sequence[Segment]) -> None:
        """Have the table hold these, as somebody does who can write it: only what differs is written."""
        old, new = ({(each.chain, each.first): each for each in some} for some in (self.segments, segments))
        with self.ledger._db.writing() as table:
            for place in old.keys() - new.keys():
                table.execute("DELETE FROM segments WHERE chain = ? AND first = ?", place)
            for place in sorted(key for key, each in new.items() if old.get(key) != each):
                row = {name: getattr(new[place], name) for name in COLUMNS}
                if place in old:
                    sets = ", ".join(f"{name} = :{name}" for name in COLUMNS)
                    table.execute(f"UPDATE segments SET {sets} WHERE chain = :chain AND first = :first", row)
                else:
                    names = ", ".join(COLUMNS)
                    marks = ", ".join(f":{name}" for name in COLUMNS)
                    table.execute(f"INSERT INTO segments ({names}) VALUES ({marks})", row)
        self.segments = list(segments)

    def _last_change(self) -> int:
        changes = self.ledger.changes(0, 10_000)
        return changes[-1].seq if changes else 0

    def feed(self) -> set[str]:
        """Return the kinds of changes that the feed has of the table since the world was made."""
        return {each.kind for each in self.ledger.changes(self._fed, 10_000)}

    def verification(
        self, witnesses: Sequence[Key] = (WITNESS_KEY,), quorum: int = 1, **runs: Any
    ) -> ChainVerification:
        """Return what `sentinel verify` does; `runs` has it done in runs of so many entries."""
        attested = Attested(self.notes, lambda: KEYS, witnesses, quorum, self.tiles)
        return ChainVerification(self.ledger, attested, cores=64 if runs else 1, small=0, **runs)

    def verify(self) -> Verified:
        """Verify the chain."""
        return self.verification().verify(CHAIN)

    @property
    def bundler(self) -> Bundler:
        """Makes bundles."""
        return Bundler(self.ledger, self.notes, self.tiles, LOG, lambda: KEYS)

    def bundle(self, entry: int | None = None) -> bytes:
        """Return the bundle of the chain, or of an entry, as a file."""
        lines = self.bundler.chain(CHAIN) if entry is None else self.bundler.entry(CHAIN, entry)
        return b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)


COLUMNS = ("chain", "first", "count", "prev", "head", "t", "payload", "codec", "recent", "tree", "key")


def found(world: World) -> str:
    """Return what `sentinel verify` finds: kind and entry, or nothing."""
    try:
        world.verify()
    except Tampered as damage:
        return f"{damage.kind} {damage.seq}"
    return ""


def offline(bundle: bytes, quorum: int = 1) -> str:
    """Return what `sentinel-verify` finds in a bundle: kind and entry, or nothing."""
    keys = [sentinel_verify.Key.read(VKEY)]
    witnesses = [sentinel_verify.Key.read(WITNESS_KEY.vkey)]
    try:
        sentinel_verify.verify(io.BytesIO(bundle), keys, witnesses, quorum)
    except sentinel_verify.Refused as refused:
        return f"{refused.kind} {refused.entry}"
    return ""
