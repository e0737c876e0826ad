"""`ports_feeds.FailureQueue` on SQS: where Lambda puts pointers to the records that a feed gave up.

Format: "Example record for DynamoDB stream" under "Retain discarded batches" in the AWS Lambda guide.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Forbidden, Missing
from sentinel.ports_feeds import GivenUp

HIDDEN = 300  # seconds in which nobody else is given a message, and we are not given it again
_AT_ONCE = 10  # the most that SQS gives
_NO_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "InvalidAddress"}
_NO_RIGHT = {"AccessDenied", "AccessDeniedException", "KmsAccessDenied"}

log = logging.getLogger(__name__)


class SqsFailures:
    """One queue by its URL; `client` is boto3's of SQS."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def waiting(self) -> Iterator[GivenUp]:
        """Yield what waits, until SQS shows nothing more that is new."""
        seen: set[str] = set()
        while messages := self._received():
            new = [each for each in messages if each["MessageId"] not in seen]
            if not new:
                return
            seen.update(each["MessageId"] for each in new)
            for each in new:
                found = _pointer(each)
                if found is None:
                    log.warning("message %s tells of no records that a feed gave up", each["MessageId"])
                else:
                    yield found

    def done(self, given_up: GivenUp) -> None:
        """Delete the message."""
        self._called("delete_message", QueueUrl=self._url, ReceiptHandle=given_up.receipt)

    def _received(self) -> list[dict[str, Any]]:
        # A short wait asks all servers of the queue: an empty answer then means that there is nothing.
        answer = self._called(
            "receive_message",
            QueueUrl=self._url,
            MaxNumberOfMessages=_AT_ONCE,
            VisibilityTimeout=HIDDEN,
            WaitTimeSeconds=1,
        )
        found: list[dict[str, Any]] = answer.get("Messages") or []
        return found

    def _called(self, operation: str, **params: Any) -> dict[str, Any]:
        try:
            with translated():
                answer: dict[str, Any] = getattr(self._client, operation)(**params)
        except ClientError as error:
            code = code_of(error)
            if code in _NO_QUEUE:
                raise Missing("there is no such queue: its URL is an output of the service's stack") from None
            if code in _NO_RIGHT:
                raise Forbidden("the queue may not be read: sqs:ReceiveMessage, sqs:DeleteMessage") from None
            raise
        return answer


def _pointer(message: dict[str, Any]) -> GivenUp | None:
    """Read a message; None for what Lambda has not written."""
    try:
        told = orjson.loads(message["Body"])["DDBStreamBatchInfo"]
        return GivenUp(
            receipt=message["ReceiptHandle"],
            table=told["streamArn"].split("/")[1],
            first=_nanoseconds(told["approximateArrivalOfFirstRecord"]),
            last=_nanoseconds(told["approximateArrivalOfLastRecord"]),
            records=int(told["batchSize"]),
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


def _nanoseconds(text: str) -> int:
    found = datetime.fromisoformat(text).astimezone(UTC)
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
