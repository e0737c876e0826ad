"""What AWS's answers become: a real botocore client against a loopback server that answers as told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import canceled_by, code_of, translated
from sentinel.adapters.dynamodb_counters import DynamoCounters
from sentinel.adapters.dynamodb_tasks import DynamoTasks
from sentinel.bootstrap import App
from sentinel.core.tasks import State
from sentinel.errors import Conflict, Tampered, TooLarge, Unavailable
from sentinel.settings import Settings
from tests.chains import grow
from tests.contracts.made_tasks import created, step
from tests.contracts.tables import client

LONG = 30.0  # seconds
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers every request by `answer`, and counts them."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answer: Answer = lambda _: None
        self.requests = 0
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """Say where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Reads a request whole and lets the server answer."""

    def do_POST(self) -> None:
        """Answer one request."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        assert isinstance(self.server, Server)
        self.server.requests += 1
        self.close_connection = True
        self.server.answer(self)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """Give a server that runs."""
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.02,))
        thread.start()
        yield found
        found.closing.set()
        found.shutdown()
        thread.join()


def says(status: int, code: str, message: str = "no", **more: object) -> Answer:
    """Answer with an error as DynamoDB writes it."""
    kind = f"com.amazonaws.dynamodb.v20120810#{code}"
    return sends(status, json.dumps({"__type": kind, "message": message, **more}).encode())


def sends(status: int, body: bytes, length: int | None = None, checksum: int | None = None) -> Answer:
    """Answer with any bytes; a `length` over theirs is a reply that is cut."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/x-amz-json-1.0")
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        if checksum is not None:
            handler.send_header("x-amz-crc32", str(checksum))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def closes(handler: BaseHTTPRequestHandler) -> None:
    """Answer by hanging up."""
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing for longer than anybody waits, or until the server is closed."""
    assert isinstance(handler.server, Server)
    handler.server.closing.wait(LONG)


def tasks_of(server: Server, seconds: float = LONG) -> DynamoTasks:
    """Return tasks behind a server that has so many seconds to answer, with no second try."""
    return DynamoTasks(client(endpoint_url=server.url, read_timeout=seconds, connect_timeout=LONG), "tasks")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ThrottlingException"),
        (400, "ProvisionedThroughputExceededException"),
        (400, "RequestLimitExceeded"),
        (400, "TransactionInProgressException"),
        (400, "TransactionConflictException"),
        (400, "ReplicatedWriteConflictException"),
        (400, "ExpiredTokenException"),
        (500, "InternalServerError"),
        (503, "ServiceUnavailable"),
        (502, "SomethingNobodyDocumented"),
    ],
)
def test_what_passes_by_itself_is_unavailable(server: Server, status: int, code: str) -> None:
    """Throttling, conflicts of transactions and faults of the service say: try again, after so long."""
    server.answer = says(status, code)
    tasks = tasks_of(server)
    task, event = created("t1")
    for operation in (
        lambda: tasks.get("t1"),
        lambda: tasks.create(task, event),
        lambda: tasks.lineage("t1"),
        lambda: tasks.due(1, 1),
    ):
        with pytest.raises(Unavailable, match=code) as caught:
            operation()
        assert 0 < caught.value.retry_after < 60
    assert server.requests == 4


@pytest.mark.parametrize(
    "code",
    [
        "ResourceNotFoundException",
        "AccessDeniedException",
        "ValidationException",
        "UnrecognizedClientException",
    ],
)
def test_faults_of_the_deployment_go_through(server: Server, code: str) -> None:
    """What no retry mends is not called Unavailable: the error keeps its name."""
    server.answer = says(400, code, "the key is of another type")
    with pytest.raises(ClientError, match=code):
        tasks_of(server).get("t1")


@pytest.mark.parametrize(
    "answer",
    [
        closes,
        silent,
        sends(200, b"{}", length=1000),
        sends(200, b'{"Item": {"body": {"S": "secret'),
        sends(200, b"{}", checksum=1),
        sends(200, b""),
        sends(200, b"<html>secret of a proxy</html>"),
        sends(500, b"<html>secret of a proxy</html>"),
        sends(503, b""),
    ],
    ids=[
        "hangs up",
        "never answers",
        "cut",
        "cut JSON",
        "bad checksum",
        "nothing",
        "no JSON",
        "no JSON, 500",
        "503",
    ],
)
def test_no_whole_answer_is_unavailable(server: Server, answer: Answer) -> None:
    """A reply that does not come, is cut or is not DynamoDB's leaves open whether it happened."""
    server.answer = answer
    tasks = tasks_of(server, 0.2 if answer is silent else LONG)
    operations: list[Callable[[], object]] = [lambda: tasks.create(*created("t1")), lambda: tasks.get("t1")]
    for number, operation in enumerate(operations, 1):
        with pytest.raises(Unavailable) as caught:
            operation()
        assert "secret" not in str(caught.value)
        while answer is silent and server.requests < number:  # what was given up is still on its way
            time.sleep(0.005)
    assert server.requests == 2


def test_no_connection_is_unavailable() -> None:
    """Nobody listens: Unavailable."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        tasks = DynamoTasks(client(endpoint_url=url), "tasks")
        with pytest.raises(Unavailable, match="EndpointConnectionError"):
            tasks.get("t1")


def cancels(*codes: str, message: str = "no") -> Answer:
    """Answer that a transaction was canceled, with a reason for each item as DynamoDB writes them."""
    reasons = [{"Code": code} if code == "None" else {"Code": code, "Message": message} for code in codes]
    return says(400, "TransactionCanceledException", "canceled", CancellationReasons=reasons)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("ConditionalCheckFailed", "None"), Conflict),
        (("ConditionalCheckFailed", "ConditionalCheckFailed"), Conflict),
        (("ConditionalCheckFailed", "TransactionConflict"), Conflict),
        (("None", "ConditionalCheckFailed"), Tampered),
        (("TransactionConflict", "None"), Unavailable),
        (("None", "TransactionConflict"), Unavailable),
        (("TransactionConflict", "ConditionalCheckFailed"), Unavailable),
        (("ThrottlingError", "None"), Unavailable),
        (("None", "ProvisionedThroughputExceeded"), Unavailable),
        (("ValidationError", "None"), TooLarge),
        (("ItemCollectionSizeLimitExceeded", "None"), ClientError),
    ],
)
def test_the_first_refused_item_says_why(
    server: Server, codes: tuple[str, ...], expected: type[Exception]
) -> None:
    """Why a transaction was canceled stands in the order of its items; the word None means nothing."""
    server.answer = cancels(*codes, message="Item size to update has exceeded the maximum allowed size")
    task, _ = created("t1")
    with pytest.raises(expected):
        tasks_of(server).move(task, *step(task, State.RUNNING))


def test_create_says_false_only_for_an_id_that_exists(server: Server) -> None:
    """A create is False by the condition on the state alone; everything else is an error."""
    task, event = created("t1")
    server.answer = cancels("ConditionalCheckFailed", "ConditionalCheckFailed")
    assert tasks_of(server).create(task, event) is False
    server.answer = cancels("None", "TransactionConflict")
    with pytest.raises(Unavailable):
        tasks_of(server).create(task, event)


def test_a_failed_condition_goes_through(server: Server) -> None:
    """A failed condition is an answer to whoever asked; canceled transactions say it for each item."""
    server.answer = says(400, "ConditionalCheckFailedException")
    with pytest.raises(ClientError) as caught, translated():
        client(endpoint_url=server.url).put_item(TableName="t", Item={"key": {"S": "k"}})
    assert code_of(caught.value) == "ConditionalCheckFailedException"
    assert canceled_by(caught.value) == []
    server.answer = cancels("None", "ConditionalCheckFailed")
    put: Any = {"TableName": "t", "Item": {"key": {"S": "k"}}}
    with pytest.raises(ClientError) as caught, translated():
        client(endpoint_url=server.url).transact_write_items(TransactItems=[{"Put": put}])
    assert canceled_by(caught.value) == ["", "ConditionalCheckFailed"]


def test_the_sdk_tries_again_by_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that may send three times does so before it says Unavailable; one success is success."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    counters = DynamoCounters(client(3, endpoint_url=server.url), "counters")
    server.answer = says(400, "ThrottlingException")
    with pytest.raises(Unavailable):
        counters.load("k")
    assert server.requests == 3

    def second(handler: BaseHTTPRequestHandler) -> None:
        (sends(200, b"{}") if server.requests == 5 else closes)(handler)

    server.answer = second
    assert counters.load("k") == (b"", 0)
    assert server.requests == 5


def test_a_write_to_the_ledger_is_sent_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A throttled slot is none to come back to a second later: that is the appender's. Reads go twice."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", server.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    server.answer = says(400, "ThrottlingException")
    ledger = App(Settings(ledger_table="ledger")).ledger
    [segment] = grow("s/0", [[b"{}"]])
    calls: list[tuple[Callable[[], object], int]] = [
        (lambda: ledger.append(segment), 1),
        (lambda: ledger.head("s/0"), 2),
    ]
    for operation, sent in calls:
        server.requests = 0
        with pytest.raises(Unavailable):
            operation()
        assert server.requests == sent
