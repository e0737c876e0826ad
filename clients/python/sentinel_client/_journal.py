"""Journals: files of lines beside the log, bounded by keeping the newest two pieces.

They hold what is good to have and never needed to go on: receipts, and entries that a server refused. So an
error of the disk ends nothing; the line is missing then.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RECEIPTS, ALTERED, REFUSED = "receipts.ndjson", "altered.ndjson", "refused"
PIECE_LINES = 5_000
PIECE_BYTES = 8 << 20


class Journal:
    """One file of lines, mode 0600. What was written before the newest piece is in `<name>.1`.

    A piece ends at `lines` lines or `size` bytes; so between one and two pieces are kept. For one thread of
    one process.
    """

    def __init__(self, path: Path, lines: int = PIECE_LINES, size: int = PIECE_BYTES) -> None:
        self._path = path
        self._most = lines, size
        self._lines = self._size = -1  # not looked at yet

    def add(self, line: bytes) -> bool:
        """Append one line, without its LF; False where the disk does not take it."""
        try:
            if self._lines < 0:
                self._look()
            if self._lines >= self._most[0] or (self._lines and self._size + len(line) >= self._most[1]):
                self._path.replace(self.older)
                self._lines = self._size = 0
            self._write(line + b"\n")
        except OSError:
            self._lines = -1
            return False
        return True

    @property
    def older(self) -> Path:
        """Where the piece before the newest is."""
        return self._path.with_name(self._path.name + ".1")

    def lines(self) -> list[bytes]:
        """Return all that is kept, oldest first."""
        found = b""
        for path in (self.older, self._path):
            with contextlib.suppress(OSError):
                found += path.read_bytes()
        return found.splitlines()

    def adopt(self, other: Journal) -> None:
        """Append what another journal keeps, whose slot will be removed."""
        for line in other.lines():
            self.add(line)

    def remove(self) -> None:
        """Delete all that is kept."""
        for path in (self.older, self._path):
            with contextlib.suppress(OSError):
                path.unlink()
        self._lines = -1

    def _look(self) -> None:
        try:
            held = self._path.read_bytes()
        except FileNotFoundError:
            held = b""
        if held and not held.endswith(b"\n"):  # cut off by a kill: a line of its own, which is no JSON
            self._write(b"\n")
            held += b"\n"
        self._lines, self._size = held.count(b"\n"), len(held)

    def _write(self, data: bytes) -> None:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while data:
                done = os.write(handle, data)
                self._lines += data[:done].count(b"\n")
                self._size += done
                data = data[done:]
        finally:
            os.close(handle)
