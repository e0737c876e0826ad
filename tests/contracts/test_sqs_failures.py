"""The queue of a feed's failures, on moto's SQS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from sentinel.adapters.sqs_failures import SqsFailures
from sentinel.errors import Missing, Unavailable
from sentinel.ports_feeds import GivenUp

REGION = "eu-central-1"
# As in "Retain discarded batches" of the AWS Lambda guide.
MESSAGE: dict[str, Any] = {
    "requestContext": {
        "requestId": "316aa6d0-8154-xmpl-9af7-85d5f4a6bc81",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1,
    },
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "version": "1.0",
    "timestamp": "2019-11-14T00:13:49.717Z",
    "DDBStreamBatchInfo": {
        "shardId": "shardId-00000001573689847184-864758bb",
        "startSequenceNumber": "800000000003126276362",
        "endSequenceNumber": "800000000003126276362",
        "approximateArrivalOfFirstRecord": "2019-11-14T00:13:19Z",
        "approximateArrivalOfLastRecord": "2019-11-14T00:14:19Z",
        "batchSize": 1,
        "streamArn": "arn:aws:dynamodb:us-east-2:123456789012:table/mytable/stream/2019-11-14T00:04:06.388",
    },
}
FIRST = 1_573_690_399 * 1_000_000_000


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run an account without a network."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sqs", region_name=REGION)


@pytest.fixture
def url(sqs: Any) -> str:
    """Make a queue."""
    return str(sqs.create_queue(QueueName="failures")["QueueUrl"])


def test_every_pointer_is_read_once(sqs: Any, url: str) -> None:
    """What Lambda wrote is read: table, times and number; also more than SQS hands out at once."""
    for n in range(23):
        told = {**MESSAGE["DDBStreamBatchInfo"], "batchSize": n}
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps({**MESSAGE, "DDBStreamBatchInfo": told}))
    found = list(SqsFailures(sqs, url).waiting())
    assert sorted(each.records for each in found) == list(range(23))
    assert {(each.table, each.first, each.last) for each in found} == {
        ("mytable", FIRST, FIRST + 60_000_000_000)
    }


def test_what_is_done_is_gone_and_the_rest_stays(sqs: Any, url: str) -> None:
    """A pointer that is done is deleted; one that is not shows again once its time is over."""
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(MESSAGE))
    queue = SqsFailures(sqs, url)
    first, second = queue.waiting()
    queue.done(first)
    assert list(queue.waiting()) == []  # the other is hidden for some minutes
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second.receipt, VisibilityTimeout=0)
    assert len(list(queue.waiting())) == 1


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "[]",
        '"x"',
        "{}",
        json.dumps({"DDBStreamBatchInfo": None}),
        json.dumps({"DDBStreamBatchInfo": {**MESSAGE["DDBStreamBatchInfo"], "streamArn": "x"}}),
        json.dumps(
            {"DDBStreamBatchInfo": {**MESSAGE["DDBStreamBatchInfo"], "approximateArrivalOfLastRecord": "now"}}
        ),
    ],
)
def test_what_is_no_pointer_stays(sqs: Any, url: str, body: str, caplog: pytest.LogCaptureFixture) -> None:
    """Other messages are told of and left alone, and keep no pointer from being read."""
    sqs.send_message(QueueUrl=url, MessageBody=body)
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps(MESSAGE))
    assert len(list(SqsFailures(sqs, url).waiting())) == 1
    assert "tells of no records" in caplog.text


def test_a_queue_that_is_none_is_said(sqs: Any, url: str) -> None:
    """A wrong URL names what to do."""
    with pytest.raises(Missing, match="output"):
        list(SqsFailures(sqs, url + "x").waiting())


def test_an_sqs_that_is_away_is_unavailable() -> None:
    """No answer may pass by itself."""
    from botocore.config import Config

    once = Config(retries={"max_attempts": 0}, connect_timeout=0.2)
    client = boto3.client(
        "sqs",
        region_name=REGION,
        endpoint_url="http://127.0.0.1:9",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        config=once,
    )
    queue = SqsFailures(client, "http://127.0.0.1:9/1/failures")
    with pytest.raises(Unavailable):
        list(queue.waiting())
    with pytest.raises(Unavailable):
        queue.done(GivenUp("r", "t", 0, 0, 1))
