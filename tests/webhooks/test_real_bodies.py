"""Bodies that senders really send: each tells its alert, and whatever is no alert is known to be none."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from sentinel.core.alert_history import decode, encode, fold
from sentinel.core.alert_notices import Key, Notice
from sentinel.core.alerts import Alert, Severity, Status
from sentinel.webhooks import SOURCES
from sentinel.webhooks.source import Unparsed
from tests.data import need

AZURE = (
    "/subscriptions/<subscription id>/providers/microsoft.alertsmanagement/alerts/"
    "aaaa0a0a-bb1b-cc2c-dd3d-eeeeee4e4e4e"
)
# file: (title, severity, status, fingerprint) of each alert that it tells
TELLS: dict[str, list[tuple[str, str, str, str]]] = {
    "sentry/docs_issue_created_substatus.json": [
        ("ReferenceError: blooopy is not defined", "error", "firing", "1170820242")
    ],
    "sentry/pagertree_issue.json": [
        ("ReferenceError: blooopy is not defined", "error", "firing", "1170820242")
    ],
    "sentry/pagertree_error.json": [
        ("ReferenceError: blooopy is not defined", "error", "firing", "1170820242")
    ],
    # Sentry does not say how bad something was that is over, where its rule has no triggers.
    "sentry/pagertree_metric_alert.json": [("Too many errors", "unknown", "resolved", "metric_alert/4")],
    "sentry/pagertree_webhook.json": [("ZeroDivisionError: divided by 0", "error", "firing", "4541177592")],
    "sentry/keep_browser_timeout.json": [("Failed to fetch user profile", "error", "firing", "4616132097")],
    "sentry/keep_database_timeout.json": [
        ("Failed to load product catalog", "error", "firing", "4616132099")
    ],
    "sentry/keep_server_overload.json": [("Order submission failed", "error", "firing", "4616132098")],
    "sentry/docs_comment_created.json": [],
    "sentry/docs_installation_created.json": [],
    "sentry/docs_seer_root_cause_completed.json": [],
    "sentry/docs_seer_root_cause_started.json": [],
    "datadog/keep_high_cpu_usage.json": [("High CPU Usage", "warning", "firing", "1234567890@")],
    "datadog/keep_low_disk_space.json": [("Low Disk Space", "info", "firing", "1234567891@")],
    "datadog/keep_mq_consumer_struggling.json": [
        ("MQ Consumer Is Struggling", "info", "firing", "1234567891@")
    ],
    "datadog/pagertree_generic_example.json": [("High CPU Usage", "error", "firing", "cpu-alert")],
    # Version 1 says nothing of how bad an incident is.
    "pagerduty/alerta_pagerduty_alert.json": [
        ("45645", "unknown", "acknowledged", "PIJ90N7"),
        ("45645", "unknown", "resolved", "PIJ90N7"),
    ],
    "pagerduty/docs_v3_3.json": [],
    "crowdstrike/detection_summary.json": [
        ("Execution: PowerShell", "error", "firing", "ldt:8f0b2c1d9e3a4f5b6c7d8e9f0a1b2c3d")
    ],
    "microsoft_sentinel/incident_created.json": [
        ("Sign-in from an unfamiliar location", "error", "firing", "22d80f17-3e6d-49a7-8cc4-ad88fc708c91")
    ],
    "azure_monitor/log_alerts_v2.json": [
        (
            "heartbeat-missing",
            "info",
            "firing",
            AZURE,
        )
    ],
    "azure_monitor/metric_resolved.json": [
        (
            "WCUS-R2-Gen2",
            "info",
            "resolved",
            AZURE,
        )
    ],
    "standard_webhooks/spec_contact_created.json": [],
}
# No bodies of webhooks: an object of an API, the value of one variable.
NONE = {"pagerduty/docs_v3_1.json", "datadog/docs_logs_sample.json"}
# What users paste at Datadog, before it is filled.
TEMPLATES = {"datadog/docs_default_template.json", "datadog/taskcall_template_security_incident.json"}
FOLDERS = {file.partition("/")[0] for file in TELLS}
FILLED = {
    "$EVENT_TITLE": "[Warn on {host:a}] Disk is full",
    "$EVENT_TYPE": "query_alert_monitor",
    "$EVENT_MSG": "90 %",
    "$ID": "6001",
    "$DATE": "1772359200123",
    "$LAST_UPDATED": "1772359200123",
    "$ORG_ID": "1",
    "$SECURITY_SIGNAL_TITLE": "Impossible travel",
    "$SECURITY_SIGNAL_SEVERITY": "high",
    "$SECURITY_SIGNAL_MSG": "two places",
    "$SECURITY_RULE_NAME": "travel",
    "$TAGS": "env:prod",
}


def tell(file: str, body: bytes) -> list[Alert]:
    """Return the alerts of a body by the source of its folder."""
    return SOURCES[file.partition("/")[0].replace("_", "-")].make({}).alerts({}, body)


@pytest.mark.parametrize("file", TELLS)
def test_real_bodies(file: str) -> None:
    """Title, severity, status and fingerprint are those that the sender means."""
    found = tell(file, need("webhooks", *file.split("/")).read_bytes())
    assert [(each.title, each.severity, each.status, each.fingerprint) for each in found] == TELLS[file]


def test_no_real_body_is_left_out() -> None:
    """Every file of these senders is looked at."""
    folder = need("webhooks")
    there = {f"{name}/{path.name}" for name in FOLDERS for path in (folder / name).iterdir()}
    assert there == set(TELLS) | NONE | TEMPLATES


@pytest.mark.parametrize("file", sorted(NONE | TEMPLATES))
def test_what_is_no_message_is_parked(file: str) -> None:
    """An API's object, the value of a variable, and templates that nobody filled."""
    body = need("webhooks", *file.split("/")).read_bytes()
    with pytest.raises(Unparsed):
        tell(file, body)


@pytest.mark.parametrize("file", sorted(TEMPLATES))
def test_templates_of_datadog_when_filled(file: str) -> None:
    """Others' templates tell their alert, too; what stays unfilled in them is absent."""
    template: dict[str, Any] = json.loads(need("webhooks", *file.split("/")).read_bytes())
    filled = {
        name: FILLED.get(value, value) if isinstance(value, str) else value
        for name, value in template.items()
    }
    (alert,) = tell(file, json.dumps(filled).encode())
    assert alert.status == Status.FIRING
    if "taskcall" in file:
        assert (alert.title, alert.severity) == ("Impossible travel", Severity.ERROR)
    else:
        assert (alert.title, alert.severity, alert.resource) == ("Disk is full", Severity.WARNING, "host:a")
    assert "$" not in json.dumps(alert.json())


def test_an_issue_and_its_error_are_one_problem() -> None:
    """Sentry tells of one issue in two ways, under one fingerprint."""
    files = ("sentry/pagertree_issue.json", "sentry/pagertree_error.json")
    assert len({TELLS[file][0][3] for file in files}) == 1


def test_real_bodies_fold_to_what_they_tell() -> None:
    """Each problem is one record, and what resolves it closes it: no sender's times keep it open."""
    need("webhooks")
    told: dict[str, list[Alert]] = {}
    for file in sorted(TELLS):
        for alert in tell(file, need("webhooks", *file.split("/")).read_bytes()):
            told.setdefault(f"{file.partition('/')[0]} {alert.fingerprint}", []).append(alert)
    assert len(told) > 10
    now = time.time_ns()
    closed = 0
    for problem, alerts in told.items():
        key = Key("shop", problem.partition(" ")[0], "hook", alerts[0].fingerprint)
        ordered = sorted(alerts, key=lambda each: each.status is Status.RESOLVED)
        record = fold(None, [Notice(key, now + n, "shop/0", n, each) for n, each in enumerate(ordered)])
        assert record is not None
        assert decode(encode(record)) == record
        assert record.notices == len(alerts)
        if ordered[-1].status is Status.RESOLVED:
            closed += 1
            assert record.status is Status.RESOLVED, problem
            assert record.ended
    assert closed >= 3
