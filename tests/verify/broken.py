"""Bundles that must not verify, made from a good one by hand: each with the kind that has to be found.

They are the vectors in clients/vectors/bundle-v1, which any verifier can run.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache
from typing import Any

from sentinel.core import notes
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note
from sentinel.core.segment import Head, Segment
from tests.verify.world import (
    CHAIN,
    KEYS,
    LOG,
    SIGNER,
    VKEY,
    WITNESS,
    WITNESS_KEY,
    Content,
    Signer,
    World,
    chain,
    content,
    erased,
    folder,
    leaves_of,
    record,
    written,
)

Lines = list[Any]
Edit = Callable[[Lines], object]

# Keys that nobody can check anything with: the command refuses them.
KEYS_BAD = {
    "key-cut": VKEY[:-4],
    "key-of-another-id": VKEY.replace("+", "+0", 1).replace("+0" + VKEY.split("+")[1][0], "+0", 1),
    "key-of-unknown-type": Key(LOG, 2, SIGNER.public_key()).vkey,
    "key-too-long": Key(LOG, ED25519, SIGNER.public_key() + b"x").vkey,
    "key-without-name": Key("", ED25519, SIGNER.public_key()).vkey,
    "key-with-space": Key("log example", ED25519, SIGNER.public_key()).vkey,
    "key-not-canonical": VKEY + "=",
    "key-no-key": "log.example",
}
BEFORE, SEGMENTS = chain((2, 1, 3), ((3, 5), (1, 1)))
SEALED_AFTER = (1, 3, 3)  # and one at the end: numbers 0 to 3


@cache
def good() -> dict[str, bytes]:
    """Return the bundles that verify, by name."""
    with folder() as home:
        world = World(home, False, SEGMENTS, SEALED_AFTER)
        found = {
            "chain": world.bundle(),
            "entry": world.bundle(0),
            "entry-last": world.bundle(7),
            "erased": world.bundle(4),
            "erased-in-part": world.bundle(1),
        }
        text = [content(9, ['{"é":"\\\\u2028 ☃"}'.encode(), b'{"raw":"\xff\xfe"}'])]
        world._append(written(text, Head.after(SEGMENTS[-1]))[0])
        found["chain-unsealed"] = world.bundle()
    with folder() as home:
        found["chain-sealed-empty"] = World(home, False, SEGMENTS[:2], (0,)).bundle()
    return found


def parse(raw: bytes) -> Lines:
    """Return a bundle's lines."""
    return [json.loads(line) for line in raw.splitlines()]


def dump(lines: Lines) -> bytes:
    """Return a bundle of lines; bytes among them are lines as they are."""
    return b"".join(
        each
        if isinstance(each, bytes)
        else json.dumps(each, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        for each in lines
    )


# Where things stand in the good bundle of the chain: header, 2 entries, checkpoint, 1, 3, 2 checkpoints, ...
HEADER, SEGMENT, CHECKPOINT, END = 0, 1, 2, -1


def at(place: int, *path: Any, to: Any) -> Edit:
    """Set a value."""

    def edit(lines: Lines) -> None:
        target = lines[place]
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = to(target[path[-1]]) if callable(to) else to

    return edit


def drop(place: int, *path: Any) -> Edit:
    """Remove a line, or a value of one."""

    def edit(lines: Lines) -> None:
        target: Any = lines
        for step in (place, *path)[:-1]:
            target = target[step]
        del target[(place, *path)[-1]]

    return edit


def raw(place: int, old: bytes, new: bytes) -> Edit:
    """Replace bytes of a line."""

    def edit(lines: Lines) -> None:
        line = dump([lines[place]])
        assert old in line, (old, line)
        lines[place] = line.replace(old, new, 1)

    return edit


def swap(one: int, other: int) -> Edit:
    """Swap two lines."""

    def edit(lines: Lines) -> None:
        lines[one], lines[other] = lines[other], lines[one]

    return edit


def add(place: int, line: Any) -> Edit:
    """Insert a line."""
    return lambda lines: lines.insert(place if place >= 0 else len(lines), line)


def flip(text: str) -> str:
    """Return hex with another first digit."""
    return ("0" if text[0] != "0" else "1") + text[1:]


def signed(size: int, root: bytes, seconds: int, by: Signer = SIGNER, extra: str = "") -> str:
    """Return a checkpoint that the log signs."""
    return signed_text(Checkpoint(notes.origin_of(LOG, CHAIN), size, root).text + extra, seconds, by)


def signed_text(text: str, seconds: int, by: Signer = SIGNER) -> str:
    """Return a note that the log signs as a checkpoint, whatever its text is."""
    keys = KEYS
    plain, timed = (Key(each.name, each.type, by.public_key()) for each in (keys.of(CHAIN), keys.timed))
    cosigned = notes.cosigned(text, WITNESS_KEY, WITNESS.sign, seconds)
    lines = (notes.signed(text, plain, by.sign), notes.cosigned(text, timed, by.sign, seconds), cosigned)
    return Note(text, lines).bytes.decode()


def of_note(place: int, change: Callable[[list[str]], object]) -> Edit:
    """Change the lines of the note of a checkpoint."""

    def edit(lines: Lines) -> None:
        told = lines[place]["checkpoint"]
        parts = told["note"].split("\n")
        change(parts)
        told["note"] = "\n".join(parts)

    return edit


def _again(note: str) -> str:
    """Sign the first three lines of a note."""
    return signed_text("".join(f"{line}\n" for line in note.split("\n")[:3]), 1_764_000_600)


def _short_root(note: str) -> str:
    """Sign a checkpoint whose root has three bytes."""
    return _again("\n".join([*note.split("\n")[:2], "AAAA", ""]))


def _short_time(parts: list[str]) -> None:
    """Leave five bytes of the signature with the time."""
    begin, _, encoded = parts[5].rpartition(" ")
    parts[5] = f"{begin} {b64encode(b64decode(encoded)[:9]).decode()}"


def bad_signature(place: int) -> Callable[[list[str]], object]:
    """Flip a bit in a signature: 4 is the log's, 5 its one with the time, 6 the witness's."""

    def change(parts: list[str]) -> None:
        begin, _, encoded = parts[place].rpartition(" ")
        signature = bytearray(b64decode(encoded))
        signature[-1] ^= 1
        parts[place] = f"{begin} {b64encode(signature).decode()}"

    return change


def resigned(
    place: int, size: int | None = None, root: bytes | None = None, seconds: int | None = None
) -> Edit:
    """Put another checkpoint there, which the log has signed, too."""

    def edit(lines: Lines) -> None:
        told = lines[place]["checkpoint"]
        known = Checkpoint.read(notes.read(told["note"].encode()).text)
        told["note"] = signed(
            known.size if size is None else size,
            root or known.root,
            1_764_000_600 if seconds is None else seconds,
        )

    return edit


def rebuilt(entry: bytes, endpoint: str = "erase") -> list[Segment]:
    """Return a chain whose first record is another entry, everything else as it has to be."""
    contents = [Content.of(each) for each in BEFORE]
    contents[3] = content(3, [entry], endpoint)
    segments = written(contents)
    for first, last in ((3, 5), (1, 1)):
        segments = [erased(each, first, last) for each in segments]
    return segments


LEAVES = leaves_of(BEFORE)[3:6]


def told(**changes: Any) -> bytes:
    """Return the record of the first erasure with something else beside its note."""
    found = json.loads(record(3, 5, LEAVES))
    return json.dumps({**found, **changes}).encode()


def nested(depth: int) -> object:
    """Return lists in each other."""
    found: list[object] = []
    for _ in range(depth - 1):
        found = [found]
    return found


def renoted(line: int, to: str) -> bytes:
    """Return that record with another line in its note, which the log has signed."""
    found = json.loads(record(3, 5, LEAVES))
    lines = found["note"].split("\n")[:6]
    lines[line] = to
    text, key = "".join(f"{each}\n" for each in lines), KEYS.of(CHAIN)
    return json.dumps(
        {**found, "note": Note(text, (notes.signed(text, key, SIGNER.sign),)).bytes.decode()}
    ).encode()


def _cut_checkpoints(lines: Lines) -> None:
    lines[:] = [line for line in lines if "checkpoint" not in line]
    lines[-1]["end"] |= {"checkpoints": 0, "unsealed": lines[-1]["end"]["entries"]}


FORMAT: dict[str, Edit] = {
    "version-2": at(HEADER, "sentinel-bundle", to=2),
    "version-true": at(HEADER, "sentinel-bundle", to=True),
    "kind-unknown": at(HEADER, "kind", to="tree"),
    "header-more": raw(HEADER, b'"kind"', b'"more":1,"kind"'),
    "header-less": drop(HEADER, "origin"),
    "header-missing": drop(HEADER),
    "origin-of-another-chain": at(HEADER, "origin", to="log.example/other/0"),
    "origin-without-log": at(HEADER, "origin", to="/checkout/0"),
    "chain-a-number": at(HEADER, "chain", to=1),
    "origin-a-number": at(HEADER, "origin", to=1),
    "line-unknown": add(SEGMENT, {"comment": {}}),
    "line-with-two-names": raw(SEGMENT, b'{"segment"', b'{"comment":1,"segment"'),
    "line-a-list": add(SEGMENT, []),
    "line-empty": add(SEGMENT, b"\n"),
    "line-of-a-method": add(SEGMENT, {"header": {}}),
    "segment-more": raw(SEGMENT, b'"first"', b'"tree":"","first"'),
    "segment-less": drop(SEGMENT, "segment", "context"),
    "segment-a-list": at(SEGMENT, "segment", to=[]),
    "checkpoint-more": raw(CHECKPOINT, b'"number"', b'"time":1,"number"'),
    "end-more": raw(END, b'"entries"', b'"more":1,"entries"'),
    "name-twice": raw(SEGMENT, b'"first":0', b'"first":0,"first":0'),
    "name-twice-escaped": raw(SEGMENT, b'"first":0', b'"first":0,"f\\u0069rst":0'),
    "number-a-float": raw(SEGMENT, b'"first":0', b'"first":0.0'),
    "number-with-exponent": raw(SEGMENT, b'"count":2', b'"count":2e0'),
    "number-negative": raw(SEGMENT, b'"first":0', b'"first":-0'),
    "number-with-zero": raw(SEGMENT, b'"count":2', b'"count":02'),
    "number-too-large": raw(SEGMENT, b'"count":2', b'"count":9007199254740993'),
    "number-a-text": at(SEGMENT, "segment", "count", to="2"),
    "number-nan": raw(SEGMENT, b'"count":2', b'"count":NaN'),
    "number-true": at(SEGMENT, "segment", "first", to=False),
    "time-a-number": at(SEGMENT, "segment", "t", to=1_764_000_000),
    "time-65-bits": at(SEGMENT, "segment", "t", to=str(1 << 64)),
    "time-with-zero": at(SEGMENT, "segment", "t", to=lambda t: "0" + t),
    "hash-upper-case": at(SEGMENT, "segment", "head", to=str.upper),
    "hash-short": at(SEGMENT, "segment", "prev", to=lambda text: text[:-2]),
    "hash-a-number": at(SEGMENT, "segment", "prev", to=1),
    "nonce-short": at(SEGMENT, "segment", "nonce", to=lambda text: text[:-2]),
    "context-a-number": at(SEGMENT, "segment", "context", to=1),
    "context-no-base64": at(SEGMENT, "segment", "context", to={"b64": "e30"}),
    "context-not-canonical": at(SEGMENT, "segment", "context", to={"b64": "e31="}),
    "context-with-two-forms": at(SEGMENT, "segment", "context", to={"b64": "e30=", "text": "{}"}),
    "entries-an-object": at(SEGMENT, "segment", "entries", to={}),
    "entry-a-number": at(SEGMENT, "segment", "entries", 0, to=1),
    "entry-erased-and-more": at(SEGMENT, "segment", "entries", 0, to={"erased": "00" * 32, "b64": ""}),
    "entry-erased-short": at(SEGMENT, "segment", "entries", 0, to={"erased": "00"}),
    "half-a-character": raw(SEGMENT, b'"context":"', b'"context":"\\ud800'),
    "not-utf-8": raw(SEGMENT, b'"context":"', b'"context":"\xff'),
    "control-character": raw(SEGMENT, b'"context":"', b'"context":"\x01'),
    "byte-order-mark": raw(HEADER, b"{", b"\xef\xbb\xbf{"),
    "two-values": raw(SEGMENT, b"}\n", b"} {}\n"),
    "nested-deep": add(SEGMENT, b"[" * 100_000 + b"\n"),
    "trailing-line": add(END, {"comment": {}}),
    "trailing-end": lambda lines: lines.append(lines[-1]),
    "trailing-text": lambda lines: lines.append(b"more"),
    "cut-in-a-line": lambda lines: lines.append(dump([lines.pop()])[:-1]),
}
CHAINS: dict[str, tuple[str, Edit]] = {
    "end-missing": ("cut", drop(END)),
    "end-entries": ("cut", at(END, "end", "entries", to=9)),
    "end-segments": ("cut", at(END, "end", "segments", to=9)),
    "end-checkpoints": ("cut", at(END, "end", "checkpoints", to=9)),
    "end-unsealed": ("cut", at(END, "end", "unsealed", to=9)),
    "first-later": ("missing", at(SEGMENT, "segment", "first", to=1)),
    "first-earlier": ("place", at(3, "segment", "first", to=1)),
    "link": ("link", at(SEGMENT, "segment", "prev", to=flip)),
    "time-back": ("time", at(3, "segment", "t", to="5")),
    "time-changed": ("hash", at(SEGMENT, "segment", "t", to=lambda t: str(int(t) + 1))),
    "count-changed": ("count", at(SEGMENT, "segment", "count", to=3)),
    "count-zero": ("count", at(SEGMENT, "segment", to=lambda told: {**told, "count": 0, "entries": []})),
    "head-changed": ("hash", at(SEGMENT, "segment", "head", to=flip)),
    "nonce-changed": ("hash", at(SEGMENT, "segment", "nonce", to=flip)),
    "context-changed": ("hash", at(SEGMENT, "segment", "context", to=lambda text: text + " ")),
    "entry-changed": ("hash", at(SEGMENT, "segment", "entries", 1, to="{}")),
    "entries-swapped": ("hash", at(SEGMENT, "segment", "entries", to=lambda some: some[::-1])),
    "entry-removed": (
        "hash",
        at(SEGMENT, "segment", to=lambda told: {**told, "count": 1, "entries": told["entries"][:1]}),
    ),
    "leaf-changed": ("hash", at(4, "segment", "entries", 0, "erased", to=flip)),
    "erased-with-context": ("hash", at(4, "segment", "context", to='{"subject":"eve"}')),
    "erased-with-nonce": ("hash", at(4, "segment", "nonce", to=flip)),
    "segment-removed": ("missing", drop(3)),
    "segment-twice": ("place", lambda lines: lines.insert(3, lines[1])),
    "segments-swapped": ("missing", swap(3, 4)),
    "erased-without-record": (
        "erasure",
        at(SEGMENT, "segment", to=lambda told: {**_erase(told, 0), "nonce": "00" * 32, "context": "{}"}),
    ),
    "checkpoint-removed-first": ("order", drop(CHECKPOINT)),
    "checkpoint-removed-middle": ("order", drop(5)),
    "checkpoint-removed-last": ("cut", drop(-2)),
    "checkpoint-number": ("order", at(CHECKPOINT, "checkpoint", "number", to=7)),
    "checkpoint-size": ("checkpoint", of_note(CHECKPOINT, lambda parts: parts.__setitem__(1, "1"))),
    "checkpoint-root": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(2, b64encode(bytes(32)).decode())),
    ),
    "checkpoint-origin": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(0, "log.example/other/0")),
    ),
    "checkpoint-more-lines": (
        "checkpoint",
        at(
            CHECKPOINT, "checkpoint", "note", to=lambda _: signed(2, bytes(32), 1_764_000_000, extra="more\n")
        ),
    ),
    "checkpoint-size-with-zero": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(1, "02")),
    ),
    "checkpoint-of-another-origin": (
        "checkpoint",
        at(CHECKPOINT, "checkpoint", "note", to=lambda _: _foreign()),
    ),
    "checkpoint-signature": ("checkpoint", of_note(CHECKPOINT, bad_signature(4))),
    "checkpoint-signature-with-time": ("checkpoint", of_note(CHECKPOINT, bad_signature(5))),
    "checkpoint-without-signature": ("checkpoint", of_note(CHECKPOINT, lambda parts: parts.pop(4))),
    "checkpoint-without-time": ("checkpoint", of_note(CHECKPOINT, lambda parts: parts.pop(5))),
    "checkpoint-of-another-key": (
        "checkpoint",
        at(CHECKPOINT, "checkpoint", "note", to=lambda _: signed(2, bytes(32), 1_764_000_600, Signer("x"))),
    ),
    "checkpoint-unsigned": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(slice(3, None), ["", ""])),
    ),
    "checkpoint-no-note": ("checkpoint", at(CHECKPOINT, "checkpoint", "note", to="note")),
    "checkpoint-a-number": ("checkpoint", at(CHECKPOINT, "checkpoint", "note", to=1)),
    "checkpoint-with-control-character": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.insert(4, "\u2014 other\x01.example AAAAAAAA")),
    ),
    "checkpoint-without-last-line-end": (
        "checkpoint",
        at(-2, "checkpoint", "note", to=lambda note: note[:-1]),
    ),
    "checkpoint-short-time": ("checkpoint", of_note(CHECKPOINT, _short_time)),
    "checkpoint-signed-size-with-zero": (
        "checkpoint",
        at(CHECKPOINT, "checkpoint", "note", to=lambda note: _again(note.replace("\n2\n", "\n02\n", 1))),
    ),
    "checkpoint-signed-short-root": (
        "rewritten",
        at(
            CHECKPOINT,
            "checkpoint",
            "note",
            to=lambda note: _again("\n".join([*note.split("\n")[:2], "AAAA", ""])),
        ),
    ),
    "checkpoint-with-tab": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(2, parts[2] + "\t")),
    ),
    "checkpoint-short-signature": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.insert(4, "\u2014 other.example AAAAAA==")),
    ),
    "checkpoint-odd-signature": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.insert(4, "- other.example AAAAAAAA")),
    ),
    "checkpoint-65-signatures": (
        "checkpoint",
        of_note(
            CHECKPOINT, lambda parts: parts.__setitem__(slice(4, 4), ["\u2014 other.example AAAAAAAA"] * 62)
        ),
    ),
    "checkpoint-too-long": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.__setitem__(slice(4, 4), ["\u2014 o " + "AAAA" * 8_400] * 3)),
    ),
    "checkpoint-of-less": ("rewritten", resigned(5, size=3)),
    "checkpoint-of-more": ("cut", resigned(5, size=99)),
    "checkpoint-of-another-tree": ("rewritten", resigned(5, root=bytes(32))),
    "checkpoint-size-back": ("order", resigned(6, size=1)),
    "checkpoint-of-no-date": ("checkpoint", resigned(6, seconds=253_402_300_800)),
    "checkpoint-time-back": ("order", resigned(6, seconds=1)),
    "checkpoint-early": ("cut", swap(4, 5)),
    "checkpoint-late": ("rewritten", swap(CHECKPOINT, 3)),
    "checkpoints-none": ("checkpoint", _cut_checkpoints),
    "checkpoint-name-with-white-space": (
        "checkpoint",
        of_note(CHECKPOINT, lambda parts: parts.insert(4, "\u2014 other\x85.example AAAAAAAA")),
    ),
    "cosignature": ("cosignature", of_note(5, bad_signature(6))),
    # U+FEFF is no white space (Unicode's White_Space), whatever a language's regular expressions say.
    "cosignature-name-with-no-white-space": (
        "quorum",
        of_note(-2, lambda parts: parts.__setitem__(6, parts[6].replace("/w1 ", "/w1\ufeff "))),
    ),
    "cosignature-missing": ("quorum", of_note(-2, lambda parts: parts.pop(6))),
}
ENTRIES: dict[str, tuple[str, str, Edit]] = {
    "proof-changed": ("entry", "proof", at(2, "entry", "proof", 0, to=flip)),
    "proof-short": ("entry", "proof", at(2, "entry", "proof", to=lambda proof: proof[:-1])),
    "proof-long": ("entry", "proof", at(2, "entry", "proof", to=lambda proof: [*proof, proof[0]])),
    "proof-none": ("entry", "format", at(2, "entry", "proof", to={})),
    "proof-of-another-place": ("entry", "proof", at(2, "entry", "seq", to=1)),
    "proof-beyond": ("entry", "format", at(2, "entry", "seq", to=8)),
    "entry-line": ("entry", "proof", at(2, "entry", "entry", to="{}")),
    "entry-line-last": ("entry-last", "proof", at(2, "entry", "entry", to="{}")),
    "entry-time": ("entry", "proof", at(2, "entry", "t", to="1764000000000000001")),
    "entry-context": ("entry", "proof", at(2, "entry", "context", to="{}")),
    "entry-nonce": ("entry", "proof", at(2, "entry", "nonce", to=flip)),
    "entry-prev": ("entry", "proof", at(2, "entry", "prev", to=flip)),
    "entry-more": ("entry", "format", raw(2, b'"seq"', b'"more":1,"seq"')),
    "entry-twice": ("entry", "format", lambda lines: lines.insert(3, lines[2])),
    "entry-early": ("entry", "format", swap(1, 2)),
    "entry-missing": ("entry", "format", drop(2)),
    "entry-checkpoint-missing": ("entry", "format", drop(1)),
    "entry-checkpoint-twice": ("entry", "format", lambda lines: lines.insert(2, lines[1])),
    "entry-checkpoint-signature": ("entry", "checkpoint", of_note(1, bad_signature(4))),
    "entry-in-a-chain": ("entry", "order", at(HEADER, "kind", to="chain")),
    "entry-end": ("entry", "cut", at(-1, "end", "records", to=1)),
    "entry-end-missing": ("entry", "cut", drop(-1)),
    "entry-record-unasked": ("erased", "format", lambda lines: lines.insert(3, lines[3])),
    "entry-erased-with-context": (
        "erased-in-part",
        "hash",
        at(2, "entry", "context", to='{"subject":"eve"}'),
    ),
    "entry-as-erased": ("entry", "hash", at(2, "entry", "entry", to=lambda _: {"erased": _leaf(0)})),
    "record-missing": ("erased", "format", drop(3)),
    "record-leaf": ("erased", "erasure", at(3, "record", "leaves", 0, to=flip)),
    "record-leaf-missing": ("erased", "erasure", at(3, "record", "leaves", to=lambda some: some[1:])),
    "record-leaves-none": ("erased", "erasure", at(3, "record", "leaves", to=[])),
    "record-no-leaves": ("erased", "format", at(3, "record", "leaves", to={})),
    "record-line": ("erased", "proof", at(3, "record", "entry", to=lambda line: line + " ")),
    "record-proof": ("erased", "proof", at(3, "record", "proof", 0, to=flip)),
    "record-of-another": (
        "erased",
        "erasure",
        lambda lines: lines.__setitem__(3, parse(good()["erased-in-part"])[3]),
    ),
    "record-of-no-erasure": ("erased", "erasure", lambda lines: lines.__setitem__(3, _plain_record())),
    "record-erased": ("erased", "proof", at(3, "record", "entry", to=lambda _: {"erased": "00" * 32})),
    "erased-quorum": ("erased", "quorum", of_note(1, lambda parts: parts.pop(6))),
}
RECORDS: dict[str, tuple[bytes, str]] = {
    "record-unsigned-key": (record(3, 5, LEAVES, Signer("x")), "erase"),
    "record-other-leaves": (record(3, 5, LEAVES[::-1]), "erase"),
    "record-other-range": (record(3, 4, LEAVES[:2]), "erase"),
    "record-unknown-leaves": (record(2, 5, [bytes(32), *LEAVES]), "erase"),
    "record-reversed": (record(5, 3, LEAVES), "erase"),
    "record-of-itself": (record(3, 6, [*LEAVES, bytes(32)]), "erase"),
    "record-first": (told(first=4), "erase"),
    "record-last": (told(last=4), "erase"),
    "record-reason": (told(reason="another"), "erase"),
    "record-reason-a-number": (told(reason=1), "erase"),
    "record-note-a-number": (told(note=1), "erase"),
    "record-first-a-text": (told(first="3"), "erase"),
    "record-first-true": (renoted(2, "True-5").replace(b'"first": 3', b'"first": true'), "erase"),
    "record-version": (renoted(0, "sentinel-erasure/v2"), "erase"),
    "record-origin": (renoted(1, "log.example/other/0"), "erase"),
    "record-digest": (renoted(4, b64encode(bytes(32)).decode()), "erase"),
    "record-bad-signature": (
        told(note=json.loads(record(3, 5, LEAVES))["note"].replace("4711", "x")).replace(b"3-5", b"3-4"),
        "erase",
    ),
    "record-nested-deep": (told(more=nested(200)), "erase"),
    "record-no-object": (b"[]", "erase"),
    "record-no-json": (b"{", "erase"),
    "record-endpoint": (record(3, 5, LEAVES), "entries"),
    "record-endpoint-quoted": (record(3, 5, LEAVES), 'x","y":"erase'),
}


def _erase(segment: dict[str, Any], place: int) -> dict[str, Any]:
    entries = list(segment["entries"])
    entries[place] = {"erased": _leaf(segment["first"] + place)}
    return {**segment, "entries": entries}


def _leaf(seq: int) -> str:
    return leaves_of(BEFORE)[seq].hex()


def _foreign() -> str:
    text = Checkpoint("log.example/other/0", 2, bytes(32)).text
    key = Key(notes.origin_of(LOG, CHAIN), ED25519, SIGNER.public_key())
    timed = Key(LOG, COSIGNATURE, SIGNER.public_key())
    lines = (notes.signed(text, key, SIGNER.sign), notes.cosigned(text, timed, SIGNER.sign, 1_764_000_600))
    return Note(text, lines).bytes.decode()


def _plain_record() -> Any:
    """Return what proves an entry that is no record, in the place of one."""
    told = parse(good()["entry"])[2]["entry"]
    return {"record": {**told, "leaves": [leaf.hex() for leaf in LEAVES]}}


EDITS: dict[str, tuple[str, str, Edit]] = {
    **{name: ("chain", "format", edit) for name, edit in FORMAT.items()},
    **{name: ("chain", kind, edit) for name, (kind, edit) in CHAINS.items()},
    **ENTRIES,
}


def kinds() -> dict[str, str]:
    """Return the kind that has to be found in each, by name."""
    found = {name: kind for name, (_, kind, _) in EDITS.items()}
    return {"empty": "cut", **found, **dict.fromkeys(RECORDS, "erasure")}


def one(name: str) -> tuple[bytes, str]:
    """Return a bundle that must not verify, and the kind that has to be found."""
    if name in RECORDS:
        with folder() as home:
            return World(home, False, rebuilt(*RECORDS[name]), SEALED_AFTER).bundle(), "erasure"
    base, kind, edit = EDITS[name]
    lines = parse(good()[base])
    edit(lines)
    return dump(lines), kind


def bad() -> dict[str, tuple[bytes, str]]:
    """Return all of them by name."""
    return {"empty": (b"", "cut"), **{name: one(name) for name in [*EDITS, *RECORDS]}}
