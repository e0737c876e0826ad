"""Bookmarks: how far a log was stored, so that a long one that was interrupted goes on where it was.

The dedup window of a chain knows the last 64 batches; a bookmark knows how much of a file is stored however
long ago. It names the bytes by their hash, and is believed only while the file still begins with them and the
chain still is as long as it was.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

_CHUNK = 1 << 20


@dataclass(slots=True)
class Mark:
    """What is stored of a log: its first `offset` bytes with the hash `digest`, `line` lines.

    `ranges` are the places of its entries: `[chain, first, count]`, runs joined. `head` is H of the last.
    """

    offset: int = 0
    digest: str = field(default_factory=lambda: sha256().hexdigest())
    line: int = 0
    blank: int = 0
    refused: int = 0
    head: str = ""
    ranges: list[list[Any]] = field(default_factory=list)

    @property
    def entries(self) -> int:
        """How many entries are stored."""
        return sum(count for _, _, count in self.ranges)

    def add(self, receipt: Mapping[str, Any]) -> None:
        """Take in a receipt."""
        chain, first, count = receipt["chain"], receipt["first"], receipt["count"]
        last = self.ranges[-1] if self.ranges else None
        if last and last[0] == chain and last[1] + last[2] == first:
            last[2] += count
        else:
            self.ranges.append([chain, first, count])
        self.head = receipt["head"]

    def holds(self, chains: Mapping[str, int]) -> bool:
        """Whether a ledger with chains of these sizes can have what this says is stored."""
        return all(chains.get(chain, 0) >= first + count for chain, first, count in self.ranges)


@dataclass(frozen=True, slots=True)
class Bookmarks:
    """Bookmarks in one folder, one file a log."""

    folder: Path

    def load(self, *key: str) -> Mark:
        """Return a bookmark; an empty one where there is none that can be read."""
        try:
            return Mark(**json.loads(self._path(key).read_bytes()))
        except (OSError, ValueError, TypeError):
            return Mark()

    def save(self, mark: Mark, *key: str) -> None:
        """Write a bookmark, whole or not at all. It may be lost in a crash: batches are recognised."""
        path = self._path(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")  # two runs may store the same log at once
        fresh.write_text(json.dumps(asdict(mark)))
        fresh.replace(path)

    def _path(self, key: tuple[str, ...]) -> Path:
        return self.folder / f"{sha256(json.dumps(key).encode()).hexdigest()[:32]}.json"


def hashed(file: BinaryIO, mark: Mark) -> Any | None:
    """Read the first `mark.offset` bytes of a file; return their hash object if they are the marked ones."""
    found = sha256()
    left = mark.offset
    while left:
        chunk = file.read(min(left, _CHUNK))
        if not chunk:
            return None
        found.update(chunk)
        left -= len(chunk)
    return found if found.hexdigest() == mark.digest else None
