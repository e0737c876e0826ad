"""Reading files below one folder: scripts and recordings of models on a local disk.

Every part of a path is opened from the one before without following links, so that no link leads out.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from pathlib import Path

from sentinel.errors import Forbidden, Missing, TooLarge, Unavailable

MOST = 20_000_000  # bytes of a file


class ReadFiles:
    """Reads files below `folder`; call it with a path. It makes nothing and changes nothing."""

    def __init__(self, folder: Path, most: int = MOST) -> None:
        self._folder = folder
        self._most = most

    def __call__(self, path: str) -> bytes:
        """Return a file's bytes. Raises `Missing`, `Forbidden`, `TooLarge` or `Unavailable`."""
        parts = path.split("/")
        if "\0" in path or any(part in {"", ".", ".."} for part in parts):
            raise Forbidden("a file's path must stay below the deployment's folder")
        try:
            return self._read(path, parts)
        except FileNotFoundError:
            raise Missing(f"there is no {path} below the deployment's folder") from None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                raise Forbidden(f"{path} leads through a link or a file; it must stay below it") from None
            raise Unavailable(f"{path} cannot be read: {error.strerror}", 30.0) from None

    def _read(self, path: str, parts: list[str]) -> bytes:
        with ExitStack() as stack:
            at = _open(stack, str(self._folder), os.O_DIRECTORY)
            for part in parts[:-1]:
                at = _open(stack, part, os.O_DIRECTORY | os.O_NOFOLLOW, at)
            fd = _open(stack, parts[-1], os.O_NOFOLLOW | os.O_NONBLOCK, at)
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Forbidden(f"{path} is no file")
            with open(fd, "rb", closefd=False) as file:
                found = file.read(self._most + 1)
        if len(found) > self._most:
            raise TooLarge(f"{path} has over {self._most:,} bytes")
        return found


def _open(stack: ExitStack, name: str, flags: int, folder: int | None = None) -> int:
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=folder)
    stack.callback(os.close, fd)
    return fd
