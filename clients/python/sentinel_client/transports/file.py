"""Into a file: one entry a line (NDJSON), rotated by size.

A batch is written by one `write` where the system takes it in one. A batch that was cut off by a full disk,
or whose process was killed before that was noted, is written again as a whole: then its first lines, or all
of them, are there twice, and a line that was cut off is a line of its own, which is no JSON.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sentinel_client._types import Batch, Later, Outcome, Sent

MAX_BYTES = 100 << 20
KEEP = 5


class FileTransport:
    """Appends to `path`, mode 0600. Over `rotate_bytes` it becomes `path.1`, that `path.2`, up to `keep`.

    Several processes may append to one file that is not rotated (`rotate_bytes` 0): lines of one batch stay
    together. With `fsync` a batch is on the disk itself before it counts as sent.
    """

    max_entries = 10_000
    max_bytes = 4_000_000

    def __init__(
        self,
        path: Path,
        *,
        rotate_bytes: int = MAX_BYTES,
        keep: int = KEEP,
        fsync: bool = False,
        name: str = "file",
    ) -> None:
        self.name = name
        self._path = path
        self._rotate = rotate_bytes
        self._keep = keep
        self._fsync = fsync

    def send(self, batch: Batch, timeout: float) -> Outcome:  # noqa: ARG002 - nothing here can be bounded
        """Append a batch; `Later` where the disk does not take it. See `Transport`."""
        if not batch.entries:
            return Sent()
        body = b"\n".join(batch.entries) + b"\n"
        try:
            handle = self._open(len(body))
            try:
                self._write(handle, body)
            finally:
                os.close(handle)
        except OSError as error:
            return Later(f"{self._path}: {error.strerror or type(error).__name__}")
        return Sent()

    def close(self) -> None:
        """Do nothing: nothing is open between two batches."""

    def _open(self, more: int) -> int:
        if self._rotate and self._keep:
            with contextlib.suppress(FileNotFoundError):
                size = self._path.stat().st_size
                if size and size + more > self._rotate:
                    self._shift()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        return os.open(self._path, flags, 0o600)

    def _shift(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._aged(number).replace(self._aged(number + 1))
        self._path.replace(self._aged(1))

    def _aged(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _write(self, handle: int, body: bytes) -> None:
        size = os.fstat(handle).st_size
        if size:
            os.lseek(handle, size - 1, os.SEEK_SET)
            if os.read(handle, 1) != b"\n":
                body = b"\n" + body  # what stands there was cut off
        view = memoryview(body)
        while view:
            view = view[os.write(handle, view) :]
        if self._fsync:
            os.fsync(handle)
