"""What `benchmarks.ledger` measures is what it says: real tiles, real proofs, payloads that are encrypted."""

from __future__ import annotations

from hashlib import sha256

from benchmarks.ledger import PERIOD, checkpoint, proofs, stored_tiles
from sentinel.core import merkle, notes, tiles
from tests.writers import CHAIN


def test_the_tiles_are_those_of_the_tree() -> None:
    """Tiles made from the period are the ones that a tree over all of the hashes fills."""
    size = PERIOD + 70 * tiles.WIDTH + 9
    edge, read = tiles.Edge(), stored_tiles(size)
    hashes = [sha256((at % PERIOD).to_bytes(8, "big")).digest() for at in range(size)]
    full = list(edge.add(hashes))
    for level, index, tile in full:
        assert read(tiles.path(level, index)) == tile
    for level, index, width, tile in edge.tiles():
        assert read(tiles.path(level, index, width)) == tile
    assert len(full) == PERIOD // tiles.WIDTH + 71
    assert read(tiles.path(0, 10_000)) is None


def test_proofs_are_small_and_few_reads() -> None:
    """In a chain of ten million every proof that was chosen verifies, within the reads and bytes."""
    found = proofs(proven=20)
    assert found["proof_reads"] < 20
    assert 1_500 < found["proof_bytes"] < 4_096


def test_the_checkpoint_is_one() -> None:
    """It is read back as what it says, with two signatures."""
    note = notes.read(checkpoint(CHAIN, 7, merkle.leaf(b"x")))
    found = notes.Checkpoint.read(note.text)
    assert (found.size, found.root, len(note.signatures)) == (7, merkle.leaf(b"x"), 2)
