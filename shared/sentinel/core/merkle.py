"""The Merkle tree over a chain's hashes H_0..H_n: RFC 6962 hashing, RFC 9162 proofs, compact ranges.

::

    leaf(H)    = SHA256(0x00 ‖ H)
    node(l, r) = SHA256(0x01 ‖ l ‖ r)
    root of nothing = SHA256()

A *compact range* is what a tree of some size is made of: the roots of its complete subtrees, largest (and
leftmost) first, one for each bit that is set in the size. It is all that is needed to let the tree grow and
to know its root, and a segment stores it (`tree` in `docs/wire.md`). A *node* is named by its level, 0 for
leaves, and its index from the left: it spans leaves `index << level` to `(index + 1) << level`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]  # (level, index): the hash of a complete subtree


def leaf(data: bytes) -> bytes:
    """Return the leaf hash of one H."""
    return sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two neighbours."""
    return sha256(b"\1" + left + right).digest()


def grow(size: int, peaks: Sequence[bytes], hashes: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the compact range of a tree of `size` leaves after `hashes` (H of each entry) were added.

    `peaks` is the compact range before. Costs a leaf hash and at most one more for each.

    >>> grow(2, grow(0, (), [b"a", b"b"]), [b"c"]) == grow(0, (), [b"a", b"b", b"c"])
    True
    """
    hashed = sha256
    row = [hashed(b"\0" + each).digest() for each in hashes]
    left = list(peaks)
    found: list[bytes] = []
    while row or size:
        if size & 1:
            row.insert(0, left.pop())
        if len(row) & 1:
            found.append(row.pop())
        row = [hashed(b"\1" + a + b).digest() for a, b in zip(row[::2], row[1::2], strict=True)]
        size >>= 1
    return tuple(reversed(found))


def root(peaks: Sequence[bytes]) -> bytes:
    """Return the root of the tree that a compact range stands for."""
    if not peaks:
        return EMPTY_ROOT
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = node(peak, found)
    return found


def encode(peaks: Sequence[bytes]) -> bytes:
    """Return a compact range as it is stored: its hashes, one after the other."""
    return b"".join(peaks)


def decode(stored: bytes, size: int) -> tuple[bytes, ...]:
    """Return the compact range of a tree of `size` leaves from its stored form. Raises `ValueError`."""
    if len(stored) != size.bit_count() * HASH_BYTES:
        raise ValueError(f"{len(stored)} bytes are no compact range of {size} leaves")
    return tuple(stored[at : at + HASH_BYTES] for at in range(0, len(stored), HASH_BYTES))


def spans(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield (level, index) of the complete subtrees that make up leaves `start` to `end`, left to right.

    Where `start` is 0 they are the compact range of a tree of `end` leaves.

    >>> list(spans(0, 7)), list(spans(4, 7)), list(spans(3, 3))
    ([(2, 0), (1, 2), (0, 6)], [(1, 2), (0, 6)], [])
    """
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


def _hash(start: int, end: int, nodes: Node) -> bytes:
    """Return MTH(D[start:end]), where `start` is a multiple of a power of two not below the length."""
    return root([nodes(level, index) for level, index in spans(start, end)])


def _split(length: int) -> int:
    """Return the largest power of two below `length`."""
    return 1 << (length - 1).bit_length() - 1


def inclusion(index: int, size: int, nodes: Node) -> list[bytes]:
    """Return the inclusion proof of leaf `index` in a tree of `size` leaves (RFC 9162, 2.1.3.1), leaf first.

    `nodes` is asked for complete subtrees below `size` only. Raises `ValueError` where there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    proof: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_hash(middle, end, nodes))
            end = middle
        else:
            proof.append(_hash(start, middle, nodes))
            start = middle
    return proof[::-1]


def consistency(first: int, second: int, nodes: Node) -> list[bytes]:
    """Return the consistency proof from a tree of `first` leaves to one of `second` (RFC 9162, 2.1.4.1).

    Empty where `first` is 0 or `second`. Raises `ValueError` where the first is larger, or below 0.
    """
    if not 0 <= first <= second:
        raise ValueError(f"a tree of {first} cannot have become one of {second}")
    if first in {0, second}:
        return []
    proof: list[bytes] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            proof.append(_hash(middle, end, nodes))
            end = middle
        else:
            proof.append(_hash(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        proof.append(_hash(start, end, nodes))
    return proof[::-1]


def root_of_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes]) -> bytes:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2). Raises `ValueError`."""
    if not 0 <= index < size:
        raise ValueError(f"there is no leaf {index} in a tree of {size}")
    at, last, found = index, size - 1, leaf_hash
    if not _hashes([leaf_hash, *proof]):
        raise ValueError("the proof has what is no hash")
    for each in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if at & 1 or at == last:
            found = node(each, found)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            found = node(found, each)
        at >>= 1
        last >>= 1
    if last:
        raise ValueError("the proof is too short")
    return found


def verify_inclusion(
    index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Say whether a proof shows that `leaf_hash` is leaf `index` of the tree with that size and root."""
    try:
        return root_of_inclusion(index, size, leaf_hash, proof) == expected
    except ValueError:
        return False


def verify_consistency(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Say whether a proof shows that the second tree begins with the first (RFC 9162, 2.1.4.2)."""
    if first == second:
        return not proof and first_root == second_root
    if first == 0:
        return not proof and first_root == EMPTY_ROOT
    if not 0 < first < second or not proof or not _hashes([first_root, *proof]):
        return False
    return _both(first, second, list(proof), first_root) == (first_root, second_root)


def _hashes(given: Sequence[bytes]) -> bool:
    """Say whether all are as long as hashes are: else two proofs that are cut differently say the same."""
    return all(len(each) == HASH_BYTES for each in given)


def _both(first: int, second: int, path: list[bytes], first_root: bytes) -> tuple[bytes, bytes] | None:
    """Return the two roots that a consistency proof leads to; None where it is too long or too short."""
    if not first & (first - 1):
        path.insert(0, first_root)
    at, last = first - 1, second - 1
    while at & 1:
        at >>= 1
        last >>= 1
    old = new = path[0]
    for each in path[1:]:
        if last == 0:
            return None
        if at & 1 or at == last:
            old, new = node(each, old), node(each, new)
            while not at & 1 and at:
                at >>= 1
                last >>= 1
        else:
            new = node(new, each)
        at >>= 1
        last >>= 1
    return (old, new) if last == 0 else None
