"""Files that are there whole or not at all, whatever is cut off in between: written beside, then moved."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from sentinel.errors import Conflict, Forbidden, Missing, Unavailable

PRIVATE = 0o600
PUBLIC = 0o644


def replace(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Make `data` the content of a file, flushed to disk. Raises `Unavailable` where it cannot."""
    with _written(path, data, mode) as fresh:
        fresh.replace(path)


def create(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Make a file that is not there yet, flushed to disk. Raises `Conflict` where it is, `Unavailable`."""
    with _written(path, data, mode) as fresh:
        try:
            os.link(fresh, path)  # unlike a rename, this never takes another file's place
        except FileExistsError:
            raise Conflict(f"{path.name} is there already") from None
        finally:
            fresh.unlink(missing_ok=True)


def tidy(path: Path) -> None:
    """Remove what was left beside a file by who was killed while writing it. Nobody may be writing it now.

    Raises `Unavailable`.
    """
    begun = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{16}}")
    try:
        for name in os.listdir(path.parent):  # noqa: PTH208 - names are wanted, not paths
            if begun.fullmatch(name):
                path.with_name(name).unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Unavailable(f"{path.parent} cannot be tidied: {error.strerror}", 30.0) from None


def read_private(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes that nobody but its owner can read.

    Raises `Missing`; `Forbidden` where others could read it too, or it is a link, or too long; `Unavailable`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Missing(f"there is no file {path}") from None
    except PermissionError:
        raise Forbidden(f"{path} may not be read by this user") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Forbidden(f"{path} is a link; put a plain file there") from None
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from None
    try:
        _check(path, os.fstat(fd))
        with os.fdopen(fd, "rb", closefd=False) as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from None
    finally:
        os.close(fd)
    if len(data) > most:
        raise Forbidden(f"{path} is over {most} bytes")
    return data


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Forbidden(f"{path} is not a plain file")
    if found.st_mode & 0o077:
        raise Forbidden(f"{path} can be read by other users of this machine: run chmod 600 {path}")
    if found.st_uid != os.geteuid():
        raise Forbidden(f"{path} belongs to another user of this machine")


@contextlib.contextmanager
def _written(path: Path, data: bytes, mode: int) -> Iterator[Path]:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        make(path.parent)
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(fd, mode)  # whatever the process's mask takes away
            file.write(data)
            file.flush()
            os.fsync(fd)
        yield fresh
        flush(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise Unavailable(f"{path} cannot be written: {error.strerror}", 30.0) from None


def make(folder: Path) -> None:
    """Make a folder, and all above it, where they are not there, and flush their names. Raises `OSError`."""
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in new:
        flush(each.parent)


def flush(folder: Path) -> None:
    """Flush a folder: the name of a new file is data too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
