"""Kill -9 of processes that log and send: what `append` returned for arrives, in order, once."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from sentinel_client._wal import Wal
from tests.clients.wal_cases import counts, entry, make, numbers, ship
from tests.sampling import thorough

THREADS = 3
ROUND = 10_000_000


class Server:
    """What arrived: batches by their range, each of which is stored once, whatever is sent how often."""

    def __init__(self) -> None:
        self.batches: dict[tuple[str, int, int], list[int]] = {}
        self.again = 0

    def receive(self, producer: str, first: int, count: int, values: list[int]) -> None:
        """Store a batch. The same range always has the same entries, and overlaps with no other."""
        key = (producer, first, count)
        if key in self.batches:
            self.again += 1
            assert self.batches[key] == values
        self.batches[key] = values

    def take(self, producer: str, first: int, count: int, lines: list[bytes]) -> None:
        """Store a batch of entries as they are sent."""
        self.receive(producer, first, count, numbers(lines))

    def stored(self) -> list[int]:
        """Return all entries, each producer's in order."""
        return [value for key in sorted(self.batches) for value in self.batches[key]]


def _log_for_ever(wal: Wal, pipe: int, name: int) -> None:
    n = 0
    while wal.append(entry(name + n, n % 100)) >= 0:
        os.write(pipe, json.dumps({"accepted": name + n}).encode() + b"\n")
        n += 1


def _run_for_ever(root: Path, name: int, pipe: int, *, forks: bool) -> NoReturn:
    """Log by several threads and send by one, in a process that somebody kills."""
    signal.alarm(100)
    policy = ("interval", "always", "never")[name // ROUND % 3]
    wal = make(root, segment_bytes=4000, interval=0.002, fsync=policy)
    wal.append(entry(name))
    os.write(pipe, json.dumps({"accepted": name}).encode() + b"\n")
    if forks and os.fork() == 0:
        name += ROUND // 2
    for thread in range(1, THREADS + 1):
        threading.Thread(
            target=_log_for_ever, args=(wal, pipe, name + thread * ROUND // 20), daemon=True
        ).start()

    def send(producer: str, first: int, count: int, lines: list[bytes]) -> None:
        told = {"producer": producer, "first": first, "count": count, "values": numbers(lines)}
        os.write(pipe, json.dumps(told).encode() + b"\n")

    while True:
        for log in [wal, *wal.orphans()]:
            ship(log, "http", send)


def _killed_after(lines: int, run: Callable[[int], NoReturn]) -> list[dict[str, object]]:
    """Run something in processes of its own, kill them after so many lines, and return all lines."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(read)
        try:
            run(write)
        finally:
            os._exit(1)
    os.close(write)
    data = b""
    with os.fdopen(read, "rb", buffering=0) as pipe:
        while data.count(b"\n") < lines:
            more = pipe.read(65_536)
            assert more, "it ended by itself"
            data += more
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while more := pipe.read(65_536):
            data += more
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("forks", [False, True])
def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path, forks: bool) -> None:
    """Rounds on one root, each killed at a random point, children too; the last one sends what is left.

    What was accepted arrives once. What arrives was accepted, or its append was about to return.
    """
    rounds = 100 if thorough() else 6
    chance = random.Random(f"{forks}")
    server, accepted = Server(), set()
    for n in range(1, rounds + 1):
        told = _killed_after(
            chance.choice([1, 3, 30, 300, 1000]),
            partial(_run_for_ever, tmp_path, n * ROUND, forks=forks),
        )
        for line in told:
            if "accepted" in line:
                accepted.add(line["accepted"])
            else:
                server.receive(**line)  # type: ignore[arg-type] # the child wrote what it takes
    last = make(tmp_path)
    last.producer  # noqa: B018 # it takes its slot
    while any([ship(log, "http", server.take) for log in [*last.orphans(), last]]):  # noqa: C419 # each has a turn
        pass
    assert counts(last) == {}
    stored = server.stored()
    assert len(set(stored)) == len(stored)
    assert accepted <= set(stored)
    assert len(stored) - len(accepted) <= 2 * rounds * (THREADS + 1)
    _each_thread_in_order(server)
    last.close()


def _each_thread_in_order(server: Server) -> None:
    """Check that what a thread logged stands in its order, and without a gap."""
    of: dict[int, list[int]] = {}
    for value in server.stored():
        of.setdefault(value // (ROUND // 20), []).append(value)
    for values in of.values():
        assert values == list(range(values[0], values[0] + len(values)))
