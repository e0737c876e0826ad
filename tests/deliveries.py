"""A world for deliveries: real SQLite stores, real sinks, and a time that sleeping moves."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from sentinel import siem
from sentinel.actions.breakers import Breakers
from sentinel.actions.deliver import Deliverer, Sources
from sentinel.actions.deliver_show import ShowDeliveries
from sentinel.actions.deliver_store import DeliveryStore
from sentinel.actions.deliver_tools import Counts, Tools
from sentinel.actions.siem_carry import Carrier, NoStreams
from sentinel.adapters.append_files import AppendFiles
from sentinel.adapters.hosts import Hosts
from sentinel.adapters.http import HttpClient
from sentinel.adapters.secrets_file import FileSecrets
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.grants import Grants
from sentinel.core.rules import RuleSet
from sentinel.core.segment import Head, Segment
from sentinel.core.tasks import SECOND
from sentinel.errors import Forbidden
from sentinel.ports import Counters, Ledger
from sentinel.ports_aws import AwsCalls
from tests.chains import batch

START = 1_790_000_000 * SECOND


def no_aws() -> AwsCalls:
    """Refuse to call AWS."""
    raise Forbidden("no AWS here")


class World:
    """Stores below a folder, plans and sinks in force, and the time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = START
        self.rng = random.Random(7)
        self.heads: dict[str, Head] = {}
        self.plans: dict[str, DeliveryPlan] = {}
        self.sinks: dict[str, siem.SinkConfig] = {}
        self.rules = RuleSet(())
        self.ledger: Ledger = SqliteLedger(folder / "ledger.db")
        self.counters: Counters = SqliteCounters(folder / "counters.db")
        self.files = AppendFiles(folder / "files")
        (folder / "secrets").mkdir(exist_ok=True)
        self.http = HttpClient(Hosts(["127.0.0.1"], private=True))
        self.wakes: list[tuple[int, Callable[[], None]]] = []  # what happens when, while somebody sleeps

    def secret(self, name: str, value: str) -> None:
        """Store a secret."""
        path = self.folder / "secrets" / name
        path.write_text(value)
        path.chmod(0o600)

    def sink(self, name: str, **told: Any) -> None:
        """Push a sink."""
        self.sinks |= siem.load("sinks", json.dumps({"sinks": {name: told}}).encode())

    def file(self, name: str = "file") -> None:
        """Push a file sink."""
        self.sink(name, kind="file", path=f"{name}.ndjson")

    def plan(self, name: str = "all", **told: Any) -> DeliveryPlan:
        """Push a plan; from the beginning, where it does not say otherwise."""
        found = DeliveryPlan.model_validate({"to": "file", "since": "beginning", **told})
        self.plans[name] = found
        return found

    def log(self, chain: str, entries: Sequence[bytes], **context: Any) -> Segment:
        """Seal entries as one segment, now."""
        head = self.heads.get(chain) or Head.genesis(chain)
        name = self.rng.getrandbits(100)
        draft = batch(name, entries, **context).draft(0, self.rng.randbytes(32))
        segment, self.heads[chain] = draft.place(chain, head, self.now)
        self.ledger.append(segment)
        return segment

    def count(self, chain: str, first: int, many: int, each: int = 10) -> None:
        """Seal entries that are numbered, so many to a segment."""
        numbers = range(first, first + many)
        for at in range(0, many, each):
            self.log(chain, [b'{"n":%d}' % number for number in numbers[at : at + each]])

    def clock(self) -> int:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and happen what is to happen meanwhile."""
        self.now += int(seconds * SECOND)
        while self.wakes and self.wakes[0][0] <= self.now:
            self.wakes.pop(0)[1]()

    @property
    def store(self) -> DeliveryStore:
        """The records."""
        return DeliveryStore(self.counters, self.clock)

    @property
    def show(self) -> ShowDeliveries:
        """What is told of deliveries."""
        breakers = Breakers(self.counters, self.clock, self.rng.random)
        return ShowDeliveries(lambda: self.plans, self.ledger, self.store, breakers, self.clock)

    def deliverer(self, holder: str = "one", **tools: float) -> Deliverer:
        """Return what a process has."""
        sources = Sources(
            self.ledger,
            Carrier(self.http, self.files, NoStreams(), no_aws, Grants(), self.clock, self.sleep),
            self.files,
            FileSecrets(self.folder / "secrets"),
            lambda: dict(self.plans),
            lambda: dict(self.sinks),
            lambda: self.rules,
        )
        breakers = Breakers(self.counters, self.clock, self.rng.random)
        return Deliverer(sources, Tools(self.store, breakers, self.clock, self.sleep, holder, **tools))

    def run(self, seconds: float = 5, name: str = "all", holder: str = "one") -> Counts:
        """Deliver for a while of the world's time."""
        return self.deliverer(holder).one(name, self.now + int(seconds * SECOND), lambda: False)

    def lines(self, name: str = "file") -> list[Mapping[str, Any]]:
        """Return the lines of a file sink."""
        path = self.folder / "files" / f"{name}.ndjson"
        return [orjson.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def numbers(self, chain: str, name: str = "file") -> list[int]:
        """Return the numbers of a chain's entries in the order of their lines."""
        return [each["entry"]["n"] for each in self.lines(name) if each["chain"] == chain]

    def close(self) -> None:
        """Close what is open."""
        self.http.close()
