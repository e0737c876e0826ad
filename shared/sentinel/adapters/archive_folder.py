"""The archive as files of one machine: `ports_log.Archive` below a folder.

Below it each chain has a folder of its own, named by its percent-encoded id, with a file for each run, named
by its first entry: `s%2F0/0000000000000042`. Files are whole or not there, and flushed. What is being written
has another name, `.0000000000000042.` and a random one; who writes has the chain's lock meanwhile.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from sentinel.adapters import whole_files
from sentinel.adapters.archive_runs import Runs
from sentinel.adapters.chain_folders import chains_below, folder_of, names_in
from sentinel.core.payload import Opener
from sentinel.core.runs import BEGIN_BYTES, MOST_BYTES, Run
from sentinel.errors import Conflict, Missing, Unavailable

_LOCK = ".lock"
_BEGUN = re.compile(r"\.[0-9]{16}\..+")


class FolderArchive(Runs):
    """`ports_log.Archive` below a folder, which is made when it is first written to."""

    def __init__(
        self, root: Path, opener: Opener | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(opener, clock)
        self._root = root

    def replace_run(self, run: Run, version: str) -> bool:
        """See `Runs`. Others wait for the folder's lock meanwhile."""
        path = self._path(run.chain, run.first)
        with self._locked(path.parent):
            stored = self.get(run.chain, run.first)
            if stored is None or stored[1] != version:
                return False
            whole_files.replace(path, run.encode())
        return True

    def put(self, run: Run) -> bool:
        """See `Runs`."""
        path, data = self._path(run.chain, run.first), run.encode()
        with self._locked(path.parent):
            try:
                whole_files.create(path, data)
            except Conflict:
                return False
        return True

    def tidy(self, chain: str) -> str:
        """See `ports_log.Archive`. Whoever has the lock knows that who wrote these files is gone."""
        folder = folder_of(self._root, chain)
        if not any(map(_BEGUN.fullmatch, names_in(folder))):
            return ""
        with self._locked(folder):
            for name in filter(_BEGUN.fullmatch, names_in(folder)):
                try:
                    (folder / name).unlink(missing_ok=True)
                except OSError as error:
                    raise Unavailable(f"{folder / name} cannot be removed: {error.strerror}") from None
        return ""

    def get(self, chain: str, first: int) -> tuple[bytes, str] | None:
        """See `Runs`."""
        try:
            data = whole_files.read_private(self._path(chain, first), MOST_BYTES)
        except Missing:
            return None
        return data, sha256(data).hexdigest()

    def version(self, chain: str, first: int) -> str | None:
        """See `Runs`."""
        found = self.get(chain, first)
        return found[1] if found else None

    def begin(self, chain: str, first: int) -> bytes:
        """See `Runs`."""
        try:
            with self._path(chain, first).open("rb") as file:
                return file.read(BEGIN_BYTES)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise Unavailable(f"{self._path(chain, first)} cannot be read: {error.strerror}") from None

    def newest_at(self, chain: str, seq: int) -> int | None:
        """See `Runs`. One listing of the chain's folder."""
        names = names_in(folder_of(self._root, chain))
        return max((int(name) for name in names if name.isdecimal() and int(name) <= seq), default=None)

    def chains(self) -> Iterator[str]:
        """See `ports_log.Archive`."""
        for chain, folder in chains_below(self._root):
            if any(map(str.isdecimal, names_in(folder))):
                yield chain

    def _path(self, chain: str, first: int) -> Path:
        return folder_of(self._root, chain) / f"{first:016}"

    @contextmanager
    def _locked(self, folder: Path) -> Iterator[None]:
        try:
            whole_files.make(folder)
            fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"{folder} cannot be locked: {error.strerror}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
