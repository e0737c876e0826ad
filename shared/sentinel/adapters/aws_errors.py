"""What AWS's errors mean, once for every client: what may pass by itself becomes `Unavailable`.

The codes are those of the service's model in botocore and of "Error handling with DynamoDB" in its
developer guide. A failed condition is an answer, not an error: it leaves here as botocore's `ClientError`
for the adapter that asked. So do faults of the deployment (no such table, no right), which no retry mends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from zlib import crc32

from botocore import exceptions as botocore
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from sentinel.errors import TooLarge, Unavailable

if TYPE_CHECKING:
    from botocore.awsrequest import AWSResponse
    from mypy_boto3_dynamodb import DynamoDBClient

CONDITION = "ConditionalCheckFailed"

# Seconds after which another try may succeed.
_PASSING: Mapping[str, float] = {
    "InternalServerError": 1.0,
    "InternalFailure": 1.0,
    "ServiceUnavailable": 1.0,
    "ServiceUnavailableException": 1.0,
    "ProvisionedThroughputExceededException": 1.0,
    "ProvisionedThroughputExceeded": 1.0,
    "RequestLimitExceeded": 2.0,
    "ReplicatedWriteConflictException": 0.2,
    "RequestTimeout": 0.5,
    "RequestTimeoutException": 0.5,
    "SlowDown": 2.0,
    "ThrottledException": 1.0,
    "Throttling": 1.0,
    "ThrottlingError": 1.0,
    "ThrottlingException": 1.0,
    "TooManyRequestsException": 1.0,
    "TransactionConflict": 0.2,
    "TransactionConflictException": 0.2,
    "TransactionInProgressException": 0.5,
}
# Of an expired session or a clock that is off: the next request signs with newer credentials.
_SIGNING = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_NO_ANSWER = (
    botocore.ConnectionError,
    botocore.HTTPClientError,
    botocore.IncompleteReadError,
    ResponseParserError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Raise `Unavailable` for what may pass by itself, `TooLarge` for an item over DynamoDB's limit.

    Every other `ClientError` goes through as it is, among them `ConditionalCheckFailedException` and a
    `TransactionCanceledException` in which a condition failed (`canceled_by`).
    """
    try:
        yield
    except ClientError as error:
        _explain(error)
        raise
    except _NO_ANSWER as error:
        # No whole answer came. The request may have been carried out. The cause may quote the body: cut it.
        raise Unavailable(f"AWS does not answer: {type(error).__name__}", 1.0) from None


def whole(client: DynamoDBClient) -> DynamoDBClient:
    """Make a DynamoDB client raise `Unavailable` for an answer that is not whole, and return it.

    botocore takes what is no JSON for an empty answer, also where its own check of the CRC has failed to
    the last try: a reply that was cut would read as "no such item". Idempotent.
    """
    client.meta.events.register("after-call.dynamodb", _check_whole, unique_id="sentinel-whole-answers")
    return client


def _check_whole(http_response: AWSResponse, **_: object) -> None:
    if http_response.status_code >= 300:
        return
    content, headers = http_response.content, http_response.headers
    length, checksum = headers.get("content-length"), headers.get("x-amz-crc32")
    if (
        not (content.startswith(b"{") and content.endswith(b"}"))
        or (length is not None and int(length) != len(content))
        or (checksum is not None and int(checksum) != crc32(content))
    ):
        raise Unavailable("DynamoDB's answer is not whole", 1.0)


def code_of(error: ClientError) -> str:
    """Return the error's code, for example `ConditionalCheckFailedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


def canceled_by(error: ClientError) -> list[str]:
    """Return why each item of a transaction was refused, in the order of the items; "" for one that was not.

    DynamoDB says the word "None" for an item that was fine. Empty for any error but a canceled transaction.
    """
    if code_of(error) != "TransactionCanceledException":
        return []
    return [code for code, _ in _reasons(error)]


def _reasons(error: ClientError) -> list[tuple[str, str]]:
    found: Any = error.response.get("CancellationReasons") or []
    return [
        (
            "" if reason.get("Code") in (None, "None") else str(reason["Code"]),
            str(reason.get("Message") or ""),
        )
        for reason in found
    ]


def _explain(error: ClientError) -> None:
    """Raise what the error means where that is one of ours; the first item that was refused decides."""
    code, message = code_of(error), str(error.response.get("Error", {}).get("Message", ""))
    operation = error.operation_name
    if code == "TransactionCanceledException":
        code, message = next(((code, said) for code, said in _reasons(error) if code), (code, message))
    if code.startswith("Validation") and "tem size" in message:
        raise TooLarge("the item is over DynamoDB's limit of 400 KB") from error
    if code in _SIGNING:
        raise Unavailable(f"{operation}: {code}", 1.0) from error
    wait = _PASSING.get(code)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if wait is None and status >= 500:
        wait = 1.0
    if wait is not None:
        raise Unavailable(f"{operation}: {code}", wait) from error
