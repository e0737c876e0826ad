"""What tests of the write-ahead log share: making and reading one, and a disk whose calls fail."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sentinel_client._counts import Counts
from sentinel_client._disk import DISK, Disk
from sentinel_client._wal import Wal

WRITES = ("open", "pwrite", "truncate", "replace", "unlink", "mkdir", "sync", "sync_folder")


def entry(number: int, size: int = 0) -> bytes:
    """Return an entry that says its number, of some size at least."""
    return json.dumps({"n": number, "fill": "x" * size}).encode()


def numbers(lines: list[bytes]) -> list[int]:
    """Return what entries say of themselves."""
    return [json.loads(line)["n"] for line in lines]


def make(root: Path, **options: Any) -> Wal:
    """Return a write-ahead log whose keeper and waits take little time."""
    usual: dict[str, Any] = {"counts": Counts(), "interval": 30.0, "retry": 0.0, "look": 0.0}
    return Wal(root, **usual | options)


def counts(wal: Wal) -> dict[str, int]:
    """Return what a log has counted."""
    return wal._counts.total()


def problem(wal: Wal) -> str | None:
    """Return what a log says is wrong, now."""
    return wal.problem


def read_all(wal: Wal, first: int = 0, most: int = 100) -> list[bytes]:
    """Read everything from a number on, as a shipper does."""
    lines: list[bytes] = []
    while True:
        run = wal.read(first, most, 100_000)
        lines += run.entries
        if run.count == 0 and run.first == first:
            return lines
        first = run.first + run.count


def read_slots(wal: Wal) -> list[bytes]:
    """Read everything of all slots of a root that are free, and of this process's own last."""
    wal.producer  # noqa: B018 # it takes its slot
    return [line for orphan in wal.orphans() for line in read_all(orphan)] + read_all(wal)


def segments(root: Path) -> list[Path]:
    """Return the segments of all slots, oldest first."""
    return sorted(root.glob("*/*.wal"), key=lambda path: path.name)


class Faulty(Disk):
    """A disk that counts its calls and fails those that it is told to.

    `plan(name, count)` returns the error number of a call, 0 to do it, or -1 to do a part of a write only.
    """

    def __init__(self, plan: Callable[[str, int], int]) -> None:
        self.plan = plan
        self.calls: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return partial(self.call, name, value) if name in WRITES else value

    def call(self, name: str, do: Callable[..., Any], *given: Any) -> Any:
        """Do a call, or fail as is planned."""
        if name == "sync_folder":
            do = partial(Disk.sync_folder, DISK)
        self.calls.append(name)
        error = self.plan(name, len(self.calls))
        if error == 0:
            return do(*given)
        if name == "pwrite":
            fd, data, at = given
            written = os.pwrite(fd, data[: (len(data) + 1) // 2], at)
            if error < 0:
                return written
        if error < 0:
            return do(*given)
        raise OSError(error, os.strerror(error))


def always(*names: str, error: int = errno.EIO) -> Callable[[str, int], int]:
    """Return the plan that some calls fail."""
    return lambda name, _count: error if name in names else 0


def ship(
    wal: Wal, transport: str, send: Callable[[str, int, int, list[bytes]], None], most: int = 50
) -> bool:
    """Send one batch as a shipper does, one that was begun before any other; say whether there was one."""
    progress = wal.progress(transport)
    if progress.sending is not None:
        first, count = progress.sending
        run = wal.read(first, count, 1 << 30)
        if run.count == 0 and run.first == first:
            return False
        lines = run.entries if run.first == first else []
    else:
        run = wal.read(progress.acknowledged, most, 100_000)
        first, count, lines = run.first, run.count, run.entries
        if count == 0:
            if first > progress.acknowledged:
                wal.acknowledge(transport, first)
            return False
        wal.begin(transport, first, count)
    if lines:
        send(wal.producer, first, count, lines)
    wal.acknowledge(transport, first + count)
    return True
