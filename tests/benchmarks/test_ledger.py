"""What `benchmarks.ledger` measures is what it says: real tiles, real proofs, payloads that are encrypted."""

from __future__ import annotations

import secrets
from hashlib import sha256

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from benchmarks.ledger import PERIOD, AesCipher, Sealing, checkpoint, proofs, stored_tiles
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import merkle, notes, tiles
from sentinel.core.payload import CODEC_SEALED
from tests.writers import CHAIN, appender, numbered


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


def test_payloads_are_encrypted_and_bound_to_their_place() -> None:
    """What the benchmark stores encrypted nobody reads elsewhere, or with another key."""
    cipher, ledger = AesCipher("k1", secrets.token_bytes(32)), SqliteLedger(":memory:")
    Sealing(appender(ledger), cipher).append(CHAIN, numbered(1))
    [segment] = ledger.read(CHAIN)
    assert (segment.key, bool(segment.codec & CODEC_SEALED)) == ("k1", True)
    nonce, sealed = segment.payload[:12], segment.payload[12:]
    assert AESGCM(cipher.data_key).decrypt(nonce, sealed, segment.place.bound("k1"))
    with pytest.raises(InvalidTag):
        AESGCM(cipher.data_key).decrypt(nonce, sealed, segment.place.bound("k2"))
