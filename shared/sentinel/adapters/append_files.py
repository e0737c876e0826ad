"""Files of whole lines below one folder: `ports.Files` on a local disk.

An append is one write at the end of a file that only its owner can read, under a lock of its own, and it is
on the disk when the call returns. What a crash tore off is closed with a line break before the next append,
so that it never swallows a good line.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sentinel.errors import Forbidden, Unavailable
from sentinel.ports import FileAppend

_CHUNK = 1 << 20
_LINK = frozenset({errno.ELOOP, errno.ENOTDIR})


class AppendFiles:
    """Appends to files below `folder`, which is made where it is missing, as are folders below it.

    Every part of a path is opened from the one before without following links, so that no link leads out.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def append(self, request: FileAppend) -> None:
        """Add the lines; see `ports.Files`."""
        with (
            _translated(request.path),
            self._opened(request.path, os.O_RDWR | os.O_APPEND | os.O_CREAT) as fd,
        ):
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
            try:
                _write_all(fd, (b"\n" if torn else b"") + request.data)
                os.fsync(fd)
            except OSError:
                os.ftruncate(fd, size)  # all of the lines or none; the lock keeps others away
                raise

    def holds(self, request: FileAppend) -> bool:
        """Say whether all lines of the request are in the file, whole; reads the file once."""
        with _translated(request.path):
            try:
                with self._opened(request.path, os.O_RDONLY) as fd:
                    return self._found(fd, request)
            except FileNotFoundError:
                return False

    def check(self, path: str) -> None:
        """See `ports.Files`: a file of its own is made beside it, and taken away."""
        folder, slash, _ = path.rpartition("/")
        beside = f".sentinel-check-{os.getpid()}-{threading.get_ident()}"
        with _translated(path):
            with suppress(FileNotFoundError), self._opened(path, os.O_WRONLY):
                pass
            with self._opened(f"{folder}{slash}{beside}", os.O_WRONLY | os.O_CREAT | os.O_EXCL):
                (self._folder / folder / beside).unlink()

    def _found(self, fd: int, request: FileAppend) -> bool:
        missing = {line + b"\n" for line in request.data.split(b"\n") if line}
        key = request.key.encode()
        with open(fd, "rb", buffering=_CHUNK, closefd=False) as file:
            for line in file:
                if key in line:
                    missing.discard(line)
                    if not missing:
                        return True
        return not missing

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        parts = path.split("/")
        if "\0" in path or any(part in {"", ".", ".."} for part in parts):
            raise Forbidden("a file's path must stay below the deployment's folder")
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as stack:
            folder = _open(stack, str(self._folder), os.O_RDONLY | os.O_DIRECTORY)
            for part in parts[:-1]:
                if flags & os.O_CREAT:
                    with suppress(FileExistsError):
                        os.mkdir(part, 0o700, dir_fd=folder)
                folder = _open(stack, part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, folder)
            fd = _open(stack, parts[-1], flags | os.O_NOFOLLOW, folder)
            if flags & os.O_CREAT:
                os.fsync(folder)  # the name of a new file is data too
            yield fd


def _open(stack: ExitStack, name: str, flags: int, folder: int | None = None) -> int:
    fd = os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=folder)
    stack.callback(os.close, fd)
    return fd


def _write_all(fd: int, data: bytes) -> None:
    """Write in one call; a disk that takes only a part of it is a full one."""
    if os.write(fd, data) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _LINK:
            raise Forbidden(f"{path} leads through a link or a file; it must stay below the folder") from None
        raise Unavailable(f"{path} cannot be written or read: {error.strerror}", 30.0) from None


class NoFiles:
    """`ports.Files` of a deployment that has no folder: it refuses, and says what to use instead."""

    def append(self, request: FileAppend) -> None:
        """Raise `Forbidden`."""
        raise Forbidden(f"this deployment has no folder for {request.path}: use a sink of another kind")

    def holds(self, request: FileAppend) -> bool:
        """Return False: nothing was ever added."""
        del request
        return False

    def check(self, path: str) -> None:
        """Raise `Forbidden`."""
        raise Forbidden(f"this deployment has no folder for {path}: use a sink of another kind")
