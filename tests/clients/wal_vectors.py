"""Makes `clients/vectors/wal-v1.json`: what both clients write and what their readers find. `-m` writes the file.

`end` is where the frames end that a writer goes on behind, should the segment be the newest of its slot.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentinel_client import _frames
from sentinel_client._types import Batch

PATH = Path(__file__).resolve().parents[2] / "clients/vectors/wal-v1.json"
MADE = 1_764_000_000_000_000_000
FIRST = 4_294_967_294  # so that the numbers of one segment pass 2^32
ENTRIES = [b'{"a":1}', '{"message":"Grüße, 日本"}'.encode(), b"{}", b'{"n":"' + b"x" * 40 + b'"}']


def segment(kind: int, first: int, entries: list[bytes]) -> bytes:
    """Return a segment's bytes."""
    frames = [_frames.encode_frame(kind, first + n, entry) for n, entry in enumerate(entries)]
    return _frames.encode_header(_frames.Header(kind, first, MADE)) + b"".join(frames)


def found(data: bytes, first: int) -> dict[str, Any]:
    """Return what a reader finds in a segment that is named by its first number."""
    header = _frames.decode_header(data)
    kind = header.kind if header else _frames.kind_of(data, first)
    whole = list(_frames.frames(data, kind, first))
    return {
        "header": header is not None,
        "found": [number for number, _, _ in whole],
        "end": whole[-1][2] if whole else min(_frames.HEADER, len(data)),
    }


def flipped(data: bytes, at: int, mask: int) -> bytes:
    """Return bytes with some bits of one of them inverted."""
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def _segments() -> list[dict[str, Any]]:
    """Return segments that are broken in ways of their own."""
    made = []
    for kind in (_frames.CRC32C, _frames.CRC32):
        data = segment(kind, FIRST, ENTRIES)
        frames = [_frames.encode_frame(kind, FIRST + n, entry) for n, entry in enumerate(ENTRIES)]
        head = data[: _frames.HEADER]
        hole = head + frames[0] + bytes(len(frames[1])) + frames[2] + frames[3]
        length = head + frames[0] + frames[1][:4] + b"\xff\xff\xff\xff" + frames[1][8:] + frames[2] + frames[3]
        twice = head + frames[0] + frames[0] + frames[1]
        far = head + frames[0] + b"\0" * 16 + _frames.encode_frame(kind, FIRST + 900, b"{}")
        made += [
            ("whole", kind, data),
            ("no entries", kind, head),
            ("zeros where a frame was", kind, hole),
            ("a length that is not possible", kind, length),
            ("a frame with a number that was there", kind, twice),
            ("a number too far ahead for the bytes between", kind, far),
            ("zeros behind the last frame", kind, data + bytes(100)),
            ("the header's bytes are zeros", kind, bytes(_frames.HEADER) + data[_frames.HEADER :]),
            ("the first frame is cut out", kind, head + frames[1] + frames[2]),
        ]
    largest = [b'{"n":"' + b"x" * 65_528 + b'"}', b"{}"]
    made.append(("an entry of 65,536 bytes", _frames.CRC32C, segment(_frames.CRC32C, FIRST, largest)))
    made.append(("empty", 0, b""))
    return [{"what": what, "kind": kind, "bytes": data.hex()} | found(data, FIRST) for what, kind, data in made]


def vectors() -> dict[str, Any]:
    """Return all of it."""
    cut = {kind: segment(kind, FIRST, ENTRIES[:3]) for kind in (_frames.CRC32C, _frames.CRC32)}
    return {
        "what": "docs/clients.md, the write-ahead log, version 1; bytes are hex, numbers of entries decimal",
        "checksums": [
            {"kind": kind, "of": text.encode().hex(), "is": _frames.checksum(kind)(text.encode())}
            for kind in (_frames.CRC32C, _frames.CRC32)
            for text in ("", "a", "123456789", "The quick brown fox jumps over the lazy dog")
        ],
        "headers": [
            {"kind": kind, "first": str(first), "made": str(MADE)}
            | {"bytes": _frames.encode_header(_frames.Header(kind, first, MADE)).hex()}
            for kind in (_frames.CRC32C, _frames.CRC32)
            for first in (0, 1200, FIRST)
        ],
        "frames": [
            {"kind": kind, "sequence": str(number), "entry": entry.decode()}
            | {"bytes": _frames.encode_frame(kind, number, entry).hex()}
            for kind in (_frames.CRC32C, _frames.CRC32)
            for number, entry in enumerate(ENTRIES, FIRST)
        ],
        "first": FIRST,
        "entries": [entry.decode() for entry in ENTRIES],
        "segments": _segments(),
        "torn": [
            {"kind": kind, "bytes": data.hex()}
            | {"cut": [found(data[:size], FIRST) | {"to": size} for size in range(len(data) + 1)]}
            for kind, data in cut.items()
        ],
        "flipped": [
            {"kind": kind, "bytes": data.hex()}
            | {
                "flips": [
                    found(flipped(data, at, 1 << at % 8), FIRST) | {"at": at, "mask": 1 << at % 8}
                    for at in range(len(data))
                ]
            }
            for kind, data in cut.items()
        ],
        "batches": [
            {"producer": producer, "first": str(first), "count": count}
            | {"id": Batch(producer, first, count, []).id.hex()}
            for producer in ("py-0011223344556677", "js-8899aabbccddeeff")
            for first, count in ((0, 1), (1200, 500), (FIRST, 10_000))
        ],
    }


def text() -> str:
    """Return the file's text: one case a line."""
    parts = []
    for name, value in vectors().items():
        told = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list):
            told = "[\n  " + ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in value) + "\n ]"
        parts.append(f" {json.dumps(name)}: {told}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(text())
