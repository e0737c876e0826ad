"""The benchmark of tasks: its arithmetic, what it takes for lost or doubled, and a short run of it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import tasks, tasks_kills, tasks_prices
from benchmarks.tasks_cost import Bill, bill_of, index_units, size, units
from benchmarks.tasks_kills import Killer, judged, settled
from benchmarks.tasks_speed import percentile
from sentinel.adapters.dynamodb_tables import Index, Key
from sentinel.core.states import State
from sentinel.core.tasks import Task
from tests.contracts.made_tasks import created

ROOT = Path(__file__).resolve().parents[2]
BY_STATE = Index("by_state", Key("bucket", "S"), Key("due", "N"), "ALL")
KEYS_ONLY = replace(BY_STATE, projection="KEYS_ONLY")


def _item(**values: str) -> dict[str, dict[str, str]]:
    return {name: {"N" if name == "due" else "S": value} for name, value in values.items()}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, 0),
        ({"a": {"S": "ä"}}, 3),
        ({"a": {"N": "-12345"}}, 5),
        ({"a": {"B": "AAAA"}}, 4),
        ({"a": {"S": "x" * 1023}}, 1024),
    ],
)
def test_sizes_of_items(item: dict[str, Any], expected: int) -> None:
    """Names and values count in bytes: text as UTF-8, binary unpacked, numbers two digits a byte and one."""
    assert size(item) == expected


def test_units_are_begun_kilobytes() -> None:
    """1024 bytes are one unit, one more is two."""
    assert [units({"a": {"S": "x" * length}}) for length in (0, 1023, 1024, 2047, 2048)] == [1, 1, 2, 2, 3]


def test_what_a_change_costs_an_index() -> None:
    """An index pays for what comes and for what goes; a new key is both, and no change is nothing."""
    queued, running = _item(bucket="queued", due="1"), _item(bucket="running", due="2")
    ended, filled = _item(bucket="ended"), {**queued, "body": {"S": "x" * 1500}}
    assert index_units(BY_STATE, None, queued) == 1
    assert index_units(BY_STATE, queued, running) == 2
    assert index_units(BY_STATE, running, ended) == 1
    assert index_units(BY_STATE, None, ended) == 0
    assert index_units(BY_STATE, queued, queued) == 0
    assert index_units(BY_STATE, queued, filled) == 2
    assert index_units(BY_STATE, filled, running) == 3
    assert index_units(KEYS_ONLY, queued, filled) == 0


def test_transactions_are_billed_twice() -> None:
    """A put in a transaction takes twice its units; a read is counted and takes none."""
    item = {"task": {"S": "t"}, "item": {"S": "event#1"}}
    bill = Bill()
    bill.add("PutItem", {"TableName": "tasks", "Item": item})
    bill.add("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "tasks", "Item": item}}] * 2})
    bill.add("Query", {})
    assert (bill.writes, bill.reads, bill.units) == (2, 1, 5)
    with pytest.raises(NotImplementedError):
        bill.add("UpdateItem", {"TableName": "tasks"})


@pytest.fixture(scope="module")
def bills(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Bill]:
    """Count what tasks ask of DynamoDB, on the wire."""
    folder = tmp_path_factory.mktemp("bills")
    return {steps: bill_of(folder / str(steps), steps) for steps in (1, 3)}


def test_the_document_of_costs_is_current(bills: dict[int, Bill]) -> None:
    """docs/cost.md has what is counted now: `python -m benchmarks.tasks_prices` writes it."""
    text = (ROOT / "docs" / "cost.md").read_text()
    assert text.count("<!-- units -->") == text.count("<!-- dollars -->") == text.count("<!-- idle -->") == 1
    assert tasks_prices.written(text, bills) == text


def test_a_task_with_one_step_takes_few_write_requests(bills: dict[int, Bill]) -> None:
    """From its creation to its success: at most eight, and three more with each further step."""
    assert bills[1].writes <= 8
    assert bills[3].writes == bills[1].writes + 2 * 3


def test_dollars_add_up(bills: dict[int, Bill]) -> None:
    """What is written in the document can be worked out by hand."""
    one = bills[1]
    state = tasks_prices.ours(one, 1, 1).parts["state"]
    assert state == pytest.approx(one.units * 0.625 + one.reads * 0.125)
    assert tasks_prices.step_functions(1).parts["state"] == 50
    assert tasks_prices.functions(2, 0.5, 0.25) == pytest.approx(0.4 + 0.125 * 13.3334)
    assert tasks_prices.ours(one, 1, 100).total < tasks_prices.ours(one, 1, 1).total


def test_percentiles() -> None:
    """The smallest value that so many are not above."""
    assert percentile([5], 99) == 5
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 102), 99) == 100
    assert percentile([4, 2, 3, 1], 50) == 2


def _task(number: int, state: State = State.SUCCEEDED, name: str = "", reason: str = "") -> Task:
    task, _ = created(name or f"t{number}")
    cause = {"entries": [{"chain": "c", "seq": number}]}
    return replace(task, state=state, cause=cause, reason=reason)


PLACES = {("c", 0): 0, ("c", 1): 1}
DONE = [_task(0), _task(1)]
ONCE = {0: 1, 1: 1}
KEYED = {0: ["a"], 1: ["b"]}


@pytest.mark.parametrize(
    ("made", "lines", "keys", "expected"),
    [
        (DONE, ONCE, KEYED, (0, 0, 0)),
        (DONE, ONCE, {0: ["a", "a"], 1: ["b"]}, (0, 0, 1)),
        (DONE[:1], ONCE, KEYED, (1, 0, 0)),
        ([_task(0), _task(1, State.FAILED)], ONCE, KEYED, (1, 0, 0)),
        ([*DONE, _task(1, name="again")], ONCE, KEYED, (0, 1, 0)),
        (DONE, {0: 1}, KEYED, (1, 0, 0)),
        (DONE, {0: 2, 1: 1}, KEYED, (0, 1, 0)),
        (DONE, ONCE, {0: ["a"]}, (1, 0, 0)),
        (DONE, ONCE, {0: ["a", "x"], 1: ["b"]}, (0, 1, 0)),
        (DONE, {**ONCE, 7: 1}, KEYED, (0, 1, 0)),
        ([*DONE, _task(9)], ONCE, KEYED, (0, 1, 0)),
    ],
    ids=[
        *("fine", "same key again", "no task", "task failed", "two tasks", "no line", "two lines"),
        *("no request", "two keys", "line of nobody", "task of nobody"),
    ],
)
def test_what_counts_as_lost_and_doubled(
    made: list[Task], lines: dict[int, int], keys: dict[int, list[str]], expected: tuple[int, int, int]
) -> None:
    """A number is lost where a part of its way is missing, and doubled where a part is there twice."""
    found = judged(PLACES, made, lines, keys)
    assert (found["lost"], found["doubled"], found["repeated"]) == expected


def test_what_counts_as_settled() -> None:
    """What has ended, or waits and says why; not what runs, is queued, or waits for no reason."""
    fine = [_task(0), _task(1, State.FAILED), _task(2, State.WAITING, reason="busy")]
    assert settled(fine) == 1
    left = [_task(0, State.RUNNING), _task(1, State.QUEUED, reason="again"), _task(2, State.WAITING)]
    assert settled([*fine, *left]) == 0.5


def test_only_those_who_are_ready_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is still starting, or is gone, is no victim; the gateway is none at all."""

    def child(name: str, pid: int, ended: int | None = None) -> SimpleNamespace:
        return SimpleNamespace(name=name, process=SimpleNamespace(pid=pid, poll=lambda: ended))

    children = [child("gateway", 1), child("feeds", 2), child("work_siem", 3, -9), child("work_action", 4)]
    run: Any = SimpleNamespace(tree=SimpleNamespace(_children=children))
    monkeypatch.setattr(tasks_kills, "has_open", lambda pid, _: pid != 2)
    assert list(Killer(run, random.Random(1))._ready_ones(0)) == [("work_action", 4)]
    assert list(Killer(run, random.Random(1))._ready_ones(60)) == []


def test_targets_are_those_of_what_was_measured() -> None:
    """A part that is left out is not missed; one without its figure would be an error of the report."""
    assert tasks.targets_of({"lost": 0.0}) == {"lost": {"at_most": 0}}
    with pytest.raises(SystemExit):
        tasks.options(["--kills", "many"])


@pytest.mark.nightly
@pytest.mark.slow
def test_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Real processes, killed some times: no task is lost or doubled, and all of them end."""
    arguments = ["--json", "--only", "delay,kills", "--samples", "10", "--kills", "16"]
    tasks.main(arguments)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    figures = told["figures"]
    assert figures["kills"] == 16
    assert (figures["lost"], figures["doubled"], figures["settled_percent"]) == (0, 0, 100)
    assert 0 < figures["started_p50_ms"] < figures["arrived_p99_ms"]
