"""Where a chain that was written anew leaves the one that was signed: found by its tiles.

Every H commits to all before it, so two chains that differ at one entry differ at all that follow: halving
finds the first in a few reads. What tiles say is checked against the signed root before it counts.
"""

from __future__ import annotations

from sentinel.core import chain as hashing
from sentinel.core import merkle
from sentinel.core.tiles import TiledNodes
from sentinel.ports import Ledger
from sentinel.ports_log import Tiles


def first_difference(
    ledger: Ledger, tiles: Tiles, chain: str, size: int, root: bytes, within: range
) -> int | None:
    """Return the first entry of `within` that is not the one that was signed; None where tiles do not tell.

    The chain has to be linked as far as that. Raises `Unavailable`, and `Tampered` where it cannot be read.
    """
    nodes = TiledNodes(size, lambda path: tiles.get(chain, path))

    def same(seq: int) -> bool:
        signed, proof = nodes(0, seq), merkle.inclusion(seq, size, nodes)
        if not merkle.verify_inclusion(seq, size, signed, proof, root):
            raise LookupError("these are not the tiles of the signed tree")
        segment = ledger.at(chain, seq)
        if segment is None:
            return False
        leaves = segment.opened.leaves()[: seq + 1 - segment.first]
        found = hashing.head(segment.prev, leaves, segment.t, hashing.service_of(chain))
        return merkle.leaf(found) == signed

    try:
        if not within or same(within[-1]):
            return None
        low, high = within[0], within[-1]
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if same(middle) else (low, middle)
    except LookupError:
        return None
    return low
