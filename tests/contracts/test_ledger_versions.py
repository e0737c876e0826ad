"""Ledgers of an earlier version, and rows and items that nobody of ours wrote."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.dynamodb_ledger import DynamoLedger, from_item, to_item
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import merkle
from sentinel.core.segment import Head, Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Tampered, Unsupported
from tests.chains import grow
from tests.contracts.tables import dynamodb
from tests.writers import CHAIN, appender, entries_of, numbered

# The schema of version 1, as it was released.
VERSION_1 = """
CREATE TABLE IF NOT EXISTS segments (
    chain TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    prev BLOB NOT NULL, head BLOB NOT NULL, t INTEGER NOT NULL,
    payload BLOB NOT NULL, codec INTEGER NOT NULL, recent BLOB NOT NULL,
    PRIMARY KEY (chain, first)
);
CREATE TABLE IF NOT EXISTS changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, chain TEXT NOT NULL, first INTEGER NOT NULL
);
CREATE TRIGGER IF NOT EXISTS segments_insert AFTER INSERT ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('INSERT', new.chain, new.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_update AFTER UPDATE ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('MODIFY', old.chain, old.first);
END;
CREATE TRIGGER IF NOT EXISTS segments_delete AFTER DELETE ON segments BEGIN
    INSERT INTO changes (kind, chain, first) VALUES ('REMOVE', old.chain, old.first);
END;
PRAGMA user_version = 1;
"""
OLD = [replace(each, tree=b"") for each in grow(CHAIN, [[b'{"n":%d}' % name] * 3 for name in range(1, 6)])]
COLUMNS = "chain, first, count, prev, head, t, payload, codec, recent"


def version_1(path: Path, segments: list[Segment]) -> None:
    """Write a file as version 1 did."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    rows = [tuple(getattr(each, name) for name in COLUMNS.split(", ")) for each in segments]
    connection.executemany(f"INSERT INTO segments ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", rows)
    connection.commit()
    connection.close()


def test_a_file_of_version_1_goes_on(tmp_path: Path) -> None:
    """It is read, verified, appended to; the first new segment has the tree over all that was there."""
    version_1(tmp_path / "ledger.db", OLD)
    ledger = SqliteLedger(tmp_path / "ledger.db")
    assert list(ledger.read(CHAIN)) == OLD
    assert [change.seq for change in ledger.changes(0, 100)] == [1, 2, 3, 4, 5]
    checked = Verifier(CHAIN)
    hashes = [each for segment in OLD for each in checked.check(segment)]
    receipt = appender(ledger).append(CHAIN, numbered(9))
    newest = ledger.head(CHAIN)
    assert newest is not None
    assert receipt.first == len(hashes) == 15
    hashes += checked.check(newest)
    assert newest.peaks == merkle.grow(0, (), hashes)
    assert [change.kind for change in ledger.changes(5, 100)] == ["INSERT"]
    again = SqliteLedger(tmp_path / "ledger.db")
    assert appender(again, seed=3).append(CHAIN, numbered(9)) == receipt
    assert len(entries_of(again)) == 17


def test_a_file_is_brought_up_to_date_once(tmp_path: Path) -> None:
    """Who opens it second, or with an empty chain, finds version 2; one of version 3 is still refused."""
    path = tmp_path / "ledger.db"
    version_1(path, [])
    for _ in range(2):
        ledger = SqliteLedger(path)
        assert ledger._db.connection().execute("PRAGMA user_version").fetchone() == (2,)
        appender(ledger).append(CHAIN, numbered(1))
    ledger = SqliteLedger(path)
    assert len(entries_of(ledger)) == 2
    fresh = SqliteLedger(":memory:")
    columns = "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info('segments')"
    assert sorted(ledger._db.connection().execute(columns)) == sorted(fresh._db.connection().execute(columns))


def test_a_table_of_a_version_before_trees_goes_on() -> None:
    """Items without `tree` are read as they are, and the first new one has the tree over all of them."""
    with dynamodb("ledger") as client:
        ledger = DynamoLedger(client, "ledger")
        for segment in OLD:
            item = to_item(segment)
            del item["tree"]
            client.put_item(TableName="ledger", Item=item)
        assert list(ledger.read(CHAIN)) == OLD
        assert appender(ledger).append(CHAIN, numbered(9)).first == 15
        checked = Verifier(CHAIN)
        checked.check_all(ledger.read(CHAIN))
        newest = ledger.head(CHAIN)
        assert newest is not None
        assert checked.root == merkle.root(newest.peaks)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("key = CAST(x'ff' AS TEXT)", "UTF-8"),
        ("chain = CAST(x'ff2f30' AS TEXT)", "UTF-8"),
        ("key = x'00'", "key is no text"),
        ("count = 'many'", "count is no integer"),
        ("t = 1.5", "t is no integer"),
        ("codec = x'01'", "codec is no integer"),
        ("tree = x'00'", "chain checkout/0"),
        ("recent = zeroblob(3)", "chain checkout/0"),
        ("payload = zeroblob(0)", "chain checkout/0"),
        ("payload = x'28b52ffd00'", "chain checkout/0"),
        ("count = 9223372036854775807", "chain checkout/0"),
        ("t = -1", "chain checkout/0"),
    ],
)
def test_rows_that_nobody_of_ours_wrote(change: str, said: str) -> None:
    """SQLite takes anything in any column: whoever meets it says `Tampered`, a writer behind it, too."""
    ledger = SqliteLedger(":memory:")
    for segment in grow(CHAIN, [[b"{}"]] * 3):
        ledger.append(segment)
    with ledger._db.writing() as connection:
        connection.execute(f"UPDATE segments SET {change} WHERE first = 2")
    with pytest.raises(Tampered, match=said):
        Verifier(CHAIN).check_all(segment for chain in ledger.chains() for segment in ledger.read(chain))
    if "is no" in said or change.startswith("key"):
        with pytest.raises(Tampered, match=said):
            appender(ledger).append(CHAIN, numbered(1))


@pytest.mark.parametrize(
    "change",
    [
        {"first": {"N": "1.5"}},
        {"first": {"N": "1E+37"}},
        {"count": {"N": "2E+3"}},
        {"payload": {"S": "text"}},
        {"tree": {"N": "1"}},
        {"key": {"B": b"x"}},
        {"t": {"NULL": True}},
        {"recent": None},
    ],
)
def test_items_that_nobody_of_ours_wrote(change: dict[str, Any]) -> None:
    """Numbers may be fractions, and attributes of any type or not there."""
    item = {name: each for name, each in (to_item(OLD[1]) | change).items() if each is not None}
    with pytest.raises(Tampered, match="no segment"):
        from_item(item)


def test_a_file_of_version_1_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old copy on read-only media is not brought up to date: it says which version it is, and stays."""
    path = tmp_path / "ledger.db"
    version_1(path, OLD)
    before = path.read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(Unsupported, match="version 1"):
        SqliteLedger(path)
    assert path.read_bytes() == before


def test_a_program_of_version_1_that_has_the_file_open_writes_no_more(tmp_path: Path) -> None:
    """Its segments have no tree: behind one that has, the chain would be damaged, and take nothing more."""
    path = tmp_path / "ledger.db"
    version_1(path, OLD)
    old = sqlite3.connect(path, isolation_level=None)
    assert old.execute("SELECT count(*) FROM segments").fetchone() == (5,)
    ledger = SqliteLedger(path)
    appender(ledger).append(CHAIN, numbered(9))
    newest = ledger.head(CHAIN)
    assert newest is not None
    late, _ = numbered(10).draft(0, bytes(32)).place(CHAIN, Head.after(newest), newest.t)
    row = tuple(getattr(late, name) for name in COLUMNS.split(", "))
    with pytest.raises(sqlite3.IntegrityError, match="start what writes to it again"):
        old.execute(f"INSERT INTO segments ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?)", row)
    old.close()
    assert appender(ledger).append(CHAIN, numbered(11)).first == 17
    assert len(entries_of(ledger)) == 19
