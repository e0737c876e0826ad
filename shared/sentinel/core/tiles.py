"""Tiles of a Merkle tree (C2SP tlog-tiles): how a tree is stored so that any proof takes a few small reads.

A tile of level L holds up to 256 hashes of 32 bytes, side by side: of leaves where L is 0, else the roots of
full tiles below. A tile that has not its 256 hashes yet is partial and has its width in its path. `Edge` is
the right edge of a tree as it grows: its partial tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from sentinel.core import merkle

WIDTH = 256
HEIGHT = 8

Read = Callable[[str], bytes | None]  # a tile by its path


def path(level: int, index: int, width: int = WIDTH) -> str:
    """Return a tile's path below `tile/`; a partial one names its width.

    >>> path(0, 1234067), path(2, 0, 17)
    ('0/x001/x234/067', '2/000.p/17')
    """
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03}")
    partial = f".p/{width}" if width != WIDTH else ""
    return f"{level}/{'/'.join(reversed(parts))}{partial}"


def width_of(level: int, index: int, size: int) -> int:
    """Return how many hashes a tile has in a tree of `size` leaves; 0 where it is not there."""
    return max(0, min(WIDTH, (size >> HEIGHT * level) - index * WIDTH))


def partials(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield (level, index, width) of the partial tiles of a tree of `size` leaves, lowest level first.

    >>> list(partials(70_000))
    [(0, 273, 112), (1, 1, 17), (2, 0, 1)]
    """
    level = 0
    while count := size >> HEIGHT * level:
        if count % WIDTH:
            yield level, count // WIDTH, count % WIDTH
        level += 1


def split(tile: bytes, width: int) -> list[bytes]:
    """Return a tile's hashes. Raises `ValueError` where it has not as many as it should."""
    if len(tile) != width * merkle.HASH_BYTES:
        raise ValueError(f"a tile of {width} hashes has {width * merkle.HASH_BYTES} bytes, not {len(tile)}")
    return [tile[at : at + merkle.HASH_BYTES] for at in range(0, len(tile), merkle.HASH_BYTES)]


def _peaks(hashes: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the roots of the complete subtrees over up to 255 hashes of one level, largest first."""
    for level, index in merkle.spans(0, len(hashes)):
        yield _subtree(hashes[index << level : (index + 1) << level])


def _subtree(hashes: Sequence[bytes]) -> bytes:
    row, hashed = list(hashes), sha256
    while len(row) > 1:
        row = [hashed(b"\1" + a + b).digest() for a, b in zip(row[::2], row[1::2], strict=True)]
    return row[0]


@dataclass(slots=True)
class Edge:
    """The right edge of a tree: `levels` has the hashes of each level's partial tile, the lowest first."""

    size: int = 0
    levels: list[list[bytes]] = field(default_factory=list)

    def add(self, hashes: Sequence[bytes]) -> Iterator[tuple[int, int, bytes]]:
        """Let the tree grow by H of further entries; yield (level, index, tile) of each that fills up."""
        hashed, at = sha256, 0
        while at < len(hashes):
            row = self._row(0)
            taken = hashes[at : at + WIDTH - len(row)]
            row += [hashed(b"\0" + each).digest() for each in taken]
            at += len(taken)
            self.size += len(taken)
            if len(row) == WIDTH:
                yield from self._fill(0)

    def _row(self, level: int) -> list[bytes]:
        if level == len(self.levels):
            self.levels.append([])
        return self.levels[level]

    def _fill(self, level: int) -> Iterator[tuple[int, int, bytes]]:
        """Take a tile that is full off the edge, and put its root into the level above."""
        row = self.levels[level]
        self.levels[level] = []
        yield level, (self.size >> HEIGHT * (level + 1)) - 1, b"".join(row)
        above = self._row(level + 1)
        above.append(_subtree(row))
        if len(above) == WIDTH:
            yield from self._fill(level + 1)

    def tiles(self) -> Iterator[tuple[int, int, int, bytes]]:
        """Yield (level, index, width, tile) of the partial tiles."""
        for level, index, width in partials(self.size):
            yield level, index, width, b"".join(self.levels[level])

    @property
    def peaks(self) -> tuple[bytes, ...]:
        """The compact range of the tree."""
        return tuple(peak for row in reversed(self.levels) for peak in _peaks(row))


def last_leaf(size: int, read: Read, root: bytes) -> bytes | None:
    """Return the hash of the last leaf of the tree with this size and root; None where tiles do not tell."""
    nodes = TiledNodes(size, read)
    try:
        found, proof = nodes(0, size - 1), merkle.inclusion(size - 1, size, nodes)
    except (LookupError, ValueError):
        return None
    return found if merkle.verify_inclusion(size - 1, size, found, proof, root) else None


def edge_of(size: int, read: Read) -> Edge | None:
    """Return the right edge of a tree of `size` leaves from its tiles; None where one is not there, or cut.

    Whether it is that of the right tree its `peaks` say.
    """
    edge = Edge(size)
    for level, index, width in partials(size):
        edge.levels += [[] for _ in range(level + 1 - len(edge.levels))]
        hashes = _hashes(read, level, index, width)
        if hashes is None:
            return None
        edge.levels[level] = hashes[:width]
    return edge


def _hashes(read: Read, level: int, index: int, width: int) -> list[bytes] | None:
    """Return a tile's hashes, of a partial one also from the tile that it has become."""
    tile = read(path(level, index, width))
    if tile is None and width < WIDTH:
        tile, width = read(path(level, index)), WIDTH
    try:
        return None if tile is None else split(tile, width)
    except ValueError:
        return None


@dataclass(slots=True)
class TiledNodes:
    """The nodes of a tree of `size` leaves, read from its tiles, each once; `reads` counts them.

    Calling it raises `LookupError` where a tile is not there. What they say has to be checked against a root.
    """

    size: int
    read: Read
    reads: int = 0
    _known: dict[tuple[int, int], list[bytes]] = field(default_factory=dict)

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of a complete subtree (`merkle.Node`)."""
        tile_level, above = divmod(level, HEIGHT)
        start, end = index << above, (index + 1) << above
        tile = start // WIDTH
        return _subtree(self._tile(tile_level, tile)[start - tile * WIDTH : end - tile * WIDTH])

    def _tile(self, level: int, index: int) -> list[bytes]:
        found = self._known.get((level, index))
        if found is None:
            self.reads += 1
            width = width_of(level, index, self.size)
            hashes = _hashes(self.read, level, index, width) if width else None
            if hashes is None:
                raise LookupError(f"there is no tile {path(level, index, width or WIDTH)}")
            found = self._known[level, index] = hashes[:width]
        return found
