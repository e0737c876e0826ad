"""Verified entries a second, over the pure hashing loop: what `sentinel verify` does to a stored chain.

The chain is in SQLite on disk, in segments of 500 real lines; verifying reads, unpacks, splits, hashes and
checks every segment. The loop only computes the two hashes of each of the same entries. Both are measured
in turns on one core; the ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import hashlib
import secrets
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.segment import Batch
from sentinel.usecases.append import Appender
from sentinel.usecases.inspect import Inspect

ENTRIES = 100_000
BATCH = 500
ROUNDS = 7
CHAIN = "checkout/0"


def hashing(lines: list[bytes]) -> bytes:
    """Compute the two hashes of each entry and nothing else."""
    prev = bytes(32)
    sha256 = hashlib.sha256
    prefix, tail = b"SL1" + bytes(32), bytes(8) + b"checkout"
    for line in lines:
        prev = sha256(b"SC1" + sha256(prefix + line).digest() + prev + tail).digest()
    return prev


def main() -> int:
    """Run the benchmark; return 0 where its target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the result as the last line")
    as_json = parser.parse_args().json
    lines, source = entries(ENTRIES)
    print(f"entries: {source}")
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        ledger = SqliteLedger(Path(folder) / "ledger.db")
        appender = Appender(ledger, time.time_ns, secrets.token_bytes, lambda: 0.0, time.sleep)
        for at in range(0, ENTRIES, BATCH):
            batch = Batch(at.to_bytes(16, "big"), lines[at : at + BATCH], {"service": "checkout"})
            appender.append(CHAIN, batch)
        inspect = Inspect(ledger, lambda: SqliteTasks(":memory:"))
        loops, verifications = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            hashing(lines)
            middle = time.perf_counter()
            found = inspect.verify(CHAIN)
            verifications.append(time.perf_counter() - middle)
            loops.append(middle - start)
            assert found.entries == ENTRIES
    figures = {
        "hashing_entries_per_s": round(ENTRIES / statistics.median(loops)),
        "verified_entries_per_s": round(ENTRIES / statistics.median(verifications)),
        "ratio": round(statistics.median(loops) / statistics.median(verifications), 3),
    }
    return 0 if report("verify", figures, {"ratio": {"at_least": 0.7}}, as_json=as_json) else 1


if __name__ == "__main__":
    raise SystemExit(main())
