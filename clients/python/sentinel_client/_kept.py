"""What is kept beside the log: receipts, and what a server refused or altered. Nothing needs it to go on.

The files are in the root, one of each for all its processes. An error of the disk ends nothing: the line is
missing then. A file has two pieces, the newest and the one before (`<name>.1`).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

RECEIPTS, ALTERED, REFUSED = "receipts.ndjson", "altered.ndjson", "refused.ndjson"
PIECE = 4 << 20  # bytes; some 5,000 receipts
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class Kept:
    """One such file, mode 0600: its last one to two pieces. For any number of threads and processes."""

    def __init__(self, path: Path, piece: int = PIECE) -> None:
        self._path = path
        self._piece = piece

    @property
    def older(self) -> Path:
        """Where the piece before the newest is."""
        return self._path.with_name(self._path.name + ".1")

    def add(self, line: bytes) -> bool:
        """Append one line, without its LF; False where the disk does not take it."""
        try:
            handle = self._locked(len(line) + 1)
            try:
                size = os.fstat(handle).st_size
                # A line that a kill or a full disk cut off is ended; it is no JSON.
                whole = not size or os.pread(handle, 1, size - 1) == b"\n"
                return os.write(handle, line + b"\n" if whole else b"\n" + line + b"\n") > len(line)
            finally:
                os.close(handle)
        except OSError:
            return False

    def lines(self) -> list[bytes]:
        """Return all that is kept, oldest first."""
        found = b""
        for path in (self.older, self._path):
            with contextlib.suppress(OSError):
                found += path.read_bytes()
        return found.splitlines()

    def _locked(self, more: int) -> int:
        """Open the newest piece, locked and with room for so many bytes."""
        import fcntl

        while True:
            handle = os.open(self._path, _OPEN, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                found = os.fstat(handle)
                if self._path.stat().st_ino == found.st_ino:  # else another moved it away just now
                    if not found.st_size or found.st_size + more <= self._piece:
                        return handle
                    self._path.replace(self.older)
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(handle)
                raise
            os.close(handle)
