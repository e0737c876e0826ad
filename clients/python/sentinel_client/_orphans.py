"""Slots that no process has and that hold entries: they are taken over, sent, and given back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel_client import _slots
from sentinel_client._disk import Disk

if TYPE_CHECKING:
    from sentinel_client._slots import Slot
    from sentinel_client._wal import Wal

_AT_ONCE = 8  # slots that are taken over at the same time
_KEPT = 16  # free slots that stay when they are empty: the next processes take them


class Orphans:
    """The slots that a process took over beside its own. All its shippers work on the same."""

    def __init__(self, disk: Disk, root: Path, take: Callable[[Slot], Wal], every: float) -> None:
        self._disk, self._root, self._take, self._every = disk, root, take, every
        self._due = 0.0
        self._empty: dict[str, int] = {}  # slots that were found empty -> when they had been taken last
        self.held: list[Wal] = []

    def look(self, own: str) -> list[Wal]:
        """Give back what was sent empty, take over what is free and is not, and return what is held."""
        for wal in [wal for wal in self.held if wal.drained()]:
            self.held.remove(wal)
            wal.close()
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._every
            with contextlib.suppress(OSError):  # the root is gone: so are its slots
                self._scan(own)
        return list(self.held)

    def _scan(self, own: str) -> None:
        free = []
        for folder in _slots.free(self._disk, self._root):
            if folder.name == own or any(wal.producer == folder.name for wal in self.held):
                continue
            if len(self.held) >= _AT_ONCE:
                return
            if self._taken(folder) == self._empty.get(folder.name):
                free.append(folder)
                continue
            wal = self._taken_over(folder)
            if wal is None:
                continue
            if wal.drained():
                wal.close()
                self._empty[folder.name] = self._taken(folder)
                free.append(folder)
            else:
                self.held.append(wal)
        for folder in free[:-_KEPT]:
            self._remove(folder)

    def _taken(self, folder: Path) -> int:
        try:
            return self._disk.stat(f"{folder}/{_slots.LOCK}").st_mtime_ns
        except OSError:
            return 0

    def _taken_over(self, folder: Path) -> Wal | None:
        try:
            slot = _slots.lock(self._disk, folder)
        except OSError:
            return None
        return None if slot is None else self._take(slot)

    def _remove(self, folder: Path) -> None:
        """Remove an empty slot, unless a process has taken it meanwhile."""
        self._empty.pop(folder.name, None)
        wal = self._taken_over(folder)
        if wal is not None:
            wal.close(remove=True)
