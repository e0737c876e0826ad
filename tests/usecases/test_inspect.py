"""Looking at chains: verification against heads that were written down, and export."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
import zstandard

from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core import chain as hashing
from sentinel.core.segment import Segment
from sentinel.core.tasks import State, Task, born
from sentinel.errors import Missing, Tampered
from sentinel.usecases.inspect import Inspect, exported
from tests.chains import grow

CHAIN = "checkout/0"


def inspecting(segments: list[Segment]) -> Inspect:
    """Return the use case on a ledger that holds these segments, however false they are."""
    ledger = SqliteLedger(":memory:")
    for segment in segments:
        ledger.append(segment)
    return Inspect(ledger, lambda: SqliteTasks(":memory:"))


def test_a_whole_chain_verifies() -> None:
    """Verification tells how many entries and segments it checked and the head it reached."""
    segments = grow(CHAIN, [[b"{}"] * 3] * 4)
    found = inspecting(segments).verify(CHAIN)
    assert (found.entries, found.segments, found.head) == (12, 4, segments[-1].head.hex())


def test_heads_that_were_written_down_are_met() -> None:
    """A chain that has only grown passes against every head it ever had."""
    segments = grow(CHAIN, [[b"{}"] * 3] * 4)
    known = {each.first + each.count: each.head.hex() for each in segments}
    assert inspecting(segments).verify(CHAIN, known).entries == 12


def test_a_cut_chain_is_found() -> None:
    """A chain whose newest segments are gone verifies by itself, but not against a head it had."""
    segments = grow(CHAIN, [[b"{}"] * 3] * 4)
    cut = inspecting(segments[:2])
    cut.verify(CHAIN)
    with pytest.raises(Tampered) as found:
        cut.verify(CHAIN, {12: segments[-1].head.hex()})
    assert (found.value.seq, found.value.kind) == (6, "cut")


def test_an_emptied_chain_is_found() -> None:
    """A chain that had entries and has none is cut, not unknown."""
    with pytest.raises(Tampered, match="cut"):
        inspecting([]).verify(CHAIN, {3: "00" * 32})
    with pytest.raises(Missing):
        inspecting([]).verify(CHAIN)


@pytest.mark.parametrize("batches", [[3, 3, 3, 3], [5, 7]])
def test_a_chain_written_anew_is_found(batches: list[int]) -> None:
    """A chain that was sealed again with other salts verifies by itself, but not against its old head."""
    old = grow(CHAIN, [[b"{}"] * 3] * 2, seed=1)
    new = inspecting(grow(CHAIN, [[b"{}"] * size for size in batches], seed=2))
    new.verify(CHAIN)
    with pytest.raises(Tampered) as found:
        new.verify(CHAIN, {6: old[-1].head.hex()})
    assert (found.value.seq, found.value.kind) == (5, "rewritten")


def test_an_export_can_be_checked_by_hand() -> None:
    """An exported line has all that its head is made of; recomputing it from the text gives the head."""
    segments = grow(CHAIN, [[b'{"a":1}', '{"b":"é"}'.encode()], [b"{}"]])
    lines = list(inspecting(segments).export(CHAIN))
    prev = hashing.genesis(CHAIN)
    for line in lines:
        assert list(line) == [
            "chain", "first", "count", "prev", "head", "t", "nonce", "context", "entries"
        ]  # fmt: skip
        assert line["prev"] == prev.hex()
        salt = hashing.salt(bytes.fromhex(str(line["nonce"])), str(line["context"]).encode())
        entries = [str(each).encode() for each in line["entries"]]  # type: ignore[attr-defined]
        prev = hashing.follow(prev, salt, entries, int(str(line["t"])), "checkout")
        assert line["head"] == prev.hex()
    assert [line["first"] for line in lines] == [0, 2]


def test_an_entry_that_is_no_text_is_exported_as_base64() -> None:
    """Bytes that are not UTF-8 survive an export."""
    segment = grow(CHAIN, [[b"{}"]])[0]
    plain = zstandard.decompress(segment.payload)[:-2] + b"\xff\xfe"
    line = exported(replace(segment, payload=zstandard.compress(plain)))
    assert line["entries"] == [{"b64": base64.b64encode(b"\xff\xfe").decode()}]


def test_an_unknown_chain_is_missing() -> None:
    """Exporting, or asking for the head of, a chain that is not there says so."""
    with pytest.raises(Missing, match="no chain x/0"):
        list(inspecting([]).export("x/0"))
    with pytest.raises(Missing, match="no chain x/0"):
        inspecting([]).head("x/0")


@pytest.mark.parametrize(
    ("named", "change"),
    [
        ("state", {"state": State.FAILED}),
        ("recipe", {"recipe": "other"}),
        ("version", {"recipe_version": 2}),
        ("digest", {"recipe_digest": "00"}),
        ("rule", {"cause": {"rule": "x", "fingerprint": "f", "entries": [{"chain": "s/0", "seq": 1}]}}),
        ("entries", {"cause": {"rule": "r", "fingerprint": "f", "entries": [{"chain": "s/0", "seq": 9}]}}),
    ],
)
def test_a_task_must_agree_with_its_lineage(named: str, change: dict[str, Any]) -> None:
    """The row of a task is not hashed; what it says of state, recipe and cause is held against what is."""
    cause = {"rule": "r", "fingerprint": "f", "entries": [{"chain": "s/0", "seq": 1}]}
    unborn = Task("t", "a", 1, "d", State.QUEUED, 0, 0, 0, 0, "siem", 5, 6, cause)
    task, event = born(unborn, bytes(32), {"recipe": "a", "version": 1, "digest": "d", **cause})
    tasks = SqliteTasks(":memory:")
    tasks.create(task, event)
    inspect = Inspect(SqliteLedger(":memory:"), lambda: tasks)
    assert inspect.task("s", "t")["state"] == "queued"
    forged = SqliteTasks(":memory:")
    forged.create(replace(task, **change), event)
    with pytest.raises(Tampered, match=f"do not agree on {named}$"):
        Inspect(SqliteLedger(":memory:"), lambda: forged).task(None, "t")


def test_a_damaged_task_is_told_to_nobody_who_may_not_know_of_it() -> None:
    """Whose it was cannot be read any more: services are answered as if there were none, an admin is told."""
    tasks = SqliteTasks(":memory:")
    cause = {"entries": [{"chain": CHAIN, "seq": 0}]}
    about = ("r", 1, "d" * 64, State.QUEUED, 0, 0, 0, 0, "siem", 1, 2, cause)
    task, event = born(Task("a" * 26, *about), bytes(32), {})
    tasks.create(task, event)
    inspect = Inspect(SqliteLedger(":memory:"), lambda: tasks)
    with tasks._database.transaction() as connection:
        connection.execute("UPDATE tasks SET body = ?", (b"{",))
    for service in ("checkout", "other"):
        with pytest.raises(Missing):
            inspect.task(service, task.id)
    with pytest.raises(Tampered):
        inspect.task(None, task.id)
