"""The process that `benchmarks.client_kills` kills: it logs, sends, and tells by a pipe what was accepted.

`log ROOT URL FIRST` logs numbers from FIRST on by two threads, one of them in bursts, until it is killed.
Each number goes to standard output once `append` returned. `drain ROOT URL` sends what the others left.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from pathlib import Path

from sentinel_client._counts import Counts
from sentinel_client._door import Door
from sentinel_client._shipper import Pace, Shipper
from sentinel_client._wal import Wal
from sentinel_client.transports.http import HttpTransport

SERVICE = "bench"
STRIDE = 1_000_000  # numbers of one thread
PACE = Pace(max_age=0.02, base=0.02, cap=0.2, timeout=5.0)


def opened(root: str, url: str) -> tuple[Wal, Shipper, Counts]:
    """Return the log and its shipper, as a client has them."""
    counts = Counts()
    wal = Wal(Path(root), counts=counts, segment_bytes=64_000, look=0.1)
    shipper = Shipper(wal, HttpTransport(Door(url, SERVICE)), counts, PACE, root=Path(root))
    return wal, shipper, counts


def log(root: str, url: str, first: int) -> None:
    """Log until somebody kills this process."""
    wal, shipper, _ = opened(root, url)
    for thread in range(2):
        threading.Thread(target=_numbers, args=(wal, first + thread * STRIDE, thread), daemon=True).start()
    shipper.wake()
    time.sleep(3600)


def _numbers(wal: Wal, number: int, bursts: int) -> None:
    while True:
        for _ in range(random.randint(1, 100) if bursts else 1):
            if wal.append(b'{"n":%d,"message":"%s"}' % (number, b"x" * (number % 300))) < 0:
                os.write(1, b"dropped\n")
                return
            os.write(1, b"%d\n" % number)  # one write, which a kill cannot tear
            number += 1
        time.sleep(random.uniform(0, 0.004 if not bursts else 0.05))


def drain(root: str, url: str) -> None:
    """Send what is left in all slots."""
    wal, shipper, counts = opened(root, url)
    end = time.monotonic() + 120
    while not shipper.flush(1.0) or wal.orphans() or shipper.stats()["orphans"]:
        if time.monotonic() > end:
            raise SystemExit(f"it is not empty after two minutes: {shipper.stats()}")
        time.sleep(0.02)
    time.sleep(0.3)  # a slot that was free just now would be found by another look
    done = not wal.orphans() and shipper.close(5.0)
    wal.close()
    print(done, counts.total())


if __name__ == "__main__":
    if sys.argv[1] == "log":
        log(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        drain(sys.argv[2], sys.argv[3])
