"""Records signed by a function: botocore's own client, and a server on loopback that speaks Lambda's Invoke.

Behind it is the function's own code with a key in a file: KMS is all that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import boto3
import orjson
import pytest
from botocore.config import Config

from sentinel.adapters.lambda_recorder import LambdaRecorder
from sentinel.bootstrap import App
from sentinel.core.erasure import Statement
from sentinel.core.erasure_notes import Asked
from sentinel.core.notes import origin_of
from sentinel.entrypoints.recording import record
from sentinel.errors import BadAnswer, Forbidden, Malformed, SentinelError, Unavailable
from sentinel.settings import Settings
from sentinel.usecases.seal import LogKeys
from tests.contracts.tables import REGION
from tests.loopback import Asked as Request
from tests.loopback import Loopback, Told

LOG, CHAIN = "log.example", "a+b/0"
NAME = f"arn:aws:lambda:{REGION}:111122223333:function:sentinel-dev-eu-central-1-record"
ASKED = Asked(origin_of(LOG, CHAIN), 3, 5, sha256(b"leaves").digest(), sha256(b"why").digest())
Answer = Callable[[Request], Told]


def client(endpoint: str, attempts: int = 1) -> Any:
    """Return a Lambda client that talks to `endpoint`."""
    retries: Any = {"mode": "standard", "total_max_attempts": attempts}
    return boto3.client(
        "lambda",
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        endpoint_url=endpoint,
        config=Config(retries=retries, read_timeout=5, connect_timeout=5, parameter_validation=False),
    )


@contextmanager
def asking(answer: Answer, attempts: int = 1) -> Iterator[tuple[LambdaRecorder, Loopback]]:
    """Give what asks, and the server that answers it."""
    server = Loopback(answer)
    try:
        made = client(f"http://127.0.0.1:{server.port}", attempts)
        yield LambdaRecorder(made, NAME, lambda: bytes(32)), server
    finally:
        server.stop()


@pytest.fixture
def function(tmp_path: Path) -> App:
    """What the function runs on: the log's key, and nothing else."""
    return App(Settings(home=str(tmp_path), log=LOG))


def test_the_function_signs_what_is_asked(function: App) -> None:
    """One synchronous call with the fields; the note that comes back is the log's, of the function's time."""

    def answer(request: Request) -> Told:
        return Told(body=orjson.dumps(record(function, orjson.loads(request.body))))

    with asking(answer) as (recorder, server):
        raw = recorder.record(ASKED)
    (request,) = server.asked
    assert request.path == f"/2015-03-31/functions/{quote(NAME, safe='')}/invocations"
    assert request.headers["X-Amz-Invocation-Type"] == "RequestResponse"
    assert orjson.loads(request.body) == ASKED.fields
    key = LogKeys(LOG, function.log_signer.public_key()).of(CHAIN)
    statement = Statement.read(ASKED.answered(raw, key).text)
    assert statement == ASKED.at(statement.seconds)
    assert statement.seconds > 1_700_000_000


@pytest.mark.parametrize(
    ("asked", "kind", "says"),
    [
        (replace(ASKED, origin=origin_of("other.example", CHAIN)), Forbidden, "this log alone"),
        (replace(ASKED, first=6), Malformed, "in order"),
    ],
)
def test_what_the_function_refuses_is_told(
    function: App, asked: Asked, kind: type[SentinelError], says: str
) -> None:
    """Its refusal arrives as the kind of error that it is, with its words."""

    def answer(request: Request) -> Told:
        return Told(body=orjson.dumps(record(function, orjson.loads(request.body))))

    with asking(answer) as (recorder, _), pytest.raises(kind, match=says):
        recorder.record(asked)


def refused(status: int, code: str) -> Told:
    """Return an error of Lambda itself."""
    return Told(status, orjson.dumps({"Message": "secret"}), {"X-Amzn-ErrorType": code})


def failed(payload: object) -> Told:
    """Return what Lambda says of a function that raised, or ran out of time."""
    return Told(200, orjson.dumps(payload), {"X-Amz-Function-Error": "Unhandled"})


@pytest.mark.parametrize(
    ("told", "kind", "says"),
    [
        (refused(403, "AccessDeniedException"), Forbidden, "EraseRole"),
        (refused(403, "UnrecognizedClientException"), Forbidden, "EraseRole"),
        (refused(404, "ResourceNotFoundException"), Forbidden, "SENTINEL_RECORD_FUNCTION"),
        (refused(409, "ResourceConflictException"), Unavailable, "cannot run yet"),
        (refused(429, "TooManyRequestsException"), Unavailable, "TooManyRequestsException"),
        (refused(403, "ExpiredTokenException"), Unavailable, "ExpiredTokenException"),
        (refused(500, "ServiceException"), Unavailable, "ServiceException"),
        (refused(502, "KMSAccessDeniedException"), Unavailable, "KMSAccessDeniedException"),
        (failed({"errorType": "KeyError", "errorMessage": "secret"}), BadAnswer, "KeyError"),
        (failed({"errorType": "Sandbox.Timedout", "errorMessage": "secret"}), BadAnswer, "Sandbox.Timedout"),
        (failed({"errorType": "secret secret", "errorMessage": "x"}), BadAnswer, "unknown"),
        (failed(None), BadAnswer, "unknown"),
        (Told(body=b""), BadAnswer, "none of its"),
        (Told(body=b"x"), BadAnswer, "none of its"),
        (Told(body=b"[]"), BadAnswer, "none of its"),
        (Told(body=b"{}"), BadAnswer, "says"),
        (Told(body=b'{"note": 7}'), BadAnswer, "says"),
        (Told(body=b'{"error": "Else", "message": "m"}'), BadAnswer, "says: m"),
        (Told(body=b'{"error": "Unavailable", "message": "m"}'), Unavailable, "says: m"),
        (Told(lost=True), Unavailable, "does not answer"),
        # Cut off on its way.
        (
            Told(body=b'{"n', headers={"Content-Length": "400", "Connection": "close"}),
            BadAnswer,
            "none of its",
        ),
    ],
    ids=lambda each: "" if isinstance(each, (str, type)) else f"{each.status}{each.body[:50]!r}",
)
def test_what_goes_wrong_says_what_to_do(told: Told, kind: type[SentinelError], says: str) -> None:
    """Each failure of Lambda, of the function and of the way there; none quotes what it does not know."""
    with asking(lambda _: told) as (recorder, _), pytest.raises(kind, match=says) as found:
        recorder.record(ASKED)
    assert "secret" not in str(found.value)
    if kind is Unavailable:
        assert not isinstance(found.value, BadAnswer)


def test_a_note_is_handed_on_as_it_came() -> None:
    """What it says is the caller's to check; half a character in it is no traceback."""
    told = rb'{"note": "x\ud800y"}'
    with asking(lambda _: Told(body=told)) as (recorder, _), pytest.raises(BadAnswer):
        recorder.record(ASKED)
    with asking(lambda _: Told(body=b'{"note": "x"}')) as (recorder, _):
        assert recorder.record(ASKED) == b"x"
        assert recorder.public_key() == bytes(32)


def test_a_lost_answer_is_asked_for_again(function: App) -> None:
    """The client's own retry signs once more, which nobody minds: a note counts once it is in the chain."""
    asked: list[object] = []

    def answer(request: Request) -> Told:
        asked.append(orjson.loads(request.body))
        told = orjson.dumps(record(function, asked[-1]))
        return Told(body=told, lost=len(asked) == 1)

    with asking(answer, attempts=2) as (recorder, _):
        assert recorder.record(ASKED).startswith(b"sentinel-erasure/v1\n")
    assert asked == [ASKED.fields] * 2


def test_without_credentials_it_says_whose_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without credentials is told of the role."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    made = boto3.session.Session().client("lambda", region_name=REGION, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Forbidden, match="EraseRole"):
        LambdaRecorder(made, NAME, lambda: b"").record(ASKED)


def test_in_aws_a_function_is_asked_or_nothing_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the log's key in KMS the setting has to name the function: the key itself is not tried."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with pytest.raises(Forbidden, match="SENTINEL_RECORD_FUNCTION"):
        _ = App(Settings(ledger_table="t", log_key="k")).recorder
    assert isinstance(App(Settings(log_key="k", record_function="f")).recorder, LambdaRecorder)
    assert not isinstance(App(Settings(home=str(tmp_path))).recorder, LambdaRecorder)
