"""The tripwire as it runs: changes by hand are told once each; erasure, archive and TTL are not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_cursors import SqliteCursors
from sentinel.adapters.sqlite_expiring import SqliteExpiring
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.bootstrap import App
from sentinel.core import erasure
from sentinel.core.access import Service
from sentinel.core.payload import CODEC_ERASED, Opened
from sentinel.core.segment import Batch, Segment
from sentinel.core.tripwire import CHAIN as ALERTS
from sentinel.core.verify import Verifier
from sentinel.entrypoints import archive, feeds
from sentinel.errors import Forbidden
from sentinel.local.feeds import Feed, ledger_changes
from sentinel.local.upkeep import Upkeep
from sentinel.settings import Settings
from sentinel.usecases import records
from sentinel.usecases.append import SECOND
from sentinel.usecases.archive import DAY
from tests.e2e.test_feeds import Stopping
from tests.writers import CHAIN, Clock, numbered


class Home:
    """A home folder with the feed of its ledger, on the adapters and the wiring that `up` has."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr("time.time_ns", self.clock)
        self.folder = folder
        self.app = App(Settings(home=str(folder)))
        self.cursors = SqliteCursors(folder / "feeds.db")
        table = self.app.segments
        assert isinstance(table, SqliteLedger)
        self.table = table

    def fill(self, count: int = 6, start: int = 1) -> None:
        """Append batches an hour apart."""
        for name in range(start, start + count):
            self.app.appender.append(CHAIN, numbered(name))
            self.clock.now += 3_600 * SECOND

    def feed(self, app: App | None = None) -> None:
        """Let detection have what changed."""
        to = app or self.app

        def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
            del context
            found = event["Records"]
            assert feeds.detect(to, found) == len(found)
            return {"batchItemFailures": []}

        Feed("detect", ledger_changes(self.table), handler, self.cursors, Stopping(1)).run()

    def sql(self, *scripts: str) -> None:
        """Do to the table what somebody with the file may do."""
        db = sqlite3.connect(self.folder / "ledger.db")
        for script in scripts:
            db.execute(script)
            db.commit()
        db.close()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts in the tripwire's chain, which verifies."""
        checked, found = Verifier(ALERTS), []
        for segment in self.app.ledger.read(ALERTS):
            checked.check(segment)
            found += [orjson.loads(entry) for entry in segment.opened.entries]
        return found

    def upkeep(self) -> int:
        """Drop what is over."""
        counters = SqliteCounters(self.folder / "counters.db")
        tasks = SqliteTasks(self.folder / "tasks.db")
        rows = SqliteExpiring(self.folder / "ledger.db")
        made = Upkeep(self.table, tasks, counters, self.cursors, self.clock)
        return replace(made, expiring=rows, archive=self.app.archive).tidy()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a chain of six segments, of which the feed was told."""
    home = Home(tmp_path, monkeypatch)
    home.fill()
    home.feed()
    assert home.alerts() == []
    return home


ROW = "chain = 'checkout/0' AND first = 4"
COLUMNS = "chain, first, count, prev, head, t, payload, codec, recent, tree, key, expires"
TAMPERING = {
    "payload": f"UPDATE segments SET payload = x'00' WHERE {ROW}",
    "payload of another": "UPDATE segments SET payload = (SELECT payload FROM segments WHERE first = 2) "
    f"WHERE {ROW}",
    "time": f"UPDATE segments SET t = t + 1 WHERE {ROW}",
    "head": f"UPDATE segments SET head = zeroblob(32) WHERE {ROW}",
    "link": f"UPDATE segments SET prev = zeroblob(32) WHERE {ROW}",
    "count": f"UPDATE segments SET count = 1 WHERE {ROW}",
    "window": f"UPDATE segments SET recent = x'' WHERE {ROW}",
    "tree": f"UPDATE segments SET tree = x'' WHERE {ROW}",
    "codec": f"UPDATE segments SET codec = 5 WHERE {ROW}",
    "key": f"UPDATE segments SET key = 'k' WHERE {ROW}",
    "type": f"UPDATE segments SET t = 'noon' WHERE {ROW}",
    "expiry": f"UPDATE segments SET expires = 1 WHERE {ROW}",
    "place": f"UPDATE segments SET first = 400 WHERE {ROW}",
    "chain": f"UPDATE segments SET chain = 'checkout/1' WHERE {ROW}",
    "removal": f"DELETE FROM segments WHERE {ROW}",
    "cut": "DELETE FROM segments WHERE chain = 'checkout/0' AND first = 10",
    "put over": f"INSERT OR REPLACE INTO segments ({COLUMNS}) SELECT chain, first, count, prev, head, t + 1, "
    f"payload, codec, recent, tree, key, expires FROM segments WHERE {ROW}",
    "put over by another payload": f"INSERT OR REPLACE INTO segments ({COLUMNS}) SELECT chain, first, count, "
    f"prev, head, t, x'00', codec, recent, tree, key, expires FROM segments WHERE {ROW}",
}


@pytest.mark.parametrize("script", TAMPERING.values(), ids=TAMPERING)
def test_every_change_by_hand_is_told_once(home: Home, script: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each kind of change of a stored segment makes one alert, with its place, also when told of again."""
    home.sql(script)
    home.feed()
    first = 10 if "first = 10" in script else 4
    (alert,) = home.alerts()
    assert (alert["chain"], alert["first"], alert["event"]) == (CHAIN, first, "tripwire")
    assert alert["change"] in {"MODIFY", "REMOVE"}
    assert f"{CHAIN} at entry {first}" in caplog.text
    home.cursors = SqliteCursors(home.folder / "again.db")
    home.feed(App(Settings(home=str(home.folder))))
    # All is handed over again. A row of another type can no longer be told from one that came so.
    again = home.alerts()
    assert again[0] == alert
    assert len(again) == (2 if "noon" in script else 1)


def test_a_row_that_is_moved_over_another_is_told_where_that_was(home: Home) -> None:
    """An insert into a free place is let pass; moved over a stored segment, it is a change of that one."""
    home.sql(
        f"INSERT INTO segments ({COLUMNS}) SELECT 'x/0', first, count, prev, head, t, x'00', codec, recent, "
        f"tree, key, 1 FROM segments WHERE {ROW}",
        "UPDATE OR REPLACE segments SET chain = 'checkout/0' WHERE chain = 'x/0'",
    )
    home.feed()
    told = {(each["chain"], each["first"], each["change"]) for each in home.alerts()}
    assert told == {(CHAIN, 4, "MODIFY"), ("x/0", 4, "REMOVE")}


def test_all_is_told_when_all_is_removed(home: Home) -> None:
    """A table that was emptied tells of each segment that it had."""
    home.sql("DELETE FROM segments WHERE chain = 'checkout/0'")
    home.feed()
    assert [each["first"] for each in home.alerts()] == [0, 2, 4, 6, 8, 10]


def test_an_alert_that_is_taken_away_is_told_itself(home: Home) -> None:
    """The tripwire's own chain is watched as any."""
    home.sql(TAMPERING["payload"])
    home.feed()
    home.sql("DELETE FROM segments WHERE chain = 'sentinel.tripwire/0'")
    home.feed()
    (newest,) = home.table.read(ALERTS)
    told = orjson.loads(newest.opened.entries[0])
    assert (told["chain"], told["change"], told["first"]) == (ALERTS, "REMOVE", 0)
    home.feed()
    assert len(list(home.table.read(ALERTS))) == 1


def test_what_changes_nothing_is_not_told(home: Home) -> None:
    """An update to what is there already, and an insert that is ignored or fails, are no changes."""
    again = f"({COLUMNS}) SELECT {COLUMNS} FROM segments WHERE {ROW}"
    home.sql(f"UPDATE segments SET t = t WHERE {ROW}", f"INSERT OR IGNORE INTO segments {again}")
    with pytest.raises(sqlite3.IntegrityError):
        home.sql(f"INSERT INTO segments {again}")
    home.feed()
    assert home.alerts() == []


def _archived(home: Home, days: float = 100) -> int:
    """Archive all but the newest segment as the function does; return where the archive ends."""
    if records.load(home.app.registry, Service, "checkout")[1] == 0:
        records.save(home.app.registry, Service("checkout", archive_days=1), 0)
    home.app.sealer.seal(CHAIN)
    home.clock.now += int(days * DAY) * SECOND
    home.app.__dict__.pop("seam", None)
    home.app.__dict__.pop("ledger", None)
    told = archive.run(home.app, lambda: 1_000.0)
    assert told["damaged"] == 0
    return home.app.archive.end(CHAIN)


def test_archiving_and_dropping_are_not_told(home: Home) -> None:
    """Marks, and rows that the upkeep deletes, are the archive's own; what it deletes can still be read."""
    assert _archived(home) == 10
    home.feed()
    assert home.upkeep() == 0
    home.clock.now += 8 * DAY * SECOND
    assert home.upkeep() == 5
    home.feed()
    assert home.alerts() == []
    assert [each.first for each in home.table.read(CHAIN)] == [10]
    home.fill(2, start=50)
    home.feed()
    assert home.alerts() == []
    checked = Verifier(CHAIN)
    checked.check_all(App(home.app.settings).ledger.read(CHAIN))
    assert checked.next == 16


def test_a_mark_by_hand_drops_nothing(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody else marked is told of, and the upkeep leaves what the archive does not hold."""
    home.sql(TAMPERING["expiry"])
    assert home.upkeep() == 0
    assert "not in the archive" in caplog.text
    home.feed()
    assert [each["first"] for each in home.alerts()] == [4]
    assert len(list(home.table.read(CHAIN))) == 6


def test_an_early_removal_of_what_is_archived_is_told(home: Home) -> None:
    """Until its time is over a segment stays in the table, also where the archive has it."""
    _archived(home)
    home.sql(f"DELETE FROM segments WHERE {ROW}")
    home.feed()
    assert [(each["first"], each["change"]) for each in home.alerts()] == [(4, "REMOVE")]


def test_a_segment_in_an_emptied_slot_is_told(home: Home) -> None:
    """Who puts something where another segment was archived is told of, and nobody reads it."""
    (row,) = [each for each in home.table.read(CHAIN) if each.first == 4]
    _archived(home)
    home.clock.now += 8 * DAY * SECOND
    home.upkeep()
    home.feed()
    fresh = App(home.app.settings)
    copy = "INSERT INTO segments (chain, first, count, prev, head, t, payload, codec, recent, tree) SELECT "
    home.sql(copy + "chain, 4, count, prev, head, t, payload, codec, recent, tree FROM segments LIMIT 1")
    home.feed(fresh)
    assert [(each["first"], each["change"]) for each in home.alerts()] == [(4, "INSERT")]
    assert fresh.ledger.at(CHAIN, 4) == row


def _erased(segment: Segment, *places: int) -> Segment:
    opened = segment.opened
    gone = {place: opened.leaves()[place] for place in places}
    nonce, context = opened.nonce, opened.context
    if len(gone) == segment.count:
        nonce, context = bytes(32), b"{}"
    packed = Opened(nonce, context, list(opened.entries), gone).pack()
    return replace(segment, payload=packed, codec=segment.codec | CODEC_ERASED)


def _record(home: Home, first: int, last: int, leaves: bytes, sign: Callable[[bytes], bytes]) -> None:
    """Append what an erasure records (docs/erasure.md)."""
    key, digest = home.app.sealer.keys.of(CHAIN), sha256(leaves).digest()
    reason = sha256(b"asked for").digest()
    statement = erasure.Statement(key.name, first, last, 1_700_000_000, digest, reason)
    entry = erasure.entry(erasure.noted(statement, key, sign), "auditor", "asked for", [])
    home.app.appender.append(
        CHAIN, Batch(bytes([first]) * 16, [entry], {"service": "s", "endpoint": "erase"})
    )


def _put(home: Home, segment: Segment) -> None:
    db = sqlite3.connect(home.folder / "ledger.db")
    sql = "UPDATE segments SET payload = ?, codec = ? WHERE chain = ? AND first = ?"
    db.execute(sql, (segment.payload, segment.codec, segment.chain, segment.first))
    db.commit()
    db.close()


def _leaves(home: Home, first: int, last: int) -> bytes:
    whole = [leaf for each in home.table.read(CHAIN) for leaf in each.opened.leaves()]
    return b"".join(whole[first : last + 1])


def test_a_recorded_erasure_is_not_told(home: Home) -> None:
    """Entries of two segments are erased by one record, wherever it stands behind them."""
    rows = list(home.table.read(CHAIN))
    _record(home, 3, 6, _leaves(home, 3, 6), home.app.log_signer.sign)
    home.fill(3, start=50)
    for row, places in ((rows[1], (1,)), (rows[2], (0, 1)), (rows[3], (0,))):
        _put(home, _erased(row, *places))
    home.feed()
    assert home.alerts() == []
    Verifier(CHAIN).check_all(home.app.ledger.read(CHAIN))


@pytest.mark.parametrize("forged", ["none", "key", "range", "leaves", "endpoint"])
def test_an_erasure_that_is_not_recorded_is_told(
    home: Home, forged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a record, or with one that another key signed, or of other entries, it is an alert."""
    row = list(home.table.read(CHAIN))[2]
    leaves = _leaves(home, 4, 5)
    sign: Callable[[bytes], bytes] = home.app.log_signer.sign
    if forged == "key":
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        sign = Ed25519PrivateKey.generate().sign
    if forged == "endpoint":
        monkeypatch.setattr("sentinel.core.erasure_check.ENDPOINT", "other")
    if forged != "none":
        first, last = (0, 3) if forged == "range" else (4, 5)
        covered = _leaves(home, 0, 3) if forged == "range" else leaves
        _record(home, first, last, bytes(32) if forged == "leaves" else covered, sign)
    _put(home, _erased(row, 0, 1))
    home.feed()
    (told,) = home.alerts()
    assert (told["first"], told["why"]) == (4, "entries were erased, and no signed record says so")


def test_nobody_else_writes_under_our_names(home: Home) -> None:
    """Services whose ids begin with `sentinel.` cannot be added, and nothing is taken in for them."""
    from sentinel.usecases.ingest import Origin

    with pytest.raises(Forbidden, match=r"sentinel\."):
        home.app.services.add(Service("sentinel.tripwire"))
    with pytest.raises(Forbidden, match=r"sentinel\."):
        home.app.ingest.entries(Origin("sentinel.tripwire", "entries", "r"), b'{"a":1}\n', {})
    assert list(home.app.ledger.read(ALERTS)) == []


def test_a_damaged_archive_or_alert_chain_holds_nothing_up(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody can tell to be right is told; where no alert can be stored it is logged."""
    _archived(home)
    home.feed()
    for path in (home.folder / "archive").glob("*/0*"):
        path.write_bytes(b"SAR1")
    fresh = App(home.app.settings)
    home.sql(f"UPDATE segments SET expires = 7 WHERE {ROW}")
    home.feed(fresh)
    (alert,) = home.alerts()
    assert "nobody can tell" in alert["why"]
    home.sql(f"UPDATE segments SET recent = x'00' WHERE chain = '{ALERTS}'")
    home.sql(TAMPERING["removal"])
    home.feed(App(home.app.settings))
    assert "no alert can be stored" in caplog.text
    assert f"{CHAIN} at entry 4: REMOVE" in caplog.text
    assert home.cursors.cursor("detect") == home.table.changes(0, 1_000)[-1].seq


def test_the_rule_of_the_documentation_matches_alerts(home: Home) -> None:
    """The example in `docs/archive.md` loads, and matches what the tripwire tells."""
    from sentinel.core.rules import load

    text = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    rules = load([("docs/archive.md", example.encode())])
    home.sql(TAMPERING["time"])
    home.feed()
    (alert,) = home.alerts()
    assert [rule.title for rule in rules.match(alert)] == ["Somebody changed the ledger"]
    assert not rules.match({"event": "other"})


@pytest.mark.nightly
def test_a_running_tree_tells_and_acts(tmp_path: Path) -> None:
    """While `sentinel up` runs, a change by hand becomes an alert, which a rule and a recipe act on."""
    from tests.e2e.trees import alerts, push, until, up

    folder = tmp_path / "home"
    text = (Path(__file__).resolve().parents[2] / "docs" / "archive.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    recipe = (
        "id: tell\non: {rule: Somebody changed the ledger}\n"
        "steps: [{id: tell, uses: siem.send, with: {to: [file]}}]\n"
    )
    sinks = "sinks: {file: {kind: file, path: alerts.ndjson}}"
    push(folder, tmp_path / "docs", rule=example, sinks=sinks, recipe=recipe)
    with up(folder) as tree:
        tree.post([{"n": 1}])
        tree.post([{"n": 2}])
        with sqlite3.connect(folder / "ledger.db") as db:
            db.execute("UPDATE segments SET t = t + 1 WHERE chain = 'test/0' AND first = 0")
        db.close()
        until(lambda: alerts(folder), "nobody was told")
        (told,) = alerts(folder)
        assert (told["chain"], told["entry"]["chain"], told["entry"]["first"]) == (ALERTS, "test/0", 0)
