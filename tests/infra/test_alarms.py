"""The alarms: damage, failures and delays of every function are seen, and reach the topic that is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sentinel.entrypoints.limits import METRIC

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

TOPIC = "arn:aws:sns:eu-central-1:111122223333:pager"


def alarms(templates: Templates) -> list[dict[str, Any]]:
    """Return the properties of every alarm."""
    return [each["Properties"] for each in templates.of("AWS::CloudWatch::Alarm").values()]


def test_damage_raises_an_alarm_in_every_function(templates: Templates) -> None:
    """The metric that functions count damage in is watched under each function's own name, from the first."""
    watched = {
        each["Dimensions"][0]["Value"]
        for each in alarms(templates)
        if (each.get("Namespace"), each.get("MetricName")) == ("Sentinel", "tampered")
    }
    assert watched == templates.functions().keys()
    for each in alarms(templates):
        if each.get("MetricName") == "tampered":
            assert (each["Threshold"], each["Statistic"], each["Dimensions"][0]["Name"]) == (
                1,
                "Sum",
                "service",
            )


def test_failures_and_delays_raise_alarms(templates: Templates) -> None:
    """Errors of each function, records that a feed gave up, and feeds that fall behind are watched."""
    names = [each["MetricName"] for each in alarms(templates)]
    assert names.count("Errors") == len(templates.functions())
    assert names.count("ApproximateNumberOfMessagesVisible") == 2
    assert names.count("IteratorAge") == 2
    assert names.count("poison") == 1
    missing = {each["MetricName"] for each in alarms(templates) if each["TreatMissingData"] == "breaching"}
    assert missing == {"rounds"}
    assert {each["TreatMissingData"] for each in alarms(templates)} == {"notBreaching", "breaching"}


def test_missing_checkpoints_raise_alarms(templates: Templates) -> None:
    """No round in five minutes, a chain that no round has sealed in that time, and what rounds find."""
    found = {each["MetricName"]: each for each in alarms(templates) if "Dimensions" in each}
    for name, statistic, operator in (
        ("rounds", "Sum", "LessThanThreshold"),
        ("unsealed", "Minimum", "GreaterThanOrEqualToThreshold"),
        ("findings", "Sum", "GreaterThanOrEqualToThreshold"),
    ):
        alarm = found[name]
        assert alarm["Dimensions"] == [{"Name": "service", "Value": "seal"}]
        assert (alarm["Statistic"], alarm["ComparisonOperator"]) == (statistic, operator)
        assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["Threshold"]) == (300, 1, 1)


def test_doors_that_go_on_by_themselves_are_seen(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """Limits that are held without the common counter, and a daily round with a gap, raise alarms."""

    def watched(made: Templates, name: str) -> set[str]:
        return {each["Dimensions"][0]["Value"] for each in alarms(made) if each["MetricName"] == name}

    counting = {"ingest", "control", "token", "receive", "proxy"}
    assert watched(templates, METRIC) == counting
    assert not watched(synthesize(limits=False), METRIC)
    assert watched(templates, "incomplete") == {"rotate"}


@pytest.mark.nightly
def test_alarms_reach_the_topic_that_is_named(synthesize: Callable[..., Templates]) -> None:
    """With `alarm_topic` every alarm goes there; without it they only show."""
    told = [each.get("AlarmActions") for each in alarms(synthesize(alarm_topic=TOPIC))]
    assert told
    assert all(actions == [TOPIC] for actions in told)
    assert not any(each.get("AlarmActions") for each in alarms(synthesize()))
