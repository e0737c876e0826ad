"""Alerts through the API: proxy events in, answers out, on real SQLite stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from sentinel.bootstrap import App, bootstrap
from sentinel.core.access import Service, encode
from sentinel.core.alert_notices import Key
from sentinel.ports_doors import Record
from tests.alert_chains import alert, sealed
from tests.functions.test_api_handlers import app as app  # noqa: PLC0414 - a fixture
from tests.functions.test_api_handlers import event, load

Ask = Callable[..., tuple[int, Any]]
MINE = Key("checkout", "sentry", "errors", "disk-7").id
THEIRS = Key("other", "sentry", "errors", "disk-7").id


@pytest.fixture
def ask(app: App) -> Iterator[Ask]:
    """Send a request to the control function; return status and decoded body."""
    told = [[alert(), alert(name="cpu", severity="critical")], [alert("resolved")]]
    app.alert_folder.fold(sealed(told, "checkout/0"))
    app.alert_folder.fold(sealed([[alert()]], "other/0"))
    for name in ("checkout", "other"):
        assert app.registry.put(Record(Service.KIND, name, encode(Service(name))))
    handler = load("control")

    def ask(alert_id: str = "", scopes: str = "tasks:read", **query: str) -> tuple[int, Any]:
        resource = "/v1/alerts/{alert}" if alert_id else "/v1/alerts"
        params = {"alert": alert_id} if alert_id else None
        sent = event("GET", resource, b"", params=params, query=query)
        sent["requestContext"]["authorizer"] |= {"service": "checkout", "scopes": scopes}
        answer = handler(sent, None)
        return answer["statusCode"], orjson.loads(answer["body"])

    yield ask
    bootstrap.cache_clear()


def ids(answer: tuple[int, Any]) -> list[str]:
    """Return the ids of a list that was answered."""
    assert answer[0] == 200, answer
    return [each["id"] for each in answer[1]["alerts"]]


def test_a_service_sees_its_own_alerts(ask: Ask) -> None:
    """Those that its webhooks told, by status and severity, and no others."""
    assert ids(ask())[0] == MINE
    assert len(ids(ask())) == 2
    assert ids(ask(status="resolved")) == [MINE]
    assert len(ids(ask(severity="critical", status="firing"))) == 1
    assert ids(ask(severity="info")) == []
    assert ids(ask(service="checkout", status="resolved")) == [MINE]


def test_one_alert_with_its_history(ask: Ask) -> None:
    """One's own, the newest first; another's is as one that is not there."""
    status, found = ask(MINE)
    assert status == 200
    assert [each["status"] for each in found["history"]] == ["resolved", "firing"]
    assert ask(THEIRS)[0] == ask("a" * 26)[0] == ask("x" * 3_000)[0] == 404
    assert ask(THEIRS)[1] == ask("a" * 26)[1]


def test_an_admin_sees_everybodys(ask: Ask) -> None:
    """Of one service or of all; without the scope neither may be asked for."""
    assert ids(ask(scopes="tasks:read admin", service="other")) == [THEIRS]
    assert len(ids(ask(scopes="tasks:read admin", service="*"))) == 3
    assert ask(THEIRS, scopes="tasks:read admin")[0] == 200
    for name in ("other", "*"):
        assert ask(service=name)[0] == 403


def test_pages_follow_one_another(ask: Ask) -> None:
    """With what the page before said as `next`."""
    found: list[str] = []
    more: dict[str, str] = {}
    for _ in range(2):
        answer = ask(limit="1", **more)
        found += ids(answer)
        more = {"next": answer[1]["next"]}
    assert ids(ask(limit="1", **more)) == []
    assert len(set(found)) == 2


@pytest.mark.parametrize(
    "query", [{"status": "on"}, {"severity": "high"}, {"limit": "0"}, {"limit": "101"}, {"next": "1.2"}]
)
def test_what_cannot_be_asked_is_refused(ask: Ask, query: dict[str, str]) -> None:
    """With 400, and in words."""
    status, told = ask(**query)
    assert (status, told["error"]) == (400, "Malformed")
