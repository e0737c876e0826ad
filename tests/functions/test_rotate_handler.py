"""The function that rotates: Secrets Manager's events, the daily round, and `GET /v1/services`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Service
from sentinel.core.ring import Ring
from sentinel.entrypoints.api_doors import DOOR_ENDPOINTS
from sentinel.entrypoints.rotation import name_of
from sentinel.entrypoints.web import Identity, Request
from sentinel.errors import Conflict, Malformed, Unavailable
from tests.functions.test_api_handlers import load

ARN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:"
TOKEN = "0b5b1e2c-" + "0" * 27


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """An application of its own, below a temporary folder."""
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("SENTINEL_DOOR_PREFIX", "acme/doors/")
    bootstrap.cache_clear()
    made = bootstrap()
    made.services.add(Service("checkout", scopes=("admin",)))
    yield made
    bootstrap.cache_clear()


def event(step: str, name: str, token: str = TOKEN) -> dict[str, Any]:
    """Return what Secrets Manager sends."""
    return {"Step": step, "SecretId": f"{ARN}acme/doors/{name}-a1B2c3", "ClientRequestToken": token}


def test_four_steps_bring_a_new_key(app: App) -> None:
    """Secrets Manager's four events give a service a new key."""
    handler = load("rotate")
    old = app.door_secrets.value("services.checkout")
    app.door_secrets.put("services.checkout", TOKEN, app.rotation._keys.fresh("", 0, False))
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        assert handler(event(step, "services.checkout"), None) == {"step": step, "name": "services.checkout"}
    assert app.door_secrets.value("services.checkout") != old
    assert len(app.services.keys("checkout")) == 2


def test_a_step_that_fails_raises(app: App) -> None:
    """Secrets Manager learns of a failure by the exception alone."""
    handler = load("rotate")
    with pytest.raises(Conflict):
        handler(event("createSecret", "services.checkout"), None)
    with pytest.raises(Malformed):
        handler({**event("createSecret", "x"), "SecretId": "services.checkout"}, None)


@pytest.mark.parametrize(
    ("secret", "name"),
    [
        (f"{ARN}acme/signing-keys-a1B2c3", "signing-keys"),
        (f"{ARN}acme/services.a-bcdefg-a1B2c3", "services.a-bcdefg"),
        (f"{ARN}acme/services.=5rG65riI-a1B2c3", "services.=5rG65riI"),
        ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:acme/hooks.a-a1B2c3", "hooks.a"),
    ],
)
def test_the_name_in_an_arn(secret: str, name: str) -> None:
    """The name is what stands between the deployment's prefix and the six random characters."""
    assert name_of(secret, "acme/") == name


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "acme/signing-keys",
        f"{ARN}acme/signing-keys",
        f"{ARN}other/signing-keys-a1B2c3",
        f"{ARN}-a1B2c3\n",
    ],
)
def test_an_arn_of_something_else(secret: str) -> None:
    """What names no secret of the doors is refused."""
    with pytest.raises(Malformed):
        name_of(secret, "acme/")


def test_the_daily_round(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It rotates what is old and publishes the roots in force; one goes on where the other fails."""
    from sentinel.local.certificates import ensure_ca

    handler = load("rotate")
    scheduled: dict[str, Any] = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    assert handler(scheduled, None) == {"rotated": [], "truststore": ""}
    app.rotation.ensure_signing_keys()
    ensure_ca(app)
    store = tmp_path / "ca" / "roots.pem"
    store.unlink(missing_ok=True)
    done = handler(scheduled, None)
    assert done["rotated"] == []
    assert len(done["truststore"]) == 64
    assert "BEGIN CERTIFICATE" in store.read_text()
    assert handler(scheduled, None) == done
    later = app.rotation._clock() + 100 * 86_400
    app.rotation._clock = lambda: later

    def away() -> list[str]:
        raise Unavailable("the registry is away")

    monkeypatch.setattr(app.authority, "published", away)
    done = handler(scheduled, None)
    assert done == {"rotated": ["signing-keys", "services.checkout"], "failed": ["truststore"]}
    assert len(Ring.decode(app.door_secrets.value("signing-keys")).keys) == 2


def test_services_are_listed_without_secrets(app: App) -> None:
    """`GET /v1/services` tells rights and the ids of keys, never a key, its hash or a usage key."""
    request = Request("GET", "/v1/services", Identity("checkout", scopes=frozenset({"admin"})), "r1")
    answer = DOOR_ENDPOINTS["GET", "/v1/services"](app, request)
    [told] = orjson.loads(answer.body)["services"]
    service, [key] = app.services.show("checkout"), app.services.keys("checkout")
    assert told == {
        "id": "checkout",
        "tier": "standard",
        "scopes": ["admin"],
        "disabled": False,
        "lanes": 1,
        "lanes_before": [],
        "masking": "none",
        "encryption": "store",
        "archive_days": 0,
        "identities": [],
        "created": service.created,
        "keys": [{"id": key.id, "since": key.since, "until": 0}],
    }
    for secret in (app.door_secrets.value("services.checkout"), key.digest, service.usage):
        assert secret.encode() not in answer.body
