"""What sinks tell is what the published schemas of ECS and OCSF say, for log entries and for alerts."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.siem import ecs, ocsf
from sentinel.siem.sink import Notice
from tests.contracts.test_sinks import GOLDENS, NOTICE, NOTICES, delivered

FIELDS: Mapping[str, Mapping[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[1] / "vectors" / "ecs.json").read_text()
)["fields"]
ALERT = Alert(
    title="HighErrorRate",
    severity=Severity.CRITICAL,
    status=Status.FIRING,
    fingerprint="5f2a",
    kind="metric",
    description="more than 5% of requests fail",
    link="https://prometheus.example.com/graph?g0",
    resource="checkout-7f9c",
    service="checkout",
    environment="production",
    started=1_732_435_100_000_000_000,
    labels={"team": "shop"},
    sender_id="x",
)


def told(alert: Alert) -> Notice:
    """Return a notice of an alert as a webhook's message leaves it in the ledger."""
    place = {"source": "alertmanager", "hook": "main", "id": "m1", "alert": 0}
    return replace(NOTICE, entry=orjson.dumps({"webhook": place, "alert": alert.json()}))


FIRING = told(ALERT)
RESOLVED = told(replace(ALERT, status=Status.RESOLVED, ended=1_732_435_300_000_000_000))
EXAMPLES = [*NOTICES, FIRING, RESOLVED]
# What a delivery tells: no task, no recipe, and a rule only where the plan asks for matches.
EXAMPLES += [delivered(each) for each in (*NOTICES, FIRING)] + [
    replace(delivered(NOTICE), rule="r1", title="T")
]
DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below, max_size=3),
    max_leaves=6,
)
entries = st.one_of(
    st.binary(max_size=40),
    st.dictionaries(st.sampled_from(["msg", "message", "event", "x"]), anything).map(orjson.dumps),
    st.fixed_dictionaries(
        {
            "webhook": st.fixed_dictionaries({}, optional={"source": anything}),
            "alert": st.fixed_dictionaries({}, optional=dict.fromkeys(asdict(ALERT), anything)),
        }
    )
    .map(json.dumps)
    .map(lambda text: text.encode(errors="replace")),
)


def leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    """Yield the fields of a document by their names with dots."""
    if isinstance(value, dict) and FIELDS.get(name, {}).get("type") != "object":
        for key, each in value.items():
            yield from leaves(each, f"{name}.{key}".lstrip("."))
    else:
        yield name, value


def check_ecs(document: Mapping[str, object]) -> None:
    """Assert that every field is one of the schema's, of its type, and one of its values."""
    for name, value in leaves(document):
        field = FIELDS[name]
        if field["type"] == "object":
            assert name == "labels"
            assert isinstance(value, dict)
            assert all(isinstance(each, str) and "." not in key for key, each in value.items())
            continue
        assert not field.get("array")
        if field["type"] == "date":
            assert DATE.fullmatch(str(value)), name
        elif field["type"] == "long":
            assert type(value) is int, name
        else:
            assert isinstance(value, str), name
            assert value in field.get("allowed", [value]), name


@cache
def findings() -> jsonschema_rs.Validator:
    """Return the schema of the class Detection Finding, with all objects and nothing that is not in it."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    found = schema.get_class_schema(class_name=schema.lookup_class_name_from_uid(ocsf.CLASS), profiles=[])
    assert found["additionalProperties"] is False
    return jsonschema_rs.validator_for(found)


def problems(finding: Mapping[str, object]) -> list[str]:
    """Return what a finding has that its class has not."""
    return [each.message for each in findings().iter_errors(json.loads(orjson.dumps(finding)))]


@pytest.mark.parametrize("notice", EXAMPLES, ids=range(len(EXAMPLES)))
def test_a_document_is_of_the_elastic_common_schema(notice: Notice) -> None:
    """Every field is one of the published ones, with its type and, where there is a list, a value of it."""
    check_ecs(ecs.document(notice))


def test_the_version_is_the_one_that_is_checked() -> None:
    """`ecs.version` says which schema a document keeps to."""
    about = json.loads((Path(__file__).resolve().parents[1] / "vectors" / "ecs.json").read_text())["about"]
    assert f"@elastic/ecs {ecs.VERSION} " in about


@pytest.mark.parametrize("notice", EXAMPLES, ids=range(len(EXAMPLES)))
def test_a_finding_is_of_the_open_cybersecurity_schema(notice: Notice) -> None:
    """All that the class requires, nothing that it does not know, and enumerations as it has them."""
    assert problems(ocsf.finding(notice)) == []


@given(entry=entries, level=st.sampled_from(["", "low", "high", "odd"]), title=st.sampled_from(["", "A"]))
def test_any_entry_fits_both_schemas(entry: bytes, level: str, title: str) -> None:
    """Whatever an entry or an alert holds, the mapping is valid and has the event's id."""
    notice = replace(NOTICE, entry=entry, level=level, title=title)
    document = ecs.document(notice)
    check_ecs(document)
    finding = ocsf.finding(notice)
    assert problems(finding) == []
    assert json.loads(orjson.dumps(document))["event"]["id"] == notice.id
    assert json.loads(orjson.dumps(finding))["metadata"]["uid"] == notice.id


@pytest.mark.parametrize(
    "change",
    [{"severity_id": 7}, {"class_uid": 2003}, {"time": "now"}, {"colour": "red"}, {"finding_info": {}}],
    ids=str,
)
def test_the_check_of_findings_can_fail(change: dict[str, object]) -> None:
    """A value that is not one of an enumeration, an unknown attribute and a missing one are all found."""
    assert problems(ocsf.finding(NOTICE) | change)


@pytest.mark.parametrize(
    "change",
    [{"event": {"kind": "alarm"}}, {"event": {"severity": "high"}}, {"colour": "red"}, {"@timestamp": "now"}],
    ids=str,
)
def test_the_check_of_documents_can_fail(change: dict[str, object]) -> None:
    """A value that is not allowed, a wrong type and an unknown field are all found."""
    with pytest.raises((AssertionError, KeyError)):
        check_ecs(change)


@pytest.mark.parametrize("name", ["ecs", "ocsf"])
def test_a_mapping_of_an_alert_is_its_golden(name: str) -> None:
    """An alert that fires and one that is resolved, in each schema: a change of the mapping shows."""
    mapped: Mapping[str, Callable[[Notice], dict[str, object]]] = {"ecs": ecs.document, "ocsf": ocsf.finding}
    found = orjson.dumps([mapped[name](each) for each in (FIRING, RESOLVED)], option=orjson.OPT_INDENT_2)
    golden = GOLDENS / f"alert.{name}.json"
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.write_bytes(found)
    assert found == golden.read_bytes()


def test_an_alert_says_in_ecs_what_it_is() -> None:
    """The alert's own words, link, times and service are in the schema's fields, the rest is a label."""
    found = json.loads(orjson.dumps(ecs.document(FIRING)))
    assert found["message"] == "HighErrorRate"
    assert found["service"] == {"name": "checkout", "environment": "production"}
    assert found["event"]["provider"] == "alertmanager"
    assert found["event"]["reason"] == "more than 5% of requests fail"
    assert found["event"]["url"] == "https://prometheus.example.com/graph?g0"
    assert found["event"]["start"] == "2024-11-24T07:58:20.000000000Z"
    assert "end" not in found["event"]
    assert found["log"] == {"level": "critical"}
    assert found["labels"]["alert_fingerprint"] == "5f2a"


def test_an_alert_that_is_over_closes_its_finding() -> None:
    """Firing and resolved are one finding, created and closed."""
    opened, closed = ocsf.finding(FIRING), ocsf.finding(RESOLVED)
    assert [each["type_uid"] for each in (opened, closed)] == [200401, 200403]
    assert [each["status"] for each in (opened, closed)] == ["New", "Resolved"]
    infos = [json.loads(orjson.dumps(each))["finding_info"] for each in (opened, closed)]
    assert infos[0]["uid"] == infos[1]["uid"] == "5f2a"
    assert infos[1]["last_seen_time"] == 1_732_435_300_000
