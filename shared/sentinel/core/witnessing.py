"""What a witness of transparency logs decides: C2SP tlog-witness's add-checkpoint, without its I/O.

A submission is the size that the witness cosigned last, the consistency proof from that tree to a newer one,
and the newer one's checkpoint, signed by its log. A witness cosigns what continues what it has seen (`Seen`)
and nothing else, so that no log can show two people two histories that both carry its cosignature.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sentinel.core import merkle, notes, urls
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Rejected

MOST_PROOF = 63  # lines of proof: the specification's bound
MOST_WITNESSES = 16  # of one log
MOST_SIZE = 2**63 - 1  # leaves; what is above is no tree of anybody's, and no integer of a database
MOST_BYTES = notes.MOST_BYTES + MOST_PROOF * 45 + 64
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,18})")
_SIZE = re.compile(rb"(0|[1-9][0-9]{0,18})\n")


class OtherSize(Conflict):
    """What was cosigned last, of `size` leaves, is not what the submission begins at, or another tree."""

    def __init__(self, size: int, message: str) -> None:
        super().__init__(message)
        self.size = size


class OtherTree(OtherSize):
    """What was cosigned last is another tree of the same size: its log has signed two histories."""


class Unproven(Rejected):
    """The consistency proof does not show that the newer tree begins with the older one."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A request of add-checkpoint: the size it begins at, the proof's hashes, the signed checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: Note
    checkpoint: Checkpoint

    @property
    def body(self) -> bytes:
        """The body as it is sent."""
        lines = [f"old {self.old}", *(b64encode(each).decode() for each in self.proof)]
        return ("\n".join(lines) + "\n\n").encode() + self.note.bytes

    @staticmethod
    def read(body: bytes) -> Submission:
        """Read a body. Raises `Malformed` for everything that the specification does not allow."""
        head, gap, rest = body.partition(b"\n\n")
        try:
            first, *lines = head.decode("ascii").split("\n")
        except UnicodeDecodeError:
            first, lines = "", []
        old = _OLD.fullmatch(first)
        if old is None or not gap or len(body) > MOST_BYTES:
            raise Malformed(
                "a submission is the line `old SIZE`, lines of proof, an empty line, a checkpoint"
            )
        if len(lines) > MOST_PROOF:
            raise Malformed(f"a proof has at most {MOST_PROOF} lines")
        note = notes.read(rest)
        found = Submission(int(old[1]), tuple(map(_hash, lines)), note, Checkpoint.read(note.text))
        if found.checkpoint.size > MOST_SIZE:
            raise Malformed(f"no tree has more than {MOST_SIZE} leaves")
        return found


def _hash(line: str) -> bytes:
    """Read one hash: 32 bytes in base64, in the one form that they have."""
    try:
        raw = b64decode(line, validate=True)
    except (NotBase64, ValueError):
        raw = b""
    if len(raw) != merkle.HASH_BYTES or b64encode(raw).decode() != line:
        raise Malformed("a line of proof is 32 bytes in base64")
    return raw


def size_of(body: bytes) -> int:
    """Read the answer 409: the size of the tree that was cosigned last. Raises `Malformed`."""
    found = _SIZE.fullmatch(body)
    if found is None or int(found[1]) > MOST_SIZE:
        raise Malformed("a conflict is told as the size of a tree and a line's end (C2SP tlog-witness)")
    return int(found[1])


@dataclass(frozen=True, slots=True)
class Seen:
    """What a witness cosigned last of one log: size, root, when (epoch seconds), and the cosigned note."""

    size: int
    root: bytes
    seconds: int = 0
    note: bytes = field(default=b"", repr=False)


NOTHING = Seen(0, merkle.EMPTY_ROOT)


@dataclass(frozen=True, slots=True)
class Logs:
    """The logs that a witness knows, by their verifier keys.

    A key counts for the origin that is its name; and for every origin below it (`NAME/...`), where the log
    signs each chain's checkpoints by the same key under the origin's name, as Sentinel does.
    """

    keys: tuple[Key, ...]

    @staticmethod
    def read(vkeys: Iterable[str]) -> Logs:
        """Read verifier keys. Raises `Malformed`."""
        return Logs(tuple(dict.fromkeys(map(Key.read, vkeys))))

    def of(self, origin: str) -> list[Key]:
        """Return the keys that may sign for an origin. Raises `Missing` where there is none.

        Where one name lies below another, the longer one's keys alone count.
        """
        fit = [key for key in self.keys if origin == key.name or _below(key.name, origin)]
        if not fit:
            raise Missing("this witness does not know the log of that origin")
        longest = max(len(key.name) for key in fit)
        of_it = [key for key in fit if len(key.name) == longest]
        named = [Key(origin, ED25519, key.public) for key in of_it]
        return list(dict.fromkeys([*(key for key in of_it if key.name == origin), *named]))


def _below(log: str, origin: str) -> bool:
    """Say whether an origin is that of a chain of a log, in its one form."""
    try:
        return bool(notes.chain_of(log, origin))
    except Malformed:
        return False


def signed(submission: Submission, logs: Logs) -> Note:
    """Return the checkpoint with the signatures by keys of its log alone.

    Raises `Missing` for a log that is not known, `Forbidden` where no known key signed, or one's signature
    is wrong, `Malformed` where the proof begins behind the checkpoint.
    """
    keys = logs.of(submission.checkpoint.origin)
    try:
        found = submission.note.verified(keys)
    except Malformed:
        found = []
    if not found:
        raise Forbidden("no key that this witness knows for that origin has signed the checkpoint")
    if submission.old > submission.checkpoint.size:
        raise Malformed("the old size is above the checkpoint's")
    ours = {(key.name, key.id) for key, _ in found}
    lines = dict.fromkeys(each for each in submission.note.signatures if (each.name, each.id) in ours)
    return Note(submission.note.text, tuple(lines))


def check_growth(seen: Seen, submission: Submission) -> None:
    """See that a checkpoint continues what was cosigned last. Raises `OtherSize`, `Unproven`."""
    new = submission.checkpoint
    if submission.old != seen.size:
        raise OtherSize(seen.size, "another size was cosigned last")
    if new.size == seen.size and new.root != seen.root:
        raise OtherTree(seen.size, "another tree of the same size was cosigned")
    if not continues(seen, new, submission.proof):
        raise Unproven("the proof does not show that the checkpoint continues the one cosigned last")


def continues(seen: Seen, new: Checkpoint, proof: Sequence[bytes]) -> bool:
    """Say whether a proof shows that a checkpoint's tree begins with one that was seen."""
    return merkle.verify_consistency(seen.size, new.size, proof, seen.root, new.root)


def places(setting: str) -> list[tuple[str, Key]]:
    """Read the setting `witnesses`: (submission prefix, key of its cosignatures) of each.

    Raises `Malformed`.

    >>> places("")
    []
    """
    found: list[tuple[str, Key]] = []
    for each in filter(None, (part.strip() for part in setting.split(","))):
        url, gap, vkey = each.partition("=")
        try:
            parts = urls.parse(url)
            key = Key.read(vkey)
        except (ValueError, Malformed) as error:
            raise Malformed(f"SENTINEL_WITNESSES is URL=vkey, comma separated: {error}") from None
        if not gap or key.type != COSIGNATURE or parts.query or parts.fragment:
            raise Malformed("SENTINEL_WITNESSES: a witness is URL=vkey, its key one of cosignatures (type 4)")
        found.append((url, key))
    if len(found) > MOST_WITNESSES:
        raise Malformed(f"SENTINEL_WITNESSES has at most {MOST_WITNESSES} witnesses")
    if len({key.name for _, key in found} | {key.public for _, key in found}) != 2 * len(found):
        raise Malformed("SENTINEL_WITNESSES: each witness stands there once, with a name and key of its own")
    return found
