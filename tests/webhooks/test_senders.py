"""What holds for every kind of sender: who proves itself, what is refused, and what its messages tell."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.core.alerts import Alert, Status, Unparsed
from sentinel.core.entry import MAX_ENTRY_BYTES, problem
from sentinel.errors import Unauthenticated
from sentinel.ports_doors import Delivery
from sentinel.usecases.alert_entries import alert_entries
from sentinel.webhooks import SOURCES
from tests.data import need
from tests.webhooks.senders import NOW, OTHER, SECRET, SENDERS, Headers, Sender

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "webhooks"
NAMES = sorted(SENDERS)
# The real bodies of each source: the folder, and the options that go with it.
REAL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "alertmanager": ("alertmanager", {}),
    "prometheus": ("alertmanager", {}),
    "grafana": ("grafana", {}),
    "splunk": ("splunk", {}),
    "guardduty": ("guardduty", {}),
    "cloudevents": ("cloudevents", {}),
    "sns": ("sns", {}),
    "wazuh": ("generic", {"mapping": "wazuh"}),
    "checkmk": ("generic", {"mapping": "checkmk"}),
    "libre_nms": ("generic", {"mapping": "librenms"}),
    "signalfx": ("generic", {"mapping": "signalfx"}),
    "gcpmonitoring": ("generic", {"mapping": "gcpmonitoring"}),
    "stackdriver": ("generic", {"mapping": "gcpmonitoring"}),
    "cloudwatch": ("generic", {"mapping": "cloudwatch"}),
    "axiom": ("generic", {"mapping": "axiom"}),
}
# Definitions of alert rules, as an interface for provisioning has them: no webhook sends these.
NO_WEBHOOKS = {"grafana/keep_highmemoryconsumption.json", "grafana/keep_networklatencyishigh.json"}


def passes(sender: Sender, headers: Headers, body: bytes, secrets: list[str] | None = None) -> bool:
    """Whether a message is taken."""
    try:
        sender.make().verify(headers, body, [SECRET] if secrets is None else secrets, NOW)
    except Unauthenticated:
        return False
    return True


def told(sender: Sender, body: bytes) -> list[Alert]:
    """Return the alerts of a message that this sender sends."""
    return sender.make().alerts(sender.prove(SECRET, body), body)


@pytest.mark.parametrize("name", NAMES)
def test_a_genuine_message_passes(name: str) -> None:
    """With the one secret, and with either of two while one rotates."""
    sender = SENDERS[name]
    headers = sender.prove(SECRET, sender.firing)
    assert sender.make().usable(SECRET)
    for secrets in ([SECRET], [OTHER, SECRET], [SECRET, OTHER]):
        assert passes(sender, headers, sender.firing, secrets)


@pytest.mark.parametrize("name", [name for name in NAMES if SENDERS[name].secret])
def test_a_wrong_secret_is_refused(name: str) -> None:
    """Another secret, one that is cut, none at all, and secrets that are none."""
    sender = SENDERS[name]
    for secret in (OTHER, SECRET[:-1], SECRET + "x", SECRET.upper(), "", " "):
        assert not passes(sender, sender.prove(secret, sender.firing), sender.firing)
    genuine = sender.prove(SECRET, sender.firing)
    for secrets in ([], [OTHER], [""], [" "]):
        assert not passes(sender, genuine, sender.firing, secrets)
    for secret in ("", "short"):
        assert not sender.make().usable(secret)
        assert not passes(sender, sender.prove(secret, sender.firing), sender.firing, [secret])


@pytest.mark.parametrize("name", [name for name in NAMES if SENDERS[name].secret])
def test_each_header_that_proves_is_needed_and_may_come_once(name: str) -> None:
    """Without it, with a part of it or with more nothing passes; and the door knows which it may not see twice."""
    sender = SENDERS[name]
    headers = sender.prove(SECRET, sender.firing)
    proving = [each for each in headers if each != "content-type"]
    assert proving
    assert set(headers) <= set(sender.make().proof) | {"content-type"}
    for each in proving:
        assert not passes(
            sender, {key: value for key, value in headers.items() if key != each}, sender.firing
        )
        for wrong in ("", headers[each][:-1], headers[each] + "0", "x" + headers[each], "ü€"):
            assert not passes(sender, {**headers, each: wrong}, sender.firing)


@pytest.mark.parametrize("name", [name for name in NAMES if SENDERS[name].signs])
def test_an_altered_body_is_refused(name: str) -> None:
    """Another message, an empty one, more bytes, and the same JSON written otherwise."""
    sender = SENDERS[name]
    headers = sender.prove(SECRET, sender.firing)
    changed = sender.firing.replace(b"a", b"b", 1)
    for body in (changed, b"", sender.firing[:-1], b"[]", b"null"):
        assert not passes(sender, headers, body)
    if sender.secret:  # SNS signs what it says, not how it is written
        for body in (sender.another, sender.firing + b" "):
            assert not passes(sender, headers, body)


@pytest.mark.parametrize("name", NAMES)
def test_a_replay_is_recognised(name: str) -> None:
    """A message that is sent again has the same id, and another message has another."""
    sender = SENDERS[name]
    source = sender.make()

    def id_of(body: bytes) -> str:
        return source.message(sender.prove(SECRET, body), body)

    assert id_of(sender.firing) == id_of(sender.firing)
    bodies = {sender.firing, sender.another, *filter(None, [sender.resolved])}
    assert len({id_of(body) for body in bodies}) == len(bodies)
    assert all(1 <= len(id_of(body)) <= 600 for body in [*bodies, b"", b"{}", b"\xff"])


@pytest.mark.parametrize("name", NAMES)
def test_a_problem_is_one_from_its_beginning_to_its_end(name: str) -> None:
    """The end has the fingerprint of the beginning, and another problem has another."""
    sender = SENDERS[name]
    firing = told(sender, sender.firing)
    assert firing
    assert {each.status for each in firing} == {Status.FIRING}
    if sender.resolved is not None:
        resolved = told(sender, sender.resolved)
        assert {each.status for each in resolved} == {Status.RESOLVED}
        assert [each.fingerprint for each in resolved] == [each.fingerprint for each in firing]
        assert told(sender, sender.another)[0].fingerprint != firing[0].fingerprint


@pytest.mark.parametrize("name", NAMES)
def test_alerts_are_as_written_down(name: str) -> None:
    """What a message tells is the golden, to the letter."""
    sender = SENDERS[name]
    found = {"firing": [each.json() for each in told(sender, sender.firing)]}
    if sender.resolved is not None:
        found["resolved"] = [each.json() for each in told(sender, sender.resolved)]
    text = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()
    golden = GOLDENS / f"{name}.json"
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


def test_every_golden_is_of_a_sender() -> None:
    """No golden is left of a sender that is gone, and senders are of sources that there are."""
    assert {path.stem for path in GOLDENS.glob("*.json")} >= set(SENDERS)
    assert {sender.source for sender in SENDERS.values()} <= set(SOURCES)


@pytest.mark.parametrize("name", NAMES)
def test_what_another_source_sends_is_parked(name: str) -> None:
    """A body of another shape, and one that is nothing, is `Unparsed`: kept, and not taken for an alert."""
    sender = SENDERS[name]
    source = sender.make()
    others = {
        each.firing
        for each in SENDERS.values()
        if each.source not in {sender.source, *sender.like} and each.source != "generic"
    }
    for body in [*others, b"", b"{}", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{", b"[" * 5000, b"\x00"]:
        with pytest.raises(Unparsed) as reason:
            source.alerts(sender.prove(SECRET, body), body)
        assert 5 <= len(str(reason.value)) <= 300


def _mutated(value: Any, path: list[int], new: Any) -> Any:
    """Return a JSON value with something else at a place that the numbers lead to."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    step, rest = path[0], path[1:]
    if isinstance(value, dict):
        name = sorted(value)[step % len(value)]
        return {**value, name: _mutated(value[name], rest, new)}
    at = step % len(value)
    return [*value[:at], _mutated(value[at], rest, new), *value[at + 1 :]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    path=st.lists(st.integers(0, 30), max_size=6), new=JSON, cut=st.integers(0, 5000), broken=st.booleans()
)
def test_whatever_comes_is_told_or_parked(
    name: str, path: list[int], new: Any, cut: int, broken: bool
) -> None:
    """A body with anything anywhere, or that breaks off, gives alerts that can be stored, or is parked."""
    sender = SENDERS[name]
    source = sender.make()
    body = orjson.dumps(_mutated(orjson.loads(sender.firing), path, new))
    body = body[:cut] if broken else body
    headers = sender.prove(SECRET, body)
    passes(sender, headers, body)
    delivery = Delivery(sender.source, "h", source.message(headers, body))
    try:
        alerts = source.alerts(headers, body)
    except Unparsed:
        alerts = []
    for entry in [*source.entries(delivery, body), *alert_entries(delivery, alerts)]:
        assert problem(entry) is None
        assert len(entry) <= MAX_ENTRY_BYTES


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=100, deadline=None)
@given(
    headers=st.dictionaries(
        st.sampled_from(["name", "content-type", "ce-id", "ce-type"]), st.text(), max_size=4
    )
)
def test_headers_of_any_text_are_refused_in_words(name: str, headers: dict[str, str]) -> None:
    """No text in a header raises anything but the refusal."""
    sender = SENDERS[name]
    if not sender.secret:
        return
    source = sender.make()
    text = headers.pop("name", "")
    everywhere = {each: text for each in source.proof} | headers
    assert not passes(sender, everywhere, sender.firing)


@pytest.mark.parametrize("folder", sorted(REAL))
def test_real_bodies_tell_correct_alerts(folder: str) -> None:
    """Every body that a sender's own documentation or tests have gives one alert that can be worked with."""
    name, options = REAL[folder]
    source = SOURCES[name].make(options)
    checked = 0
    for path in sorted(need("webhooks", folder).glob("*.json")):
        if f"{folder}/{path.name}" in NO_WEBHOOKS:
            with pytest.raises(Unparsed):
                source.alerts({"content-type": "application/json"}, path.read_bytes())
            continue
        (alert,) = source.alerts({"content-type": "application/json"}, path.read_bytes())
        assert alert.title not in {"", "(no title)"}
        assert alert.fingerprint
        assert (alert.severity.value, alert.status.value) == EXPECTED[f"{folder}/{path.stem}"]
        checked += 1
    assert checked


def test_real_bodies_of_one_problem_share_its_fingerprint() -> None:
    """Opened and closed, by Google's own incident."""
    source = SOURCES["generic"].make({"mapping": "gcpmonitoring"})
    opened, closed = (
        source.alerts({}, need("webhooks", "stackdriver", f"alerta_stackdriver_{how}.json").read_bytes())[0]
        for how in ("open", "closed")
    )
    assert (opened.fingerprint, opened.started) == (closed.fingerprint, closed.started)
    assert (opened.status, closed.status) == (Status.FIRING, Status.RESOLVED)
    assert closed.ended > closed.started


# Severity and status of each real body, read by eye.
EXPECTED = {
    "alertmanager/alerta_prometheus_v3_alert": ("critical", "firing"),
    "alertmanager/alerta_prometheus_v4_alert": ("critical", "firing"),
    "prometheus/keep_highcpuusage": ("critical", "firing"),
    "prometheus/keep_mqfull_message_queue_is_full_": ("critical", "firing"),
    "prometheus/keep_mqthirdfull_message_queue_is_over_33_": ("warning", "firing"),
    "grafana/alerta_grafana_6": ("warning", "firing"),
    "grafana/alerta_grafana_alert_alerting": ("unknown", "firing"),
    "grafana/docs_unified_firing": ("unknown", "firing"),
    "splunk/docs_webhook_alert_action": ("unknown", "firing"),
    "guardduty/eventbridge_finding_camel": ("warning", "firing"),
    "cloudevents/json_format_example_1": ("unknown", "unknown"),
    "cloudevents/json_format_example_2": ("unknown", "unknown"),
    "cloudevents/json_format_example_4": ("unknown", "unknown"),
    "cloudevents/json_format_example_5": ("unknown", "unknown"),
    "sns/http_notification_v2": ("unknown", "unknown"),
    "wazuh/keep_mock": ("info", "firing"),
    "checkmk/keep_mock": ("info", "resolved"),
    "libre_nms/keep_mock": ("info", "resolved"),
    "signalfx/keep_simulate": ("critical", "firing"),
    "gcpmonitoring/keep_5xx_errors_production": ("critical", "firing"),
    "gcpmonitoring/keep_database_latency": ("warning", "firing"),
    "gcpmonitoring/keep_high_memory_usage": ("warning", "firing"),
    "stackdriver/alerta_stackdriver_open": ("unknown", "firing"),
    "stackdriver/alerta_stackdriver_closed": ("unknown", "resolved"),
    "cloudwatch/keep_high_cpu_usage": ("warning", "firing"),
    "cloudwatch/keep_high_error_rate": ("critical", "firing"),
    "cloudwatch/keep_high_memory_usage": ("error", "firing"),
    "axiom/keep_mock": ("unknown", "firing"),
}
