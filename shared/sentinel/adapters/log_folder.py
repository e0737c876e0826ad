"""Checkpoints and tiles as files of one machine: `ports_log.Notes` and `ports_log.Tiles`.

Below the folder each chain has one of its own, named as in its origin (percent-encoded, the slash too):
`notes/000/000/000042` is a checkpoint, `notes/000/000/000042.NAME` what is attached to it, `tile/0/x001/067`
a tile. Files are whole or not there, and flushed; no checkpoint is ever written twice.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from sentinel.adapters import whole_files
from sentinel.adapters.chain_folders import chains_below, folder_of, names_in
from sentinel.errors import Conflict, Forbidden, Missing

MOST = 1_000_000  # bytes of a note, or of what is attached to one
_TILE = 8_192


def _numbers(folder: Path, digits: int) -> Iterator[str]:
    """Yield the names in a folder that are numbers, greatest first; another may be a half-written file's."""
    names = reversed(names_in(folder))
    return (name for name in names if len(name) == digits and name.isascii() and name.isdecimal())


def _read(path: Path, most: int) -> bytes | None:
    try:
        return whole_files.read_private(path, most)
    except Missing:
        return None


def _chains(root: Path, kind: str) -> Iterator[str]:
    return (chain for chain, folder in chains_below(root) if (folder / kind).is_dir())


class FolderNotes:
    """`ports_log.Notes` below a folder, which is made when it is first written to."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, chain: str, number: int, note: bytes) -> bool:
        """See `ports_log.Notes`."""
        path = self._path(chain, number)
        try:
            whole_files.create(path, note)
        except Conflict:
            if _read(path, MOST) != note:
                return False
            whole_files.flush(path.parent)  # whoever made it may have been cut off before it did this
        return True

    def get(self, chain: str, number: int) -> bytes | None:
        """See `ports_log.Notes`."""
        return _read(self._path(chain, number), MOST)

    def newest(self, chain: str) -> tuple[int, bytes] | None:
        """See `ports_log.Notes`."""
        top = folder_of(self._root, chain) / "notes"
        for high in _numbers(top, 3):
            for low in _numbers(top / high, 3):
                for last in _numbers(top / high / low, 6):
                    note = _read(top / high / low / last, MOST)
                    if note is not None:
                        return int(high + low + last), note
        return None

    def attach(self, chain: str, number: int, name: str, data: bytes) -> None:
        """See `ports_log.Notes`."""
        path = self._path(chain, number)
        with contextlib.suppress(Conflict):
            whole_files.create(path.with_name(f"{path.name}.{name}"), data)

    def attached(self, chain: str, number: int) -> dict[str, bytes]:
        """See `ports_log.Notes`."""
        path = self._path(chain, number)
        begin = path.name + "."
        found: dict[str, bytes] = {}
        for name in names_in(path.parent):
            if name.startswith(begin):
                data = _read(path.parent / name, MOST)
                found |= {name.removeprefix(begin): data} if data is not None else {}
        return found

    def chains(self) -> Iterator[str]:
        """See `ports_log.Notes`."""
        return _chains(self._root, "notes")

    def _path(self, chain: str, number: int) -> Path:
        name = f"{number:012}"
        return folder_of(self._root, chain) / "notes" / name[:3] / name[3:6] / name[6:]


class FolderTiles:
    """`ports_log.Tiles` below the same folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, chain: str, path: str, tile: bytes) -> None:
        """See `ports_log.Tiles`."""
        place = folder_of(self._root, chain) / "tile" / path
        if self.get(chain, path) != tile:
            whole_files.replace(place, tile)
        if place.parent.suffix != ".p":
            _forget(place.with_name(f"{place.name}.p"))

    def put_all(self, chain: str, tiles: Mapping[str, bytes]) -> None:
        """See `ports_log.Tiles`."""
        for path, tile in tiles.items():
            self.put(chain, path, tile)

    def get(self, chain: str, path: str) -> bytes | None:
        """See `ports_log.Tiles`."""
        try:
            return _read(folder_of(self._root, chain) / "tile" / path, _TILE)
        except (
            Forbidden
        ):  # too long, or open to others: not as it was put, and made anew like one that is gone
            return None


def _forget(partial: Path) -> None:
    """Remove the partial tiles that a full one has replaced (C2SP tlog-tiles, Partial Tiles)."""
    for name in names_in(partial):
        with contextlib.suppress(OSError):
            (partial / name).unlink()
    with contextlib.suppress(OSError):
        partial.rmdir()
