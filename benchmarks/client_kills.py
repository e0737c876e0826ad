"""Entries of the Python client that are lost or doubled over kill -9, the server up, down and flapping.

One or two processes log over one folder and send, until each is killed at a random moment; the next
ones take over what they left. `sentinel up` stores what arrives; a relay before it is up, down or flapping,
in turns: flapping, each connection dies within a random request or answer. A process tells each number by a
pipe once `append` returned it. At last the server is up, one process sends what is left, and the ledger is
read.

*Lost* are numbers that were accepted and are not in the ledger, *doubled* those that are in it more than
once. Entries whose `append` had not returned when their process was killed may be there or not:
`unannounced` counts those that are.

    python -m benchmarks.client_kills [--json] [--kills 200]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.client_kills_child import SERVICE, STRIDE
from benchmarks.report import report
from tests.clients.relay import DOWN, FLAPPING, UP, Relay
from tests.e2e.trees import sentinel, up

ROOT = Path(__file__).resolve().parents[1]
TARGETS: dict[str, dict[str, float]] = {
    "lost": {"at_most": 0},
    "doubled": {"at_most": 0},
    "altered_or_refused": {"at_most": 0},
}
MOST_SECONDS = 0.4  # that a process lives after its first entry


@dataclass
class Kills:
    """Rounds over one folder. `accepted` are the numbers that were told."""

    folder: Path
    relay: Relay
    rng: random.Random
    accepted: set[int] = field(default_factory=set)
    killed: Counter[str] = field(default_factory=Counter)
    _names: int = 0

    def round(self, mode: str, most: int) -> int:
        """Kill one or two processes, `most` at most; return how many."""
        self.relay.mode = mode
        running = [self._started() for _ in range(min(most, self.rng.choice((1, 1, 2))))]
        heads = [self._first_line(process) for process in running]
        time.sleep(self.rng.uniform(0, MOST_SECONDS))
        if self.rng.random() < 0.3:
            self.relay.mode = self.rng.choice((UP, DOWN, FLAPPING))
            time.sleep(self.rng.uniform(0, MOST_SECONDS))
        for process in running:
            os.kill(process.pid, signal.SIGKILL)
        for process, head in zip(running, heads, strict=True):
            self._note(head + process.communicate()[0])
            self.killed[mode] += 1
        return len(running)

    def drain(self) -> str:
        """Send what is left, with the server up; return what the process says."""
        self.relay.mode = UP
        done = subprocess.run(self._command("drain"), capture_output=True, check=False, cwd=ROOT)
        if done.returncode:
            raise SystemExit(f"what was left could not be sent: {done.stderr.decode()[-1000:]}")
        return done.stdout.decode().strip()

    def _command(self, *words: str) -> list[str]:
        url = f"http://127.0.0.1:{self.relay.port}"
        module = "benchmarks.client_kills_child"
        return [sys.executable, "-m", module, words[0], str(self.folder / "log"), url, *words[1:]]

    def _started(self) -> subprocess.Popen[bytes]:
        self._names += 1
        command = self._command("log", str(self._names * 2 * STRIDE))
        return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)

    def _first_line(self, process: subprocess.Popen[bytes]) -> bytes:
        assert process.stdout is not None
        found = process.stdout.readline()
        if not found:
            raise SystemExit("a process ended before it logged anything")
        return found

    def _note(self, told: bytes) -> None:
        for line in told.splitlines():
            if line == b"dropped":
                raise SystemExit("the log did not take an entry")
            self.accepted.add(int(line))


def judged(accepted: set[int], stored: Counter[int]) -> dict[str, float]:
    """Compare what was accepted with what is in the ledger."""
    return {
        "accepted": len(accepted),
        "lost": len(accepted - stored.keys()),
        "doubled": sum(count > 1 for count in stored.values()),
        "unannounced": len(stored.keys() - accepted),
    }


def run(
    folder: Path, port: int, kills: int, stored: Callable[[], list[bytes]], seed: int = 7
) -> dict[str, float]:
    """Kill so many processes before a server on a port of this host; return the figures."""
    rng = random.Random(seed)
    relay = Relay(port, rng)
    made = Kills(folder, relay, rng)
    done, rounds = 0, 0
    try:
        while done < kills:
            done += made.round((UP, FLAPPING, DOWN)[rounds % 3], kills - done)
            rounds += 1
        told = made.drain()
    finally:
        relay.close()
    found = Counter(int(json.loads(entry)["n"]) for entry in stored())
    kept = [folder / "log" / name for name in ("refused.ndjson", "altered.ndjson")]
    figures: dict[str, float] = {
        "kills": done,
        **{f"kills_{mode}": count for mode, count in sorted(made.killed.items())},
    }
    figures |= judged(made.accepted, found)
    figures["connections_cut"] = relay.cut
    figures["altered_or_refused"] = sum(len(path.read_bytes().splitlines()) for path in kept if path.exists())
    if told != "True {}":
        raise SystemExit(f"the last process counted something: {told}")
    return figures


def of_gateway(kills: int) -> dict[str, float]:
    """Run before `sentinel up --insecure`."""
    folder = Path(tempfile.mkdtemp(prefix="sentinel-kills-"))
    try:
        with up(folder / "home") as tree:

            def stored() -> list[bytes]:
                _, _, raw = tree.request("GET", "/v1/chains", headers={"Sentinel-Service": SERVICE})
                found: list[bytes] = []
                for chain in json.loads(raw)["chains"]:
                    done = sentinel("export", "--chain", chain["chain"], home=tree.home)
                    for line in done.stdout.splitlines():
                        found += [each.encode() for each in json.loads(line)["entries"]]
                return found

            return run(folder, urlsplit(tree.url).port or 0, kills, stored)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Run the benchmark; 0 where the targets are met."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON, last")
    parser.add_argument("--kills", type=int, default=200, help="processes to kill")
    kills = parser.parse_args().kills
    begun = time.monotonic()
    figures = of_gateway(kills)
    return (
        0
        if report("client_kills", {**figures, "seconds": round(time.monotonic() - begun, 1)}, TARGETS)
        else 1
    )


if __name__ == "__main__":
    sys.exit(main())
