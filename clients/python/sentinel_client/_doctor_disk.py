"""The doctor's look at the folder of the write-ahead log: whose it is, its room, and what the disk can do."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ._findings import Finding, failed, ok, warning
from ._options import MEGABYTE, Options

SLOW: Final = 0.2  # seconds of one fsync
_CHECK = "directory"


def disk(options: Options) -> Iterator[Finding]:
    """Yield what is found about the folder. Nothing in it is changed."""
    folder = options.folder()
    there = _nearest(folder)
    wrong = _owned(folder, there)
    if wrong is not None:
        yield wrong
        return
    try:
        slots, size = _waiting(folder)
        free = os.statvfs(there)
    except OSError as error:
        yield failed(_CHECK, f"{folder}: {error.strerror}", "name another with SENTINEL_DIRECTORY")
        return
    room = free.f_bavail * free.f_frsize
    wanted = options.disk_mb * MEGABYTE - size
    says = f"{folder}: {slots} logs of {size / MEGABYTE:.1f} MB, {room / MEGABYTE:,.0f} MB free"
    if room < wanted:
        do = f"make room, or lower disk_mb, which is {options.disk_mb}"
        yield warning(_CHECK, f"{says}, which is less than the budget", do)
    else:
        yield ok(_CHECK, says)
    yield from _works(there)


def _nearest(folder: Path) -> Path:
    """Return the folder, or the one above it in which it will be made."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _owned(folder: Path, there: Path) -> Finding | None:
    """Return what is wrong with whose the folder is, if anything."""
    if not there.is_dir():
        return failed(_CHECK, f"{there} is no folder", "name another with SENTINEL_DIRECTORY")
    found = there.stat()
    if there == folder and found.st_uid != os.geteuid():
        do = f"chown it to uid {os.geteuid()}, or name another with SENTINEL_DIRECTORY"
        return failed(_CHECK, f"{folder} is uid {found.st_uid}'s, and this is uid {os.geteuid()}", do)
    if there == folder and stat.S_IMODE(found.st_mode) & 0o022:
        return failed(_CHECK, f"others may write into {folder}", f"chmod 700 {folder}")
    if not os.access(there, os.W_OK | os.X_OK):
        return failed(_CHECK, f"{there} cannot be written", "name another with SENTINEL_DIRECTORY")
    return None


def _waiting(folder: Path) -> tuple[int, int]:
    """Return how many logs there are, and their bytes."""
    slots = [each for each in folder.iterdir() if each.is_dir()] if folder.exists() else []
    return len(slots), sum(path.stat().st_size for slot in slots for path in slot.glob("*.wal"))


def _works(there: Path) -> Iterator[Finding]:
    """Yield whether the disk syncs and locks, by a file that is made and removed again."""
    import fcntl

    path = there / f".sentinel-doctor-{os.getpid()}"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        yield failed("disk", f"{there}: {error.strerror}", "name another with SENTINEL_DIRECTORY")
        return
    doing = "write"
    try:
        os.write(handle, b"x" * 4096)
        doing = "fsync"
        began = time.perf_counter()
        os.fsync(handle)
        took = time.perf_counter() - began
        doing = "flock"
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        says = f"writes, syncs in {took * 1000:.1f} ms, locks"
        slow = warning("disk", says, "with fsync: always each call waits so long; interval does not")
        yield slow if took > SLOW else ok("disk", says)
    except OSError as error:
        do = "the write-ahead log needs a local disk: name another with SENTINEL_DIRECTORY"
        yield failed("disk", f"{doing} in {there}: {error.strerror}", do)
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)
