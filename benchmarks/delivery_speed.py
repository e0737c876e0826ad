"""How fast a delivery is on one core, to an event collector and to `_bulk`, and against a floor.

The ledger is sealed first: real log lines of about 300 bytes in batches of 500, in four chains. Then a
process that is pinned to one core delivers all of it over HTTP on loopback, by `App.deliverer` as it is
shipped, to a target that is a process of its own on another core and counts what comes. What is measured is
the time from the deliverer's start until everything is delivered and its cursors are written.

The *floor*, in the same process, round by round: the same events are encoded by the same sink, packed into
the same requests and sent over the same client, one after the other, and nothing else is done: no ledger is
read, no hash computed, no cursor written. The ratio to it is by processor time, which other programs at work
change far less than the time on the wall: `load_before` is how many there were, and with any at all, what
counts is `events_per_cpu_second`. `target_cpu_us_per_event` is what the target itself takes: no delivery can
be faster than that.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.delivery_targets import KINDS, SECRET
from benchmarks.lines import entries
from sentinel.actions.deliver_tools import Counts
from sentinel.actions.siem_carry import target
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.bootstrap import App
from sentinel.core.chain import service_of
from sentinel.core.segment import Batch as Sealed
from sentinel.ports import HttpRequest
from sentinel.settings import Settings
from sentinel.siem.sink import Delivered, Item, Notice, batches
from sentinel.usecases.append import Appender

ROOT = Path(__file__).resolve().parents[1]
CHAINS: Final = ("shop/0", "shop/1", "pay/0", "pay/1")
BATCH: Final = 500
ROUNDS: Final = 3


def sealed(home: Path, count: int) -> None:
    """Seal so many entries into a ledger."""
    home.mkdir(parents=True)
    rows, source = entries(min(count, 20_000))
    print(f"entries: {source}, {sum(map(len, rows)) / len(rows):.0f} bytes each on average")
    ledger = SqliteLedger(home / "ledger.db")
    appender = Appender(ledger, time.time_ns, os.urandom, lambda: 0.5, time.sleep)
    for at in range(0, count, BATCH):
        start = at % len(rows)
        batch = Sealed(os.urandom(16), rows[start : start + BATCH], {"service": "bench"})
        appender.append(CHAINS[at // BATCH % len(CHAINS)], batch)


@contextmanager
def server(kind: str, core: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a target on a core of its own; yield its address and its process."""
    command = [sys.executable, "-m", "benchmarks.delivery_targets", kind]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=ROOT) as program:
        assert program.stdout is not None
        assert program.stdin is not None
        os.sched_setaffinity(program.pid, {core})
        yield f"http://127.0.0.1:{program.stdout.readline().strip()}", program
        program.stdin.close()


def counted(program: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a target has counted since it was asked last."""
    assert program.stdin is not None
    assert program.stdout is not None
    print("count", file=program.stdin, flush=True)
    found: dict[str, Any] = json.loads(program.stdout.readline())
    return found


def prepared(home: Path, kind: str, url: str) -> Settings:
    """Push the sink and a plan for each round, and store the secret; return the settings."""
    settings = Settings(home=str(home), http_hosts="127.0.0.1", http_private=True, log_level="ERROR")
    app = App(settings)
    folder = home / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "token").write_text(SECRET)
    (folder / "token").chmod(0o600)
    plans = {f"{kind}-{number}": {"to": kind, "since": "beginning"} for number in range(ROUNDS)}
    sink = {kind: {"kind": kind, "url": url, "token": "token"}}
    app.catalog.push("sink", kind, json.dumps({"sinks": sink}).encode())
    app.catalog.push("delivery", kind, json.dumps({"deliveries": plans}).encode())
    return settings


# --- the process that delivers


class Delivering:
    """What is pinned to one core: it delivers, or does what the floor is, and takes the time."""

    def __init__(self, home: str, kind: str, count: int) -> None:
        settings = Settings(home=home, http_hosts="127.0.0.1", http_private=True, log_level="ERROR")
        self._app = App(settings)
        self._kind = kind
        self._count = count
        self._notices = [*self._noticed()]

    def _noticed(self) -> Iterator[Notice]:
        ledger = self._app.ledger
        for chain in ledger.chains():
            for segment in ledger.read(chain):
                for seq, entry in enumerate(segment.opened.entries, segment.first):
                    name = f"{len(chain):032x}{seq:032x}"
                    place = (segment.t, service_of(chain), chain, seq)
                    yield Notice(*place, "", "", "", "", "", "", entry, hash=name)

    def deliver(self, number: int) -> None:
        """Deliver everything by the plan of a round."""
        counts = Counts()
        until = time.time_ns() + 600 * 10**9
        name = f"{self._kind}-{number}"
        self._app.deliverer.one(name, until, lambda: counts.delivered >= self._count, counts)
        if counts.delivered != self._count:
            raise SystemExit(f"{counts.delivered} of {self._count} were delivered: {counts.problem}")

    def floor(self, number: int) -> None:
        """Encode, pack and send the same events and nothing else."""
        del number
        app = self._app
        sink = target(app.sinks.current()[self._kind], SECRET).sink
        items = (Item(notice.id, sink.encode(notice)) for notice in self._notices)
        for batch in batches(sink, "floor", items):
            request = sink.request(batch)
            assert isinstance(request, HttpRequest)
            if sink.outcome(app.http.send(request), batch) != Delivered():
                raise SystemExit("the target did not take the floor's events")

    def serve(self) -> None:
        """Do what each line of standard input says, and print how long it took."""
        print("ready", flush=True)
        for line in sys.stdin:
            what, number = line.split()
            wall, cpu = time.perf_counter(), time.process_time()
            {"deliver": self.deliver, "floor": self.floor}[what](int(number))
            found = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
            print(json.dumps(found), flush=True)


# --- the measurement


def measured(folder: Path, count: int) -> dict[str, float]:
    """Seal a ledger and deliver it to both kinds; return the figures."""
    sealed(folder / "home", count)
    figures: dict[str, float] = {"events": count, "load_before": os.getloadavg()[0]}
    for kind in KINDS:
        figures |= _kind(folder / "home", kind, count)
    return figures


def _kind(home: Path, kind: str, count: int) -> dict[str, float]:
    cores = sorted(os.sched_getaffinity(0))
    times: dict[str, list[dict[str, float]]] = {"deliver": [], "floor": []}
    with server(kind, cores[-1]) as (url, program):
        prepared(home, kind, url)
        command = [sys.executable, "-m", "benchmarks.delivery_speed", str(home), kind, str(count)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes, cwd=ROOT) as pinned:
            assert pinned.stdin is not None
            assert pinned.stdout is not None
            os.sched_setaffinity(pinned.pid, {cores[0]})
            if pinned.stdout.readline() != "ready\n":
                raise SystemExit("the deliverer did not begin")
            for number in range(ROUNDS):
                for what in ("floor", "deliver"):
                    print(what, number, file=pinned.stdin, flush=True)
                    took = json.loads(pinned.stdout.readline())
                    found = counted(program)
                    _check(kind, what, found, count)
                    times[what].append(took | {"target": found["cpu"]})
            pinned.stdin.close()
    return _figures(kind, times, count)


def _check(kind: str, what: str, found: Mapping[str, Any], count: int) -> None:
    if (found["stored"], found["doubled"], found["disorder"]) != (count, 0, 0):
        raise SystemExit(f"{kind}: not everything arrived once and in order ({what}): {found}")


def _figures(kind: str, times: Mapping[str, list[dict[str, float]]], count: int) -> dict[str, float]:
    wall, cpu, at_target = (
        statistics.median(each[name] for each in times["deliver"]) for name in ("wall", "cpu", "target")
    )
    floor_wall, floor_cpu = (
        statistics.median(each[name] for each in times["floor"]) for name in ("wall", "cpu")
    )
    return {
        f"{kind}_events_per_second": count / wall,
        f"{kind}_best_events_per_second": count / min(each["wall"] for each in times["deliver"]),
        f"{kind}_events_per_cpu_second": count / cpu,
        f"{kind}_cpu_us_per_event": cpu / count * 1e6,
        f"{kind}_floor_events_per_second": count / floor_wall,
        f"{kind}_floor_cpu_us_per_event": floor_cpu / count * 1e6,
        f"{kind}_cpu_ratio_to_floor": cpu / floor_cpu,
        f"{kind}_wall_ratio_to_floor": wall / floor_wall,
        f"{kind}_target_cpu_us_per_event": at_target / count * 1e6,
    }


if __name__ == "__main__":
    Delivering(sys.argv[1], sys.argv[2], int(sys.argv[3])).serve()
