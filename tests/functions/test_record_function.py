"""The function that signs records of erasures: what it signs, what it refuses, what it tells of that."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.stub import Stubber

from sentinel.adapters.kms_log_signer import KmsLogSigner
from sentinel.bootstrap import App, bootstrap
from sentinel.core.erasure import Statement
from sentinel.core.erasure_notes import Asked
from sentinel.core.lineage_notes import AskedEvent
from sentinel.core.notes import origin_of
from sentinel.entrypoints import observe
from sentinel.local.functions import Context
from sentinel.usecases.seal import LogKeys
from tests.contracts.secret_stores import aws_client
from tests.functions.test_api_handlers import app as app  # noqa: PLC0414 - a fixture
from tests.functions.test_api_handlers import load

CHAIN = "shop/0"
ASKED = Asked(origin_of("sentinel.local", CHAIN), 3, 5, bytes(range(32)), bytes(32))

TOLD = b'{"event":"failed","reason":"the target says: no user kim.doe here"}'
EVENT = AskedEvent("a" * 26, 2, bytes(range(32)), TOLD, CHAIN, 9)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Keep the names of what the function counts."""
    found: list[str] = []
    monkeypatch.setattr(observe, "count", lambda function, name, value: found.append(f"{function}.{name}"))
    yield found
    bootstrap.cache_clear()


def call(event: object) -> dict[str, Any]:
    """Call the function as Lambda does."""
    given: Any = event
    return load("record")(given, Context("record", "1", 30.0))


def test_it_signs_what_the_fields_say_as_of_now(app: App, counted: list[str]) -> None:
    """The note is by the key of the chain's checkpoints; its time is the function's own."""
    answer = call(ASKED.fields)
    assert list(answer) == ["note"]
    key = LogKeys("sentinel.local", app.log_signer.public_key()).of(CHAIN)
    note = ASKED.answered(answer["note"].encode(), key)
    statement = Statement.read(note.text)
    assert statement == ASKED.at(statement.seconds)
    assert statement.seconds > 1_700_000_000
    assert counted == ["record.signed"]


def test_it_signs_for_an_event_that_it_is_shown(
    app: App, counted: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Leaf and facts are the function's own; nothing of the event, which is about to go, is logged."""
    caplog.set_level(logging.DEBUG)
    answer = call(EVENT.fields)
    assert list(answer) == ["note"]
    keys = LogKeys("sentinel.local", app.log_signer.public_key()).of
    assert b"kim" not in EVENT.answered(answer["note"].encode(), keys)
    assert counted == ["record.signed"]
    assert f"event 2 of task {EVENT.task}" in caplog.text
    assert "kim" not in caplog.text


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({**EVENT.fields, "seconds": 7}, "Malformed"),
        ({**EVENT.fields, "entry": "e30="}, "Malformed"),
        ({**EVENT.fields, "nonce": "AAAA"}, "Malformed"),
        ({**EVENT.fields, "chain": "shop"}, "Malformed"),
        ({}, "Malformed"),
        (None, "Malformed"),
        ("x", "Malformed"),
        ({"text": "sentinel.local/shop/0\n7\n"}, "Malformed"),
        ({**ASKED.fields, "seconds": 7}, "Malformed"),
        ({**ASKED.fields, "first": 6}, "Malformed"),
        ({**ASKED.fields, "origin": "sentinel.local/shop"}, "Malformed"),
        ({**ASKED.fields, "origin": "other.example/shop/0"}, "Forbidden"),
        ({**ASKED.fields, "origin": "sentinel.local/sentinel.tripwire/0"}, "Forbidden"),
    ],
)
def test_what_is_refused_is_not_signed_and_counted(
    app: App, counted: list[str], event: object, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is not touched; the answer has the kind of error and words of ours."""
    signed: list[bytes] = []
    monkeypatch.setattr(type(app.log_signer), "sign", lambda _, message: signed.append(message))
    answer = call(event)
    assert answer["error"] == error
    assert answer["message"]
    assert "note" not in answer
    assert signed == []
    assert counted == ["record.refused"]


@pytest.mark.parametrize(
    ("code", "error", "counts"),
    [
        ("ThrottlingException", "Unavailable", []),
        ("AccessDeniedException", "Forbidden", ["record.refused"]),
        ("DisabledException", "Forbidden", ["record.refused"]),
    ],
)
def test_what_kms_refuses_is_told(
    app: App, counted: list[str], code: str, error: str, counts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A key that is busy may pass; one that may not be used is told as that, and in the log."""
    client = aws_client("kms")
    stub = Stubber(client)
    stub.add_client_error("get_public_key", code, "secret", 400)
    stub.activate()
    app.__dict__["log_signer"] = KmsLogSigner(client, "key")
    with caplog.at_level(logging.WARNING, "sentinel.record"):
        answer = call(ASKED.fields)
    assert (answer["error"], counted) == (error, counts)
    assert code in answer["message"]
    assert "nothing is signed" in caplog.text
    assert "secret" not in caplog.text + answer["message"]


def test_the_log_says_what_was_signed(app: App, counted: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """One line, with the chain's origin and the entries' numbers."""
    with caplog.at_level(logging.INFO, "sentinel.record"):
        call(ASKED.fields)
    assert caplog.messages == ["signed the record of entries 3 to 5 of sentinel.local/shop/0"]
    assert counted == ["record.signed"]
    assert app.log_recorder.public_key() == app.log_signer.public_key()
