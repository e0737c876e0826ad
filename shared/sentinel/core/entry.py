"""Entries: what a batch of NDJSON must be. Lines are checked here and stored byte for byte.

The format is newline-delimited JSON (github.com/ndjson/ndjson-spec): one JSON object (RFC 8259) a line, LF
between lines, empty lines ignored. Duplicate keys are kept as they are; rules see the last one. Checking is
`orjson`'s, which refuses invalid UTF-8, lone surrogates, NaN, control characters in strings and more than
1,024 levels.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from sentinel.errors import Malformed, TooLarge

MAX_ENTRY_BYTES = 64 * 1024
MAX_ENTRIES = 10_000
MAX_BATCH_BYTES = 5_000_000
MAX_REPORTED = 20


@dataclass(slots=True)
class Lines:
    """A batch taken apart: the entries that are good, and what is wrong with the others.

    `problems` holds `{"line", "reason"}` for the first 20 bad lines, `numbers` the lines of all of them; both
    count from 1. `places` are those of the bad ones among the lines that are not empty, from 0.
    """

    entries: list[bytes]
    numbers: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    problems: list[dict[str, object]] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """How many lines are bad."""
        return len(self.numbers)


def parse(body: bytes) -> Lines:
    """Take a decompressed NDJSON body apart.

    A body that is one JSON object spread over several lines is one entry; its line breaks, which can
    only stand between tokens, become spaces. Raises `TooLarge` or, for an empty body, `Malformed`.
    """
    if len(body) > MAX_BATCH_BYTES:
        raise TooLarge(f"the batch is over {MAX_BATCH_BYTES} bytes; send it in parts")
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if len(lines) > MAX_ENTRIES:
        lines = [line if line.strip() else b"" for line in lines]
        if sum(map(bool, lines)) > MAX_ENTRIES:
            raise TooLarge(f"the batch has over {MAX_ENTRIES} entries; send it in parts")
    if not lines:
        raise Malformed("the body holds no entries; send one JSON object a line")
    if _all_good(lines):
        return Lines(lines)
    return _sort_out(body, lines)


def _all_good(lines: list[bytes]) -> bool:
    """Decide the usual case without a loop of our own: this is the hot path of ingest."""
    try:
        kinds = set(map(type, map(orjson.loads, lines)))
    except orjson.JSONDecodeError:
        return False
    return kinds == {dict} and max(map(len, lines)) <= MAX_ENTRY_BYTES


def _sort_out(body: bytes, lines: list[bytes]) -> Lines:
    found = Lines([])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        reason = problem(line)
        if reason is None:
            found.entries.append(line)
            continue
        found.places.append(len(found.entries) + found.bad)
        found.numbers.append(number)
        if len(found.problems) < MAX_REPORTED:
            found.problems.append({"line": number, "reason": reason})
    if found.bad:
        whole = body.replace(b"\n", b" ").strip()
        if problem(body.strip()) is None and len(whole) <= MAX_ENTRY_BYTES:
            return Lines([whole])
    elif not found.entries:
        raise Malformed("the body holds no entries; send one JSON object a line")
    return found


def problem(line: bytes) -> str | None:
    """Say what is wrong with one line, without quoting it; None where nothing is."""
    if len(line) > MAX_ENTRY_BYTES:
        return f"over {MAX_ENTRY_BYTES} bytes"
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    if not isinstance(found, dict):
        return "not a JSON object"
    return None
