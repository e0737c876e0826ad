"""Checkpoints and tiles as files of one machine: `ports_log.Notes` and `ports_log.Tiles`.

Below the folder each chain has one of its own, named as in its origin (percent-encoded, the slash too):
`notes/000/000/000042` is a checkpoint, `notes/000/000/000042.NAME` what is attached to it, `tile/0/x001/067`
a tile. Files are whole or not there, and flushed; no checkpoint is ever written twice.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from sentinel.adapters import whole_files
from sentinel.errors import Conflict, Forbidden, Missing, Tampered, Unavailable

MOST = 1_000_000  # bytes of a note, or of what is attached to one
_TILE = 8_192
_LONGEST = 240


def _folder(root: Path, chain: str) -> Path:
    """Return the folder of a chain, which is one right below `root` whatever the chain is called."""
    name = quote(chain, safe="")
    if len(name) > _LONGEST:  # a file's name ends at 255 bytes, and percent-encoding makes three of one
        name = chain.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not name:
        raise Tampered("", 0, "place", "a chain without a name")
    return root / name


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths
    except (FileNotFoundError, NotADirectoryError):  # something else lies there: it is nothing of ours
        return []
    except OSError as error:
        raise Unavailable(f"{folder} cannot be read: {error.strerror}") from None


def _numbers(folder: Path, digits: int) -> Iterator[str]:
    """Yield the names in a folder that are numbers, greatest first; another may be a half-written file's."""
    names = reversed(_names(folder))
    return (name for name in names if len(name) == digits and name.isascii() and name.isdecimal())


def _read(path: Path, most: int) -> bytes | None:
    try:
        return whole_files.read_private(path, most)
    except Missing:
        return None


def _chains(root: Path, kind: str) -> Iterator[str]:
    return (unquote(name) for name in _names(root) if (root / name / kind).is_dir())


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
        top = _folder(self._root, chain) / "notes"
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
        for name in _names(path.parent):
            if name.startswith(begin):
                data = _read(path.parent / name, MOST)
                found |= {name.removeprefix(begin): data} if data is not None else {}
        return found

    def chains(self) -> Iterator[str]:
        """See `ports_log.Notes`."""
        return _chains(self._root, "notes")

    def _path(self, chain: str, number: int) -> Path:
        name = f"{number:012}"
        return _folder(self._root, chain) / "notes" / name[:3] / name[3:6] / name[6:]


class FolderTiles:
    """`ports_log.Tiles` below the same folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, chain: str, path: str, tile: bytes) -> None:
        """See `ports_log.Tiles`."""
        place = _folder(self._root, chain) / "tile" / path
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
            return _read(_folder(self._root, chain) / "tile" / path, _TILE)
        except (
            Forbidden
        ):  # too long, or open to others: not as it was put, and made anew like one that is gone
            return None


def _forget(partial: Path) -> None:
    """Remove the partial tiles that a full one has replaced (C2SP tlog-tiles, Partial Tiles)."""
    for name in _names(partial):
        with contextlib.suppress(OSError):
            (partial / name).unlink()
    with contextlib.suppress(OSError):
        partial.rmdir()
