"""Tiles: whatever steps a tree grows in, its tiles give its edge, its root and all proofs."""

from __future__ import annotations

from hashlib import sha256

import pytest

from sentinel.core import merkle, tiles

SIZES = (1, 2, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 66_003)
HASHES = [sha256(number.to_bytes(4, "big")).digest() for number in range(SIZES[-1])]


@pytest.fixture(scope="module")
def stored() -> dict[str, bytes]:
    """Return the tiles of trees of all SIZES, by their paths."""
    found: dict[str, bytes] = {}
    edge, at = tiles.Edge(), 0
    for size in SIZES:
        found |= {tiles.path(level, index): tile for level, index, tile in edge.add(HASHES[at:size])}
        found |= {tiles.path(level, index, width): tile for level, index, width, tile in edge.tiles()}
        at = size
    return found


@pytest.fixture(scope="module")
def roots() -> dict[int, bytes]:
    """Return the roots of trees of all SIZES, made without tiles."""
    found: dict[int, bytes] = {}
    peaks: tuple[bytes, ...] = ()
    at = 0
    for size in SIZES:
        peaks = merkle.grow(at, peaks, HASHES[at:size])
        found[size] = merkle.root(peaks)
        at = size
    return found


@pytest.mark.parametrize("size", SIZES)
def test_the_edge_is_in_the_tiles(stored: dict[str, bytes], roots: dict[int, bytes], size: int) -> None:
    """The right edge, the root and the last leaf of a tree come from its tiles; a missing one shows."""
    edge = tiles.edge_of(size, stored.get)
    assert edge is not None
    assert merkle.root(edge.peaks) == roots[size]
    assert tiles.last_leaf(size, stored.get, roots[size]) == merkle.leaf(HASHES[size - 1])
    assert tiles.last_leaf(size, stored.get, bytes(32)) is None
    for level, index, width, tile in edge.tiles():
        place = tiles.path(level, index, width)
        wrongs: list[dict[str, bytes]] = [{}, {place: tile[:-1]}]
        for wrong in wrongs:
            gone = dict(stored)
            for each in (place, tiles.path(level, index)):
                gone.pop(each, None)
            assert tiles.edge_of(size, (gone | wrong).get) is None


@pytest.mark.parametrize("size", SIZES)
def test_proofs_from_tiles(stored: dict[str, bytes], roots: dict[int, bytes], size: int) -> None:
    """Inclusion and consistency are proven with at most two tiles a level, the full for a partial one."""
    for index in {0, size // 3, size // 2, size - 1}:
        nodes = tiles.TiledNodes(size, stored.get)
        proof = merkle.inclusion(index, size, nodes)
        assert merkle.verify_inclusion(index, size, merkle.leaf(HASHES[index]), proof, roots[size])
        assert nodes.reads <= 6
    for first in (each for each in SIZES if each <= size):
        proof = merkle.consistency(first, size, tiles.TiledNodes(size, stored.get))
        assert merkle.verify_consistency(first, size, proof, roots[first], roots[size])
    with pytest.raises(LookupError, match="no tile"):
        tiles.TiledNodes(size, lambda _: None)(0, 0)
