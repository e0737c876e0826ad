"""The way through AWS from a request to an effect, by the handlers alone, each with the settings it gets.

Tables are moto's, made from the descriptions that CDK reads; records of the streams are made from what is
in the tables, as Lambda hands them over; Valkey and the collector are real. Every call builds its application
anew, as a cold start does.
"""

from __future__ import annotations

import base64
import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from examples import check_trace
from examples.loopback_hec import Collector, Server
from sentinel.adapters.dynamodb_catalog import DynamoCatalog
from sentinel.adapters.dynamodb_ledger import DynamoLedger
from sentinel.adapters.dynamodb_tables import DISPATCH_FILTER, TABLES
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.adapters.redis_streams import RedisQueue, connect
from sentinel.bootstrap import App, bootstrap
from sentinel.cli.main import cli
from sentinel.core import correlation as correlations
from sentinel.core.tasks import SECOND, Event, Task
from sentinel.core.verify import Verifier
from sentinel.entrypoints import observe
from sentinel.errors import Unavailable
from sentinel.settings import Settings
from sentinel.usecases.replay import Replay
from tests.contracts.tables import REGION, client, definition
from tests.functions.test_api_handlers import load
from tests.scenario import correlation, recipe, rule
from tests.valkey import running

Record: TypeAlias = dict[str, Any]
TOKEN = "3fc5e1d2-secret-of-the-collector"
PERSON = "alice@example.com"
WORKER = {"tasks_table", "catalog_table", "counters_table", "registry_table", "redis_url"}
WORKER |= {"secret_prefix", "http_hosts", "http_private"}
SETTINGS: Mapping[str, set[str]] = {
    "ingest": {"lanes"},
    "control": {"tasks_table", "catalog_table", "counters_table", "registry_table", "alerts_table"},
    "detect": {"tasks_table", "catalog_table", "counters_table", "alerts_table"},
    "dispatch": {"tasks_table", "worker_functions", "redis_url"},
    "sweep": {"tasks_table", "catalog_table", "counters_table", "worker_functions", "redis_url"},
    "deliver": WORKER - {"tasks_table", "redis_url"},
    "work_siem": WORKER,
    "work_action": WORKER,
}
RIGHTS = "ingest tasks:read tasks:control tasks:approve recipes:write"
RECIPE = (
    "id: tell\non: {rule: %s}\ndedup: {by: [user], within: 1h}\nretry: {attempts: 5, backoff: 1ms..2ms}\n"
    "steps:\n  - {id: hec, uses: siem.send, with: {to: [hec]}}\n"
    "  - {id: hook, uses: http.call, with: {url: '%s', expect: [404]}}\n"
)


class Context:
    """What Lambda hands over. `seconds` are left."""

    aws_request_id = "5e0b2b9c-0000-4000-8000-9f1f2f3f4f5f"
    function_name = "sentinel"

    def __init__(self, seconds: float = 300) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


@dataclass
class Cloud:
    """The account: its tables, what their streams have told so far, and a way to call each function."""

    dynamodb: Any
    settings: Settings
    monkeypatch: pytest.MonkeyPatch
    seen: dict[str, dict[str, Record]] = field(default_factory=lambda: {"ledger": {}, "tasks": {}})
    numbers: int = 100_000_000_000_000_000_000

    def call(self, verb: str, event: Record, context: Any = None) -> Any:
        """Call a function in a process of its own, as far as its application goes."""
        defaults = Settings()
        names = SETTINGS[verb] | {"ledger_table"}
        given = {
            name: getattr(self.settings if name in names else defaults, name) for name in Settings.__slots__
        }
        with self.monkeypatch.context() as patch:
            for name, value in Settings(**given).to_environ().items():
                patch.setenv(name, value)
            bootstrap.cache_clear()
            try:
                return load(verb)(event, context or Context())
            finally:
                end(bootstrap())
                bootstrap.cache_clear()

    def items(self, table: str) -> dict[str, Record]:
        """Return a table's items by key."""
        keys = [key.name for key in (TABLES[table].partition, TABLES[table].sort) if key]
        found = self.dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]
        return {json.dumps([item[key] for key in keys]): item for item in found}

    def stream(self, table: str) -> list[Record]:
        """Return what changed in a table since the last look, as its stream tells it."""
        before, now = self.seen[table], self.items(table)
        self.seen[table] = now
        records = []
        for name in sorted(before.keys() | now.keys()):
            if before.get(name) == now.get(name):
                continue
            kind = "INSERT" if name not in before else "MODIFY" if name in now else "REMOVE"
            records.append(self._record(table, kind, before.get(name), now.get(name)))
        return records

    def _record(self, table: str, kind: str, old: Record | None, new: Record | None) -> Record:
        described = TABLES[table]
        self.numbers += 100
        keys = [key.name for key in (described.partition, described.sort) if key]
        item = new or old or {}
        told: Record = {
            "ApproximateCreationDateTime": 1795514400,
            "Keys": {name: item[name] for name in keys},
            "SequenceNumber": str(self.numbers),
            "SizeBytes": 1,
            "StreamViewType": described.stream,
        }
        if new is not None:
            told["NewImage"] = wire(new)
        if old is not None and described.stream == "NEW_AND_OLD_IMAGES":
            told["OldImage"] = wire(old)
        return {
            "eventID": uuid.uuid4().hex,
            "eventName": kind,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": REGION,
            "dynamodb": told,
            "eventSourceARN": f"arn:aws:dynamodb:{REGION}:123456789012:table/{table}/stream/now",
        }

    def feed(self, verb: str, records: list[Record]) -> list[str]:
        """Hand records over as Lambda does; return the sequence numbers that failed."""
        answer = self.call(verb, {"Records": json.loads(json.dumps(records))})
        return [each["itemIdentifier"] for each in answer["batchItemFailures"]]

    def hinted(self) -> list[Record]:
        """Return the changes of tasks that pass the filter of dispatch."""
        return [record for record in self.stream("tasks") if passes(record, DISPATCH_FILTER)]

    def state(self, task: str) -> str:
        """Return a task's state, as it is stored."""
        found = self.dynamodb.get_item(
            TableName="tasks", Key={"task": {"S": task}, "item": {"S": "state"}}, ConsistentRead=True
        )
        return str(found["Item"]["state"]["S"])


def end(app: App) -> None:
    """Close what the end of a process would."""
    made: dict[str, Any] = vars(app)
    if "http" in made:
        made["http"].close()
    if "queue" in made:
        made["queue"]._client.close()


def wire(item: Record) -> Record:
    """Return an item as JSON carries it: binary in base64."""
    return {
        name: {"B": base64.b64encode(bytes(value["B"])).decode()} if "B" in value else value
        for name, value in item.items()
    }


def passes(record: Any, pattern: Any) -> bool:
    """Say whether a record passes an event filter: each leaf is a list of the values it may have."""
    if isinstance(pattern, list):
        return record in pattern
    return isinstance(record, dict) and all(
        name in record and passes(record[name], below) for name, below in pattern.items()
    )


def proxy(method: str, resource: str, body: bytes | None = None, **more: Any) -> Record:
    """Return API Gateway's proxy event of a signed request by the role `checkout`."""
    return {
        "resource": resource,
        "path": more.pop("path", resource),
        "httpMethod": method,
        "headers": {
            "Content-Type": "application/x-ndjson",
            "X-Amzn-Trace-Id": "Root=1-5",
            **more.pop("headers", {}),
        },
        "multiValueHeaders": {},
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": f"/live{resource}",
            "stage": "live",
            "requestId": str(uuid.uuid4()),
            "identity": {
                "sourceIp": "192.0.2.7",
                "userAgent": "test",
            },
            "authorizer": {
                "service": "checkout",
                "scopes": RIGHTS,
                "encryption": "store",
                "principalId": "checkout",
            },
            "apiId": "abcdefghij",
        },
        "body": None if body is None else base64.b64encode(body).decode(),
        "isBase64Encoded": body is not None,
        **more,
    }


@pytest.fixture
def hec() -> Iterator[Server]:
    """Serve a collector on loopback."""
    server = Server(Collector(TOKEN))
    server.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hec: Server) -> Iterator[tuple[Cloud, RedisQueue]]:
    """Make an account with tables, rules, recipes, a sink with its secret, and a Valkey."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with running(tmp_path) as valkey, mock_aws():
        dynamodb = client()
        for name in TABLES:
            dynamodb.create_table(**definition(name, TABLES[name]))
        boto3.client("secretsmanager", region_name=REGION).create_secret(
            Name="sentinel/test/hec", SecretString=TOKEN
        )
        catalog = DynamoCatalog(dynamodb, "catalog")
        catalog.push("rule", "denied", rule("denied", "denied"))
        catalog.push("rule", "burst", correlation("burst", "denied", "user", 3))
        hook = hec.url.replace("/services/collector/event", "/nothing/here")
        catalog.push("recipe", "tell", (RECIPE % ("burst", hook)).encode())
        sink = f"sinks: {{hec: {{kind: splunk, url: '{hec.url}', token: hec, index: main}}}}"
        catalog.push("sink", "hec", sink.encode())
        settings = Settings(
            ledger_table="ledger",
            tasks_table="tasks",
            catalog_table="catalog",
            counters_table="counters",
            registry_table="registry",
            alerts_table="alerts",
            redis_url=valkey.url,
            secret_prefix="sentinel/test/",
            http_hosts="127.0.0.1",
            http_private=True,
            lanes=1,
            worker_functions="siem=work-siem,action=work-action",
        )
        queue = connect(valkey.url)
        yield Cloud(dynamodb, settings, monkeypatch), RedisQueue(queue)
        queue.close()


@pytest.fixture
def in_lambda(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make the functions log and count as they do in Lambda."""
    ours = logging.getLogger("sentinel")
    before = (ours.handlers, ours.level, ours.propagate)
    caches = (observe._in_lambda, observe._logger, observe._metrics)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "sentinel")
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()
    for verb in SETTINGS:  # Powertools keeps its handler, and with it the output of this test
        logging.Logger.manager.loggerDict.pop(verb, None)
    ours.handlers, ours.propagate = before[0], before[2]
    ours.setLevel(before[1])


def denied(user: str, n: int) -> bytes:
    """Return entries of which each matches the rule."""
    lines = [{"message": "access denied", "user": user, "n": i, "password": "hunter2"} for i in range(n)]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def send(cloud: Cloud, body: bytes, batch: str | None = None) -> Record:
    """Ingest a batch; return its receipt."""
    headers = {"Sentinel-Batch-Id": batch} if batch else {}
    answer = cloud.call("ingest", proxy("POST", "/v1/entries", body, headers=headers))
    assert answer["statusCode"] == 200, answer
    receipt: Record = json.loads(answer["body"])
    return receipt


def get(cloud: Cloud, resource: str, **more: Any) -> Record:
    """Ask the control function."""
    answer = cloud.call("control", proxy("GET", resource, **more))
    assert answer["statusCode"] == 200, answer
    found: Record = json.loads(answer["body"])
    return found


def task_of(cloud: Cloud) -> str:
    """Return the id of the one task there is."""
    (found,) = {item["task"]["S"] for item in cloud.items("tasks").values()}
    return str(found)


def test_from_a_request_to_its_effect(
    cloud: tuple[Cloud, RedisQueue], hec: Server, in_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A burst is sealed, counted, hinted, delivered and shown, once each, with no word of it in the logs."""
    aws, _ = cloud
    receipt = send(aws, denied(PERSON, 3), "b1")
    assert send(aws, denied(PERSON, 3), "b1") == receipt
    records = aws.stream("ledger")
    assert [record["eventName"] for record in records] == ["INSERT"]
    assert aws.feed("detect", records) == []
    assert aws.feed("detect", records) == []  # streams deliver at least once
    task = task_of(aws)
    assert aws.state(task) == "queued"

    hinted = aws.hinted()
    assert [record["dynamodb"]["Keys"]["task"]["S"] for record in hinted] == [task]
    assert aws.feed("dispatch", hinted) == []
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    drained = aws.call("work_siem", {"stream": "siem"})
    assert (drained["queued"], drained["poison"]) == (1, 0)
    assert [each["event"]["user"] for each in hec.collector.events] == [PERSON] * 3
    assert aws.call("work_siem", event)["queued"] == 0
    assert aws.feed("dispatch", aws.hinted()) == []
    assert aws.call("work_action", event)["succeeded"] == 1
    assert aws.state(task) == "succeeded"
    assert not any(aws.call("sweep", event).values())
    assert len(hec.collector.events) == 3

    chains = get(aws, "/v1/chains")["chains"]
    assert chains == [{"chain": "checkout/0", "entries": 3, "head": receipt["head"]}]
    assert [each["id"] for each in get(aws, "/v1/tasks")["tasks"]] == [task]
    shown = get(aws, "/v1/tasks/{task}", path=f"/v1/tasks/{task}", pathParameters={"task": task})
    assert [each["event"] for each in shown["lineage"]] == [
        "queued",
        "running",
        "queued",
        "running",
        "succeeded",
    ]
    path = f"/v1/tasks/{task}/trace"
    trace = get(aws, "/v1/tasks/{task}/trace", path=path, pathParameters={"task": task})
    assert len(check_trace.check(trace)) == 3 + 1 + 2, "entries, the lineage, effects"
    assert (trace["runs"][0]["head"], trace["runs"][0]["linked"]) == (receipt["head"], "newest")
    verifier = Verifier("checkout/0")
    verifier.check_all(DynamoLedger(aws.dynamodb, "ledger").read("checkout/0"))
    assert verifier.hash.hex() == receipt["head"]

    out = capsys.readouterr()
    told = [json.loads(line) for line in out.out.splitlines()]
    assert {name for line in told for name in line.get("_aws", {}).get("CloudWatchMetrics", [{}])[0]} >= {
        "Metrics"
    }
    logged = [line for line in told if "_aws" not in line]
    assert all(line["function_request_id"] == Context.aws_request_id for line in logged)
    for secret in (TOKEN, PERSON, "hunter2", "access denied"):
        assert secret not in out.out + out.err


def act(cloud: Cloud, task: str, name: str, **body: Any) -> tuple[int, Record]:
    """Do something to a task; return status and answer."""
    about = {"path": f"/v1/tasks/{task}/{name}", "pathParameters": {"task": task}}
    sent = json.dumps({"why": "as agreed", **body}).encode()
    answer = cloud.call("control", proxy("POST", f"/v1/tasks/{{task}}/{name}", sent, **about))
    return answer["statusCode"], json.loads(answer["body"])


def test_people_act_on_tasks(cloud: tuple[Cloud, RedisQueue], hec: Server) -> None:
    """A task is cancelled and forked, its fork is done with other inputs; many are cancelled page by page."""
    aws, _ = cloud
    send(aws, denied(PERSON, 3))
    aws.feed("detect", aws.stream("ledger"))
    task = task_of(aws)
    inputs = {"hook": {"expect": [404, 410]}}
    status, fork = act(aws, task, "fork", inputs=inputs, request="f1")
    assert (status, fork["state"], fork["fork_of"]) == (200, "queued", task)
    assert act(aws, task, "fork", inputs=inputs, request="f1") == (200, fork)
    assert act(aws, task, "cancel")[1]["state"] == "cancelled"
    status, told = act(aws, task, "cancel")
    assert (status, told["error"]) == (409, "Conflict")
    assert act(aws, "a" * 26, "cancel")[0] == 404

    hinted = aws.hinted()
    assert {record["dynamodb"]["Keys"]["task"]["S"] for record in hinted} == {fork["id"]}
    aws.feed("dispatch", hinted)
    aws.call("work_siem", {"stream": "siem"})
    aws.feed("dispatch", aws.hinted())
    assert aws.call("work_action", {"stream": "action"})["succeeded"] == 1
    assert aws.state(fork["id"]) == "succeeded"
    shown = get(aws, "/v1/tasks/{task}", path=f"/v1/tasks/{task}", pathParameters={"task": task})
    assert (shown["state"], shown["forks"]) == ("cancelled", [fork["id"]])
    assert shown["lineage"][-1]["who"] == "service/checkout"

    for n in range(5):
        send(aws, denied(f"user-{n}", 3))
    aws.feed("detect", aws.stream("ledger"))
    pages: list[Record] = []
    query = {"limit": "2", "state": "queued"}
    while not pages or "next" in pages[-1]:
        query |= {"next": pages[-1]["next"]} if pages else {}
        pages.append(get(aws, "/v1/tasks", queryStringParameters=query))
    waiting = [each["id"] for page in pages for each in page["tasks"]]
    assert len(waiting) == len(set(waiting)) == 5
    order: Record = {"act": "cancel", "filter": {"recipe": "tell"}, "why": "a drill", "limit": 3}
    done: list[Record] = []
    while not done or done[-1]["more"]:
        sent = json.dumps(order | ({"next": done[-1]["next"]} if done else {})).encode()
        answer = aws.call("control", proxy("POST", "/v1/tasks/bulk", sent))
        assert answer["statusCode"] == 200, answer
        done.append(json.loads(answer["body"]))
    assert [each["done"] for each in done] == [3, 2]
    assert {aws.state(each) for each in waiting} == {"cancelled"}


def test_people_approve_on_the_tables_of_aws(cloud: tuple[Cloud, RedisQueue], hec: Server) -> None:
    """A task asks, is shown by another function with the same digest, is approved there, and goes on."""
    aws, _ = cloud
    asks = "  - {id: ask, uses: approval, with: {by: ['service:checkout', 'service:ops'], needs: 2}}\n"
    text = RECIPE % ("burst", hec.url.replace("/services/collector/event", "/nothing/here"))
    text = text.replace("id: tell", "id: asked", 1).replace("steps:\n", f"steps:\n{asks}")
    catalog = DynamoCatalog(aws.dynamodb, "catalog")
    catalog.retire("recipe", "tell")
    catalog.push("recipe", "asked", text.encode())
    send(aws, denied(PERSON, 3))
    aws.feed("detect", aws.stream("ledger"))
    task = task_of(aws)
    aws.feed("dispatch", aws.hinted())
    assert aws.call("work_action", {"stream": "action"})["awaiting_approval"] == 1
    about: Record = {"path": f"/v1/tasks/{task}/approval", "pathParameters": {"task": task}}
    approval = "/v1/tasks/{task}/approval"
    answer: Record = {}
    for name in ("checkout", "ops"):
        event = proxy("GET", approval, **about)
        event["requestContext"]["authorizer"]["service"] = name
        shown = aws.call("control", event)
        assert shown["statusCode"] == 200, shown["body"]
        seen = json.loads(shown["body"])
        assert (seen["digest"], seen["changed"]) == (seen["asked"], [])
        said = json.dumps({"verdict": "approve", "digest": seen["digest"], "why": "ok"}).encode()
        event = proxy("POST", approval, said, **about)
        event["requestContext"]["authorizer"]["service"] = name
        answer = aws.call("control", event)
        assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["approved_by"] == ["service:checkout", "service:ops"]
    for verb in ("work_siem", "work_action", "work_siem"):
        aws.feed("dispatch", aws.hinted())
        aws.call(verb, {"stream": verb})
    assert aws.state(task) == "succeeded"
    assert len(hec.collector.events) == 3  # each entry once


def test_a_feed_starts_again_at_the_first_record_that_failed(
    cloud: tuple[Cloud, RedisQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a store or the queue away the lowest number comes back; given again, all is done, and once."""
    aws, queue = cloud
    for n in range(3):
        send(aws, denied(f"user-{n}", 3))
    records = aws.stream("ledger")
    lowest = min((record["dynamodb"]["SequenceNumber"] for record in records), key=int)
    real, calls = DynamoTasks.create, iter([1, 0])

    def create(self: DynamoTasks, task: Task, event: Event) -> bool:
        if not next(calls, 1):
            raise Unavailable("away")
        return real(self, task, event)

    with monkeypatch.context() as patch:
        patch.setattr(DynamoTasks, "create", create)
        assert aws.feed("detect", records) == [lowest]
    assert aws.feed("detect", records) == []
    hinted = aws.hinted()
    assert len({record["dynamodb"]["Keys"]["task"]["S"] for record in hinted}) == len(hinted) == 3
    away = replace(aws, settings=replace(aws.settings, redis_url="redis://127.0.0.1:1"))
    assert away.feed("dispatch", hinted) == [hinted[0]["dynamodb"]["SequenceNumber"]]
    assert aws.feed("dispatch", hinted) == []
    assert len(queue.take("siem", "test", 10, 0)) == 3


def test_what_a_feed_gave_up_is_detected_again(
    cloud: tuple[Cloud, RedisQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`sentinel detect --failures` makes the tasks of records that Lambda gave up, and empties the queue."""
    aws, _ = cloud
    send(aws, denied("a", 3))
    (record,) = aws.stream("ledger")  # given up: detection never sees it
    sqs = boto3.client("sqs", region_name=REGION)
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    arrived = {"approximateArrivalOfFirstRecord": at, "approximateArrivalOfLastRecord": at}
    pointer = {"streamArn": record["eventSourceARN"], "batchSize": 1, **arrived}
    sqs.send_message(QueueUrl=url, MessageBody=json.dumps({"DDBStreamBatchInfo": pointer}))
    for name, value in aws.settings.to_environ().items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(cli, ["detect", "--failures", url, "--slack", "0", "--json"])
    (told,) = json.loads(done.stdout)
    assert aws.state(task_of(aws)) == "queued"
    assert told["detected"]["made"] == [task_of(aws)]
    assert "Messages" not in sqs.receive_message(QueueUrl=url)
    assert aws.feed("detect", [record]) == []  # the feed comes to it after all
    assert len(aws.hinted()) == 1


def test_the_tripwire_and_poison_stop_nothing(
    cloud: tuple[Cloud, RedisQueue], in_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was changed, removed, damaged or is no segment is told of; the rest is worked through."""
    aws, _ = cloud
    receipt = send(aws, denied("a", 1))
    before = aws.items("ledger").values()
    aws.stream("ledger")
    (item,) = before
    aws.dynamodb.put_item(TableName="ledger", Item={**item, "payload": {"B": b"\x00\xff"}})
    (modified,) = aws.stream("ledger")
    aws.dynamodb.delete_item(TableName="ledger", Key={name: item[name] for name in ("chain", "first")})
    (removed,) = aws.stream("ledger")
    for chain, changed in (("odd/0", {"payload": {"B": b"\x00\xff"}}), ("odd/1", {"recent": {"S": "text"}})):
        aws.dynamodb.put_item(TableName="ledger", Item={**item, "chain": {"S": chain}, **changed})
    aws.dynamodb.put_item(TableName="ledger", Item={"chain": {"S": "odd/2"}, "first": {"N": "0"}})
    odd = aws.stream("ledger")
    assert [each["eventName"] for each in (modified, removed, *odd)] == ["MODIFY", "REMOVE", *["INSERT"] * 3]
    assert receipt["first"] == 0
    send(aws, denied("b", 3))
    capsys.readouterr()
    assert aws.feed("detect", [modified, removed, *odd, *aws.stream("ledger")]) == []
    assert aws.state(task_of(aws)) == "queued"
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    alarms = [line["message"] for line in told if line.get("level") == "CRITICAL"]
    for place in ("checkout/0 at entry 0", "odd/0 at entry 0", "odd/1 at entry 0", "odd/2 at entry 0"):
        assert any(place in alarm for alarm in alarms), (place, alarms)
    (counted,) = [line for line in told if "tampered" in line]
    assert sum(counted["tampered"]) == 5


def test_a_worker_tells_of_a_changed_entry(
    cloud: tuple[Cloud, RedisQueue], in_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """An entry that was changed after it had matched fails its task, and the alarm is a line and a count."""
    aws, _ = cloud
    send(aws, denied("a", 3))
    assert aws.feed("detect", aws.stream("ledger")) == []
    (item,) = aws.items("ledger").values()
    aws.dynamodb.put_item(TableName="ledger", Item={**item, "payload": {"B": b"\x00\xff"}})
    assert aws.feed("dispatch", aws.hinted()) == []
    capsys.readouterr()
    assert "checkout/0 at entry 0" in aws.call("work_siem", {})["tampered"]
    assert aws.state(task_of(aws)) == "failed"
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["level"] for line in told if "checkout/0 at entry 0" in line.get("message", "")] == [
        "CRITICAL"
    ]
    assert [line["tampered"] for line in told if "tampered" in line] == [[1.0]]


def test_deliveries_hand_the_ledger_on(
    cloud: tuple[Cloud, RedisQueue], hec: Server, in_lambda: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is new arrives by the scheduled function, once; damage stops its chain and raises the alarm."""
    aws, _ = cloud
    send(aws, denied("a", 3))
    assert aws.call("deliver", {}) == {}  # nothing asks for it
    plan = b"deliveries: {all: {to: hec, since: beginning, batch: {within: 0s}}}"
    DynamoCatalog(aws.dynamodb, "catalog").push("delivery", "all", plan)
    assert aws.call("deliver", {})["all"]["delivered"] == 3
    send(aws, denied("b", 2))
    capsys.readouterr()
    assert aws.call("deliver", {})["all"]["delivered"] == 2
    assert [each["event"]["user"] for each in hec.collector.events] == ["a"] * 3 + ["b"] * 2
    assert len({each["fields"]["sentinel_event_id"] for each in hec.collector.events}) == 5
    told = capsys.readouterr().out
    assert "hunter2" not in told
    assert TOKEN not in told
    assert [line["delivered"] for line in map(json.loads, told.splitlines()) if "delivered" in line] == [
        [2.0]
    ]

    send(aws, denied("c", 1))
    item = next(each for each in aws.items("ledger").values() if each["first"]["N"] == "5")
    aws.dynamodb.put_item(TableName="ledger", Item={**item, "payload": {"B": b"\x00\xff"}})
    assert aws.call("deliver", {})["all"]["damaged"] == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert any(line.get("level") == "CRITICAL" and "all" in line["message"] for line in lines)
    assert [line["tampered"] for line in lines if "tampered" in line] == [[1.0]]
    assert len(hec.collector.events) == 5


def test_only_workers_and_the_sweep_look_at_the_clock(cloud: tuple[Cloud, RedisQueue]) -> None:
    """A context without a way to ask for the time left is enough for every function that does not ask."""
    aws, _ = cloud
    bare = object()
    event = proxy("POST", "/v1/entries", denied("a", 3))
    assert aws.call("ingest", event, bare)["statusCode"] == 200
    assert aws.call("control", proxy("GET", "/v1/chains"), bare)["statusCode"] == 200
    records = aws.stream("ledger")
    assert aws.call("detect", {"Records": json.loads(json.dumps(records))}, bare) == {"batchItemFailures": []}
    assert aws.call("dispatch", {"Records": aws.hinted()}, bare) == {"batchItemFailures": []}


def test_the_sweep_decides_what_correlations_wait_for(
    cloud: tuple[Cloud, RedisQueue], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A range of counts is decided by the schedule once its patience is over, without another entry."""
    aws, _ = cloud
    monkeypatch.setattr(correlations, "PATIENCE", 4 * SECOND)
    body = "type: event_count\n  rules: [denied]\n  timespan: 1m\n  condition: {gte: 2, lte: 9}"
    text = f"title: Some\nname: some\ncorrelation:\n  {body}\n"
    catalog = DynamoCatalog(aws.dynamodb, "catalog")
    catalog.push("rule", "some", text.encode())
    catalog.push("recipe", "some", recipe("some", "some", "siem.send"))
    send(aws, denied(PERSON, 2))
    assert aws.feed("detect", aws.stream("ledger")) == []
    assert aws.items("tasks") == {}
    time.sleep(4)
    aws.call("sweep", {})
    made = DynamoTasks(aws.dynamodb, "tasks").get(task_of(aws))
    assert made is not None
    assert made.cause["rule"] == "some"
    aws.call("sweep", {})
    assert len(aws.items("tasks")) == 2


def test_the_way_replays_without_a_difference(cloud: tuple[Cloud, RedisQueue]) -> None:
    """What the functions made in the tables is what the ledger and the catalog in them ask for."""
    aws, _ = cloud
    begin = time.time_ns()
    send(aws, denied(PERSON, 3))
    assert aws.feed("detect", aws.stream("ledger")) == []
    stores = (DynamoLedger(aws.dynamodb, "ledger"), DynamoCatalog(aws.dynamodb, "catalog"))
    tasks = DynamoTasks(aws.dynamodb, "tasks")
    found = Replay(*stores, tasks, time.time_ns, 0).compare(begin, time.time_ns())
    assert (found.differences, found.asked, found.recorded, found.firings) == ([], 1, 1, 1)
    given = [("rule", "denied", rule("denied", "granted"))]
    would = Replay(*stores, tasks, time.time_ns, 0).instead(begin, time.time_ns(), given)
    assert [(each.what, each.task) for each in would.differences] == [("gone", task_of(aws))]
