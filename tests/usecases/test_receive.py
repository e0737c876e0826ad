"""Webhooks from the door to the ledger: a real registry, real secrets in files, a real chain."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.secret_versions_file import FileSecretVersions
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core.access import Hook, Service, encode
from sentinel.core.issuers import parse_issuers
from sentinel.core.ring import Key, Ring
from sentinel.core.verify import Verifier
from sentinel.errors import Conflict, SentinelError, TooLarge, Unauthenticated, Unavailable
from sentinel.ports_doors import Record
from sentinel.usecases.append import Appender
from sentinel.usecases.directory import Directory
from sentinel.usecases.hook_secrets import COOL_DOWN, FRESH, SECONDS, STALE, HookSecrets
from sentinel.usecases.hook_sources import HookSources
from sentinel.usecases.hook_tokens import HookTokens
from sentinel.usecases.ingest import Ingest, Origin
from sentinel.usecases.outside_issuers import OutsideIssuers
from sentinel.usecases.receive import MAX_BODY, Receiver
from sentinel.webhooks import SOURCES
from tests.doors import ISSUER, NoHttp
from tests.webhooks.test_standard import BODY, ID, NOW, OTHER, SECRET, sign

ZEROS = "whsec_" + "A" * 43 + "="


@dataclass
class Secrets:
    """The real store, whose readings are counted, and which can be away."""

    real: FileSecretVersions
    away: bool = False
    read: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def value(self, name: str, stage: str = "AWSCURRENT", token: str = "") -> str:
        """Read, or be away."""
        self.read += 1
        if self.away:
            raise Unavailable("injected")
        return self.real.value(name, stage, token)


@dataclass
class Bench:
    """One deployment with a service and its webhook `billing`."""

    home: Path
    now: float = NOW
    registry: SqliteRegistry = field(init=False)
    secrets: Secrets = field(init=False)
    ledger: SqliteLedger = field(init=False)
    receiver: Receiver = field(init=False)
    kinds: Any = field(default_factory=lambda: SOURCES)
    http: Any = field(default_factory=NoHttp)
    issuers: str = ""

    def __post_init__(self) -> None:
        self.registry = SqliteRegistry(self.home / "registry.db")
        self.secrets = Secrets(FileSecretVersions(self.home / "doors"))
        self.ledger = SqliteLedger(self.home / "ledger.db")
        self.put(Service("payments"))
        self.put(Hook("billing", "payments", "standard-webhooks", "hooks.billing"))
        self.secrets.real.create("hooks.billing", Ring((Key("k1", SECRET),)).encode())
        self.restart(lanes=1)

    def restart(self, lanes: int = 1) -> None:
        """Begin a process of its own."""
        appender = Appender(
            self.ledger, lambda: int(self.now) * 10**9, lambda n: b"n" * n, lambda: 0.5, lambda _: None
        )
        self.directory = directory = Directory(self.registry, 0, lambda: self.now)
        secrets: Any = self.secrets
        outside = OutsideIssuers(parse_issuers(self.issuers), self.http, lambda: self.now)
        self.sources = HookSources(self.kinds, directory)
        self.kept = HookSecrets(secrets, lambda: self.now, lambda: self.now)
        self.receiver = Receiver(
            self.sources,
            self.kept,
            HookTokens(directory, outside, ISSUER, lambda: self.now),
            Ingest(appender, lanes),
            self.http,
            lambda: self.now,
        )

    def put(self, entity: Service | Hook) -> None:
        """Register something, or change it."""
        known = self.registry.get(entity.KIND, entity.id)
        version = known.version if known else 0
        assert self.registry.put(Record(entity.KIND, entity.id, encode(entity), version))

    def rotate(self, value: str, overlap: int = 3600) -> None:
        """Put another secret in force; the old one counts for `overlap` seconds."""
        ring = Ring.decode(self.secrets.real.value("hooks.billing"))
        key = Key(f"k{len(ring.keys) + 1}", value)
        token = f"{self.now}".ljust(32, "0")
        self.secrets.real.put("hooks.billing", token, ring.rotated(key, int(self.now), 0, overlap).encode())
        self.secrets.real.promote("hooks.billing", token)

    def take(
        self,
        headers: dict[str, str] | None = None,
        body: bytes = BODY,
        source: str = "standard-webhooks",
        hook: str = "billing",
    ) -> dict[str, object]:
        """Receive one message as the endpoint does."""
        headers = sign(body, at=int(self.now)) if headers is None else headers
        proven = self.receiver.admit(source, hook, headers, body)
        return self.receiver.store(proven, Origin("", f"/hooks/{source}/{hook}", "r"))

    def refused(self, *arguments: object, **more: object) -> str:
        """Return the words of a refusal."""
        with pytest.raises(Unauthenticated) as refused:
            self.take(*arguments, **more)  # type: ignore[arg-type]
        return str(refused.value)

    def stored(self) -> list[bytes]:
        """Return all that is stored, after verifying it."""
        found = []
        for chain in self.ledger.chains():
            verifier = Verifier(chain)
            for segment in self.ledger.read(chain):
                verifier.check(segment)
                found += segment.opened.entries
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A fresh deployment."""
    return Bench(tmp_path)


def test_a_message_is_sealed_as_it_came(bench: Bench) -> None:
    """One entry in the service's chain: the body's text, and which webhook and message it was."""
    receipt = bench.take()
    assert set(receipt) == {"batch_id", "head", "t"}
    (entry,) = bench.stored()
    assert orjson.loads(entry) == {
        "webhook": {"source": "standard-webhooks", "hook": "billing", "id": ID},
        "body": BODY.decode(),
    }
    segment = bench.ledger.head("payments/0")
    assert segment is not None
    context = orjson.loads(segment.opened.context)
    assert (context["service"], context["subject"]) == ("payments", "hook/standard-webhooks/billing")
    assert segment.head.hex() == receipt["head"]


def test_a_message_that_is_sent_again_is_stored_once(bench: Bench) -> None:
    """The same id gets the same receipt: signed anew, replayed as it was, in another process, on any lane."""
    bench.restart(lanes=8)
    first = bench.take()
    assert bench.take() == first
    bench.now += 200
    assert bench.take(sign(BODY, at=NOW)) == first
    assert bench.take() == first
    bench.restart(lanes=8)
    assert bench.take() == first
    assert len(bench.stored()) == 1
    bench.take(sign(BODY, name="another", at=int(bench.now)))
    assert len(bench.stored()) == 2


def test_a_message_goes_to_a_lane_of_its_service(bench: Bench) -> None:
    """A webhook is spread over its service's own number of lanes, where it has one; all of it on one lane."""
    bench.restart(lanes=64)
    bench.put(Service("payments", lanes=1))
    for name in ("one", "two"):
        bench.take(sign(BODY, name=name, at=int(bench.now)))
    assert list(bench.ledger.chains()) == ["payments/0"]
    bench.put(Service("payments", lanes=0))
    bench.take(sign(BODY, name="three", at=int(bench.now)))
    assert len(list(bench.ledger.chains())) == 2


def test_a_message_that_is_sent_again_after_the_lanes_changed_is_stored_once(bench: Bench) -> None:
    """It gets the receipt that it had; once the lane was closed, new ones go to the new lane."""
    bench.put(Service("payments", lanes=1))
    first = bench.take()
    bench.put(Service("payments", lanes=8, lanes_before=((1, int(bench.now) + 60),)))
    bench.now += 60
    bench.restart()
    assert bench.take(sign(BODY, at=NOW)) == first
    for name in ("closes", "moved"):
        bench.take(sign(BODY, name=name, at=int(bench.now)))
    assert bench.take(sign(BODY, at=NOW)) == first
    assert sorted(len(list(bench.ledger.read(chain))) for chain in bench.ledger.chains()) == [1, 2]


def test_an_id_that_comes_with_another_body_is_a_conflict(bench: Bench) -> None:
    """What was sealed under an id is not silently something else."""
    bench.take()
    with pytest.raises(Conflict):
        bench.take(body=BODY + b" ")
    assert len(bench.stored()) == 1


def test_the_same_id_of_another_webhook_is_another_message(bench: Bench) -> None:
    """Ids are the sender's, so two senders may use the same."""
    bench.put(Hook("other", "payments", "standard-webhooks", "hooks.billing"))
    assert bench.take()["batch_id"] != bench.take(hook="other")["batch_id"]
    assert len(bench.stored()) == 2


def test_a_replay_after_five_minutes_is_refused(bench: Bench) -> None:
    """A message that was recorded opens nothing later."""
    headers = sign(BODY, at=NOW)
    bench.now += 301
    bench.refused(headers)
    assert bench.stored() == []


def _unknown(bench: Bench) -> dict[str, object]:
    return {"hook": "nobody"}


def _disabled(bench: Bench) -> dict[str, object]:
    bench.put(Hook("billing", "payments", "standard-webhooks", "hooks.billing", disabled=True))
    return {}


def _service_disabled(bench: Bench) -> dict[str, object]:
    bench.put(Service("payments", disabled=True))
    return {}


def _service_gone(bench: Bench) -> dict[str, object]:
    bench.registry.drop(Service.KIND, "payments")
    return {}


def _other_source(bench: Bench) -> dict[str, object]:
    bench.put(Hook("billing", "payments", "another", "hooks.billing"))
    return {}


def _wrong_secret(bench: Bench) -> dict[str, object]:
    return {"headers": sign(BODY, OTHER)}


def _no_signature(bench: Bench) -> dict[str, object]:
    return {"headers": {}}


def _decoy(bench: Bench) -> dict[str, object]:
    return {"hook": "nobody", "headers": sign(BODY, ZEROS)}


@pytest.mark.parametrize(
    "case",
    [
        *(
            _unknown,
            _disabled,
            _service_disabled,
            _service_gone,
            _other_source,
            _wrong_secret,
            _no_signature,
            _decoy,
        ),
        *(lambda _: {"source": "nothing"}, lambda _: {"hook": ""}, lambda _: {"hook": "x" * 65}),
        lambda _: {"hook": "../keys"},
    ],
)
def test_all_refusals_are_one(bench: Bench, case: Callable[[Bench], dict[str, object]]) -> None:
    """Whoever cannot prove itself does not learn whether the webhook exists, and nothing is stored."""
    words = bench.refused({})
    more = case(bench)
    assert bench.refused(**more) == words
    assert bench.stored() == []


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_headers_that_prove_may_come_once(bench: Bench, name: str) -> None:
    """With two values of one there is no telling which one was checked by whom."""
    headers = sign(BODY)
    with pytest.raises(Unauthenticated):
        bench.receiver.admit("standard-webhooks", "billing", headers, BODY, {name: ["x", headers[name]]})
    assert bench.receiver.admit("standard-webhooks", "billing", headers, BODY, {"accept": ["a", "b"]})


def test_bodies_are_bounded(bench: Bench) -> None:
    """A megabyte is taken, in parts; a byte more is refused before anything is checked."""
    body = b"x" * MAX_BODY
    assert bench.take(body=body)
    assert "".join(orjson.loads(entry)["body"] for entry in bench.stored()).encode() == body
    with pytest.raises(TooLarge):
        bench.take({}, body + b"x")


def test_rotation_loses_no_message(bench: Bench) -> None:
    """Before, during and after: old and new are taken while both count, then the new one alone."""
    bench.take()
    bench.rotate(OTHER)
    bench.now += FRESH
    bench.take(sign(BODY, OTHER, name="new", at=int(bench.now)))
    bench.take(sign(BODY, SECRET, name="old", at=int(bench.now)))
    bench.now += 3600
    bench.refused(sign(BODY, SECRET, name="late", at=int(bench.now)))
    bench.take(sign(BODY, OTHER, name="after", at=int(bench.now)))
    assert len(bench.stored()) == 4


def test_a_secret_is_kept_and_read_again_for_a_wrong_signature_with_a_cool_down(bench: Bench) -> None:
    """A flood of wrong signatures costs one reading in `COOL_DOWN` seconds, and a right one none."""
    for _ in range(5):
        bench.take()
    assert bench.secrets.read == 1
    wrong = sign(BODY, OTHER)
    bench.refused(wrong)
    assert bench.secrets.read == 1
    bench.now += FRESH
    for _ in range(50):
        bench.refused(wrong)
    assert bench.secrets.read == 2
    bench.now += COOL_DOWN
    for _ in range(50):
        bench.refused(wrong)
    assert bench.secrets.read == 3
    bench.now += SECONDS
    bench.take()
    assert bench.secrets.read == 4


def test_a_hook_that_is_not_there_costs_no_reading(bench: Bench) -> None:
    """Guessing names reads no secrets."""
    bench.now += 1000
    for number in range(20):
        bench.refused(hook=f"guess{number}")
    assert bench.secrets.read == 0


def test_while_secrets_are_away_those_that_are_known_count(bench: Bench) -> None:
    """What was read serves for some minutes; then, or where nothing was read, the sender comes again."""
    bench.take()
    bench.secrets.away = True
    bench.now += STALE - 1
    bench.take()
    bench.now += 1
    with pytest.raises(Unavailable):
        bench.take()
    bench.secrets.away = False
    bench.now += 1
    bench.take()


def test_a_wrong_signature_takes_nothing_away_while_secrets_are_away(bench: Bench) -> None:
    """A stranger's message makes nobody forget a secret that cannot be read again: its sender goes on.

    And the stranger is told what it is always told, so it does not learn that there is such a webhook.
    """
    bench.take()
    words = bench.refused(hook="nobody")
    bench.secrets.away = True
    bench.now += FRESH
    assert bench.refused(sign(BODY, OTHER, at=int(bench.now))) == words
    bench.take(sign(BODY, name="another", at=int(bench.now)))
    assert len(bench.stored()) == 2
    bench.secrets.away = False
    bench.rotate(OTHER)
    bench.now += 1
    bench.take(sign(BODY, OTHER, name="new", at=int(bench.now)))


@pytest.mark.parametrize("value", [None, "", "{}", "hunter2", '{"keys":[{"id":"a"}]}'])
def test_a_secret_that_cannot_be_used_is_the_deployments_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, value: str | None
) -> None:
    """A missing or broken ring is 503 and logged: the sender keeps the message, and no secret is told."""
    bench = Bench(tmp_path)
    if value is None:
        bench.put(Hook("billing", "payments", "standard-webhooks", "hooks.none"))
    else:
        bench.secrets.value = lambda *_: value  # type: ignore[method-assign]
    with caplog.at_level(logging.ERROR), pytest.raises(SentinelError) as failed:
        bench.take()
    assert isinstance(failed.value, Unavailable)
    assert "billing" in caplog.text
    assert "hunter2" not in caplog.text + str(failed.value)


def test_options_that_cannot_be_used_are_the_deployments_fault(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A record with options that this version does not know: 503 and a line in the log, nothing is lost."""
    bench.put(Hook("billing", "payments", "standard-webhooks", "hooks.billing", options={"later": "1"}))
    with caplog.at_level(logging.ERROR), pytest.raises(Unavailable):
        bench.take()
    assert "billing" in caplog.text
    bench.put(Hook("billing", "payments", "standard-webhooks", "hooks.billing", options={"title": "test"}))
    bench.now += 400
    bench.take()
    alert = orjson.loads(bench.stored()[1])["alert"]
    assert (alert["title"], alert["severity"]) == ("2432232314", "unknown")


def test_a_message_whose_alerts_are_not_found_is_parked(bench: Bench) -> None:
    """It is kept with the reason, and its sender is answered as ever."""
    bench.put(Hook("billing", "payments", "standard-webhooks", "hooks.billing", options={"title": "none"}))
    assert bench.take()["batch_id"]
    (entry,) = map(orjson.loads, bench.stored())
    assert "title" in entry["webhook"]["parked"]
    assert entry["body"] == BODY.decode()


def test_a_ring_without_keys_opens_nothing(bench: Bench) -> None:
    """No secret is no signature that fits, whatever is sent."""
    bench.secrets.value = lambda *_: '{"keys":[]}'  # type: ignore[method-assign]
    bench.refused(sign(BODY, ZEROS))
