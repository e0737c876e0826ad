"""Rules over alerts: no entry by another door passes for one, in whatever form it comes."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
import redis

from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.segment import Batch, Head, Segment
from tests.alert_chains import alert, sealed
from tests.scenario import Target, World, recipe

RULE = """title: Sentry
name: sentry
status: test
level: high
logsource: {category: application}
detection:
  it: {webhook.source: sentry, webhook.hook: errors}
  condition: it
"""
ABOUT = {"source": "sentry", "hook": "errors", "id": "m1", "alert": 0}
FLAT = {f"webhook.{name}": value for name, value in ABOUT.items()}
FORGED = {
    "the same form": {"webhook": ABOUT, "alert": alert().json()},
    "a list": {"webhook": [ABOUT]},
    "whole names": FLAT,
    "a source, and a name": {"webhook": {"source": "sentry"}, "webhook.hook": "errors"},
    "attributes of OpenTelemetry": {"attributes": FLAT, "body": "x"},
    "its resource": {"resource": {"attributes": FLAT}},
    "its body": {"body": {"webhook": ABOUT}},
    "an event of Windows": {"Event": {"EventData": FLAT, "System": {"webhook": ABOUT}}},
    "an event of EventBridge": {"detail": {"webhook": ABOUT}},
}
DOORS = {"/v1/entries": "mallory", "/v1/logs": "mallory", "/services/collector": "hook/splunk-hec/errors"}


@pytest.fixture
def world(client: redis.Redis) -> Iterator[World]:
    """Wire everything, with a rule over alerts and a recipe for it."""
    found = World(RedisQueue(client), [Target("tell", "action")])
    found.push("rule", "sentry", RULE.encode())
    found.push("recipe", "r", recipe("r", "sentry", "tell", by=["alert.fingerprint"]))
    yield found
    found.close()


def _by(endpoint: str, subject: str, entry: object) -> Segment:
    context: dict[str, object] = {"service": "mallory", "endpoint": endpoint, "subject": subject}
    draft = Batch(bytes(16), [orjson.dumps(entry)], context).draft(0, bytes(32))
    return draft.place("mallory/0", Head.genesis("mallory/0"), 1)[0]


@pytest.mark.parametrize("endpoint", DOORS)
@pytest.mark.parametrize("form", FORGED)
def test_an_entry_by_another_door_is_no_alert_to_rules(world: World, form: str, endpoint: str) -> None:
    """It sets nothing off, and so takes no alert's place: what the webhook tells next is acted on."""
    assert world.detector.detect([_by(endpoint, DOORS[endpoint], FORGED[form])]).tasks == []
    # The message and its alert.
    assert len(world.detector.detect(sealed([[alert()]])).tasks) == 2


def test_a_webhook_of_another_name_is_another(world: World) -> None:
    """What its receiver says of it is in the entry, and rules ask for that."""
    for by in (("sentry", "others"), ("generic", "errors")):
        assert world.detector.detect(sealed([[alert()]], by=by)).tasks == []
