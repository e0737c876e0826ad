"""The Merkle tree: roots of the vectors, and every proof of every small tree."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sentinel.core import merkle

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "chain-v1.json"
SIZE = 40
HASHES = [bytes([number]) * 32 for number in range(SIZE)]
ROOTS = [merkle.root(merkle.grow(0, (), HASHES[:size])) for size in range(SIZE + 1)]


def nodes(level: int, index: int) -> bytes:
    """Return the hash of a complete subtree of HASHES."""
    assert (index + 1) << level <= SIZE
    (found,) = merkle.grow(0, (), HASHES[index << level : (index + 1) << level])
    return found


def test_the_roots_of_the_vectors() -> None:
    """The tree over the hashes of each chain has the roots that the vectors say, at every size."""
    for chain in json.loads(VECTORS.read_text())["chains"]:
        entries = [each for segment in chain["segments"] for each in segment["entries"]]
        hashes = [bytes.fromhex(each["hash"]) for each in entries]
        for size, root in chain["rfc6962_roots"].items():
            assert merkle.root(merkle.grow(0, (), hashes[: int(size)])).hex() == root


def test_a_tree_grows_in_any_steps() -> None:
    """However the hashes come, one by one or many at once, the compact range is the same."""
    for middle in range(SIZE + 1):
        first = merkle.grow(0, (), HASHES[:middle])
        assert merkle.decode(merkle.encode(first), middle) == first
        assert merkle.grow(middle, first, HASHES[middle:]) == merkle.grow(0, (), HASHES)
        assert [nodes(*each) for each in merkle.spans(0, middle)] == list(first)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 31, 32, 33, SIZE])
def test_inclusion(size: int) -> None:
    """Each leaf has a proof that leads to the root, and no shorter, longer or other proof does."""
    for index in range(size):
        leaf, root = merkle.leaf(HASHES[index]), ROOTS[size]
        proof = merkle.inclusion(index, size, nodes)
        assert merkle.verify_inclusion(index, size, leaf, proof, root)
        wrong = [[*proof, leaf], proof[:-1], proof[1:], [*proof[:-1], bytes(32)], proof[::-1]]
        for each in wrong:
            if each != proof:
                assert not merkle.verify_inclusion(index, size, leaf, each, root)
        assert not merkle.verify_inclusion(index, size, bytes(32), proof, root)
        assert not merkle.verify_inclusion(index, size, leaf, proof, ROOTS[size - 1])
    for index in (-1, size):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion(index, size, nodes)
        assert not merkle.verify_inclusion(index, size, bytes(32), [], ROOTS[size])


@pytest.mark.parametrize("second", [1, 2, 3, 7, 8, 9, 31, 32, 33, SIZE])
def test_consistency(second: int) -> None:
    """Each smaller tree has a proof that it became the larger, and no other root or proof passes."""
    for first in range(second + 1):
        proof = merkle.consistency(first, second, nodes)
        assert merkle.verify_consistency(first, second, proof, ROOTS[first], ROOTS[second])
        for each in ([*proof, bytes(32)], proof[:-1], [bytes(32), *proof[1:]]):
            if each != proof:
                assert not merkle.verify_consistency(first, second, each, ROOTS[first], ROOTS[second])
        assert not merkle.verify_consistency(first, second, proof, bytes(32), ROOTS[second])
        if first != 0:
            assert not merkle.verify_consistency(first, second, proof, ROOTS[first], bytes(32))
    with pytest.raises(ValueError, match="cannot have become"):
        merkle.consistency(second + 1, second, nodes)
    assert not merkle.verify_consistency(second + 1, second, [], ROOTS[0], ROOTS[second])


def test_a_range_of_another_size_is_refused() -> None:
    """A stored compact range has one hash for each bit of the size."""
    for size, stored in ((0, bytes(32)), (3, bytes(32)), (4, bytes(31)), (7, bytes(128))):
        with pytest.raises(ValueError, match="no compact range"):
            merkle.decode(stored, size)


def test_a_proof_is_made_of_hashes() -> None:
    """Proofs whose bytes are cut in other places, or which begin with what is no leaf, show nothing."""
    leaf, root = merkle.leaf(HASHES[4]), ROOTS[7]
    proof = merkle.inclusion(4, 7, nodes)
    for wrong in ([b"", *proof], [proof[0][:31], *proof[1:]], [proof[0] + b"x", *proof[1:]]):
        assert not merkle.verify_inclusion(4, 7, leaf, wrong, root)
    # node(l, r) hashes 64 bytes: a leaf of one byte less beside a neighbour of one more are the same bytes.
    left, right = merkle.leaf(HASHES[0]), merkle.leaf(HASHES[1])
    assert merkle.verify_inclusion(0, 2, left, [right], ROOTS[2])
    assert not merkle.verify_inclusion(0, 2, left[:31], [left[31:] + right], ROOTS[2])
    steps = merkle.consistency(3, 7, nodes)
    moved = [steps[0][:31], steps[0][31:] + steps[1], *steps[2:]]
    for wrong in (moved, [steps[0] + b"x", *steps[1:]]):
        assert not merkle.verify_consistency(3, 7, wrong, ROOTS[3], ROOTS[7])
