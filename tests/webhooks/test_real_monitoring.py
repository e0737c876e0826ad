"""Bodies that monitoring systems really send: each tells its alert, by a source or a mapping that ships."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
import pytest

from sentinel.core.alerts import Alert, Status
from sentinel.webhooks import SOURCES
from sentinel.webhooks.source import Unparsed
from tests.data import need

# folder: the source, and the mapping
HOW: Mapping[str, tuple[str, str]] = {
    "alertmanager": ("alertmanager", ""),
    "axiom": ("generic", "axiom"),
    "checkmk": ("generic", "checkmk"),
    "cloudevents": ("cloudevents", ""),
    "cloudwatch": ("generic", "cloudwatch"),
    "gcpmonitoring": ("generic", "gcpmonitoring"),
    "github": ("generic", "github"),
    "grafana": ("grafana", ""),
    "guardduty": ("guardduty", ""),
    "libre_nms": ("generic", "librenms"),
    "prometheus": ("alertmanager", ""),
    "signalfx": ("generic", "signalfx"),
    "sns": ("sns", ""),
    "splunk": ("splunk", ""),
    "stackdriver": ("generic", "gcpmonitoring"),
    "wazuh": ("generic", "wazuh"),
}
# file: (title, severity, status, fingerprint) that the sender means; "" for a name that is made here
TELLS = {
    "alertmanager/alerta_prometheus_v3_alert.json": ("Connect fail", "critical", "firing", ""),
    "alertmanager/alerta_prometheus_v4_alert.json": (
        "No things for over 10 minutes",
        "critical",
        "firing",
        "",
    ),
    "axiom/keep_mock.json": ("Triggered: New monitor", "unknown", "firing", ""),
    "checkmk/keep_mock.json": ("CheckMK server1 - DOWN -> UP", "info", "resolved", ""),
    # Events that are no alerts: they say nothing of how bad it is, or whether it goes on.
    "cloudevents/json_format_example_1.json": ("com.example.someevent", "unknown", "unknown", ""),
    "cloudevents/json_format_example_2.json": ("com.example.someevent", "unknown", "unknown", ""),
    "cloudevents/json_format_example_4.json": ("com.example.someevent", "unknown", "unknown", ""),
    "cloudevents/json_format_example_5.json": ("com.example.someevent", "unknown", "unknown", ""),
    "cloudwatch/keep_high_cpu_usage.json": ("HighCPUUsage", "warning", "firing", "HighCPUUsage"),
    "cloudwatch/keep_high_error_rate.json": ("APIErrorRate", "critical", "firing", "APIErrorRate"),
    "cloudwatch/keep_high_memory_usage.json": ("HighMemoryUsage", "error", "firing", "HighMemoryUsage"),
    "gcpmonitoring/keep_5xx_errors_production.json": (
        "High rate of 5XX errors detected in production environment",
        "critical",
        "firing",
        "prod-5xx-123",
    ),
    "gcpmonitoring/keep_database_latency.json": (
        "Database query latency above threshold",
        "warning",
        "firing",
        "db-345",
    ),
    "gcpmonitoring/keep_high_memory_usage.json": (
        "Memory usage exceeds 90% on production servers",
        "warning",
        "firing",
        "mem-234",
    ),
    "github/code_scanning_alert_created.json": (
        "Query built from user-controlled sources",
        "error",
        "firing",
        "https://github.com/Codertocat/Hello-World/security/code-scanning/10",
    ),
    "grafana/alerta_grafana_6.json": ("Testing -> Battery Voltage alert", "warning", "firing", ""),
    "grafana/alerta_grafana_alert_alerting.json": ("Zeta CPU alert", "unknown", "firing", ""),
    "grafana/docs_unified_firing.json": (
        "This alert was triggered for zone us-1",
        "unknown",
        "firing",
        "c6eadffa33fcdf37",
    ),
    "guardduty/eventbridge_finding_camel.json": (
        "198.51.100.7 is performing SSH brute force attacks against i-0abcd1234efgh5678.",
        "warning",
        "firing",
        "49514155ed6b4536b05649a87fc3c05a",
    ),
    "libre_nms/keep_mock.json": ("Device 10.10.1.147 recovered from Devices up/down", "info", "resolved", ""),
    "prometheus/keep_highcpuusage.json": ("CPU usage is over 90%", "critical", "firing", ""),
    "prometheus/keep_mqfull_message_queue_is_full_.json": (
        "Message queue is over 90% capacity",
        "critical",
        "firing",
        "",
    ),
    "prometheus/keep_mqthirdfull_message_queue_is_over_33_.json": (
        "Message queue is over 33% capacity",
        "warning",
        "firing",
        "",
    ),
    # Its texts say that it ended; its own state says that it goes on, and that is what a machine reads.
    "signalfx/keep_simulate.json": ("Manually resolved: logs (logs)", "critical", "firing", "1234"),
    "sns/http_notification_v2.json": ("Order created", "unknown", "unknown", ""),
    "splunk/docs_webhook_alert_action.json": ("Search of admin in search", "unknown", "firing", ""),
    "stackdriver/alerta_stackdriver_closed.json": (
        "CPU (agent) for webserver-85 is above the threshold of 1% with a value of 28.5%",
        "unknown",
        "resolved",
        "f2e08c333dc64cb09f75eaab355393bz",
    ),
    "stackdriver/alerta_stackdriver_open.json": (
        "CPU (agent) for webserver-85 is above the threshold of 1% with a value of 28.5%",
        "unknown",
        "firing",
        "f2e08c333dc64cb09f75eaab355393bz",
    ),
    "wazuh/keep_mock.json": ("New dpkg (Debian Package) installed.", "info", "firing", ""),
}
# Messages about work, not about what is wrong: known, and no alert.
SILENT = {"github/pull_request_opened.json", "github/push_payload.json"}
# Definitions of alert rules, as Grafana's interface for provisioning has them: no webhook sends these.
NONE = {"grafana/keep_highmemoryconsumption.json", "grafana/keep_networklatencyishigh.json"}


def tell(file: str) -> list[Alert]:
    """Return the alerts of a body by the source, or mapping, of its folder."""
    source, mapping = HOW[file.partition("/")[0]]
    made = SOURCES[source].make({"mapping": mapping} if mapping else {})
    return made.alerts({"content-type": "application/json"}, need("webhooks", *file.split("/")).read_bytes())


@pytest.mark.parametrize("file", TELLS)
def test_real_bodies(file: str) -> None:
    """Title, severity, status and fingerprint are those that the sender means."""
    (found,) = tell(file)
    title, severity, status, fingerprint = TELLS[file]
    assert (found.title, found.severity, found.status) == (title, severity, status)
    assert found.fingerprint == (fingerprint or found.fingerprint) != ""


def test_no_real_body_is_left_out() -> None:
    """Every file of these senders is looked at."""
    folder = need("webhooks")
    there = {f"{name}/{path.name}" for name in HOW for path in (folder / name).iterdir()}
    assert there == set(TELLS) | SILENT | NONE


@pytest.mark.parametrize("file", sorted(SILENT))
def test_what_tells_no_alert_is_known_to_tell_none(file: str) -> None:
    """A push and a pull request are kept, and not parked."""
    assert tell(file) == []


@pytest.mark.parametrize("file", sorted(NONE))
def test_what_is_no_message_is_parked(file: str) -> None:
    """The definition of a rule is no alert."""
    with pytest.raises(Unparsed):
        tell(file)


def test_one_problem_from_its_beginning_to_its_end() -> None:
    """An incident of Google's, open and closed: one fingerprint, one beginning, and then an end."""
    (opened,), (closed,) = (tell(f"stackdriver/alerta_stackdriver_{how}.json") for how in ("open", "closed"))
    assert (opened.fingerprint, opened.started) == (closed.fingerprint, closed.started)
    assert (opened.status, closed.status, opened.ended) == (Status.FIRING, Status.RESOLVED, 0)
    assert closed.ended - closed.started == 622 * 10**9


def test_problems_have_names_of_their_own() -> None:
    """No two of these bodies are one problem, but Google's incident."""
    names = [tell(file)[0].fingerprint for file in TELLS if "cloudevents" not in file]
    assert len(names) - len(set(names)) == 1


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        (
            {
                "state": "fixed",
                "fixed_at": "2026-03-01T10:00:00Z",
                "security_advisory": {"summary": "Overflow", "ghsa_id": "GHSA-x"},
                "security_vulnerability": {"severity": "high"},
            },
            ("Overflow", "error", "resolved"),
        ),
        (
            {"state": "open", "secret_type": "key", "secret_type_display_name": "A key"},
            ("A key", "unknown", "firing"),
        ),
    ],
    ids=["dependabot", "secret scanning"],
)
def test_alerts_of_github_that_no_real_body_is_there_for(
    alert: dict[str, object], told: tuple[str, str, str]
) -> None:
    """Dependabot and secret scanning, by GitHub's own names of fields."""
    body = orjson.dumps({"action": "x", "alert": {**alert, "html_url": "https://github.com/a/b/security/1"}})
    (found,) = SOURCES["generic"].make({"mapping": "github"}).alerts({}, body)
    assert (found.title, found.severity, found.status) == told
    assert found.fingerprint == found.link == "https://github.com/a/b/security/1"
