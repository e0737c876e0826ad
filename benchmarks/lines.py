"""The entries that benchmarks work on: real log lines as JSON objects of about 300 bytes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import orjson

LOGHUB = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "loghub"


def entries(count: int) -> tuple[list[bytes], str]:
    """Return `count` entries and where they come from: loghub, or lines made up where it is absent.

    Lines of all systems take turns, each with the fields a logging library adds.
    """
    files = sorted(LOGHUB.glob("*/*_2k.log"))
    source = "loghub" if files else "made up, since the real logs are not beside this checkout"
    lines = _real(files) if files else _made()
    return [_entry(number, *next(lines)) for number in range(count)], source


def _real(files: list[Path]) -> Iterator[tuple[str, str]]:
    read = [(path.parent.name, path.read_text("utf-8", "replace").split("\n")) for path in files]
    for number in itertools.count():
        system, lines = read[number % len(read)]
        yield system, lines[number // len(read) % 2000].rstrip("\r")


def _made() -> Iterator[tuple[str, str]]:
    for number in itertools.count():
        block, host = number * 7919, number % 256
        yield "made", f"081109 2036{number % 60:02d} DataNode: Served block blk_{block} to /10.0.{host}.9"


def _entry(number: int, system: str, line: str) -> bytes:
    return orjson.dumps(
        {
            "timestamp": f"2026-11-24T11:{number // 60 % 60:02d}:{number % 60:02d}.{number % 1000:03d}Z",
            "level": ("INFO", "WARN", "ERROR")[number % 3],
            "logger": f"{system.lower()}.server",
            "message": line,
            "thread": f"worker-{number % 16}",
            "request_id": f"{number * 2654435761 % 2**32:08x}-{number % 65536:04x}",
            "host": f"ip-10-0-{number % 8}-{number % 250}",
        }
    )
