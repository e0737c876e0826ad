"""Checkpoints: what all that were ever signed for a chain say, each verified, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from sentinel.core import notes as notation
from sentinel.core.notes import Key, Note, Signature
from sentinel.errors import Malformed, Tampered
from sentinel.ports_log import Notes, Tiles
from sentinel.usecases.seal import LogKeys, Sealed

EACH = 60  # seconds: a checkpoint is due so often
LATE = 2 * EACH  # seconds between two checkpoints from which on one is missing
FEW, AHEAD, READERS = 64, 512, 16  # checkpoints read one by one; asked for ahead; by as many threads
WITNESSED = "witness-"  # what attachments with cosignature lines begin with


@dataclass(frozen=True, slots=True)
class Attested:
    """What a verification checks a chain against. `keys` are asked for where there is something signed.

    `witnesses` are the keys whose cosignatures are checked; the newest checkpoint needs `quorum` of them.
    With `tiles` the first entry is found of a chain that was written anew.
    """

    notes: Notes
    keys: Callable[[], LogKeys]
    witnesses: Sequence[Key] = ()
    quorum: int = 0
    tiles: Tiles | None = None


@dataclass(slots=True)
class Course:
    """What the checkpoints of a chain say. `roots` are the signed roots by the size of their trees.

    `late` counts the pairs between which at least one is missing, `longest` is the longest such pause, in
    seconds. `cosigned` names the witnesses that cosigned the newest. `damage` is what is wrong with the
    checkpoints themselves; the others are those before it.
    """

    roots: dict[int, bytes] = field(default_factory=dict)
    count: int = 0
    newest: Sealed | None = None
    cosigned: tuple[str, ...] = ()
    late: int = 0
    longest: int = 0
    damage: Tampered | None = None

    def json(self, entries: int) -> dict[str, object]:
        """Return what is told of it where all is well with a chain of so many entries."""
        if self.newest is None:
            return {}
        known = self.newest.checkpoint
        return {
            "checkpoints": self.count,
            "checkpoint": {
                "number": self.newest.number,
                "size": known.size,
                "time": self.newest.seconds,
                "cosigned": list(self.cosigned),
            },
            "unsealed": entries - known.size,
            "late": self.late,
            "longest_pause": self.longest,
        }


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint as it is stored: None where its number is free; `attached` is what stands beside it."""

    number: int
    raw: bytes | None
    attached: Mapping[str, bytes]

    def cosigned(self, note: Note) -> Note:
        """Return the note with the cosignatures that are attached to it, those that can be read.

        One line of each attachment counts, so that none displaces others.
        """
        found: list[Signature] = []
        for name, lines in sorted(self.attached.items()):
            if name.startswith(WITNESSED):
                try:
                    found += notation.read_lines(lines.decode())[:1]
                except (Malformed, UnicodeDecodeError):
                    continue  # it counts for nothing, as if it were not there: a quorum misses it
        return note.with_lines(found[: notation.MOST_SIGNATURES - len(note.signatures)])


def look(notes: Notes, chain: str, number: int, attached: bool = True) -> Stored:
    """Return one stored checkpoint, with what is attached to it where that is wanted."""
    raw = notes.get(chain, number)
    return Stored(number, raw, notes.attached(chain, number) if attached and raw is not None else {})


def stored(notes: Notes, chain: str, attached: bool = True) -> Iterator[Stored]:
    """Yield all stored checkpoints of a chain, by number: one a minute, so many are asked for at once."""
    newest = notes.newest(chain)
    numbers = range(newest[0] + 1) if newest else range(0)
    if len(numbers) <= FEW:
        yield from (look(notes, chain, number, attached) for number in numbers)
        return
    with ThreadPoolExecutor(READERS) as pool:
        for start in range(0, len(numbers), AHEAD):
            part = numbers[start : start + AHEAD]
            yield from pool.map(lambda number: look(notes, chain, number, attached), part)


def course(by: Attested, chain: str) -> Course:
    """Read and check every checkpoint of a chain: signature, order, numbers without gaps, cosignatures."""
    found = Course()
    try:
        for each in stored(by.notes, chain, attached=bool(by.witnesses)):
            _follow(by, chain, found, each)
    except Tampered as damage:
        found.damage = damage
    if found.damage is None and len(found.cosigned) < by.quorum:
        at = found.newest.checkpoint.size if found.newest else 0
        what = f"the newest checkpoint is cosigned by {len(found.cosigned)} witnesses, not {by.quorum}"
        found.damage = Tampered(chain, at, "quorum", what)
    return found


def _follow(by: Attested, chain: str, found: Course, held: Stored) -> None:
    """Take in the next checkpoint. Raises `Tampered` with the first entry that is in none before."""
    before = found.newest
    at = before.checkpoint.size if before else 0
    number = held.number
    if held.raw is None:
        raise Tampered(chain, at, "order", f"checkpoint {number} is gone")
    try:
        sealed = by.keys().read(chain, number, held.raw)
    except Tampered as damage:
        raise Tampered(chain, at, damage.kind, damage.detail) from None
    known = sealed.checkpoint
    if before and (known.size < at or sealed.seconds < before.seconds):
        raise Tampered(chain, at, "order", f"checkpoint {number} goes back behind the one before it")
    if found.roots.setdefault(known.size, known.root) != known.root:
        raise Tampered(
            chain, known.size - 1, "rewritten", f"two trees of {known.size} were signed ({number})"
        )
    pause = sealed.seconds - before.seconds if before else 0
    found.late += pause > LATE
    found.longest = max(found.longest, pause)
    found.cosigned = _cosigned(by, chain, sealed, held) if by.witnesses else ()
    found.newest = sealed
    found.count += 1


def _cosigned(by: Attested, chain: str, sealed: Sealed, held: Stored) -> tuple[str, ...]:
    """Return the witnesses that cosigned, each key once. Raises `Tampered` where a signature is wrong.

    The log's own key, whatever name it is given under, is no witness.
    """
    try:
        signed = held.cosigned(sealed.note).verified(by.witnesses)
    except Malformed as error:
        what = f"checkpoint {sealed.number}: {error}"
        raise Tampered(chain, sealed.checkpoint.size, "cosignature", what) from None
    own = by.keys().public
    names = {key.public: key.name for key, _ in signed if key.public != own}
    return tuple(sorted({*names.values()}))
