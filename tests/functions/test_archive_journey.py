"""The archive and the tripwire on DynamoDB and S3: from a sealed chain to a table that TTL has emptied."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.adapters.dynamodb_tables import TABLES
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.bootstrap import App
from sentinel.core.access import Service
from sentinel.core.tripwire import CHAIN as ALERTS
from sentinel.core.verify import Verifier
from sentinel.entrypoints import archive, feeds
from sentinel.entrypoints.changes import TTL
from sentinel.settings import Settings
from sentinel.usecases import records
from sentinel.usecases.append import SECOND
from sentinel.usecases.archive import DAY
from tests.archives import BUCKET, bucket
from tests.contracts.tables import client, definition
from tests.functions.test_aws_journey import Cloud, Record
from tests.writers import CHAIN, Clock, numbered


class Account:
    """Tables and a bucket, a clock, and applications on them."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.clock.now = 1_795_514_400 * SECOND
        monkeypatch.setattr("time.time_ns", self.clock)
        dynamodb = client()
        for name in TABLES:
            dynamodb.create_table(**definition(name, TABLES[name]))
        tables: dict[str, Any] = {f"{name}_table": name for name in TABLES if name != "keys"}
        FileLogKey(home / "log.key", create=True)
        settings = Settings(home=str(home), archive_bucket=BUCKET, **tables)
        self.cloud = Cloud(dynamodb, settings, monkeypatch)

    def app(self) -> App:
        """Return an application as a new process has it."""
        return App(self.cloud.settings)

    def detect(self, changes: list[Record]) -> list[dict[str, Any]]:
        """Hand changes to detection; return all alerts."""
        app = self.app()
        assert feeds.detect(app, changes) == len(changes)
        found = [orjson.loads(entry) for each in app.ledger.read(ALERTS) for entry in each.opened.entries]
        self.cloud.stream("ledger")
        return found

    def remove(self, first: int, **more: Any) -> list[Record]:
        """Remove an item; return what the stream tells."""
        key = {"chain": {"S": CHAIN}, "first": {"N": str(first)}}
        self.cloud.dynamodb.delete_item(TableName="ledger", Key=key)
        return [{**each, **more} for each in self.cloud.stream("ledger")]


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account with a sealed chain of eight segments, an hour apart, and a limit of a day."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with bucket():
        account = Account(tmp_path, monkeypatch)
        app = account.app()
        records.save(app.registry, Service("checkout", archive_days=1), 0)
        for batch in range(8):
            app.appender.append(CHAIN, numbered(batch + 1))
            account.clock.now += 3_600 * SECOND
        app.sealer.seal(CHAIN)
        assert account.detect(account.cloud.stream("ledger")) == []
        account.clock.now += 30 * DAY * SECOND
        yield account


def test_ttl_empties_the_table_and_nobody_notices(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    """All but the newest is archived, marked and removed by TTL: no alert, and every reader goes on."""
    told = archive.run(account.app(), lambda: 900.0)
    assert (told["segments"], told["marked"], told["damaged"]) == (7, 7, 0)
    marks = account.cloud.stream("ledger")
    assert [each["eventName"] for each in marks] == ["MODIFY"] * 7
    assert account.detect(marks) == []
    for first in range(0, 14, 2):
        assert account.detect(account.remove(first, userIdentity=TTL)) == []
    app = account.app()
    assert [item["first"]["N"] for item in account.cloud.items("ledger").values()] == ["14"]
    assert list(app.ledger.chains()) == [CHAIN]  # whose first segment is gone from the index
    checked = Verifier(CHAIN)
    checked.check_all(app.ledger.read(CHAIN))
    assert checked.next == 16
    assert app.appender.append(CHAIN, numbered(99)).first == 16
    assert app.inspect.verify(CHAIN).segments == 9
    assert archive.run(account.app(), lambda: 900.0)["segments"] == 1  # it is no longer the newest
    assert not [each for each in caplog.records if each.levelno >= logging.CRITICAL]


def test_others_than_ttl_are_told(account: Account) -> None:
    """A removal by somebody else before its time, of what is not archived, and a put over one: alerts."""
    archive.run(account.app(), lambda: 900.0)
    assert account.detect(account.cloud.stream("ledger")) == []
    assert [each["first"] for each in account.detect(account.remove(4))] == [4]
    assert [each["first"] for each in account.detect(account.remove(14, userIdentity=TTL))] == [4, 14]
    account.clock.now += 8 * DAY * SECOND
    assert len(account.detect(account.remove(6))) == 2  # its time is over, and the archive has it
    item = next(each for each in account.cloud.items("ledger").values() if each["first"]["N"] == "8")
    account.cloud.dynamodb.put_item(TableName="ledger", Item={**item, "t": {"N": "1"}})
    last = account.detect(account.cloud.stream("ledger"))[-1]
    assert (last["first"], last["change"]) == (8, "MODIFY")


def test_an_archive_that_does_not_answer_keeps_nobody_waiting(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New segments are detected without it, also when it fails each time; removals wait until it answers."""
    from sentinel.errors import Unavailable

    app = account.app()
    app.appender.append(CHAIN, numbered(77))
    put = account.cloud.stream("ledger")
    removed = account.remove(4, userIdentity=TTL)
    asked = 0

    def away(*_: object, **__: object) -> None:
        nonlocal asked
        asked += 1
        raise Unavailable("away")

    fresh = account.app()
    monkeypatch.setattr(fresh.archive, "_list", away)
    assert feeds.detect(fresh, put * 3) == 3
    assert asked == 1
    assert feeds.detect(fresh, removed) == 0
