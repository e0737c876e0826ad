"""A log as it is read: lines cut into batches of entries, with the hash of everything up to each batch's end.

Text becomes `{"message", "source", "line"}`; a line that is not UTF-8 keeps its bytes in `raw_b64` beside the
text with U+FFFD in their place; a line too long for one entry becomes several, each with `part` and `parts`.
NDJSON goes byte for byte. Blank lines are left out and counted. Nothing is dropped silently: a line of NDJSON
that cannot be an entry because of its size is reported as refused. A line whose entries are too many for one
batch is spread over several, of which only the last is at a place where a run can go on.
"""

from __future__ import annotations

import os
import select
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core.entry import MAX_ENTRY_BYTES

CHUNK = 1 << 18
HELD = 1.0  # seconds that what came on a pipe waits for more before it is sent
MAX_LINES = 500
MAX_BYTES = 900_000
MAX_LINE = 32_000_000  # bytes held of one line; a longer one is cut into lines of that size
PIECE = 8_000  # characters or bytes of a long line in one entry: six times as many bytes at worst
LOOKED_AT = 20  # lines that decide what `auto` means

Read = Callable[[], bytes | None]
"""Returns the next bytes, b"" at the end, and None when what is held should be sent."""


@dataclass(slots=True)
class Batch:
    """Entries that travel together; `numbers` are their lines.

    `begin` and `end` are hex SHA-256 of all bytes of the log before the batch and up to its end; `offset` is
    the number of bytes up to its end, `line` of lines. Of the batches that one long line is spread over, all
    but the last are not `whole`: they have the place and, but for their `part`, the hashes of the last one.
    """

    begin: str
    entries: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    refused: list[dict[str, object]] = field(default_factory=list)
    size: int = 0
    blank: int = 0
    end: str = ""
    offset: int = 0
    line: int = 0
    part: int = 0
    whole: bool = True

    @property
    def id(self) -> str:
        """What the batch is called: the same whenever the same bytes are read from the same place."""
        return "\n".join((self.begin, self.end, *([str(self.part)] if self.part else [])))

    def add(self, number: int, entries: list[bytes]) -> None:
        """Add the entries of one line."""
        self.entries += entries
        self.numbers += [number] * len(entries)
        self.size += sum(map(len, entries)) + len(entries)

    @property
    def full(self) -> bool:
        """Whether it is time to send."""
        return len(self.entries) >= MAX_LINES or self.size >= MAX_BYTES


class Cutter:
    """Cuts one log. `form` is `ndjson` or `text`; `source` is the name that text entries give.

    `hashed`, `offset` and `line` are where it begins: after what an earlier run has stored.
    """

    def __init__(self, form: str, source: str, hashed: Any = None, offset: int = 0, line: int = 0) -> None:
        self._form = form
        self._source = source
        self._hash = hashed or sha256()
        self._offset = offset
        self._line = line

    def batches(self, read: Read) -> Iterator[Batch]:
        """Yield batches as they become full, and at a silence or the end what there is."""
        batch = Batch(self._hash.hexdigest())
        for line, end in _lines(read):
            if line is not None:
                self._take(batch, line, end)
            if batch.full or (line is None and batch.line):
                batch.end = self._hash.hexdigest()
                yield from _spread(batch)
                batch = Batch(batch.end)

    def _take(self, batch: Batch, line: bytes, end: bytes) -> None:
        self._hash.update(line)
        self._hash.update(end)
        self._offset += len(line) + len(end)
        self._line += 1
        batch.offset, batch.line = self._offset, self._line
        if not line.strip():
            batch.blank += 1
        elif self._form == "text":
            batch.add(self._line, text_entries(line.removesuffix(b"\r"), self._source, self._line))
        elif len(line) > MAX_ENTRY_BYTES:
            batch.refused.append({"line": self._line, "reason": f"over {MAX_ENTRY_BYTES} bytes"})
        else:
            batch.add(self._line, [line])


def stream(fd: int) -> tuple[bytes, Read]:
    """Return what comes first, and what reads all of it, the beginning included."""
    first = os.read(fd, CHUNK)
    waiting = [first] if first else []
    end: float | None = None  # when what was read since the last pause has waited for long enough

    def read() -> bytes | None:
        nonlocal end
        if waiting:
            end = time.monotonic() + HELD
            return waiting.pop()
        # A steady trickle is never silent, so the wait is counted from its first bytes.
        left = HELD if end is None else end - time.monotonic()
        if left <= 0 or not select.select([fd], [], [], left)[0]:
            end = None
            return None
        if end is None:
            end = time.monotonic() + HELD
        return os.read(fd, CHUNK)

    return first, read


def _lines(read: Read) -> Iterator[tuple[bytes | None, bytes]]:
    """Yield lines with what ended them; None in the place of a line where it is time to send."""
    held = b""
    while (chunk := read()) != b"":
        if chunk is None:
            yield None, b""
            continue
        *lines, held = (held + chunk).split(b"\n")
        yield from ((line, b"\n") for line in lines)
        while len(held) >= MAX_LINE:
            yield held[:MAX_LINE], b""
            held = held[MAX_LINE:]
    if held:
        yield held, b""
    yield None, b""


def _spread(batch: Batch) -> Iterator[Batch]:
    """Yield the batch, or where one long line made it too large, the batches that it becomes."""
    part = 0
    while batch.size > 2 * MAX_BYTES:
        count, size = 0, 0
        while size < MAX_BYTES:
            size += len(batch.entries[count]) + 1
            count += 1
        entries, numbers = batch.entries[:count], batch.numbers[:count]
        part += 1
        yield replace(batch, entries=entries, numbers=numbers, refused=[], size=size, part=part, whole=False)
        batch.entries, batch.numbers, batch.size = (
            batch.entries[count:],
            batch.numbers[count:],
            batch.size - size,
        )
    yield batch


def text_entries(line: bytes, source: str, number: int) -> list[bytes]:
    """Return the entries of a line of text: one, or several where it is too long.

    >>> text_entries(b"disk full", "app.log", 3)
    [b'{"message":"disk full","source":"app.log","line":3}']
    """
    about: dict[str, object] = {"source": source, "line": number}
    whole = orjson.dumps(_told(line) | about)
    if len(whole) <= MAX_ENTRY_BYTES:
        return [whole]
    try:
        text = line.decode()
        pieces = [text[at : at + PIECE].encode() for at in range(0, len(text), PIECE)]
    except UnicodeDecodeError:
        pieces = [line[at : at + PIECE] for at in range(0, len(line), PIECE)]
    parts = len(pieces)
    return [
        orjson.dumps(_told(piece) | about | {"part": part, "parts": parts})
        for part, piece in enumerate(pieces, 1)
    ]


def _told(line: bytes) -> dict[str, object]:
    try:
        return {"message": line.decode()}
    except UnicodeDecodeError:
        return {"message": line.decode(errors="replace"), "raw_b64": b64encode(line).decode()}


def looks_like(beginning: bytes, whole: bool) -> str:
    """Say whether a log that begins so is `ndjson` or `text`: by its first lines, all of them.

    `whole` says that nothing follows; otherwise the last line may be cut and is not looked at.
    """
    lines = beginning.split(b"\n")
    if not whole and len(lines) > 1:
        lines.pop()
    seen = [line for line in lines if line.strip()][:LOOKED_AT]
    return "ndjson" if seen and all(map(_is_object, seen)) else "text"


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
