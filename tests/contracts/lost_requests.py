"""Faults below the stores: requests that never arrive, and writes whose reply is lost.

For DynamoDB they are raised inside botocore, before and after the request has been carried out; for SQLite
around the transaction, before its first statement and after its commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError

from sentinel.errors import Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Fault = Literal["unsent", "lost"]


class _Switch:
    """Says which of the next operations fail: `skip` work, then `left` fail, then all work."""

    def __init__(self) -> None:
        self.skip = 0
        self.left = 0
        self.fault: Fault = "unsent"

    def next_fault(self) -> Fault | None:
        if self.skip:
            self.skip -= 1
            return None
        if not self.left:
            return None
        self.left -= 1
        return self.fault


class BrokenWire(_Switch):
    """Breaks requests of a client, and keeps the bodies of all that were sent."""

    def __init__(self, client: DynamoDBClient) -> None:
        super().__init__()
        self.bodies: list[bytes] = []
        self._now: Fault | None = None
        client.meta.events.register_first("before-send", self._before)
        client.meta.events.register_last("before-send", self._after)

    def _before(self, request: Any, **_: object) -> None:
        self.bodies.append(request.body)
        self._now = self.next_fault()
        if self._now == "unsent":
            raise EndpointConnectionError(endpoint_url=request.url)

    def _after(self, request: Any, **_: object) -> None:
        if self._now == "lost":
            raise ReadTimeoutError(endpoint_url=request.url)


class BrokenDisk(_Switch):
    """Breaks write transactions of a store on SQLite."""

    def __init__(self, database: Any) -> None:
        super().__init__()
        self._transaction = database.transaction
        self._commit = database.commit
        database.transaction = self._broken
        database.commit = self._broken_commit

    def _broken_commit(self, change: Callable[[sqlite3.Connection], Any]) -> Any:
        now = self.next_fault()
        if now == "unsent":
            raise Unavailable("the disk failed before")
        answer = self._commit(change)
        if now == "lost":
            raise Unavailable("the disk failed after")
        return answer

    @contextmanager
    def _broken(self) -> Iterator[sqlite3.Connection]:
        now = self.next_fault()
        if now == "unsent":
            raise Unavailable("the disk failed before")
        with self._transaction() as connection:
            yield connection
        if now == "lost":
            raise Unavailable("the disk failed after")
