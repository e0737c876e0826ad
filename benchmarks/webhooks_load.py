"""How soon webhooks are answered: real bodies of all senders, over TLS, at a tree of `sentinel up`.

The generator is a process of its own and keeps to a timetable: message n is due n/rate seconds after the
beginning, whatever became of those before it, and its time counts from when it was due. So a gateway that
stands still for a second is charged with all that should have been answered in that second. Senders seldom
keep a connection, so each message has one of its own, with a full handshake of TLS; kept connections are
measured for comparison. No message is sent twice: each body has a number in it that no other has. Detection
and the folding of alerts run behind, and at the end every message that was answered has to be in the ledger.
`load_before` is the machine's load average before: other programs at work show in the percentiles.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from benchmarks.tasks_speed import percentile
from benchmarks.webhooks_bodies import FOLDER, bodies
from benchmarks.webhooks_world import named, numbered
from sentinel.bootstrap import App
from sentinel.core.access import Service
from sentinel.local.doors import server_roots
from sentinel.local.supervisor import Supervisor, settings_for
from sentinel.settings import Settings
from tests.webhooks.senders import SENDERS, in_header

ROOT = Path(__file__).resolve().parents[1]
SERVICE = "shop"
THREADS = 48
WARM_SECONDS = 4.0
# name: messages a second, and whether each has a connection of its own
ROUNDS: Mapping[str, tuple[float, bool]] = {
    "answer": (50.0, True),
    "kept_connections": (50.0, False),
    "at_200_per_second": (200.0, True),
}


@dataclass(frozen=True)
class Message:
    """What is sent: the path, the headers and the body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Sent:
    """What became of a round: milliseconds from when each message was due, and how often each status came."""

    times: list[float]
    statuses: dict[str, int]


def hook_of(source: str, options: Mapping[str, str]) -> str:
    """Return the name of the webhook that takes a source's bodies with some options."""
    return named(f"{source} {options.get('mapping', '')}")


def messages(first: int, count: int) -> list[Message]:
    """Return messages, signed now; all files take turns. SNS cannot be: Amazon alone signs for it."""
    known = [body for body in bodies() if body.source != "sns"]
    raw = [orjson.dumps(orjson.loads(body.raw)) for body in known]
    found = []
    for number in range(first, first + count):
        at = number % len(known)
        body, sender = known[at], SENDERS[known[at].source][0]
        sign = in_header() if body.source == "generic" else sender.sign
        text = numbered(body.source, raw[at], number)
        headers = {"Content-Type": "application/json", **sign(text, sender.secret, int(time.time()))}
        found.append(Message(f"/hooks/{body.source}/{hook_of(body.source, body.options)}", headers, text))
    return found


# --- the generator


class Generator:
    """Sends to one address, from a process of its own."""

    def __init__(self, url: str, roots: str) -> None:
        parts = urlsplit(url)
        context = ssl.create_default_context(cafile=roots)
        self._connect = partial(
            http.client.HTTPSConnection, parts.hostname or "", parts.port, timeout=30, context=context
        )

    def round(self, todo: list[Message], rate: float, *, fresh: bool) -> Sent:
        """Send everything by the timetable."""
        times: list[float] = []
        statuses: Counter[str] = Counter()
        numbers, lock = iter(range(len(todo))), threading.Lock()
        start = time.perf_counter() + 0.2

        def work() -> None:
            connection = self._connect()
            for number in _taken(numbers, lock):
                due = start + number / rate
                time.sleep(max(0.0, due - time.perf_counter()))
                connection, status = self._send(connection, todo[number], fresh=fresh)
                taken = (time.perf_counter() - due) * 1000
                with lock:
                    times.append(taken)
                    statuses[status] += 1
            connection.close()

        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return Sent(times, dict(statuses))

    def _send(
        self, connection: http.client.HTTPSConnection, message: Message, *, fresh: bool
    ) -> tuple[http.client.HTTPSConnection, str]:
        if fresh:
            connection.close()
            connection = self._connect()
        try:
            connection.request("POST", message.path, message.body, dict(message.headers))
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return self._connect(), type(error).__name__
        return connection, str(answer.status)


def _taken(numbers: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            return
        yield number


def generate(url: str, roots: str) -> None:
    """Be the generator: for each line of standard input, a round; print what became of it."""
    generator, first = Generator(url, roots), 0
    for line in sys.stdin:
        asked = json.loads(line)
        todo = messages(first, int(asked["rate"] * asked["seconds"]))
        first += len(todo)
        sent = generator.round(todo, asked["rate"], fresh=asked["fresh"])
        print(json.dumps({"times": sent.times, "statuses": sent.statuses}), flush=True)


# --- the measurement


def measured(folder: Path, seconds: float) -> dict[str, float]:
    """Run a tree and the rounds; return the figures."""
    if not FOLDER.exists():
        raise SystemExit(
            f"the real bodies are not there: {FOLDER} is beside a checkout, or nothing is measured"
        )
    settings = settings_for(folder / "home", Settings(log_level="ERROR"))
    figures: dict[str, float] = {"load_before": os.getloadavg()[0]}
    with Supervisor(settings, 0) as tree:
        app = App(settings)
        _add_hooks(app)
        command = [sys.executable, "-m", "benchmarks.webhooks_load", tree.hooks, str(server_roots(tree.home))]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen(command, **pipes, cwd=ROOT) as generator:
            answered = _asked(generator, 50.0, WARM_SECONDS, fresh=True).statuses.get("200", 0)
            for name, (rate, fresh) in ROUNDS.items():
                used = _gateway_cpu(tree)
                sent = _asked(generator, rate, seconds, fresh=fresh)
                answered += sent.statuses.get("200", 0)
                figures |= _figures(name, sent)
                figures[f"{name}_gateway_cpu_ms"] = (_gateway_cpu(tree) - used) * 1000 / len(sent.times)
            assert generator.stdin is not None
            generator.stdin.close()
        figures["answered_and_not_stored"] = answered - _stored(app)
    return figures


def _add_hooks(app: App) -> None:
    app.services.add(Service(SERVICE, "high"))
    made: set[str] = set()
    for body in bodies():
        hook = hook_of(body.source, body.options)
        if body.source != "sns" and hook not in made:
            made.add(hook)
            app.services.add_hook(hook, SERVICE, body.source, SENDERS[body.source][0].secret, body.options)


def _asked(generator: subprocess.Popen[str], rate: float, seconds: float, *, fresh: bool) -> Sent:
    assert generator.stdin is not None
    assert generator.stdout is not None
    print(json.dumps({"rate": rate, "seconds": seconds, "fresh": fresh}), file=generator.stdin, flush=True)
    return Sent(**json.loads(generator.stdout.readline()))


def _gateway_cpu(tree: Supervisor) -> float:
    """Return the processor time that the gateway's process has taken, in seconds."""
    gateway = next(child for child in tree._children if child.name == "gateway")
    assert gateway.process is not None
    stat = Path(f"/proc/{gateway.process.pid}/stat").read_text()
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _figures(name: str, sent: Sent) -> dict[str, float]:
    print(f"{name}: answers by status: {sent.statuses}")
    return {
        f"{name}_p50_ms": percentile(sent.times, 50),
        f"{name}_p99_ms": percentile(sent.times, 99),
        f"{name}_max_ms": max(sent.times),
        f"{name}_failures": len(sent.times) - sent.statuses.get("200", 0),
    }


def _stored(app: App) -> int:
    """Return how many messages are in the ledger: a body in parts is one."""
    found = 0
    for chain in app.ledger.chains():
        for segment in app.ledger.read(chain):
            told = map(orjson.loads, segment.opened.entries)
            found += sum("body" in each and not each["webhook"].get("part") for each in told)
    return found


if __name__ == "__main__":
    generate(sys.argv[1], sys.argv[2])
