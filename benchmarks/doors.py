"""What the doors cost: a request through all of them against the same request to a gateway without any.

Two trees of `sentinel up` run side by side on this repository's disk, one secure, one with `--insecure`. One
client, on one kept connection to each, posts each batch of 100 entries of about 300 bytes to both:
over TLS 1.3 with a client certificate and an access token, held to the exact limits of its tier, or over
plain HTTP. Counted are the wall time of a request (median) and the processor time of the gateway's process
(median of the rounds). New connections are measured apart: a full handshake with both certificates.

The entries are those of `benchmarks.lines`, and it says where they come from.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.cli.clients import local_credentials
from sentinel.cli.door import Door
from sentinel.local.home import FEEDS_DB
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
BATCH = 100
ROUNDS = 30
REQUESTS = 40  # a round
HANDSHAKES = 100
SERVICE = "bench"
TARGETS: dict[str, dict[str, float]] = {"ratio_wall": {"at_most": 1.5}, "ratio_cpu": {"at_most": 1.5}}


@dataclass
class Side:
    """One of the two trees with its client, and what was measured; times in seconds."""

    tree: Supervisor
    door: Door
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    @staticmethod
    def of(tree: Supervisor) -> Side:
        """Connect to a tree."""
        credentials = local_credentials(tree.home, tree.url, SERVICE, lambda _: None)
        return Side(tree, Door(tree.url, SERVICE, credentials))

    def cpu(self) -> float:
        """Return the processor time that the gateway's process has taken."""
        gateway = next(child for child in self.tree._children if child.name == "gateway")
        assert gateway.process is not None
        total = 0
        for thread in Path(f"/proc/{gateway.process.pid}/task").iterdir():
            total += int((thread / "schedstat").read_text().split()[0])
        return total / 1e9

    def quiet(self) -> None:
        """Wait until detection has read everything."""
        ledger = SqliteLedger(self.tree.home / "ledger.db")
        cursors = SqliteCursors(self.tree.home / FEEDS_DB)
        while ledger.changes(cursors.cursor("detect"), 1):
            time.sleep(0.02)

    def post(self, body: bytes) -> None:
        """Send a batch."""
        began = time.perf_counter()
        answer = self.door.request("POST", "/v1/entries", body)
        self.walls.append(time.perf_counter() - began)
        if answer.status != 200:
            raise SystemExit(f"a batch was not taken: {answer.status} {answer.told}")

    def connect(self) -> tuple[float, float]:
        """Return the wall and processor time of a new connection with one request on it."""
        walls, before = [], self.cpu()
        for _ in range(HANDSHAKES):
            self.door.close()
            began = time.perf_counter()
            self.door.request("GET", "/v1/chains")
            walls.append(time.perf_counter() - began)
        cpu = (self.cpu() - before) / HANDSHAKES
        before = self.cpu()
        kept = []
        for _ in range(HANDSHAKES):
            began = time.perf_counter()
            self.door.request("GET", "/v1/chains")
            kept.append(time.perf_counter() - began)
        return (
            statistics.median(walls) - statistics.median(kept),
            cpu - (self.cpu() - before) / HANDSHAKES,
        )


def _round(secure: Side, plain: Side, bodies: list[bytes]) -> None:
    """Send every batch to both, one after the other, so that whatever else runs here hits both alike."""
    before = secure.cpu(), plain.cpu()
    for number, body in enumerate(bodies):
        for side in (secure, plain) if number % 2 else (plain, secure):
            side.post(body)
    for side, used in zip((secure, plain), before, strict=True):
        side.cpus.append((side.cpu() - used) / len(bodies))
    for side in (secure, plain):
        side.quiet()


def measured(folder: Path) -> dict[str, float]:
    """Run both trees in a folder and return the figures."""
    rows, source = entries(BATCH * REQUESTS)
    print(f"entries: {source}")
    bodies = [b"\n".join(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    with ExitStack() as stack:

        def start(name: str, *, insecure: bool) -> Side:
            settings = settings_for(folder / name, Settings(log_level="WARNING"))
            return Side.of(stack.enter_context(Supervisor(settings, 0, insecure=insecure)))

        secure, plain = start("secure", insecure=False), start("plain", insecure=True)
        for number in range(ROUNDS + 2):
            _round(secure, plain, bodies)
            if number == 1:  # what is warm counts
                for side in (secure, plain):
                    side.walls.clear()
                    side.cpus.clear()
        (handshake, handshake_cpu), (connect, connect_cpu) = secure.connect(), plain.connect()
    found = {
        "secure_wall": statistics.median(secure.walls),
        "plain_wall": statistics.median(plain.walls),
        "secure_cpu": statistics.median(secure.cpus),
        "plain_cpu": statistics.median(plain.cpus),
        "handshake": handshake,
        "handshake_cpu": handshake_cpu,
        "plain_connect": connect,
        "plain_connect_cpu": connect_cpu,
    }
    ratios = {f"ratio_{each}": found[f"secure_{each}"] / found[f"plain_{each}"] for each in ("wall", "cpu")}
    return {**{f"{name}_ms": seconds * 1000 for name, seconds in found.items()}, **ratios}


def main() -> int:
    """Run, print, and return 0 when the target is met."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=ROOT))
    try:
        return 0 if report("doors", measured(folder), TARGETS) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
