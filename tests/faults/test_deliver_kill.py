"""A delivering process is killed with -9 at random moments: nothing is lost, and nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.delivering import world
from tests.siem_targets import Elastic

KILLS = 15
CHAINS = ("shop/0", "shop/1", "pay/0")


@pytest.mark.nightly
def test_killed_deliverers_lose_and_double_nothing(tmp_path: Path) -> None:
    """After each kill another goes on: a file and an exact sink have each entry once, in order."""
    elastic = Elastic("ApiKey k")
    home = world(tmp_path, elastic.url)
    rng = random.Random(5)
    command = [sys.executable, "-m", "tests.faults.delivering", str(tmp_path), elastic.url]
    root = Path(__file__).resolve().parents[2]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    many = dict.fromkeys(CHAINS, 0)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environ, cwd=root) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        pid = 0
        for kill in range(KILLS + 1):
            driver.stdin.write("one more\n")
            driver.stdin.flush()
            pid = int(driver.stdout.readline())
            end = time.monotonic() + 0.6 + rng.random() * 0.6
            turns = 0
            while time.monotonic() < end or turns < 12:  # a busy machine is to have something to lose, too
                turns += 1
                chain = rng.choice(CHAINS)
                home.now = time.time_ns()
                home.count(chain, many[chain], 50, each=25)
                many[chain] += 50
                time.sleep(0.03)
            if kill < KILLS:
                os.kill(pid, signal.SIGKILL)
        _wait(lambda: all(home.show.one(name)["lag"] == 0 for name in ("files", "bulk")))
        os.kill(pid, signal.SIGKILL)
        driver.stdin.close()
    elastic.server.stop()
    assert min(many.values()) > 500
    for chain, count in many.items():
        assert home.numbers(chain) == list(range(count))
        found = [each for each in elastic.documents.values() if each["labels"]["sentinel_chain"] == chain]
        assert [each["event"]["sequence"] for each in found] == list(range(count))
    home.close()


def _wait(done: object) -> None:
    deadline = time.monotonic() + 120
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.2)
