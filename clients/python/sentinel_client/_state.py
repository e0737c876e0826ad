"""How far each transport is: `state.json` of a slot, written as a whole (docs/clients.md, "Exactly once")."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_client._disk import CREATE, READ, UPDATE, Disk, is_full, read_whole, write_whole

NAME = "state.json"
WIDTH = (
    512  # what is written is filled up with spaces to a multiple of this: one sector, overwritten in one go
)


class Unreadable(Exception):
    """There is a `state.json`, and it does not say how far the transports are."""


class Newer(Exception):
    """A later version of the client wrote it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a transport is: the first number that is not done, and the range that may have been sent."""

    acknowledged: int = 0
    sending: tuple[int, int] | None = None

    @property
    def used(self) -> int:
        """Return the number behind all that this transport has, or may have, sent."""
        first, count = self.sending or (0, 0)
        return max(self.acknowledged, first + count)


@dataclass(slots=True)
class State:
    """The progress of all transports of a slot, and the number up to which entries were evicted."""

    transports: dict[str, Progress] = field(default_factory=dict)
    evicted: int = 0

    def of(self, transport: str) -> Progress:
        """Return a transport's progress, also of one that never sent."""
        return self.transports.get(transport, Progress())

    @property
    def used(self) -> int:
        """Return the number behind all that were sent or evicted: none below it is used for a new entry."""
        return max([self.evicted, *(progress.used for progress in self.transports.values())])

    def encode(self) -> bytes:
        """Return the file's bytes."""
        transports = {
            name: {"acknowledged": progress.acknowledged}
            | (
                {"sending": dict(zip(("first", "count"), progress.sending, strict=True))}
                if progress.sending
                else {}
            )
            for name, progress in self.transports.items()
        }
        data = json.dumps({"version": 1, "transports": transports, "evicted": self.evicted}).encode()
        return data + b" " * (-(len(data) + 1) % WIDTH) + b"\n"


def decode(data: bytes) -> State:
    """Return what a file says.

    Raises `Unreadable`: it is cut off or garbage. `Newer`: it is of another version.
    """
    try:
        told = json.loads(data)
        if told["version"] != 1:
            raise Newer("state.json is of another version")
        transports = {name: _progress(of) for name, of in told["transports"].items()}
        return State(transports, _number(told.get("evicted", 0)))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Unreadable("state.json is broken") from None


def _progress(told: Mapping[str, Any]) -> Progress:
    sending = told.get("sending")
    span = None if sending is None else (_number(sending["first"]), _number(sending["count"]))
    return Progress(_number(told["acknowledged"]), span)


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError
    return value


def load(disk: Disk, folder: Path) -> State:
    """Read a slot's state; a slot without one has sent nothing.

    Raises `Unreadable`, `Newer`: see `decode`. `OSError`: it could not be read.
    """
    try:
        fd = disk.open(f"{folder}/{NAME}", READ)
    except FileNotFoundError:
        return State()
    try:
        return decode(read_whole(disk, fd, 1 << 20, 0))
    finally:
        disk.close(fd)


def save(disk: Disk, folder: Path, data: bytes, *, sync: bool) -> None:
    """Replace a slot's state by encoded bytes. With `sync` it survives loss of power once this returns.

    Where the disk is full, the file is overwritten in place, which takes no room: else a full disk would hold
    up the sending that empties it. A kill cannot tear one `write` of a sector.

    Raises `OSError`: it was not written; what stood there still does.
    """
    try:
        _replace(disk, folder, data, sync=sync)
    except OSError as error:
        if not is_full(error):
            raise
        _overwrite(disk, folder, data, sync=sync)


def _replace(disk: Disk, folder: Path, data: bytes, *, sync: bool) -> None:
    new = f"{folder}/{NAME}.new"
    try:
        fd = disk.open(new, CREATE, 0o600)
    except FileExistsError:
        disk.unlink(new)
        fd = disk.open(new, CREATE, 0o600)
    try:
        try:
            write_whole(disk, fd, data, 0)
            if sync:
                disk.sync(fd)
        finally:
            disk.close(fd)
    except OSError:
        disk.unlink(new)
        raise
    disk.replace(new, f"{folder}/{NAME}")
    if sync:
        disk.sync_folder(str(folder))


def _overwrite(disk: Disk, folder: Path, data: bytes, *, sync: bool) -> None:
    fd = disk.open(f"{folder}/{NAME}", UPDATE)
    try:
        if disk.fstat(fd).st_size != len(data):
            raise OSError(errno.ENOSPC, "state.json does not fit its place")
        write_whole(disk, fd, data, 0)
        if sync:
            disk.sync(fd)
    finally:
        disk.close(fd)
