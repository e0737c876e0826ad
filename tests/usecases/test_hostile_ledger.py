"""A ledger whose rows anybody may have written: who meets one says what is wrong, and nobody hangs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core.segment import Segment
from sentinel.core.window import Part
from sentinel.errors import SentinelError, Unavailable
from sentinel.ports import Ledger
from sentinel.usecases.inspect import Inspect
from sentinel.usecases.seal import Sealer
from tests.chains import batch, grow
from tests.faults_ports import FaultyLedger
from tests.writers import CHAIN, Clock, appender, numbered

LOG = "sentinel.example"
SEGMENTS = grow(CHAIN, [numbered(name).entries for name in range(1, 9)])
COLUMNS = ("chain", "first", "count", "prev", "head", "t", "payload", "codec", "recent", "tree", "key")
RECORD = st.builds(
    lambda name, count, offset, rest: Part(
        name.to_bytes(16, "big"), count, offset, offset + count + rest
    ).encode(),
    *(st.integers(0, 9), *[st.integers(0, 3) | st.integers(0, 1 << 62)] * 3),
)
VALUE: st.SearchStrategy[Any] = (
    st.integers(-(1 << 63), (1 << 63) - 1)
    | st.integers(-3, 20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.binary(max_size=80)
    | st.lists(RECORD, max_size=70).map(b"".join)
    | st.sampled_from([getattr(each, name) for each in SEGMENTS for name in COLUMNS])
)
CHANGES = st.lists(st.tuples(st.integers(0, 7), st.sampled_from(COLUMNS), VALUE), min_size=1, max_size=3)
MOST_READS = 300


class Bounded(FaultyLedger):
    """A ledger that is asked a bounded number of times, or the test fails."""

    def _call(self, name: str, call: Callable[[], Any]) -> Any:
        assert len(self.log) < MOST_READS, "it walks through the whole chain"
        return super()._call(name, call)


@pytest.fixture(scope="module")
def sealer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Ledger], Sealer]]:
    """Make sealers that have signed a tree of eight entries before."""
    folder = tmp_path_factory.mktemp("log")
    signer = FileLogKey(folder / "log.key", create=True)

    def made(ledger: Ledger) -> Sealer:
        return Sealer(ledger, FolderNotes(folder), FolderTiles(folder), signer, LOG, Clock())

    ledger = SqliteLedger(":memory:")
    for segment in SEGMENTS[:4]:
        ledger.append(segment)
    made(ledger).seal(CHAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FolderNotes, "put", lambda *_: True)
        patch.setattr(FolderTiles, "put", lambda *_: None)
        yield made


def damaged(changes: list[tuple[int, str, Any]]) -> SqliteLedger:
    """Return a ledger with some columns of another's making."""
    ledger = SqliteLedger(":memory:")
    for segment in SEGMENTS:
        ledger.append(segment)
    with ledger._db.writing() as connection:
        for which, column, value in changes:
            sql = f"UPDATE OR REPLACE segments SET {column} = ? WHERE rowid = ?"
            connection.execute(sql, (value, which + 1))
    return ledger


def attempts(ledger: SqliteLedger, made: Callable[[Ledger], Sealer]) -> Iterator[Callable[[], object]]:
    """Yield what people and programs do with a ledger."""
    inspect = Inspect(ledger, lambda: pytest.fail("no tasks are wanted"))
    yield inspect.heads
    yield lambda: inspect.verify(CHAIN)
    yield lambda: list(inspect.export(CHAIN))
    yield lambda: made(ledger).seal(CHAIN)
    for name in (1, 5, 8, 77):
        for since in (None, 0):
            yield lambda name=name, since=since: appender(Bounded(ledger)).append(  # type: ignore[misc]
                CHAIN, numbered(name), since=since, full=True
            )
    yield lambda: appender(Bounded(ledger)).append(CHAIN, batch(8, [b"{}"] * 9), full=True)


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=CHANGES)
def test_nothing_stored_breaks_anybody(sealer: Callable[[Ledger], Sealer], changes: list[Any]) -> None:
    """Whatever stands in the table, each attempt succeeds or says what is wrong; none reads without end."""
    ledger = damaged(changes)
    for attempt in attempts(ledger, sealer):
        try:
            attempt()
        except SentinelError:
            continue
    ledger._db.close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """What does not fit is not acknowledged; with room again it is stored, once, beside all the rest."""
    ledger = SqliteLedger(tmp_path / "ledger.db")
    writer = appender(ledger)
    connection = ledger._db.connection()
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 12}")
    receipts: dict[int, Any] = {}
    for name in range(1, 200):
        try:
            receipts[name] = writer.append(CHAIN, numbered(name, 40))
        except Unavailable:
            break
    assert 2 < len(receipts) < 150
    refused = len(receipts) + 1
    with pytest.raises(Unavailable, match="full"):
        appender(ledger, seed=4).append(CHAIN, numbered(refused, 40))
    connection.execute("PRAGMA max_page_count = 1000000")
    receipts[refused] = writer.append(CHAIN, numbered(refused, 40))
    assert {name: writer.append(CHAIN, numbered(name, 40), since=0) for name in receipts} == receipts
    segments: list[Segment] = list(ledger.read(CHAIN))
    assert [each.count for each in segments] == [40] * len(receipts)
