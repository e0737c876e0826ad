"""Both stores of secret versions, made for tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from moto import mock_aws

from tests.contracts.tables import REGION


def aws_client(service: str, attempts: int = 1) -> Any:
    """Return a client of the moto account that sends each request at most `attempts` times."""
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    make: Any = boto3.client
    return make(
        service,
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries=retries),
    )


@contextmanager
def secrets_manager(attempts: int = 1) -> Iterator[Any]:
    """Give a client of Secrets Manager in a moto account of its own."""
    with mock_aws():
        yield aws_client("secretsmanager", attempts)
