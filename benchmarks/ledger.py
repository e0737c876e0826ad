"""What the ledger costs as a transparency log: processor time, write requests, verification, proofs.

- The ingest handler on batches of 500 real lines, which with each segment grows the Merkle tree, over the
  floor of `benchmarks.ingest`, as it is and with the payloads encrypted; all in turns, in one
  process. DynamoDB answers at once, so each batch is uncontended: its write requests are counted.
- Verification on all cores: the figure of `benchmarks.verify`, which runs in a process of its own.
- The inclusion proof of an entry in a chain of ten million: reads of the tiles, of the checkpoint (a listing
  and the note) and of the entry's segment, and the bytes of the proof as JSON with its checkpoint; the
  greatest of many entries. The chain's hashes repeat every 65,536 entries, so that equal subtrees are hashed
  once; nothing else of a proof knows that. Each is verified against the signed root.

    python -m benchmarks.ledger [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from benchmarks.ingest import BATCH, BATCHES, Context, cpu, event, floor, handler_with_stub
from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.core import merkle, notes, tiles
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note

ROUNDS = 40
SIZE = 10_000_000
PERIOD = tiles.WIDTH**2
PROVEN = 300  # entries of the large chain
BESIDE = 3  # reads that are no tiles: the listing of checkpoints, the newest one, the segment
TARGETS: dict[str, dict[str, float]] = {
    "handler_over_floor": {"at_most": 2.6},
    "encrypted_over_floor": {"at_most": 2.8},
    "writes_a_batch": {"at_most": 1.0},
    "verify_cores_ratio": {"at_least": 0.7},
    "proof_reads": {"at_most": 19},
    "proof_bytes": {"at_most": 4_095},
}


def ingest() -> dict[str, float]:
    """Measure the handler as it is and encrypting; count its write requests."""
    lines, source = entries(BATCH * BATCHES)
    print(f"entries: {source}")
    batches = [lines[i * BATCH : (i + 1) * BATCH] for i in range(BATCHES)]
    handler, sizes = handler_with_stub()
    ways = {"handler": "store", "encrypted": "own"}
    spent: dict[str, list[float]] = {"floor": [], **{name: [] for name in ways}}
    for turn in range(BATCHES + ROUNDS):
        batch = batches[turn % BATCHES]
        spent["floor"].append(cpu(lambda batch=batch: floor(batch)))  # type: ignore[misc]
        for name, policy in ways.items():
            spent[name].append(_handled(handler, event(batch, turn + 1, policy)))
    per = {name: statistics.median(each[BATCHES:]) / BATCH * 1e6 for name, each in spent.items()}
    return {
        **{f"{name}_us_per_entry": round(each, 3) for name, each in per.items()},
        "handler_over_floor": round(per["handler"] / per["floor"], 3),
        "encrypted_over_floor": round(per["encrypted"] / per["floor"], 3),
        "writes_a_batch": len(sizes) / (len(ways) * (BATCHES + ROUNDS)),
    }


def _handled(handler: Callable[[dict[str, Any], Any], dict[str, Any]], sent: dict[str, Any]) -> float:
    answers: list[dict[str, Any]] = []
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        spent = cpu(lambda: answers.append(handler(sent, Context())))
    assert answers[0]["statusCode"] == 200, answers[0]["body"]
    return spent


@cache
def tile_of(level: int, index: int, width: int) -> bytes:
    """Return a tile of the large chain's tree."""
    if level == 0:
        first = index * tiles.WIDTH
        hashes = [sha256(at.to_bytes(8, "big")).digest() for at in range(first, first + width)]
        return b"".join(map(merkle.leaf, hashes))
    return b"".join(_root_of(level - 1, index * tiles.WIDTH + at) for at in range(width))


@cache
def _root_of(level: int, index: int) -> bytes:
    """Return the root of a full tile; from level 1 on all are alike."""
    same = index % (PERIOD >> tiles.HEIGHT * (level + 1) or 1)
    edge = tiles.split(tile_of(level, same, tiles.WIDTH), tiles.WIDTH)
    while len(edge) > 1:
        edge = [merkle.node(a, b) for a, b in zip(edge[::2], edge[1::2], strict=True)]
    return edge[0]


def stored_tiles(size: int) -> Callable[[str], bytes | None]:
    """Return how the tiles of the large chain are read by their paths."""
    places: dict[str, tuple[int, int, int]] = {}
    level = 0
    while count := size >> tiles.HEIGHT * level:
        for index in range(-(-count // tiles.WIDTH)):
            width = tiles.width_of(level, index, size)
            places[tiles.path(level, index, width)] = level, index, width
        level += 1

    def read(path: str) -> bytes | None:
        place = places.get(path)
        if place is None:
            return None
        level, index, width = place
        if level == 0:
            index %= PERIOD // tiles.WIDTH
        return tile_of(level, index, width)

    return read


def checkpoint(chain: str, size: int, root: bytes) -> bytes:
    """Return a signed checkpoint as the log makes it: signed by the chain's key and by the cosigner."""
    signer = Ed25519PrivateKey.generate()
    public = signer.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    log = "logs.example.com/sentinel"
    origin = notes.origin_of(log, chain)
    text = Checkpoint(origin, size, root).text
    signed = notes.signed(text, Key(origin, ED25519, public), signer.sign)
    cosigned = notes.cosigned(text, Key(log, COSIGNATURE, public), signer.sign, 1_764_000_000)
    return Note(text, (signed, cosigned)).bytes


def proofs(size: int = SIZE, proven: int = PROVEN) -> dict[str, float]:
    """Prove entries of the large chain; return the most that one took."""
    read = stored_tiles(size)
    edge = tiles.edge_of(size, read)
    assert edge is not None
    root = merkle.root(edge.peaks)
    note = checkpoint("checkout/0", size, root).decode()
    reads, lengths = [], []
    for entry in _chosen(size, proven):
        asked: list[str] = []
        nodes = tiles.TiledNodes(size, lambda path, asked=asked: (asked.append(path), read(path))[1])  # type: ignore[misc]
        leaf, proof = nodes(0, entry), merkle.inclusion(entry, size, nodes)
        assert leaf == merkle.leaf(sha256((entry % PERIOD).to_bytes(8, "big")).digest())
        assert merkle.verify_inclusion(entry, size, leaf, proof, root)
        told = {"chain": "checkout/0", "entry": entry, "size": size, "leaf": leaf.hex()}
        told |= {"proof": [each.hex() for each in proof], "checkpoint": note}
        reads.append(len(asked) + BESIDE)
        lengths.append(len(json.dumps(told)))
    return {"proof_reads": max(reads), "proof_bytes": max(lengths)}


def _chosen(size: int, proven: int) -> Iterator[int]:
    yield from (0, size // 2, size - 1)
    rng = random.Random(1)
    yield from (rng.randrange(size) for _ in range(proven))


def verification() -> dict[str, float]:
    """Return what `benchmarks.verify` says of all cores."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.verify", "--json"], capture_output=True, text=True, check=False
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])["figures"]
    return {"verify_cores_ratio": found.get("cores_ratio", found["ratio"])}


def main() -> int:
    """Run the benchmark; return 0 where its targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    as_json = parser.parse_args().json
    figures = {**ingest(), **verification(), **proofs()}
    return 0 if report("ledger", figures, TARGETS, as_json=as_json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
