"""Datadog's own ways: the template of the documentation, text in place of variables, forms."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlencode

import pytest

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.webhooks import SOURCES
from sentinel.webhooks.source import Unparsed

ROOT = Path(__file__).resolve().parents[2]
SOURCE = SOURCES["datadog"].make({})
FILLED = {
    "ID": "5001",
    "ALERT_ID": "42",
    "ALERT_CYCLE_KEY": "777",
    "ALERT_TRANSITION": "Triggered",
    "ALERT_TYPE": "error",
    "EVENT_TYPE": "log_alert",
    "EVENT_TITLE": "[P1] [Triggered on {host:web-1}] Refused payments",
    "TEXT_ONLY_MSG": "many",
    "ALERT_SCOPE": "host:web-1",
    "ALERT_PRIORITY": "P1",
    "TAGS": "env:prod,service:shop",
    "TAGS[service]": "shop",
    "TAGS[env]": "prod",
    "HOSTNAME": "web-1",
    "LINK": "https://app.datadoghq.example/monitors/42",
    "DATE": "1772359200123",
    "LAST_UPDATED": "1772359200123",
    "ORG_ID": "1",
}


def template() -> str:
    """Return the payload that docs/connectors.md says to paste."""
    text = (ROOT / "docs" / "connectors.md").read_text().partition("\n### datadog\n")[2]
    return text.partition("```json\n")[2].partition("```")[0]


def fill(values: dict[str, str]) -> bytes:
    """Return it as Datadog sends it: text in place of variables, where there is one."""
    return re.sub(r"\$([A-Z_]+(?:\[\w+\])?)", lambda m: values.get(m[1], m[0]), template()).encode()


def tell(body: bytes) -> Alert:
    """Return the alert of a body."""
    (alert,) = SOURCE.alerts({}, body)
    return alert


def test_the_template_of_the_documentation() -> None:
    """Every field comes through, and of what is not filled nothing."""
    assert set(json.loads(template())) == {*json.loads(fill(FILLED))}
    alert = tell(fill(FILLED))
    assert (alert.title, alert.severity, alert.status) == (
        "Refused payments",
        Severity.CRITICAL,
        Status.FIRING,
    )
    assert (alert.fingerprint, alert.sender_id, alert.kind) == ("777", "5001", "log_alert")
    assert (alert.resource, alert.service, alert.environment) == ("web-1", "shop", "prod")
    assert alert.started == alert.updated == 1772359200123000000
    assert alert.link == FILLED["LINK"]
    assert "$" not in json.dumps(alert.json())
    assert tell(fill({**FILLED, "ALERT_TRANSITION": "Recovered"})).fingerprint == alert.fingerprint


def test_a_signal_of_security() -> None:
    """The same template, filled with other variables."""
    signal = {
        "ID": "9",
        "SECURITY_SIGNAL_ID": "AQ",
        "SECURITY_SIGNAL_TITLE": "Travel",
        "EVENT_TITLE": "Travel",
    }
    alert = tell(fill({**signal, "SECURITY_SIGNAL_SEVERITY": "high", "SECURITY_RULE_NAME": "travel"}))
    assert (alert.title, alert.severity, alert.fingerprint) == ("Travel", Severity.ERROR, "AQ")
    assert alert.kind == "security_signal"


def test_a_value_that_breaks_the_json_parks_it() -> None:
    """Text stands in place of variables as it is: a quote in it ends the string."""
    with pytest.raises(Unparsed, match="not JSON"):
        SOURCE.alerts({}, fill({**FILLED, "ALERT_QUERY": 'logs("status:error")'}))


def test_a_form() -> None:
    """The option "Encode as form" sends fields, or the payload in one."""
    fields = json.loads(fill(FILLED))
    alert = tell(fill(FILLED))
    assert tell(urlencode(fields).encode()) == alert
    assert tell(urlencode({"payload": fill(FILLED).decode()}).encode()) == alert
    with pytest.raises(Unparsed):
        SOURCE.alerts({}, "title=Größe".encode())


@pytest.mark.parametrize(
    ("title", "kept", "status"),
    [
        ("[Triggered] CPU", "CPU", Status.FIRING),
        ("[P3] [Recovered on {host:a,b:c}] CPU", "CPU", Status.RESOLVED),
        ("[Warn Recovered] CPU", "CPU", Status.RESOLVED),
        ("[Re-Triggered on {host:a}] [team] CPU", "[team] CPU", Status.FIRING),
        ("[team] CPU", "[team] CPU", Status.FIRING),
        ("[Triggered]", "[Triggered]", Status.FIRING),
        ("CPU [Recovered]", "CPU [Recovered]", Status.FIRING),
    ],
)
def test_titles(title: str, kept: str, status: Status) -> None:
    """What Datadog puts before a title is taken off, and what the user put there is not."""
    alert = tell(json.dumps({"title": title}).encode())
    assert (alert.title, alert.status) == (kept, status)


@pytest.mark.parametrize(
    ("told", "severity"),
    [
        ({"priority": "P4", "alert_type": "error"}, Severity.INFO),
        ({"priority": 1}, Severity.CRITICAL),
        ({"priority": "normal", "alert_type": "warning"}, Severity.WARNING),
        ({"priority": "normal"}, Severity.UNKNOWN),
        ({"priority": "P1", "transition": "Re-Warn"}, Severity.WARNING),
        ({"priority": "P1", "transition": "Warn Recovered"}, Severity.CRITICAL),
        ({"transition": "Triggered"}, Severity.ERROR),
        ({"incident_severity": "SEV-1"}, Severity.CRITICAL),
        ({"alert_type": "success"}, Severity.UNKNOWN),
    ],
)
def test_severities(told: dict[str, object], severity: Severity) -> None:
    """A monitor's priority counts before the type of its alert; a warning is one whatever the priority."""
    assert tell(json.dumps({"title": "CPU", **told}).encode()).severity == severity
