"""The bytes of the write-ahead log: what is written, what a reader finds, and in how much time."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_client import _frames
from sentinel_client._types import MAX_ENTRY
from tests.clients import wal_vectors
from tests.clients.wal_vectors import flipped, found, segment
from tests.sampling import thorough

VECTORS: dict[str, Any] = json.loads(wal_vectors.PATH.read_text())
KINDS = (_frames.CRC32C, _frames.CRC32)
entries = st.lists(
    st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3).map(
        lambda entry: json.dumps(entry, ensure_ascii=False).encode()
    ),
    min_size=1,
    max_size=6,
)


def test_the_vectors_are_those_that_the_code_makes() -> None:
    """What is checked in, and what the other client is tested by, is what this code writes and finds."""
    assert wal_vectors.PATH.read_text() == wal_vectors.text()


def test_checksums_are_those_of_the_standards() -> None:
    """CRC-32C has the check value of RFC 3720's polynomial, CRC-32 that of gzip's; both without native code."""
    assert _frames.plain_crc32c(b"123456789") == 0xE3069283
    assert _frames.plain_crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4: 32 bytes of zeros
    assert _frames.plain_crc32c(b"\xff" * 32) == 0x62A8AB43  # and of ones
    for case in VECTORS["checksums"]:
        data = bytes.fromhex(case["of"])
        plain = _frames.plain_crc32c if case["kind"] == _frames.CRC32C else zlib.crc32
        assert plain(data) == _frames.checksum(case["kind"])(data) == case["is"]


def test_native_crc32c_is_written_where_it_is_installed() -> None:
    """New segments have CRC-32C where it is native; the tests' environment has it."""
    assert _frames.native_crc32c() is not None
    assert _frames.written_kind() == _frames.CRC32C
    with pytest.raises(ValueError, match="kind 3"):
        _frames.checksum(3)


def test_headers_and_frames_are_decoded_as_they_were_encoded() -> None:
    """Each vector decodes to what it says."""
    for case in VECTORS["headers"]:
        header = _frames.Header(case["kind"], int(case["first"]), int(case["made"]))
        assert _frames.decode_header(bytes.fromhex(case["bytes"])) == header
    for case in VECTORS["frames"]:
        data, entry = bytes.fromhex(case["bytes"]), case["entry"].encode()
        assert list(_frames.frames(data, case["kind"], int(case["sequence"]), 0)) == [
            (int(case["sequence"]), _frames.FRAME, _frames.FRAME + len(entry))
        ]
        assert data[_frames.FRAME :] == entry


def test_a_header_with_any_bit_inverted_is_none() -> None:
    """Each bit of a header is under its checksum, also those that have to be 0."""
    for kind in KINDS:
        data = _frames.encode_header(_frames.Header(kind, 5, 6))
        for bit in range(8 * len(data)):
            assert _frames.decode_header(flipped(data, bit // 8, 1 << bit % 8)) is None


@settings(max_examples=1000 if thorough() else 40, deadline=None)
@given(entries, st.sampled_from(KINDS), st.sampled_from([0, 255, 2**32 - 2, 2**63]), st.data())
def test_any_inverted_bits_of_a_byte_are_found(
    lines: list[bytes], kind: int, first: int, data: st.DataObject
) -> None:
    """A reader finds all entries but the one whose frame was changed, and no other."""
    whole = segment(kind, first, lines)
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = flipped(whole, at, data.draw(st.integers(1, 255)))
    ends = [end for _, _, end in _frames.frames(whole, kind, first)]
    hit = None if at < _frames.HEADER else next(n for n, end in enumerate(ends) if at < end)
    told = found(broken, first)
    assert told["found"] == [first + n for n in range(len(lines)) if n != hit]
    assert told["header"] == (hit is not None)
    for number, start, stop in _frames.frames(broken, kind, first):
        assert broken[start:stop] == lines[number - first]


@settings(max_examples=1000 if thorough() else 40, deadline=None)
@given(entries, st.sampled_from(KINDS), st.data())
def test_of_a_file_that_is_cut_off_all_whole_frames_are_read(
    lines: list[bytes], kind: int, data: st.DataObject
) -> None:
    """Wherever it is cut off, what was written before that is found, and where to go on."""
    whole = segment(kind, 0, lines)
    size = data.draw(st.integers(_frames.HEADER, len(whole)))
    ends = [_frames.HEADER, *(end for _, _, end in _frames.frames(whole, kind, 0))]
    told = found(whole[:size], 0)
    assert told["end"] == max(end for end in ends if end <= size)
    assert len(told["found"]) == ends.index(told["end"])


@settings(max_examples=1000 if thorough() else 40, deadline=None)
@given(st.binary(max_size=300), st.sampled_from(KINDS), st.integers(0, 2**64 - 1))
def test_garbage_has_no_entries(data: bytes, kind: int, first: int) -> None:
    """Bytes that nobody wrote as frames hold none."""
    assert not list(_frames.frames(data, kind, first, 0))
    assert _frames.decode_header(data) is None


def test_a_forged_frame_in_an_entry_is_not_read() -> None:
    """JSON cannot hold the bytes of a frame: each length begins with a byte 0, which JSON has to escape."""
    forged = _frames.encode_frame(_frames.CRC32, 1, b'{"forged":true}')
    text = json.dumps({"message": forged.decode("latin-1")}, ensure_ascii=False).encode("latin-1")
    frames = [_frames.encode_frame(_frames.CRC32, n, line) for n, line in enumerate((text, b"{}", b"{}"))]
    broken = flipped(frames[0], 0, 1) + frames[1] + frames[2]
    assert [number for number, _, _ in _frames.frames(broken, _frames.CRC32, 0, 0)] == [1, 2]


def test_a_part_of_a_segment_ends_at_the_first_frame_that_is_not_whole() -> None:
    """What may be cut off is no frame that is broken: nothing is looked for behind it."""
    frames = [_frames.encode_frame(_frames.CRC32, n, b"{}") for n in range(3)]
    data = frames[0] + flipped(frames[1], 0, 1) + frames[2]
    assert [n for n, _, _ in _frames.frames(data, _frames.CRC32, 0, 0)] == [0, 2]
    assert [n for n, _, _ in _frames.frames(data, _frames.CRC32, 0, 0, whole=False)] == [0]


def _hostile(size: int) -> dict[str, bytes]:
    """Return segments that are made to keep a reader busy."""
    claim = b"\0\1\0\0"  # 65,536 bytes, of which the checksum would have to be computed
    pair = [
        _frames.encode_frame(_frames.CRC32, 2 * n, b"1") + b"zzzz" + claim + (2 * n + 1).to_bytes(8, "big")
        for n in range(size // 33)
    ]
    return {
        "zeros": bytes(size),
        "noise": random.Random(7).randbytes(size),
        "claims of one number": (b"zzzz" + claim + bytes(8)) * (size // 16),
        "claims of rising numbers": b"".join(
            b"zzzz" + claim + n.to_bytes(8, "big") for n in range(size // 16)
        ),
        "claims between whole frames": b"".join(pair),
    }


@pytest.mark.parametrize("name", _hostile(64))
def test_the_work_of_reading_is_linear_in_the_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in a segment, checksums are computed over a bounded multiple of its size."""
    data, summed = _hostile(400_000)[name], 0

    def counting(part: bytes) -> int:
        nonlocal summed
        summed += len(part)
        return zlib.crc32(part)

    monkeypatch.setattr(_frames, "checksum", lambda _kind: counting)
    for _ in _frames.frames(data, _frames.CRC32, 0, 0):
        pass
    assert summed <= (_frames.PATIENCE + 2) * len(data) + 2 * MAX_ENTRY


def test_frames_that_were_complete_and_broke_are_counted() -> None:
    """A tail that a kill tore holds no complete frame; one that something else broke does."""
    frames = [_frames.encode_frame(_frames.CRC32, n, b'{"a":1}') for n in range(3)]
    broken = b"".join(flipped(frame, 0, 1) for frame in frames)
    assert _frames.broken_tail(broken, 0, 0) == 3
    assert _frames.broken_tail(broken[:-1], 0, 0) == 2
    assert _frames.broken_tail(bytes(100), 0, 0) == 0
