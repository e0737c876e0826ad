"""Feeds and schedules as deployed: nothing is dropped in silence, everything runs again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from sentinel.bootstrap_encryption import FEED_SECONDS

if TYPE_CHECKING:
    from tests.infra.conftest import Templates


def _feeds(templates: Templates) -> dict[str, dict[str, Any]]:
    functions = templates.of("AWS::Lambda::Function")
    return {
        functions[feed["Properties"]["FunctionName"]["Ref"]]["Properties"]["Description"].split(": ")[
            1
        ]: feed["Properties"]
        for feed in templates.of("AWS::Lambda::EventSourceMapping").values()
    }


@pytest.mark.parametrize(("verb", "table"), [("detect", "ledger"), ("dispatch", "tasks")])
def test_feeds_lose_nothing_in_silence(templates: Templates, verb: str, table: str) -> None:
    """A feed begins at the oldest record, halves and bounds its tries, and points to what it gave up."""
    feed = _feeds(templates)[verb]
    assert templates.text(feed["EventSourceArn"]) == f"{templates.table(table)}/stream/now"
    assert feed["StartingPosition"] == "TRIM_HORIZON"
    assert feed["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert feed["BisectBatchOnFunctionError"] is True
    # Of what a rule may still find nothing is given up for the number of tries: the age decides.
    assert feed["MaximumRetryAttempts"] == {"detect": 10_000, "dispatch": 5}[verb]
    # A record that no code can get through keeps its shard waiting so long at most: of 24 hours that it has.
    assert 3600 <= feed["MaximumRecordAgeInSeconds"] <= 2 * 3600
    assert feed["BatchSize"] == 100
    queue = feed["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
    assert queue in templates.of("AWS::SQS::Queue")


def test_an_erasure_knows_how_long_detection_may_be_behind(templates: Templates) -> None:
    """Until a record is given up, and for one call more, detection may make something of what was erased."""
    feed = _feeds(templates)["detect"]
    function = templates.of("AWS::Lambda::Function")[feed["FunctionName"]["Ref"]]["Properties"]
    assert feed["MaximumRecordAgeInSeconds"] + function["Timeout"] <= FEED_SECONDS


def test_the_queue_of_detections_failures_is_told(templates: Templates) -> None:
    """An output names the queue that `sentinel detect --failures` is given."""
    (queue,) = (
        feed["DestinationConfig"]["OnFailure"]["Destination"]["Fn::GetAtt"][0]
        for verb, feed in _feeds(templates).items()
        if verb == "detect"
    )
    output = templates.stack("SentinelService")["Outputs"]["DetectFailuresUrl"]
    assert output["Value"] == {"Ref": queue}


def test_there_are_two_feeds(templates: Templates) -> None:
    """Detect and dispatch are the only readers of streams."""
    assert _feeds(templates).keys() == {"detect", "dispatch"}


def test_detect_sees_every_change(templates: Templates) -> None:
    """Nothing is filtered from the ledger's feed: a changed or removed item must raise the alarm."""
    assert "FilterCriteria" not in _feeds(templates)["detect"]


def test_dispatch_is_woken_for_queued_tasks_only(templates: Templates) -> None:
    """Lineage, effects and other states do not wake dispatch."""
    import json

    (entry,) = _feeds(templates)["dispatch"]["FilterCriteria"]["Filters"]
    assert json.loads(entry["Pattern"]) == {
        "dynamodb": {"Keys": {"item": {"S": ["state"]}}, "NewImage": {"state": {"S": ["queued"]}}}
    }


@pytest.mark.nightly
def test_detection_can_be_widened(synthesize: Callable[..., Templates]) -> None:
    """The option sets how many batches of one shard are in work at once, for detect alone."""
    feeds = _feeds(synthesize(detect_parallelism=4))
    assert (feeds["detect"]["ParallelizationFactor"], feeds["dispatch"]["ParallelizationFactor"]) == (4, 1)


def test_failure_queues_are_encrypted_and_private(templates: Templates) -> None:
    """Queues of failures are encrypted, keep messages for 14 days, and refuse plain connections."""
    queues = templates.of("AWS::SQS::Queue")
    assert queues
    for queue in queues.values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True
        assert queue["Properties"]["MessageRetentionPeriod"] == 14 * 86400
    guarded = {
        policy["Properties"]["Queues"][0]["Ref"]
        for policy in templates.of("AWS::SQS::QueuePolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert guarded == queues.keys()


def test_the_safety_nets_run_each_minute(templates: Templates) -> None:
    """Sweep, deliveries, sealing and workers run each minute, rotate each day; none is fired again."""
    functions = templates.of("AWS::Lambda::Function")
    found = {}
    for rule in templates.of("AWS::Events::Rule").values():
        assert rule["Properties"]["State"] == "ENABLED"
        (target,) = rule["Properties"]["Targets"]
        assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 0}
        function = functions[target["Arn"]["Fn::GetAtt"][0]]
        found[function["Properties"]["Description"].split(": ")[1]] = rule
    rates = {verb: rule["Properties"]["ScheduleExpression"] for verb, rule in found.items()}
    minutely = dict.fromkeys(("sweep", "deliver", "seal", "work_siem", "work_action"), "rate(1 minute)")
    assert rates == {**minutely, "archive": "rate(1 hour)", "rotate": "rate(1 day)"}
