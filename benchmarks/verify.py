"""Verified entries a second, over the pure hashing loop: what `sentinel verify` does to a stored chain.

The chain is in SQLite on disk, in segments of 500 real lines; verifying reads, unpacks, splits, hashes and
checks every segment. The loop computes the four hashes that the format has for each of the same entries, and
nothing else: leaf, link, leaf of the tree, node of the tree. The figures against two of them, as it was
before there were trees, are told beside it.

`cores_ratio` is of a chain of three million entries on all cores, over the loop on one core times the cores.
The two are measured in turns, and the ratio is that of their medians; starting the processes counts.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap_verify import Processes, cores
from sentinel.core.segment import Batch
from sentinel.settings import Settings
from sentinel.usecases.append import Appender
from sentinel.usecases.verify_chain import ChainVerification

ENTRIES = 100_000
TIMES = 30  # the large chain has the same lines so often
BATCH = 500
ROUNDS = 5
CHAIN, LARGE = "checkout/0", "checkout/1"


def two_hashes(lines: list[bytes]) -> bytes:
    """Compute leaf and link of each entry and nothing else."""
    prev = bytes(32)
    sha256 = hashlib.sha256
    prefix, tail = b"SL1" + bytes(32), bytes(8) + b"checkout"
    for line in lines:
        prev = sha256(b"SC1" + sha256(prefix + line).digest() + prev + tail).digest()
    return prev


def four_hashes(lines: list[bytes]) -> bytes:
    """Compute the tree's leaf and one node of each entry, too."""
    prev = node = bytes(32)
    sha256 = hashlib.sha256
    prefix, tail = b"SL1" + bytes(32), bytes(8) + b"checkout"
    for line in lines:
        prev = sha256(b"SC1" + sha256(prefix + line).digest() + prev + tail).digest()
        node = sha256(b"\1" + node + sha256(b"\0" + prev).digest()).digest()
    return node


def seconds(work: Callable[[], object]) -> float:
    """Return how long something took."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def filled(home: Path, lines: list[bytes]) -> SqliteLedger:
    """Return a ledger with the two chains."""
    ledger = SqliteLedger(home / "ledger.db")
    appender = Appender(ledger, time.time_ns, secrets.token_bytes, lambda: 0.0, time.sleep)
    for chain, times in ((CHAIN, 1), (LARGE, TIMES)):
        for number in range(times):
            for at in range(0, ENTRIES, BATCH):
                name = (number * ENTRIES + at).to_bytes(16, "big")
                appender.append(chain, Batch(name, lines[at : at + BATCH], {"service": "checkout"}))
    return ledger


def measured(home: Path, lines: list[bytes]) -> dict[str, list[float]]:
    """Measure everything in turns; return seconds by name."""
    ledger = filled(home, lines)
    alone = ChainVerification(ledger)
    spread = ChainVerification(ledger, None, Processes(Settings(home=str(home)), ledger), cores())
    work: dict[str, Callable[[], object]] = {
        "two": lambda: two_hashes(lines),
        "four": lambda: four_hashes(lines),
        "one_core": lambda: alone.verify(CHAIN),
        "all_cores": lambda: spread.verify(LARGE),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, each in work.items():
            times[name].append(seconds(each))
    assert spread.verify(LARGE) == alone.verify(LARGE)
    return times


def main() -> int:
    """Run the benchmark; return 0 where its targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    as_json = parser.parse_args().json
    lines, source = entries(ENTRIES)
    print(f"entries: {source}")
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        times = measured(Path(folder), lines)
    two, four, one, every = (statistics.median(each) for each in times.values())
    figures = {
        "hashing_entries_per_s": round(ENTRIES / four),
        "verified_entries_per_s": round(ENTRIES / one),
        "ratio": round(four / one, 3),
        "ratio_two_hashes": round(two / one, 3),
        "cores": cores(),
        "all_cores_entries_per_s": round(ENTRIES * TIMES / every),
        "cores_ratio": round(four * TIMES / every / cores(), 3),
        "cores_ratio_two_hashes": round(two * TIMES / every / cores(), 3),
    }
    targets = {"ratio": {"at_least": 0.7}, "cores_ratio": {"at_least": 0.7}}
    return 0 if report("verify", figures, targets, as_json=as_json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
