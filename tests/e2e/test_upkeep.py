"""Upkeep of the local stores: feeds and correlations do not grow for ever, and nothing unread goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.archive_folder import FolderArchive
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_expiring import SqliteExpiring
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.core.runs import Run
from sentinel.local import loops
from sentinel.local import upkeep as upkeeping
from sentinel.local.upkeep import Upkeep
from tests.chains import grow


def test_only_what_every_reader_has_passed_is_forgotten(tmp_path: Path) -> None:
    """Changes behind the cursor go, but for the newest; those before it, and all segments, stay."""
    ledger, cursors = SqliteLedger(tmp_path / "l.db"), SqliteCursors(tmp_path / "f.db")
    counters = SqliteCounters(tmp_path / "c.db")
    for segment in grow("a/0", [[b"{}"]] * 10):
        ledger.append(segment)
    counters.store("old", b"x", 0, expires=99)
    counters.store("new", b"x", 0, expires=101)
    upkeep = Upkeep(ledger, SqliteTasks(tmp_path / "t.db"), counters, cursors, lambda: 100 * 10**9, kept=2)
    assert upkeep.tidy() == 1
    assert [each.seq for each in ledger.changes(0, 99)] == list(range(1, 11))
    cursors.advance("detect", 7)
    assert upkeep.tidy() == 4
    assert [each.seq for each in ledger.changes(0, 99)] == list(range(5, 11))
    assert len(list(ledger.read("a/0"))) == 10
    assert (counters.load("old"), counters.load("new")) == ((b"", 0), (b"x", 1))


def test_what_the_archive_holds_leaves_the_table_whatever_else_is_marked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of segments that are nowhere else keeps no other from going, and is told of in a line."""
    monkeypatch.setattr(upkeeping, "DROPPED", 4)
    ledger, archive = SqliteLedger(tmp_path / "l.db"), FolderArchive(tmp_path / "archive")
    expiring = SqliteExpiring(tmp_path / "l.db")
    chains = {name: grow(name, [[b"{}"]] * 12) for name in ("a/0", "b/0", "c/0")}
    for name, segments in chains.items():
        for segment in segments:
            ledger.append(segment)
            expiring.expire(name, segment.first, 1 if segment.first < 10 else 101)
        if name == "b/0":
            archive.store(name, segments[:5])
            archive.store(name, segments[5:10])
        if name == "c/0":
            archive.store(name, grow(name, [[b"{}"]] * 12, seed=9)[:8])
    reads: list[int] = []
    read = archive._run

    def counted(chain: str, first: int) -> Run | None:
        reads.append(first)
        return read(chain, first)

    monkeypatch.setattr(archive, "_run", counted)
    parts = (
        SqliteTasks(tmp_path / "t.db"),
        SqliteCounters(tmp_path / "c.db"),
        SqliteCursors(tmp_path / "f.db"),
    )
    upkeep = Upkeep(ledger, *parts, lambda: 100 * 10**9, expiring=expiring, archive=archive)
    assert upkeep.tidy() == 10
    left = {name: [each.first for each in ledger.read(name)] for name in chains}
    assert left == {"a/0": list(range(12)), "b/0": [10, 11], "c/0": list(range(12))}
    told = [record.getMessage() for record in caplog.records]
    assert [each for each in told if "of a/0 from entry 0" in each] == told[:1]
    assert len(reads) < 16  # of objects, not one for each segment
    assert upkeep.tidy() == 0


def test_archiving_begins_soon_and_goes_on_while_there_is_more() -> None:
    """An `up` that ends within the hour has archived; a backlog does not wait an hour after each call."""
    answers: list[dict[str, Any] | None] = [{"more": True}, {"more": True}, None, {"more": False}, {}]
    waits: list[float] = []

    class Stop:
        def is_set(self) -> bool:
            return False

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return not answers

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        assert (event, context.get_remaining_time_in_millis() > 0) == (loops.SCHEDULED, True)
        answer = answers.pop(0)
        if answer is None:
            raise RuntimeError("a fault of ours")
        return answer

    loops.archive(handler, Stop(), seconds=3_600.0, later=60.0)
    assert waits == [60.0, 0.01, 0.01, 3_600.0, 3_600.0, 3_600.0]
