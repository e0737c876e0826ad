"""Upkeep of the local stores: feeds and correlations do not grow for ever, and nothing unread goes."""

from __future__ import annotations

from pathlib import Path

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
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
