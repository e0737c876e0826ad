"""The tamper matrix: what somebody does who can write table and folder of checkpoints, but has no key.

Each operation is done at the first, the middle and the last place where it makes sense, twice: plain changes
just what it says, anew also computes every hash, link, tree and window behind it again, as somebody clever
would. `docs/verify.md` has what finds each.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sentinel.core import notes
from sentinel.core.notes import Checkpoint, Note
from sentinel.core.payload import CODEC_ERASED, CODEC_SEALED, pack
from sentinel.core.segment import Head, Segment
from sentinel.errors import SentinelError, Tampered
from tests.verify.broken import bad_signature
from tests.verify.world import (
    BEFORE,
    CHAIN,
    KEYS,
    SEGMENTS,
    TAIL,
    Content,
    Signer,
    World,
    content,
    erased,
    folder,
    found,
    offline,
    record,
    written,
)

PLACES = ("first", "middle", "last")
PLAIN, ANEW = "plain", "anew"
Segments = list[Segment]
Contents = list[Content]
Act = Callable[[World, str], object]
INTRUDER = Signer("intruder")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. `how` says whether all behind it is computed again, `act` does it at a place."""

    what: str
    how: str
    act: Act
    places: tuple[str, ...] = PLACES
    unsealed: bool = False  # in a world with segments behind the newest checkpoint; there it is done


def _entry(place: str) -> int:
    """Return the entry that is meant: none that was erased."""
    return {"first": 0, "middle": 13, "last": 22}[place]


def _segment(place: str) -> int:
    """Return the place in the list of the segment that is meant."""
    return {"first": 0, "middle": 5, "last": 8}[place]


def _holding(seq: int) -> tuple[int, int]:
    """Return (which segment, which of its entries)."""
    return next((at, seq - each.first) for at, each in enumerate(SEGMENTS) if each.first <= seq < each.next)


# --- Entries.


def _changed(entries: list[bytes], at: int) -> list[bytes]:
    return [*entries[:at], b'{"n":4711}', *entries[at + 1 :]]


def _inserted(entries: list[bytes], at: int) -> list[bytes]:
    return [*entries[:at], b'{"n":4711}', *entries[at:]]


def _deleted(entries: list[bytes], at: int) -> list[bytes]:
    return [*entries[:at], *entries[at + 1 :]]


def _swapped(entries: list[bytes], at: int) -> list[bytes]:
    at = min(at, len(entries) - 2)
    return [*entries[:at], entries[at + 1], entries[at], *entries[at + 2 :]]


def _doubled(entries: list[bytes], at: int) -> list[bytes]:
    return [*entries[: at + 1], *entries[at:]]


ENTRY = {
    "change an entry": _changed,
    "insert an entry": _inserted,
    "delete an entry": _deleted,
    "swap two entries": _swapped,
    "duplicate an entry": _doubled,
}


def _entry_plain(edit: Callable[[list[bytes], int], list[bytes]]) -> Act:
    """Change the payload, and the count with it."""

    def act(world: World, place: str) -> None:
        which, at = _holding(_entry(place))
        segments = list(world.segments)
        entries = edit(list(segments[which].opened.entries), at)
        payload = replace(segments[which].opened, entries=entries).pack()
        segments[which] = replace(segments[which], payload=payload, count=len(entries))
        world.write(segments)

    return act


def _entry_anew(edit: Callable[[list[bytes], int], list[bytes]]) -> Act:
    def act(world: World, place: str) -> None:
        which, at = _holding(_entry(place))
        contents = list(map(Content.of, world.segments))
        contents[which] = contents[which].holding(edit(list(contents[which].opened.entries), at))
        world.write(written(contents))

    return act


# --- Segments.


def _attribute(name: str, change: Callable[[Segment], object]) -> Act:
    def act(world: World, place: str) -> None:
        segments, at = list(world.segments), _segment(place)
        segments[at] = replace(segments[at], **{name: change(segments[at])})  # type: ignore[arg-type]
        world.write(segments)

    return act


def _contents(edit: Callable[[Contents, int], object]) -> Act:
    """Change what the segments hold, and write the chain anew."""

    def act(world: World, place: str) -> None:
        contents = list(map(Content.of, world.segments))
        edit(contents, _segment(place))
        world.write(written(contents))

    return act


def _rows(edit: Callable[[Segments, int], object]) -> Act:
    """Change which rows there are."""

    def act(world: World, place: str) -> None:
        segments = list(world.segments)
        edit(segments, _segment(place))
        world.write(segments)

    return act


def _other(number: int, count: int = 2) -> Content:
    return content(number, [b'{"forged":%d}' % n for n in range(count)])


def _insert(contents: Contents, at: int) -> None:
    contents.insert(at, _other(100))


def _insert_row(segments: Segments, at: int) -> None:
    """Copy a row into the slot behind its first entry."""
    segments.insert(at + 1, replace(segments[at], first=segments[at].first + 1))


def _swap(contents: Contents, at: int) -> None:
    at = min(at, len(contents) - 2)
    contents[at], contents[at + 1] = contents[at + 1], contents[at]


def _swap_rows(segments: Segments, at: int) -> None:
    """Swap what two rows hold; each stays at its own place."""
    at = min(at, len(segments) - 2)
    one, other = segments[at], segments[at + 1]
    segments[at] = replace(other, first=one.first)
    segments[at + 1] = replace(one, first=other.first)


def _double(contents: Contents, at: int) -> None:
    contents.insert(at, contents[at])


def _double_row(segments: Segments, at: int) -> None:
    """Copy a row to the end of the chain."""
    segments.append(replace(segments[at], first=segments[-1].next))


def _fork(contents: Contents, at: int) -> None:
    contents[at:] = [_other(100 + number, each.part.count) for number, each in enumerate(contents[at:])]


def _context(contents: Contents, at: int) -> None:
    opened = contents[at].opened
    changed = opened.context.replace(b'"endpoint":"entries"', b'"endpoint":"nowhere"')
    contents[at] = replace(contents[at], opened=replace(opened, context=changed))


def _context_plain(segment: Segment) -> bytes:
    changed = segment.opened.context.replace(b'"endpoint":"entries"', b'"endpoint":"nowhere"')
    return replace(segment.opened, context=changed).pack()


def _time(contents: Contents, at: int) -> None:
    contents[at] = replace(contents[at], t=contents[at].t + 1)


def _batch(contents: Contents, at: int) -> None:
    """Give the segment another batch id, in its context and all windows."""
    opened, part = contents[at].opened, contents[at].part
    other = replace(part, batch_id=bytes(16))
    changed = opened.context.replace(part.batch_id.hex().encode(), other.batch_id.hex().encode())
    contents[at] = Content(replace(opened, context=changed), other, contents[at].t)


def _window(world: World, place: str) -> None:
    """Forget a batch in its segment's window and in all that follow: it could be stored once more then."""
    segments, at = list(world.segments), _segment(place)
    own = segments[at].parts[-1][1]
    for number in range(at, len(segments)):
        recent = segments[number].recent.replace(own, bytes(16) + own[16:])
        segments[number] = replace(segments[number], recent=recent)
    world.write(segments)


def _trees(world: World, place: str) -> None:
    """Give the segment and all that follow the trees of another chain."""
    segments, at = list(world.segments), _segment(place)
    contents = list(map(Content.of, segments))
    contents[at] = _other(100, segments[at].count)
    forged = written(contents)
    world.write(
        [*segments[:at], *(replace(a, tree=b.tree) for a, b in zip(segments[at:], forged[at:], strict=True))]
    )


def _erase(world: World, place: str) -> None:
    """Erase an entry as the command does, but for the record."""
    seq = _entry(place)
    world.write([erased(each, seq, seq) for each in world.segments])


def _erase_without_leaf(world: World, place: str) -> None:
    """Put the mark of an erased entry there with nothing behind it."""
    segments, (which, at) = list(world.segments), _holding(_entry(place))
    entries = list(segments[which].opened.entries)
    entries[at] = b"!00"
    payload = replace(segments[which].opened, entries=entries).pack()
    segments[which] = replace(segments[which], payload=payload, codec=segments[which].codec | CODEC_ERASED)
    world.write(segments)


def _erase_with(signer: Signer | None, first: int = 0) -> Act:
    """Erase an entry and append a record of it: forged, or the copy of a genuine one."""

    def act(world: World, place: str) -> None:
        seq = _entry(place)
        leaf = BEFORE[_holding(seq)[0]].opened.leaves()[_holding(seq)[1]]
        entry = record(seq, seq, [leaf], signer) if signer else SEGMENTS[-1].opened.entries[0]
        forged = written([content(100, [entry], "erase")], Head.after(world.segments[-1]))
        world.write([*(erased(each, seq, seq) for each in world.segments), *forged])

    return act


def _other_leaf(world: World, place: str) -> None:
    """Put another leaf in the place of an entry that was erased, and recompute the chain."""
    contents = list(map(Content.of, world.segments))
    which = {"first": 2, "middle": 2, "last": 4}[place]
    opened = contents[which].opened
    gone = sorted(opened.erased)
    at = gone[{"first": 0, "middle": len(gone) // 2, "last": -1}[place]]
    contents[which] = replace(
        contents[which], opened=replace(opened, erased={**opened.erased, at: bytes(32)})
    )
    world.write(written(contents))


def _beside_erased(world: World, place: str) -> None:
    """Write a context beside entries that were all erased, as if it were theirs."""
    segments, which = list(world.segments), 2
    told = replace(segments[which].opened, context=b'{"subject":"eve"}')
    if place == "last":
        told = replace(segments[which].opened, nonce=bytes(31) + b"1")
    segments[which] = replace(segments[which], payload=told.pack())
    world.write(segments)


def _unrecord(contents: Contents, at: int) -> None:
    """Take the record of an erasure out: another entry stands there."""
    at = -1 if at == _segment("last") else -2
    contents[at] = _other(100, 1)


# --- Checkpoints: only where they are in a folder. A bucket with a lock lets nobody do this.


def _number(place: str) -> int:
    return {"first": 0, "middle": 2, "last": 3}[place]


def _noted(change: Callable[[list[str]], object]) -> Act:
    """Change lines of a checkpoint."""

    def act(world: World, place: str) -> None:
        path = world.note(_number(place))
        parts = path.read_text().split("\n")
        change(parts)
        path.write_text("\n".join(parts))

    return act


def _set(line: int, to: str) -> Callable[[list[str]], object]:
    return lambda parts: parts.__setitem__(line, to)


def _resign(world: World, place: str) -> None:
    """Sign a checkpoint of another tree with a key of one's own."""
    sealed = KEYS.read(CHAIN, _number(place), world.note(_number(place)).read_bytes())
    text = Checkpoint(sealed.checkpoint.origin, sealed.checkpoint.size, bytes(32)).text
    lines = (
        notes.signed(text, KEYS.of(CHAIN), INTRUDER.sign),
        notes.cosigned(text, KEYS.timed, INTRUDER.sign, sealed.seconds),
    )
    world.note(_number(place)).write_bytes(Note(text, lines).bytes)


def _delete_note(world: World, place: str) -> None:
    path = world.note(_number(place))
    path.unlink()
    path.with_name(path.name + ".witness-1").unlink()


def _swap_notes(world: World, place: str) -> None:
    """Put the checkpoint before, or behind, in a checkpoint's place."""
    number = _number(place)
    world.note(number).write_bytes(world.note(number + 2 if number == 0 else 0).read_bytes())


def _note_again(world: World, place: str) -> None:
    """Put an old checkpoint under the next number, cosigned as it is, and write all behind its tree anew."""
    number, at = {"first": (0, 4), "middle": (1, 4), "last": (2, 8)}[place]
    path, new = world.note(number), _number("last") + 1
    world.notes.put(CHAIN, new, path.read_bytes())
    world.notes.attach(CHAIN, new, "witness-1", path.with_name(path.name + ".witness-1").read_bytes())
    _anew(world, at)


def _cosignature(change: Callable[[bytes], bytes | None]) -> Act:
    def act(world: World, place: str) -> None:
        path = world.note(_number(place))
        path = path.with_name(path.name + ".witness-1")
        data = change(path.read_bytes())
        path.unlink() if data is None else path.write_bytes(data)

    return act


def _flip(raw: bytes) -> bytes:
    parts = [raw.decode().removesuffix("\n")]
    bad_signature(0)(parts)
    return (parts[0] + "\n").encode()


def _cut(world: World, place: str) -> None:
    world.write(world.segments[: {"first": 1, "middle": 6, "last": len(world.segments) - 1}[place]])


def _restore(world: World, place: str) -> None:
    """Put an old copy back and let it grow again: by as many entries as were lost, other ones."""
    _anew(world, {"first": 1, "middle": 6, "last": len(world.segments) - 1}[place])


def _anew(world: World, at: int) -> None:
    lost = [_other(100 + number, each.count) for number, each in enumerate(world.segments[at:])]
    world.write([*world.segments[:at], *written(lost, Head.after(world.segments[at - 1]))])


def _all_of_it(world: World, place: str) -> None:
    world.write([])


# --- What no checkpoint has yet.


def _tail(edit: Callable[[Contents, int], object]) -> Act:
    """Change segments behind the newest checkpoint, and write all behind them anew."""

    def act(world: World, place: str) -> None:
        contents, at = list(TAIL), PLACES.index(place)
        edit(contents, at)
        world.write([*SEGMENTS, *written(contents, Head.after(SEGMENTS[-1]))])

    return act


def _tail_plain(world: World, place: str) -> None:
    segments, at = list(world.segments), len(SEGMENTS) + PLACES.index(place)
    entries = _changed(list(segments[at].opened.entries), 0)
    segments[at] = replace(segments[at], payload=replace(segments[at].opened, entries=entries).pack())
    world.write(segments)


def _replace(contents: Contents, at: int) -> None:
    contents[at] = contents[at].holding([b'{"n":4711}', b"{}"])


def _cut_contents(contents: Contents, at: int) -> None:
    del contents[at:]


def _delete_contents(contents: Contents, at: int) -> None:
    del contents[at]


def _tail_row(world: World, place: str) -> None:
    """Delete one row and leave the others."""
    segments = list(world.segments)
    del segments[len(SEGMENTS) + PLACES.index(place)]
    world.write(segments)


def _forge(world: World, place: str) -> None:
    """Append a segment that no gateway wrote."""
    world.write([*world.segments, *written([_other(100)], Head.after(world.segments[-1]))])


def operations() -> Iterator[Operation]:
    """Yield all of them, in the order of the table."""
    for what, edit in ENTRY.items():
        yield Operation(what, PLAIN, _entry_plain(edit))
        yield Operation(what, ANEW, _entry_anew(edit))
    yield Operation("insert a segment", PLAIN, _rows(_insert_row))
    yield Operation("insert a segment", ANEW, _contents(_insert))
    yield Operation("delete a segment", PLAIN, _rows(lambda some, at: some.pop(at)))
    yield Operation("delete a segment", ANEW, _contents(lambda some, at: some.pop(at)))
    yield Operation("swap two segments", PLAIN, _rows(_swap_rows))
    yield Operation("swap two segments", ANEW, _contents(_swap))
    yield Operation("duplicate a segment", PLAIN, _rows(_double_row))
    yield Operation("duplicate a segment", ANEW, _contents(_double))
    yield Operation("cut the tail behind it", PLAIN, _cut)
    yield Operation("remove the whole chain", PLAIN, _all_of_it, ("first",))
    yield Operation("restore an old copy, and let it grow again", ANEW, _restore)
    yield Operation("fork: other segments from here on", ANEW, _contents(_fork))
    yield from _attributes()
    yield from _erasures()
    yield from _checkpoints()
    yield from _behind()


def _attributes() -> Iterator[Operation]:
    yield Operation("change the context", PLAIN, _attribute("payload", _context_plain))
    yield Operation("change the context", ANEW, _contents(_context))
    yield Operation("change the time", PLAIN, _attribute("t", lambda each: each.t + 1))
    yield Operation("set the time back", PLAIN, _attribute("t", lambda each: 1), ("middle", "last"))
    yield Operation("change the time", ANEW, _contents(_time))
    yield Operation("change the count", PLAIN, _attribute("count", lambda each: each.count + 1))
    yield Operation("change `prev`", PLAIN, _attribute("prev", lambda each: bytes(32)))
    yield Operation("change `head`", PLAIN, _attribute("head", lambda each: bytes(32)))
    yield Operation("change `tree`", PLAIN, _attribute("tree", lambda each: bytes(len(each.tree))))
    yield Operation("change `tree`", ANEW, _trees)
    yield Operation("take `tree` away", PLAIN, _attribute("tree", lambda each: b""))
    yield Operation("change the dedup window", PLAIN, _attribute("recent", lambda each: each.recent[::-1]))
    yield Operation("cut the dedup window", PLAIN, _attribute("recent", lambda each: each.recent[:-1]))
    yield Operation("forget a batch in every window", ANEW, _window)
    yield Operation("give it another batch id", ANEW, _contents(_batch))
    yield Operation("change `codec`: unknown", PLAIN, _attribute("codec", lambda each: 9))
    yield Operation("change `codec`: erased", PLAIN, _attribute("codec", lambda each: 5))
    yield Operation("change `codec`: encrypted", PLAIN, _attribute("codec", lambda each: 1 | CODEC_SEALED))
    yield Operation("change `key`", PLAIN, _attribute("key", lambda each: "k"))
    yield Operation("change `payload`: no zstd", PLAIN, _attribute("payload", lambda each: each.payload[1:]))
    yield Operation(
        "change `payload`: cut", PLAIN, _attribute("payload", lambda each: pack(bytes(8), b"", []))
    )


def _erasures() -> Iterator[Operation]:
    yield Operation("erase without a record", PLAIN, _erase)
    yield Operation("erase with a leaf that is none", PLAIN, _erase_without_leaf)
    yield Operation("erase with a forged record", ANEW, _erase_with(INTRUDER))
    yield Operation("erase with the copy of a record", ANEW, _erase_with(None))
    yield Operation("change the leaf of an erased entry", ANEW, _other_leaf)
    yield Operation("write beside erased entries", PLAIN, _beside_erased, ("first", "last"))
    yield Operation("take the record out", ANEW, _contents(_unrecord), ("first", "last"))


def _checkpoints() -> Iterator[Operation]:
    yield Operation("change a checkpoint's size", PLAIN, _noted(_set(1, "7")))
    yield Operation("change its root", PLAIN, _noted(_set(2, b64encode(bytes(32)).decode())))
    yield Operation("change its origin", PLAIN, _noted(_set(0, "log.example/other/0")))
    yield Operation("change its text", PLAIN, _noted(lambda parts: parts.insert(3, "more")))
    yield Operation("change its signature", PLAIN, _noted(bad_signature(4)))
    yield Operation("change its signature with the time", PLAIN, _noted(bad_signature(5)))
    yield Operation("take a signature away", PLAIN, _noted(lambda parts: parts.pop(4)))
    yield Operation("sign another tree with another key", ANEW, _resign)
    yield Operation("put another checkpoint in its place", PLAIN, _swap_notes)
    yield Operation("put an old checkpoint behind all, and fork at its tree", ANEW, _note_again)
    yield Operation("delete a checkpoint", PLAIN, _delete_note, ("first", "middle"))
    yield Operation("change a cosignature", PLAIN, _cosignature(_flip))
    yield Operation("take the cosignature away", PLAIN, _cosignature(lambda raw: None), ("last",))
    yield Operation("put nonsense in its place", PLAIN, _cosignature(lambda raw: b"x"), ("last",))


def _behind() -> Iterator[Operation]:
    tail = "unsealed: "
    yield Operation(tail + "change an entry", PLAIN, _tail_plain, PLACES, True)
    yield Operation(tail + "change a segment", ANEW, _tail(_replace), PLACES, True)
    yield Operation(tail + "insert a segment", ANEW, _tail(_insert), PLACES, True)
    yield Operation(tail + "delete a segment", PLAIN, _tail_row, ("first", "middle"), True)
    yield Operation(tail + "delete a segment", ANEW, _tail(_delete_contents), PLACES, True)
    yield Operation(tail + "swap two segments", ANEW, _tail(_swap), PLACES, True)
    yield Operation(tail + "cut the tail", PLAIN, _tail(_cut_contents), PLACES, True)
    yield Operation(tail + "fork", ANEW, _tail(_fork), PLACES, True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What finds an operation: kind and entry, "" for nothing. `feed` are the kinds of changes it shows.

    `file` is the bundle, empty where none could be made.
    """

    verify: str
    bundle: str
    seal: str
    feed: frozenset[str]
    file: bytes

    @property
    def caught(self) -> bool:
        """Whether it is found: by somebody who verifies, or by the tripwire on the feed."""
        return bool(self.verify) or bool(self.feed - {"INSERT"})


def outcome(operation: Operation, place: str) -> Outcome:
    """Do an operation in a world of its own, and let all look."""
    with folder() as home:
        world = World(home, operation.unsealed)
        operation.act(world, place)
        file, bundled = b"", ""
        try:
            file = world.bundle()
            bundled = offline(file)
        except Tampered as damage:
            bundled = f"{damage.kind} {damage.seq}"
        except SentinelError as error:
            bundled = type(error).__name__
        verified = found(world)
        return Outcome(verified, bundled, _sealed(world), frozenset(world.feed()), file)


def _sealed(world: World) -> str:
    """Return what the next seal finds."""
    try:
        world.sealer.seal(CHAIN)
    except Tampered as damage:
        return f"{damage.kind} {damage.seq}"
    return ""


def cases() -> list[tuple[Operation, str]]:
    """Return all operations with all their places."""
    return [(operation, place) for operation in operations() for place in operation.places]
