"""The local feeds: what changed in a store, as DynamoDB Streams would tell it, to the function it is for.

A feed reads a store's change table behind a cursor that is kept on disk, and calls the function's handler
with up to `BATCH` records. Only what the answer says is done moves the cursor, so every change is handed over
at least once and in order; a record that fails is tried again, at growing intervals, for as long as it takes.

Format: "DynamoDB Streams" in the AWS Lambda guide: records with `eventName`, `dynamodb.Keys`, `NewImage` in
low-level form with binary values in base64, `SequenceNumber`; answers with `batchItemFailures`.
"""

from __future__ import annotations

import logging
import random
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sentinel.adapters import sqlite_ledger
from sentinel.adapters.dynamodb_ledger import to_item
from sentinel.adapters.dynamodb_task_items import STATE_ITEM
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.errors import Tampered
from sentinel.local.functions import Context, Handler

BATCH = 50
BATCH_BYTES = 4_000_000  # Lambda hands over at most 6 MB
CALL_SECONDS = 60.0
POLL_SECONDS = 0.015
RETRY_SECONDS = 5.0  # the longest pause between tries

log = logging.getLogger("sentinel.feeds")

Record = dict[str, Any]


class Stop(Protocol):
    """What tells a loop to end: `threading.Event` does."""

    def is_set(self) -> bool:
        """Whether to end."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; return whether it came."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change with its place in the feed; `record` is None where there is nothing to tell any more."""

    seq: int
    record: Record | None
    size: int = 0


Source = Callable[[int, int], Sequence[Change]]


def encoded(item: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return a low-level item as it stands in a stream record: binary values in base64."""
    return {
        name: {"B": b64encode(value["B"]).decode()} if "B" in value else dict(value)
        for name, value in item.items()
    }


def record(
    seq: int,
    kind: str,
    keys: dict[str, Any],
    new_image: Mapping[str, Any] | None,
    table: str,
    old_image: Mapping[str, Any] | None = None,
) -> Record:
    """Return one stream record. `kind` is INSERT, MODIFY or REMOVE; `seq` becomes the sequence number."""
    view = "NEW_IMAGE" if old_image is None else "NEW_AND_OLD_IMAGES"
    told: dict[str, Any] = {"Keys": keys, "SequenceNumber": str(seq), "StreamViewType": view}
    if new_image is not None:
        told["NewImage"] = encoded(new_image)
    if old_image is not None:
        told["OldImage"] = encoded(old_image)
    return {
        "eventID": f"{table}-{seq}",
        "eventName": kind,
        "eventSource": "aws:dynamodb",
        "eventVersion": "1.1",
        "awsRegion": "local",
        "eventSourceARN": f"arn:aws:dynamodb:local:000000000000:table/{table}/stream/local",
        "dynamodb": told,
    }


def ledger_changes(ledger: SqliteLedger) -> Source:
    """Return the source of the ledger's changes, each with the whole segment as its image.

    The image of what a segment was lacks its payload, where that was changed, too.
    """

    def read(after: int, limit: int) -> list[Change]:
        return list(_bounded(map(_told, ledger.changes(after, limit))))

    def _told(it: sqlite_ledger.Change) -> Change:
        keys = {"chain": {"S": it.chain}, "first": {"N": str(it.first)}}
        if it.kind == "REMOVE":
            return Change(it.seq, record(it.seq, it.kind, keys, None, "ledger", _old(it, None)))
        try:
            found = next(ledger.read(it.chain, it.first, 1), None)
        except Tampered:  # no image can be made of it: that it was changed is what there is to tell
            return Change(it.seq, record(it.seq, "MODIFY", keys, None, "ledger", _old(it, None)))
        if found is None or found.first != it.first:
            return Change(it.seq, None)  # removed since: the removal has a change of its own
        new = to_item(found)
        told = record(it.seq, it.kind, keys, _expiring(new, marked(it)), "ledger", _old(it, new))
        return Change(it.seq, told, len(found.payload) * 4 // 3)

    def marked(it: sqlite_ledger.Change) -> int:
        return ledger.expires(it.chain, it.first) if it.kind == "MODIFY" else 0

    return read


def _old(it: sqlite_ledger.Change, new: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if it.old is None:
        return None
    item = to_item(it.old)
    del item["payload"]
    if it.same and new is not None:
        item["payload"] = new["payload"]
    return _expiring(item, it.expires)


def _expiring(item: dict[str, Any], seconds: int) -> dict[str, Any]:
    return item | {"expires": {"N": str(seconds)}} if seconds else item


def _bounded(changes: Iterator[Change]) -> Iterator[Change]:
    """Cut a batch where it becomes too large to hand over in one call; at least one goes."""
    total = 0
    for change in changes:
        total += change.size
        yield change
        if total > BATCH_BYTES:
            return


@dataclass(slots=True)
class Feed:
    """Hands the changes of one source to one handler. `name` is that of the cursor and of the function."""

    name: str
    source: Source
    handler: Handler
    cursors: SqliteCursors
    stop: Stop
    uniform: Callable[[], float] = random.random
    _failures: int = field(default=0, init=False)

    def run(self) -> None:
        """Run until `stop` is set; a call that has begun is finished first."""
        while not self.stop.is_set():
            if not self._step_safely():
                self.stop.wait(POLL_SECONDS)

    def step(self) -> bool:
        """Hand over the next batch; return whether there was one. Raises what the handler raises."""
        at = self.cursors.cursor(self.name)
        changes = self.source(at, BATCH)
        if not changes:
            return False
        records = [change.record for change in changes if change.record is not None]
        failed = self._call(records) if records else None
        done = [change.seq for change in changes if failed is None or change.seq < failed]
        if done:
            self.cursors.advance(self.name, done[-1])
        if failed is not None:
            self._pause(f"change {failed} was not taken")
        else:
            self._failures = 0
        return True

    def _step_safely(self) -> bool:
        try:
            return self.step()
        except Exception as error:
            # The entrypoint of everything below: whatever it is, the change stays and is tried again.
            log.debug("%s failed", self.name, exc_info=True)
            self._pause(f"{type(error).__name__}: {error}")
            return True

    def _call(self, records: list[Record]) -> int | None:
        """Call the handler; return the sequence number of the first record that it did not finish."""
        context = Context(self.name, uuid.uuid4().hex, CALL_SECONDS)
        answer = self.handler({"Records": records}, context)
        failures = [int(each["itemIdentifier"]) for each in answer.get("batchItemFailures") or ()]
        return min(failures, default=None)

    def _pause(self, why: str) -> None:
        self._failures += 1
        if self._failures & (self._failures - 1) == 0:  # the 1st, 2nd, 4th, 8th ... time
            log.warning("%s: %s; trying again (failure %d)", self.name, why, self._failures)
        self.stop.wait(min(RETRY_SECONDS, 0.05 * 2 ** min(self._failures, 10)) * (0.5 + self.uniform() / 2))


def task_changes(tasks: SqliteTasks) -> Source:
    """Return the source of the tasks' changes, each with the attributes that dispatch looks at."""

    def read(after: int, limit: int) -> list[Change]:
        found = []
        for each in tasks.changes(after, limit):
            keys = {"task": {"S": each.task_id}, "item": {"S": STATE_ITEM}}
            if each.state is None:
                log.critical("tampered: task %s has a state that was not written by us", each.task_id)
                found.append(Change(each.seq, None))
                continue
            image = {
                **keys,
                "state": {"S": each.state.value},
                "stream": {"S": each.line},
                "version": {"N": str(each.version)},
            }
            told = None if each.kind == "REMOVE" else image
            found.append(Change(each.seq, record(each.seq, each.kind, keys, told, "tasks")))
        return found

    return read
