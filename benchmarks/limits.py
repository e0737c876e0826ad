"""Limits: how exact they are, whether a flooding service slows another one, and what one decision costs.

**Accuracy.** Eight client processes take from the limits of three services of the tier `standard` on a real
Valkey over TCP, for 10 s, together three times as fast as the tier allows: one is bound by requests, one by
entries (batches of 500), one by bytes (batches of 500,000). A bucket that was full admits

    rate * seconds + burst

and no more, so what was admitted is divided by that; `seconds` is from the first try to the last, by one
clock. It runs twice: with the counter alone (`RedisLimits`), and as the doors do (`Limiter`), which refuses
without asking what is known to be refused.

**Fairness.** A quiet service posts 30 batches of 100 entries a second through the real local gateway, alone
and while another one floods it over 32 connections that never wait, in eight rounds each. Latencies are those
of the quiet service as its client sees them, from when a batch was due; of the rounds' percentiles, the
median counts. Once with all doors (TLS, tokens; both services in `standard`, so that most of the flood is
refused), and once without any (`--insecure`, no limits: the turns at the gateway are all there is). The
target of both, p99 at most four times as long: a batch gets its turn at once, but the gateway works on four
at a time, three of which may be the flood's, and they share an interpreter. (Served in order of arrival, the
same flood makes it hundreds of times as long.)

**Cost.** One decision on three buckets, one connection, TCP on loopback.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.lines import entries
from benchmarks.report import report
from sentinel.adapters.redis_limits import RedisLimits
from sentinel.adapters.redis_streams import connect
from sentinel.bootstrap import App
from sentinel.cli.clients import local_credentials
from sentinel.cli.door import Credentials, Door
from sentinel.core.access import TIERS, Service
from sentinel.core.limits import buckets_of
from sentinel.errors import Limited, Unavailable
from sentinel.local import valkey
from sentinel.local.gateway_socket import listen
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings
from sentinel.usecases.limit import Limiter

ROOT = Path(__file__).resolve().parents[1]
TIER = "standard"
CLIENTS = 8
SECONDS = 10.0
EXCESS = 3  # times the rate that is offered
# What one request of each service takes: (requests, entries, bytes).
SHAPES = {"requests": (1, 0, 0), "entries": (1, 500, 75_000), "bytes": (1, 200, 500_000)}

QUIET_RATE = 30.0
QUIET_SECONDS = 2.0
ROUNDS = 8
SETTLE_SECONDS = 1.5
QUIET_BATCH = 100
NOISY_BATCH = 500
FLOODS = 32

TARGETS: dict[str, dict[str, float]] = {
    **{
        f"{way}_{bound}_of_allowed": {"at_least": 0.98, "at_most": 1.002}
        for way in ("counter", "limiter")
        for bound in SHAPES
    },
    "limited_flood_p99_ratio": {"at_most": 4.0},
    "open_flood_p99_ratio": {"at_most": 4.0},
    "take_p50_us": {"at_most": 500},
}


# --- accuracy


def client(url: str, way: str) -> None:
    """Be one of the eight: take from the three services at the same time, print what was admitted.

    Says when it is ready, and is told on standard input when to begin.
    """
    store = RedisLimits(connect(url, seconds=1.0, retries=0))
    limiter = Limiter(lambda: store, time.monotonic)
    store.take(f"ready-{os.getpid()}", buckets_of(TIERS[TIER], 1, 1, 1))
    print("ready", flush=True)
    start = float(sys.stdin.readline())
    found: dict[str, Any] = {}
    threads = [
        threading.Thread(target=_offer, args=(bound, way, store, limiter, start, found)) for bound in SHAPES
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if limiter.uncounted():
        raise SystemExit("the counter was away")
    print(json.dumps(found))


def _offer(
    bound: str, way: str, store: RedisLimits, limiter: Limiter, start: float, found: dict[str, Any]
) -> None:
    shape = SHAPES[bound]
    service = f"{way}-{bound}"
    buckets = [each for each in buckets_of(TIERS[TIER], *shape) if each.cost]

    def admitted() -> bool:
        if way == "counter":
            return store.take(service, buckets).allowed
        try:
            limiter.take(service, TIER, *shape)
        except Limited:
            return False
        return True

    cost = max(1, dict(zip(SHAPES, shape, strict=True))[bound])
    every = cost * CLIENTS / (getattr(TIERS[TIER], bound) * EXCESS)
    at, got, tries, first, last = start + random.random() * every, 0, 0, 0.0, 0.0
    while at < start + SECONDS:
        time.sleep(max(0.0, at - time.time()))
        last = time.time()
        first = first or last
        got += cost if admitted() else 0
        tries += 1
        at += every
    found[bound] = {"got": got, "offered": tries * cost, "first": first, "last": last}


def accuracy(url: str, way: str) -> dict[str, float]:
    """Run the eight; return what was admitted as a part of what is allowed, and what was offered."""
    command = [sys.executable, "-m", "benchmarks.limits", "--client", url, way]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes, cwd=ROOT) for _ in range(CLIENTS)]
    for each in running:
        _ = each.stdout and each.stdout.readline()
    start = time.time() + 0.5
    for each in running:
        print(start, file=each.stdin, flush=True)
    told = [json.loads(each.communicate(timeout=SECONDS + 60)[0]) for each in running]
    figures = {}
    for bound in SHAPES:
        mine = [each[bound] for each in told]
        seconds = max(each["last"] for each in mine) - min(each["first"] for each in mine)
        tier = TIERS[TIER]
        rate = getattr(tier, bound)
        allowed = rate * seconds + rate * tier.burst
        figures[f"{way}_{bound}_of_allowed"] = sum(each["got"] for each in mine) / allowed
        figures[f"{way}_{bound}_offered_over_rate"] = sum(each["offered"] for each in mine) / rate / seconds
    return figures


@contextlib.contextmanager
def server(folder: Path) -> Iterator[str]:
    """Run a Valkey on loopback; yield its address."""
    with contextlib.closing(listen(0)) as probe:
        port = probe.getsockname()[1]
    command = [str(valkey.binary()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    url = f"redis://127.0.0.1:{port}"
    with subprocess.Popen([*command, "--save", ""], stdout=subprocess.DEVNULL) as process:
        try:
            limits = RedisLimits(connect(url, seconds=1.0, retries=0))
            while not _answers(limits):
                time.sleep(0.05)
            yield url
        finally:
            process.terminate()


def _answers(limits: RedisLimits) -> bool:
    try:
        limits.take("probe", buckets_of(TIERS[TIER], 1, 1, 1))
    except Unavailable:
        return False
    return True


def cost(url: str) -> dict[str, float]:
    """Return what one decision takes, in microseconds."""
    limits = RedisLimits(connect(url, seconds=1.0, retries=0))
    buckets = buckets_of(TIERS["high"], 1, 1, 1)
    times = []
    for _ in range(5_000):
        began = time.perf_counter()
        limits.take("cost", buckets)
        times.append((time.perf_counter() - began) * 1e6)
    return {"take_p50_us": statistics.median(times), "take_p99_us": _p99(times)}


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


# --- fairness


@dataclass(frozen=True)
class Place:
    """A running gateway and how a service gets in."""

    url: str
    credentials: Callable[[str], Credentials | None]

    def door(self, service: str) -> Door:
        """Return a connection of a service."""
        return Door(self.url, service, self.credentials(service))


def flood(url: str, folder: str) -> None:
    """Be the flood: post without a pause from each line `on` of standard input to the next line.

    At the end of the input, print how often each status came.
    """
    os.nice(10)  # in the field, its clients are on machines of their own
    body = b"\n".join(entries(NOISY_BATCH)[0])
    credentials = _files(Path(folder)) if folder else None
    statuses: Counter[int] = Counter()
    going, ended = threading.Event(), threading.Event()

    def work() -> None:
        door = Door(url, "noisy", credentials)
        while going.wait() and not ended.is_set():
            statuses[door.request("POST", "/v1/entries", body).status] += 1

    threads = [threading.Thread(target=work) for _ in range(FLOODS)]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        (going.set if line.strip() == "on" else going.clear)()
    ended.set()
    going.set()
    for thread in threads:
        thread.join()
    print(json.dumps({str(status): count for status, count in statuses.items()}))


def _files(folder: Path) -> Credentials:
    roots = folder.parents[1] / "tls" / "roots.pem"
    return Credentials(folder / "certificate.pem", folder / "key.pem", folder / "api-key", roots)


def latencies(door: Door, body: bytes) -> list[float]:
    """Post at the quiet rate; return each answer's milliseconds, counted from when it was due."""
    times = []
    at = time.perf_counter()
    for _ in range(int(QUIET_RATE * QUIET_SECONDS)):
        at += 1 / QUIET_RATE
        time.sleep(max(0.0, at - time.perf_counter()))
        answer = door.request("POST", "/v1/entries", body)
        if answer.status != 200:
            raise SystemExit(f"a batch of the quiet service was answered {answer.status}")
        times.append((time.perf_counter() - at) * 1000)
    return times


def fairness(place: Place, folder: str, name: str) -> dict[str, float]:
    """Return the quiet service's latencies with and without the flood, in milliseconds; rounds alternate."""
    body = b"\n".join(entries(QUIET_BATCH)[0])
    door = place.door("quiet")
    for _ in range(20):
        door.request("POST", "/v1/entries", body)
    alone: list[list[float]] = []
    crowded: list[list[float]] = []
    command = [sys.executable, "-m", "benchmarks.limits", "--flood", place.url, folder]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, cwd=ROOT) as noise:
        for number in range(2 * ROUNDS):
            print("on" if number % 2 else "off", file=noise.stdin, flush=True)
            time.sleep(SETTLE_SECONDS)  # its first burst is spent then, or what it had begun is done
            (crowded if number % 2 else alone).append(latencies(door, body))
        statuses = json.loads(noise.communicate()[0])
    print(f"{name}: answers to the flood by status: {statuses}")
    figures = {
        f"{name}_alone_p50_ms": statistics.median(map(statistics.median, alone)),
        f"{name}_alone_p99_ms": statistics.median(map(_p99, alone)),
        f"{name}_p50_ms": statistics.median(map(statistics.median, crowded)),
        f"{name}_p99_ms": statistics.median(map(_p99, crowded)),
    }
    for part in ("p50", "p99"):
        figures[f"{name}_{part}_ratio"] = figures[f"{name}_{part}_ms"] / figures[f"{name}_alone_{part}_ms"]
    return figures


def limited(folder: Path) -> dict[str, float]:
    """Flood a gateway with all its doors."""
    home = folder / "doors"
    settings = settings_for(home, Settings(log_level="ERROR"))
    with Supervisor(settings, 0) as tree:
        app = App(settings)
        for service in ("quiet", "noisy"):
            app.services.add(Service(service, TIER))
            found = local_credentials(home, tree.url, service, lambda _: None)
            assert found == _files(home / "clients" / service)
        place = Place(tree.url, lambda service: _files(home / "clients" / service))
        return fairness(place, str(home / "clients" / "noisy"), "limited_flood")


def without_doors(folder: Path) -> dict[str, float]:
    """Flood a gateway that limits nothing."""
    settings = settings_for(folder / "open", Settings(log_level="ERROR"))
    with Supervisor(replace(settings, limits=False), 0, insecure=True) as tree:
        return fairness(Place(tree.url, lambda _: None), "", "open_flood")


def main() -> int:
    """Run, print, and return 0 when the targets are met."""
    folder = Path(tempfile.mkdtemp(prefix=".bench-", dir=ROOT))
    try:
        with server(folder) as url:
            figures = accuracy(url, "counter") | accuracy(url, "limiter") | cost(url)
        figures |= limited(folder) | without_doors(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if report("limits", figures, TARGETS) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        client(sys.argv[2], sys.argv[3])
    elif sys.argv[1:2] == ["--flood"]:
        flood(sys.argv[2], sys.argv[3])
    else:
        raise SystemExit(main())
