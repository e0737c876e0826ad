"""The local feeds: at least once, in order, never past what failed, and told as DynamoDB Streams tell it."""

from __future__ import annotations

import base64
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Batch, Head
from sentinel.local.feeds import BATCH, Feed, ledger_changes
from sentinel.local.lifeline import Stop
from sentinel.local.loops import SEAL_LAST, SEAL_LATER, SEAL_SECONDS, every, seal, work
from sentinel.usecases.seal_all import MARGIN


def _fill(ledger: SqliteLedger, count: int, size: int = 10) -> None:
    head = Head.genesis("a/0")
    for number in range(count):
        entry = b'{"n":"%s"}' % base64.b16encode(bytes([number % 256]) * size)
        segment, head = (
            Batch(number.to_bytes(16, "big"), [entry], {}).draft(0, b"n" * 32).place("a/0", head, number)
        )
        ledger.append(segment)


class Stopping(Stop):
    """Stops a loop after it has waited `turns` times; keeps how long it was asked to wait."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        """Note the wait; end after the last."""
        self.waits.append(timeout or 0)
        if len(self.waits) >= self.turns:
            self.set()
        return self.is_set()


class Handler:
    """Takes records; fails as often as it is told, by an error or at a record."""

    def __init__(self, errors: int = 0, bad: str = "", times: int = 0) -> None:
        self.errors, self.bad, self.times = errors, bad, times
        self.calls: list[list[dict[str, Any]]] = []

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert context.get_remaining_time_in_millis() > 1000
        self.calls.append(event["Records"])
        if self.errors:
            self.errors -= 1
            raise RuntimeError("no")
        numbers = [record["dynamodb"]["SequenceNumber"] for record in event["Records"]]
        if self.times and self.bad in numbers:
            self.times -= 1
            return {"batchItemFailures": [{"itemIdentifier": self.bad}]}
        return {"batchItemFailures": []}


@pytest.fixture
def ledger(tmp_path: Path) -> SqliteLedger:
    """Make a ledger."""
    return SqliteLedger(tmp_path / "ledger.db")


@pytest.fixture
def cursors(tmp_path: Path) -> SqliteCursors:
    """Make cursors."""
    return SqliteCursors(tmp_path / "feeds.db")


def _feed(ledger: SqliteLedger, cursors: SqliteCursors, handler: Handler, turns: int = 1) -> Stopping:
    stop = Stopping(turns)
    Feed("detect", ledger_changes(ledger), handler, cursors, stop, lambda: 1.0).run()
    return stop


def test_every_change_is_handed_over_once_in_order(ledger: SqliteLedger, cursors: SqliteCursors) -> None:
    """All changes come, in batches, in order; a second feed on the same cursors has nothing to do."""
    _fill(ledger, BATCH * 2 + 7)
    handler = Handler()
    _feed(ledger, cursors, handler)
    assert [len(call) for call in handler.calls] == [BATCH, BATCH, 7]
    firsts = [int(each["dynamodb"]["Keys"]["first"]["N"]) for call in handler.calls for each in call]
    assert firsts == list(range(BATCH * 2 + 7))
    again = Handler()
    _feed(ledger, cursors, again)
    assert again.calls == []


def test_a_record_holds_the_whole_item(ledger: SqliteLedger, cursors: SqliteCursors) -> None:
    """The image is the item as DynamoDB has it, binary values in base64."""
    _fill(ledger, 1)
    handler = Handler()
    _feed(ledger, cursors, handler)
    [[record]] = handler.calls
    assert (record["eventName"], record["eventSource"]) == ("INSERT", "aws:dynamodb")
    image = record["dynamodb"]["NewImage"]
    [segment] = ledger.read("a/0")
    assert base64.b64decode(image["payload"]["B"]) == segment.payload
    assert image["genesis"] == {"S": "1"}
    assert (image["chain"], image["first"], image["codec"]) == ({"S": "a/0"}, {"N": "0"}, {"N": "1"})


def test_a_row_that_cannot_be_read_is_told_as_changed(
    ledger: SqliteLedger, cursors: SqliteCursors, tmp_path: Path
) -> None:
    """A row of another type stops no feed: the alarm gets its change, the other rows their turn."""
    _fill(ledger, 3)
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("UPDATE segments SET t = 'noon' WHERE first = 1")
    db.close()
    handler = Handler()
    _feed(ledger, cursors, handler)
    [records] = handler.calls
    assert [each["eventName"] for each in records] == ["INSERT", "MODIFY", "INSERT", "MODIFY"]


def test_what_failed_is_handed_over_again_after_growing_pauses(
    ledger: SqliteLedger, cursors: SqliteCursors
) -> None:
    """An error moves no cursor: the same batch comes again, after longer and longer, bounded waits."""
    _fill(ledger, 3)
    handler = Handler(errors=12)
    stop = _feed(ledger, cursors, handler, 13)
    assert len(handler.calls) == 13
    assert all(len(call) == 3 for call in handler.calls)
    assert stop.waits[:4] == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert stop.waits[11] == pytest.approx(5.0)
    assert cursors.cursor("detect") == 3


def test_what_was_finished_before_a_failure_is_not_repeated(
    ledger: SqliteLedger, cursors: SqliteCursors
) -> None:
    """`batchItemFailures` moves the cursor up to the failed record and no further."""
    _fill(ledger, 5)
    handler = Handler(bad="3", times=2)
    _feed(ledger, cursors, handler, 3)
    assert [[each["dynamodb"]["SequenceNumber"] for each in call] for call in handler.calls] == [
        ["1", "2", "3", "4", "5"],
        ["3", "4", "5"],
        ["3", "4", "5"],
    ]
    assert cursors.cursor("detect") == 5


def test_changes_behind_our_back_are_told(
    ledger: SqliteLedger, cursors: SqliteCursors, tmp_path: Path
) -> None:
    """An update and a removal by somebody else come as MODIFY and REMOVE, for the tripwire."""
    import sqlite3

    _fill(ledger, 2)
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("UPDATE segments SET t = 9 WHERE first = 0")
    db.execute("DELETE FROM segments WHERE first = 1")
    db.commit()
    db.close()
    handler = Handler()
    _feed(ledger, cursors, handler)
    [records] = handler.calls
    told = [(each["eventName"], each["dynamodb"]["Keys"]["first"]["N"]) for each in records]
    assert told == [("INSERT", "0"), ("MODIFY", "0"), ("REMOVE", "1")]
    assert "NewImage" not in records[2]["dynamodb"]


def test_a_call_is_bounded_in_bytes(ledger: SqliteLedger, cursors: SqliteCursors) -> None:
    """Large segments go in smaller batches: no call is handed over 6 MB, and nothing is left out."""
    import secrets

    head = Head.genesis("a/0")
    for number in range(20):
        entries = [b'{"n":"%s"}' % secrets.token_hex(30_000).encode() for _ in range(10)]
        segment, head = (
            Batch(number.to_bytes(16, "big"), entries, {}).draft(0, b"n" * 32).place("a/0", head, number)
        )
        ledger.append(segment)
    handler = Handler()
    _feed(ledger, cursors, handler)
    sizes = [
        sum(len(each["dynamodb"]["NewImage"]["payload"]["B"]) for each in call) for call in handler.calls
    ]
    assert sum(map(len, handler.calls)) == 20
    assert max(sizes) < 6_000_000


def test_a_worker_pauses_while_it_can_do_nothing() -> None:
    """A function that fails, or says that a store is away, is called again after growing pauses."""
    stop = Stopping(4)
    answers: list[Any] = [
        RuntimeError("no"),
        {"unavailable": "queue"},
        {"unavailable": "queue"},
        {},
        {"unavailable": 1},
    ]
    seen: list[int] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del event
        seen.append(context.get_remaining_time_in_millis())
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer  # type: ignore[no-any-return]

    work("work_siem", handler, stop)
    assert stop.waits == [0.1, 0.5, 2.0, 0.1]
    assert min(seen) > 50_000


def test_a_worker_that_is_to_stop_has_no_time_left() -> None:
    """Once SIGTERM came, the function is told that its time is up, so that it begins nothing more."""
    stop = Stop()
    left: list[int] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del event
        left.append(context.get_remaining_time_in_millis())
        stop.set()
        left.append(context.get_remaining_time_in_millis())
        return {}

    work("work_siem", handler, stop)
    assert left[0] > 0
    assert left[1] == 0


def test_a_schedule_goes_on_after_a_failure() -> None:
    """A sweep that fails is called again at its next time."""
    stop = Stopping(4)
    calls: list[dict[str, Any]] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del context
        calls.append(event)
        raise RuntimeError("no")

    every(1.0, "sweep", handler, stop)
    # The time that a call took is taken off the pause after it.
    assert len(stop.waits) == 4
    assert all(0.5 < pause <= 1.0 for pause in stop.waits)
    assert [call["source"] for call in calls] == ["aws.scheduler"] * 3


def test_sealing_begins_soon_and_ends_with_a_last_round() -> None:
    """A round when all is up, one each minute, failures or not, and one with time left when it is to stop."""
    stop = Stopping(4)
    left: list[int] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert event["source"] == "aws.scheduler"
        left.append(context.get_remaining_time_in_millis())
        raise RuntimeError("no")

    seal(handler, stop)
    assert stop.waits[0] == SEAL_LATER
    assert all(50 < pause <= SEAL_SECONDS for pause in stop.waits[1:])
    assert len(left) == 4
    assert MARGIN * 1_000 < left[-1] <= SEAL_LAST * 1_000


def test_sealing_that_never_began_seals_once() -> None:
    """A tree that is stopped at once leaves what it has sealed."""
    calls: list[str] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        del event
        calls.append(context.function_name)
        return {}

    seal(handler, Stopping(1))
    assert calls == ["seal"]
