"""The contracts of `ports_erasure`: on SQLite and DynamoDB, on a folder and S3, on a real Valkey.

At the end an erasure on the stores of AWS, all of which are then looked through.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import zstandard
from moto import mock_aws

from sentinel.adapters.blobs_folder import FolderBlobs
from sentinel.adapters.blobs_s3 import S3Blobs
from sentinel.adapters.dynamodb_alerts import DynamoAlerts
from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.redis_letters import RedisLetters
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.adapters.sqlite_alerts import SqliteAlerts
from sentinel.adapters.sqlite_counters import SqliteCounters
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.sqlite_tasks import SqliteTasks
from sentinel.bootstrap import App
from sentinel.core.access import Service, encode
from sentinel.core.tasks import Effect, EffectState, erased
from sentinel.errors import Missing, Unavailable
from sentinel.ports_alerts import StoredAlert
from sentinel.ports_doors import Record
from sentinel.ports_erasure import (
    ErasableAlerts,
    ErasableBlobs,
    ErasableCounters,
    ErasableSegments,
    ErasableTasks,
)
from sentinel.settings import Settings
from sentinel.usecases.erase_from import Wish
from sentinel.usecases.ingest import Origin
from sentinel.usecases.verify_tasks import verify_tasks
from tests.chains import grow
from tests.contracts.lost_requests import BrokenWire
from tests.contracts.made_tasks import created
from tests.contracts.secret_stores import aws_client
from tests.contracts.tables import REGION, dynamodb
from tests.scenario import rule
from tests.valkey import running

STORES = ["sqlite", "dynamodb"]
MARK = b"xyzzy-plugh-4711"


@pytest.fixture(params=STORES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which stores."""
    return str(request.param)


@pytest.fixture
def client(kind: str) -> Iterator[Any]:
    """DynamoDB with the tables, where that is asked for."""
    if kind == "sqlite":
        yield None
        return
    with dynamodb("ledger", "tasks", "counters", "alerts") as found:
        yield found


def test_a_payload_is_replaced_and_nothing_else(client: Any, tmp_path: Path) -> None:
    """Payload, codec and key become the new ones; a place that nobody has, or another payload, takes none."""
    ledger: ErasableSegments = DynamoLedger(client, "ledger") if client else SqliteLedger(tmp_path / "l.db")
    first, second = grow("a/0", [[b"{}"], [b"{}"]])
    ledger.append(first)
    made = replace(first, payload=b"new", codec=7, key="k")
    moved = replace(made, t=9, prev=b"p" * 32, recent=b"r", tree=b"", count=2)
    assert ledger.replace(moved, first)
    assert ledger.at("a/0", 0) == made
    assert not ledger.replace(moved, replace(first, head=bytes(32)))
    assert not ledger.replace(replace(made, payload=b"newer"), first)
    assert not ledger.replace(second, second)
    assert list(ledger.read("a/0")) == [made]
    ledger.compact()
    assert list(ledger.read("a/0")) == [made]


def test_a_replacement_whose_answer_was_lost_is_known_again() -> None:
    """The SDK sends it twice: the second finds the first."""
    with dynamodb("ledger", attempts=2) as client:
        ledger = DynamoLedger(client, "ledger")
        (first,) = grow("a/0", [[b"{}"]])
        ledger.append(first)
        wire = BrokenWire(client)
        wire.fault, wire.left = "lost", 1
        assert ledger.replace(replace(first, payload=b"new"), first)
        assert ledger.at("a/0", 0) == replace(first, payload=b"new")


def test_a_task_is_rewritten_at_its_version(client: Any, tmp_path: Path) -> None:
    """State and effects are replaced; lineage, version and indexes stay; another version is left as it is."""
    tasks: Any = DynamoTasks(client, "tasks") if client else SqliteTasks(tmp_path / "t.db")
    store: ErasableTasks = tasks
    task, event = created("t1", results={"s": {"a": 1}})
    assert tasks.create(task, event)
    effect = Effect("t1", "k", EffectState.DONE, "s", 5, {"a": 1})
    assert tasks.record(effect)
    after = replace(task, results={"s": erased({"a": 1})}, reason="erased")
    gone = replace(effect, result=erased(effect.result))
    assert store.rewrite(after, [gone])
    assert (store.get("t1"), store.effects("t1"), store.lineage("t1")) == (after, {"k": gone}, [event])
    assert [each.id for each in tasks.listing()] == ["t1"]
    assert not store.rewrite(replace(after, version=7, reason="x"), [])
    assert not store.rewrite(replace(after, id="t2"), [])
    store.compact()
    assert store.get("t1") == after


def test_an_event_is_erased_in_the_place_of_what_was_read(client: Any, tmp_path: Path) -> None:
    """Nonce and entry become the new ones, nothing else; no feed tells of it; what changed since stays."""
    tasks: Any = DynamoTasks(client, "tasks") if client else SqliteTasks(tmp_path / "t.db")
    store: ErasableTasks = tasks
    task, event = created("t1")
    assert tasks.create(task, event)
    told = None if client else tasks.changes(0, 100)
    made = replace(event, nonce=bytes(32), entry=b"!gone")
    assert store.erase_event(replace(made, t=9, head=b"h"), event)
    assert (store.lineage("t1"), store.get("t1")) == ([made], task)
    assert not store.erase_event(replace(made, entry=b"!other"), event)
    assert not store.erase_event(made, replace(event, seq=1))
    assert not store.erase_event(made, replace(event, task_id="t2"))
    assert store.lineage("t1") == [made]
    assert list(store.ids()) == ["t1"]
    assert told is None or tasks.changes(0, 100) == told
    store.compact()
    assert store.lineage("t1") == [made]


def test_an_erased_event_whose_answer_was_lost_is_told_as_changed() -> None:
    """The SDK sends it twice: the second finds another entry; whoever erases reads the lineage again."""
    with dynamodb("tasks", attempts=2) as client:
        tasks = DynamoTasks(client, "tasks")
        task, event = created("t1")
        assert tasks.create(task, event)
        wire = BrokenWire(client)
        wire.fault, wire.left = "lost", 1
        made = replace(event, nonce=bytes(32), entry=b"!gone")
        assert not tasks.erase_event(made, event)
        assert tasks.lineage("t1") == [made]


def test_counters_are_walked_and_dropped(client: Any, tmp_path: Path) -> None:
    """Those of a prefix, each with its version; one that changed since stays, one that is gone is gone."""
    counters: Any = DynamoCounters(client, "counters") if client else SqliteCounters(tmp_path / "c.db")
    store: ErasableCounters = counters
    for name in ("a/%", "a/x", "ab", "b/a/x"):
        assert counters.store(name, name.encode(), 0, 2_000_000_000)
    assert counters.store("a/x", b"again", 1, 2_000_000_000)
    assert sorted(store.walk("a/")) == [("a/%", b"a/%", 1), ("a/x", b"again", 2)]
    assert not store.drop("a/x", 1)
    assert store.drop("a/x", 2)
    assert store.drop("a/x", 2)
    assert counters.load("a/x") == (b"", 0)
    store.compact()
    assert counters.load("ab") == (b"ab", 1)


def test_many_counters_are_all_walked(tmp_path: Path) -> None:
    """However many pages they take."""
    counters = SqliteCounters(tmp_path / "c.db")
    with counters._database.transaction() as connection:
        rows = [(f"a/{n:05}", b"s", 1, 2_000_000_000) for n in range(1_203)]
        connection.executemany(
            "INSERT INTO counters (key, state, version, expires) VALUES (?, ?, ?, ?)", rows
        )
    assert len(list(counters.walk("a/"))) == 1_203


def test_alerts_are_walked_and_dropped(client: Any, tmp_path: Path) -> None:
    """All of them, in any order; one that changed since stays."""
    alerts: Any = DynamoAlerts(client, "alerts") if client else SqliteAlerts(tmp_path / "a.db")
    store: ErasableAlerts = alerts
    names = {f"a{n:03}" for n in range(205)} if client is None else {"a1", "a2", "a3"}
    assert alerts.store([StoredAlert(name, "shop", "firing", 5, b"x") for name in sorted(names)]) == set()
    assert {each.id for each in store.everything()} == names
    name = min(names)
    assert not store.drop(name, 2)
    assert store.drop(name, 1)
    assert store.drop(name, 1)
    assert {each.id for each in store.everything()} == names - {name}
    store.compact()


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_blobs_are_dropped(where: str, tmp_path: Path) -> None:
    """One is gone, others stay, again is nothing, and what is no digest neither."""
    with mock_aws():
        s3 = aws_client("s3")
        s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
        blobs: Any = S3Blobs(s3, "kept") if where == "s3" else FolderBlobs(tmp_path / "blobs")
        store: ErasableBlobs = blobs
        one, two = blobs.put(b"one"), blobs.put(b"two")
        for digest in (one, one, "../../x", ""):
            store.drop(digest)
        with pytest.raises(Missing):
            store.get(one)
        assert store.get(two) == b"two"


def test_dead_letters_are_forgotten(tmp_path: Path) -> None:
    """Those of some tasks go, also out of the append-only file, however many stand before them."""
    with running(tmp_path) as server:
        connection = redis.Redis.from_url(server.url)
        queue, letters = RedisQueue(connection), RedisLetters(connection, own=True)
        assert letters.forget([]) == 0
        assert letters.forget(["t0"]) == 0
        for number in range(1_100):
            queue.bury(f"t{number % 550}", f"{MARK.decode()} {number}" if number % 550 == 7 else "why")
        assert letters.forget(["t7", "unknown"]) == 2
        assert all(each.task_id != "t7" for each in queue.buried(2_000))
        assert len(queue.buried(2_000)) == 1_098
        held = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert MARK in held
        letters.compact()
        held = b"".join(each.read_bytes() for each in tmp_path.rglob("*") if each.is_file())
        assert MARK not in held
        server.kill()
        with pytest.raises(Unavailable):
            letters.forget(["t8"])
        connection.close()


def test_a_server_that_is_not_ours_is_left_to_itself(tmp_path: Path) -> None:
    """Its append-only file is its owner's."""
    with running(tmp_path) as server:
        connection = redis.Redis.from_url(server.url)
        connection.config_resetstat()
        RedisLetters(connection, own=False).compact()
        assert "cmdstat_bgrewriteaof" not in connection.info("commandstats")
        connection.close()


def _everything(clients: list[Any]) -> bytes:
    """Return all that all tables and buckets hold, unpacked."""
    dynamo, s3 = clients
    found = b""
    for table in dynamo.list_tables()["TableNames"]:
        for item in dynamo.scan(TableName=table)["Items"]:
            for value in item.values():
                ((_, held),) = value.items()
                raw = bytes(held) if isinstance(held, bytes) else str(held).encode()
                found += raw
                if raw.startswith(b"\x28\xb5\x2f\xfd"):
                    found += zstandard.ZstdDecompressor().decompressobj().decompress(raw)
    for bucket in s3.list_buckets()["Buckets"]:
        for held in s3.list_objects_v2(Bucket=bucket["Name"]).get("Contents", []):
            found += s3.get_object(Bucket=bucket["Name"], Key=held["Key"])["Body"].read()
    return found


@pytest.mark.parametrize("policy", ["store", "own"])
def test_in_aws_nothing_of_an_erased_entry_is_found(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every table and bucket is searched: tasks, effects and blobs that quoted it, alerts, the ledger."""
    for name, value in {
        "ACCESS_KEY_ID": "testing",
        "SECRET_ACCESS_KEY": "testing",
        "DEFAULT_REGION": REGION,
    }.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    names = ("ledger", "tasks", "catalog", "counters", "alerts", "registry", "keys")
    with dynamodb(*names) as dynamo:
        s3, kms = aws_client("s3"), aws_client("kms")
        s3.create_bucket(Bucket="kept", CreateBucketConfiguration={"LocationConstraint": REGION})
        tables: dict[str, Any] = {f"{name}_table": name for name in names}
        settings = Settings(
            home=str(tmp_path),
            blobs_bucket="kept",
            data_key=kms.create_key()["KeyMetadata"]["KeyId"],
            **tables,
        )
        FileLogKey(tmp_path / "log.key", create=True)
        app = App(settings)
        app.registry.put(Record(Service.KIND, "shop", encode(Service("shop", encryption=policy))))
        app.catalog.push("rule", "boom", rule("boom", "boom"))
        app.catalog.push(
            "recipe",
            "tell",
            b"id: tell\non: {rule: boom}\nsteps: [{id: s, uses: siem.send, with: {to: [x]}}]\n",
        )
        entry = b'{"message":"boom %s"}' % MARK
        app.ingest.entries(Origin("shop", "/v1/entries", "r1", encryption=policy), entry + b'\n{"n":1}', {})
        (task_id,) = app.detector.detect(app.ledger.read("shop/0")).tasks
        digest = app.blobs.put(b"prompt: " + MARK)
        task = app.tasks.get(task_id)
        assert task is not None
        kept: dict[str, object] = {"text": MARK.decode(), "context": digest, "tree": digest}
        app.tasks.record(Effect(task_id, "k", EffectState.DONE, "s", time.time_ns(), kept, 0))
        # What a target says back stands in the lineage, as what a person gives as why does.
        app.control.cancel(task_id, "ada", f"the target answered 422: {MARK.decode()} is no name")
        assert any(MARK in event.entry for event in app.tasks.lineage(task_id))
        assert MARK in _everything([dynamo, s3])

        found = app.eraser.erase(Wish("shop/0", 0, 0, "request 12", "ada"))
        assert found.forgotten.counts == {"tasks": 1, "blobs": 1, "events": 1}
        assert MARK not in _everything([dynamo, s3])
        assert app.inspect.verify("shop/0").entries == 3
        told: Any = app.inspect.task(None, task_id)
        assert [each.get("erased", False) for each in told["lineage"]] == [False, True]
        assert verify_tasks(app.tasks, keys=app.log_key_of).whole
        left = [each for segment in app.ledger.read("shop/0") for each in segment.opened.entries]
        assert left[1] == b'{"n":1}'
        assert orjson.loads(left[2])["by"] == "ada"
        assert len(found.forgotten.unfinished) == 1 + (policy == "own")  # the feed may be behind
        assert [task_id in each for each in found.forgotten.left if "dead letters" in each] == [True]
        assert os.environ["AWS_DEFAULT_REGION"] == REGION
