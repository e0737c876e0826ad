"""How a log is cut into entries and batches: whatever the bytes and however they arrive, nothing is lost."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.cli.bookmarks import Bookmarks, Mark, hashed
from sentinel.cli.lines import Batch, Cutter, looks_like, stream
from sentinel.core import entry as limits
from sentinel.core.entry import parse

LOGS = st.lists(st.one_of(st.binary(max_size=40), st.text(max_size=40).map(str.encode)), max_size=40).map(
    b"\n".join
)


def _cut(log: bytes, form: str = "text", step: int = 1 << 16) -> list[Batch]:
    chunks = iter([log[at : at + step] for at in range(0, len(log), step)])
    return list(Cutter(form, "x.log").batches(lambda: next(chunks, b"")))


def _bytes_of(batches: list[Batch]) -> Iterator[tuple[int, bytes]]:
    """Yield each line's number and its bytes, put together again from its entries."""
    lines: dict[int, bytes] = {}
    for batch in batches:
        for number, raw in zip(batch.numbers, batch.entries, strict=True):
            found = json.loads(raw)
            piece = base64.b64decode(found["raw_b64"]) if "raw_b64" in found else found["message"].encode()
            lines[number] = lines.get(number, b"") + piece
            assert (found["source"], found["line"]) == ("x.log", number)
    yield from lines.items()


@given(LOGS)
def test_every_line_of_text_can_be_had_back(log: bytes) -> None:
    """From the entries of a text log come the bytes of all its lines but blank ones, without their CR."""
    expected = {
        number: line.removesuffix(b"\r") for number, line in enumerate(log.split(b"\n"), 1) if line.strip()
    }
    assert dict(_bytes_of(_cut(log))) == expected


@given(LOGS, st.integers(1, 50))
def test_how_bytes_arrive_does_not_matter(log: bytes, step: int) -> None:
    """The same log in other chunks gives the same batches with the same names."""
    assert [(b.begin, b.end, b.entries) for b in _cut(log, step=step)] == [
        (b.begin, b.end, b.entries) for b in _cut(log)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"x" * 65_000,
        b"x" * 200_000,
        "é🦉".encode() * 30_000,
        b"\x00" * 50_000,
        b"\xff" * 100_000,
        b'"\\' * 40_000,
    ],
)
def test_a_long_line_becomes_entries_that_are_taken(line: bytes) -> None:
    """Whatever a long line holds, each of its parts is an entry within the limit, and no byte is lost."""
    [batch] = _cut(b"short\n" + line)
    assert max(map(len, batch.entries)) <= limits.MAX_ENTRY_BYTES
    assert parse(b"\n".join(batch.entries)).bad == 0
    assert dict(_bytes_of([batch])) == {1: b"short", 2: line}
    parts = [json.loads(each).get("part") for each in batch.entries[1:]]
    assert parts in ([None], list(range(1, len(parts) + 1)))


def test_batches_stay_within_the_limits() -> None:
    """A batch has at most 500 entries, or one line's worth more, and stays far below the gateway's limits."""
    log = b"\n".join(b"x" * (10 + at * 7 % 3000) for at in range(5000))
    found = _cut(log)
    assert sum(len(batch.entries) for batch in found) == 5000
    assert max(len(batch.entries) for batch in found) <= 500
    assert max(batch.size for batch in found) < 1_000_000


@pytest.mark.parametrize("line", [b"x" * 10_000_000, b"\x01" * 3_000_000, b"\xff" * 3_000_000])
def test_a_line_too_long_for_a_batch_is_spread_over_several(line: bytes) -> None:
    """No batch of a huge line is over the gateway's limit, each has its own name, no byte is lost."""
    found = _cut(b"short\n" + line + b"\nnext")
    assert len(found) > 2
    assert all(batch.size <= limits.MAX_BATCH_BYTES // 2 for batch in found)
    assert len({batch.id for batch in found}) == len(found)
    assert dict(_bytes_of(found)) == {1: b"short", 2: line, 3: b"next"}
    assert [batch.whole for batch in found] == [False] * (len(found) - 2) + [True, True]
    assert (found[-2].line, found[-1].line) == (2, 3)


def test_a_silence_sends_what_there_is_but_no_half_line() -> None:
    """What is held goes when nothing comes; a line that has not ended waits for its end."""
    chunks: list[bytes | None] = [b"one\ntw", None, b"o\n", None, None, b""]
    found = list(Cutter("text", "-").batches(lambda: chunks.pop(0)))
    assert [[json.loads(each)["message"] for each in batch.entries] for batch in found] == [["one"], ["two"]]


def test_a_steady_trickle_is_sent_every_second() -> None:
    """What came on a pipe is not held for longer than a second, though the pipe is never silent for one."""
    reader, writer = os.pipe()
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.2):
            os.write(writer, b"tick\n")
        os.close(writer)

    thread = threading.Thread(target=trickle)
    thread.start()
    began = time.monotonic()
    _, read = stream(reader)
    batch = next(Cutter("text", "-").batches(read))
    took = time.monotonic() - began
    stop.set()
    thread.join()
    os.close(reader)
    assert 1 <= len(batch.entries) <= took / 0.2 + 1
    assert took < 60  # it would have been held for ever


@pytest.mark.parametrize(
    ("beginning", "whole", "form"),
    [
        (b'{"a":1}\n{"b":2}\n', True, "ndjson"),
        (b'\n\n{"a":1}', True, "ndjson"),
        (b'{"a":1}\n{"b":', False, "ndjson"),
        (b'{"a":1}\n{"b":', True, "text"),
        (b'{"a":1}\nplain\n', True, "text"),
        (b"[1]\n[2]\n", True, "text"),
        (b'{\n "a": 1\n}\n', True, "text"),
        (b"", True, "text"),
        (b"\xff\xfe{\x00", True, "text"),
    ],
)
def test_ndjson_is_told_by_its_first_lines(beginning: bytes, whole: bool, form: str) -> None:
    """Only where all of the first lines are JSON objects is a log taken for NDJSON."""
    assert looks_like(beginning, whole) == form


def test_a_bookmark_is_believed_only_for_the_same_bytes(tmp_path: Path) -> None:
    """A mark fits a file that still begins with what it names, and a ledger that is as long as it says."""
    log = tmp_path / "a.log"
    log.write_bytes(b"one\ntwo\n")
    [batch] = _cut(log.read_bytes())
    mark = Mark(offset=batch.offset, digest=batch.end, line=batch.line)
    mark.add({"chain": "a/0", "first": 4, "count": 2, "head": "00"})
    marks = Bookmarks(tmp_path / "marks")
    marks.save(mark, "key")
    assert marks.load("key") == mark
    assert marks.load("another") == Mark()
    for content, fits in (
        (b"one\ntwo\n", True),
        (b"one\ntwo\nthree", True),
        (b"one\n", False),
        (b"One\ntwo\n", False),
    ):
        log.write_bytes(content)
        with log.open("rb") as file:
            assert (hashed(file, mark) is not None) is fits
    assert mark.holds({"a/0": 6})
    assert not mark.holds({"a/0": 5})
    assert not mark.holds({})
