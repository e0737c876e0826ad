"""The doorbell on Lambda's real request format, without Lambda: the client is stubbed below boto3."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import Stubber
from sentinel.adapters.lambda_doorbell import LambdaDoorbell, NoDoorbell, parse_functions
from sentinel.errors import Malformed, Unavailable


def _doorbell(functions: str) -> tuple[LambdaDoorbell, Stubber]:
    client = boto3.client(
        "lambda", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
    )
    return LambdaDoorbell(client, parse_functions(functions)), Stubber(client)


def test_a_ring_is_one_asynchronous_invocation() -> None:
    """The worker's function is invoked as an event with its stream's name; nothing waits for it."""
    doorbell, stub = _doorbell("siem=work-siem,action=work-action")
    expected = {"FunctionName": "work-siem", "InvocationType": "Event", "Payload": b'{"stream":"siem"}'}
    stub.add_response("invoke", {"StatusCode": 202}, expected)
    with stub:
        doorbell.ring("siem")
    stub.assert_no_pending_responses()


def test_a_stream_without_a_function_needs_no_ring() -> None:
    """Workers that wait by themselves are not woken."""
    doorbell, stub = _doorbell("siem=work-siem")
    with stub:
        doorbell.ring("action")
    NoDoorbell().ring("siem")


def test_a_ring_that_is_not_taken_is_unavailable() -> None:
    """Throttling, and any other refusal, is told to the caller, who goes on."""
    doorbell, stub = _doorbell("siem=work-siem")
    stub.add_client_error("invoke", "TooManyRequestsException", http_status_code=429)
    with stub, pytest.raises(Unavailable):
        doorbell.ring("siem")


@pytest.mark.parametrize("text", ["siem", "siem=", "=work", "siem=a,,b"])
def test_wrong_pairs_are_malformed(text: str) -> None:
    """A setting that names no function for a stream is refused at start."""
    with pytest.raises(Malformed):
        parse_functions(text)
