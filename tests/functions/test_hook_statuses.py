"""What each kind of sender is answered where something is wrong: a status after which it does right."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Hook, Service, encode
from sentinel.core.ring import Key, Ring
from sentinel.errors import Malformed, Tampered, Unavailable
from sentinel.ports_doors import Record
from sentinel.usecases.hook_sources import HookSources
from sentinel.usecases.limit import Limiter
from sentinel.usecases.receive import MAX_BODY
from sentinel.webhooks import SOURCES, sources
from tests.functions.test_api_handlers import event, load
from tests.webhooks import test_sns
from tests.webhooks.senders import SENDERS, first

HEED_429 = {"cloudevents", "elastic", "pagerduty", "standard-webhooks"}
"""Who sends again after a 429, by what their makers say (docs/connectors.md); the others drop the message."""
TAMPERED = Tampered("payments/0", 0, "injected", "x")
STRANGE = b'{"what":"is this"}'
ROUTE = "/hooks/{source}/{hook}"


@dataclass
class Door:
    """The function that receives, with a webhook of one source."""

    app: App
    patch: pytest.MonkeyPatch
    source: str
    now: int = field(default_factory=lambda: int(time.time()))

    def message(self, body: bytes = b"") -> tuple[bytes, dict[str, str]]:
        """Return a genuine message of now: body and headers."""
        now = self.now
        if self.source == "sns":
            text = body.decode() or "It burns"
            name = sha256(body).hexdigest()
            return test_sns.notice(Timestamp=test_sns.stamp(now), MessageId=name, Message=text), {}
        sender = SENDERS[self.source][0]
        sent = body or first(self.source)
        return sent, sender.sign(sent, sender.secret, now)

    def send(self, body: bytes = b"", wrong: bool = False) -> tuple[int, dict[str, str]]:
        """Send one; return status and headers."""
        sent, headers = self.message(body)
        if wrong:
            sent, headers = sent.replace(b"It burns", b"It burnt"), dict.fromkeys(headers, "x")
        params = {"source": self.source, "hook": "h"}
        made = event("POST", ROUTE, sent, headers=headers, params=params)
        del made["requestContext"]["authorizer"]
        answer = load("receive")(made, None)
        assert set(orjson.loads(answer["body"])) in ({"error", "message"}, {"batch_id", "head", "t"})
        return answer["statusCode"], answer["headers"]

    def fail(self, what: object, name: str, error: Exception) -> None:
        """Have every call of a method fail."""

        def failing(*_: object, **__: object) -> None:
            raise error

        self.patch.setattr(what, name, failing)


@pytest.fixture(params=SOURCES)
def door(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    """A fresh one of each source, with certificates of SNS, and no limits."""
    source = request.param
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_DOOR_SECONDS", "0")
    monkeypatch.setenv("SENTINEL_LIMITS", "false")
    bootstrap.cache_clear()
    app = bootstrap()
    now = int(time.time())
    served = test_sns.Served(test_sns.certificate(since=now - 60, until=now + 3_600))
    monkeypatch.setitem(vars(app), "_hook_sources", HookSources(sources(served), app.directory))
    options = {"topics": test_sns.TOPIC} if source == "sns" else SENDERS[source][0].options
    for entity in (Service("payments", "trial"), Hook("h", "payments", source, "hooks.h", options=options)):
        app.registry.put(Record(entity.KIND, entity.id, encode(entity)))
    secret = "x" * 32 if source == "sns" else SENDERS[source][0].secret
    app.door_secrets.create("hooks.h", Ring((Key("k", secret),)).encode())
    yield Door(app, monkeypatch, source)
    bootstrap.cache_clear()


def _limit(door: Door) -> None:
    door.patch.setattr(door.app, "settings", replace(door.app.settings, limits=True))
    door.patch.setitem(vars(door.app), "limiter", Limiter(None, lambda: 0.0))  # in which no time passes
    assert door.send()[0] == 200
    while door.send()[0] == 200:
        pass


Wrong = Callable[[Door], None]
FAILURES: dict[str, tuple[Wrong, int]] = {
    "over the limits": (_limit, 429),
    "registry away": (lambda door: door.fail(door.app.registry, "get", Unavailable("injected")), 503),
    "secret away": (lambda door: door.fail(door.app.door_secrets, "value", Unavailable("injected")), 503),
    "secret unreadable": (lambda door: door.fail(door.app.door_secrets, "value", Malformed("injected")), 503),
    "ledger away": (lambda door: door.fail(door.app.ledger, "append", Unavailable("injected")), 503),
    "ledger does not verify": (
        lambda door: door.fail(door.app.ledger, "head", TAMPERED),
        500,
    ),
    "a bug": (lambda door: door.fail(door.app.ledger, "append", RuntimeError("injected")), 500),
}


@pytest.mark.parametrize("name", FAILURES)
def test_what_is_wrong_here_is_told_so_that_it_is_sent_again(door: Door, name: str) -> None:
    """Over the limits 429 to those who heed it and 503 to all others; else a 5xx; and when to come back."""
    if name.startswith("secret") and door.source == "sns":
        pytest.skip("SNS signs with a certificate: no secret is read")
    spoil, status = FAILURES[name]
    spoil(door)
    found, headers = door.send()
    expected = 503 if status == 429 and door.source not in HEED_429 else status
    assert found == expected
    assert ("Retry-After" in headers) is (expected != 500)


def test_what_is_wrong_there_is_not_sent_again(door: Door) -> None:
    """401 without a proof, 413 for what is too large: it would be no better the next time."""
    assert door.send()[0] == 200
    assert door.send(wrong=True)[0] == 401
    assert door.send(b"x" * (MAX_BODY + 1))[0] == 413


def test_what_is_not_understood_is_taken(door: Door) -> None:
    """200, now and when it comes again: a 4xx would end the message, and at some the subscription."""
    for body in (STRANGE, b"no JSON at all"):
        assert door.send(body)[0] == 200
        assert door.send(body)[0] == 200
    stored = [entry for segment in door.app.ledger.read("payments/0") for entry in segment.opened.entries]
    assert len(stored) >= 2 or door.source == "sns"


def test_who_heeds_a_429_is_what_the_table_says() -> None:
    """The sources' own word for it, and docs/connectors.md's."""
    assert {name for name, kind in SOURCES.items() if kind.heeds_429} == HEED_429
    root = Path(__file__).resolve().parents[2]
    text = " ".join((root / "docs" / "connectors.md").read_text().split())
    told = text.partition("the answer is 429 to ")[2].partition(", which come again after it")[0]
    assert {name.strip("` ") for name in told.replace(" and ", ",").split(",")} == HEED_429
