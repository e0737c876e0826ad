"""The gate never says that an entry is clean which the walk would change, and is cheap for those that are."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_client._encode import fastest
from sentinel_client.privacy import Policy, Privacy
from sentinel_client.privacy._gate import WORDS
from sentinel_client.privacy._table import table
from sentinel_client.privacy._walk import Walk
from tests.clients.test_privacy_table import MATCH
from tests.data import need
from tests.sampling import taken, thorough

PRIVACY = Privacy(Policy())
EVERYTHING = Privacy(Policy(detectors={"random": "mask"}))
BASE = {"time": 1764000000.123456, "level": "INFO", "logger": "checkout.payments"}


def encode(entry: dict[str, Any]) -> bytes:
    """Encode as the client does: compact, and UTF-8."""
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"), default=str).encode(
        "utf-8", "replace"
    )


def escaped(entry: dict[str, Any]) -> bytes:
    """Encode as an encoder that escapes whatever is not ASCII."""
    return json.dumps(entry, separators=(",", ":")).encode()


def changes(privacy: Privacy, entry: dict[str, Any]) -> bool:
    """Whether the walk finds anything in an entry."""
    walk = Walk(privacy._rules)
    walk.entry(json.loads(encode(entry)))
    return walk.changed


@pytest.mark.parametrize("text", sorted({text for _, text in MATCH}))
@pytest.mark.parametrize("around", taken(["x {} y", "{}", "({})", "12:00:01 {}", "é {}", "a={}", "q/{}"], 4))
def test_no_example_gets_past_the_gate(text: str, around: str) -> None:
    """As a message, as another field, in a list and nested: where the walk changes it, it is not clean."""
    said = around.replace("{}", text)
    for privacy in (PRIVACY, EVERYTHING):
        for entry in (
            {**BASE, "message": said},
            {"message": "x", "inner": {"deep": said}},
            {**BASE, "message": "x", "list": ["y", said]},
            {**BASE, "message": json.dumps({"inner": said})},
        ):
            if changes(privacy, entry):
                assert not privacy._gate.clean(encode(entry), entry)
                assert not privacy._gate.clean(escaped(entry), entry)


BEFORE = ("\n", "\t", '"', "\\", "\x01", "é", "\u00a0", "\U0001f600", "\r\n", "\b", "\f", "\\n", "/", "x\n")


@pytest.mark.parametrize("before", taken(BEFORE, 5))
def test_what_an_encoder_writes_as_an_escape_hides_nothing(before: str) -> None:
    """Behind a line break, a quote, a letter beyond ASCII: the escape's letter is no part of what follows.

    The same in a list, in JSON in a text, and in JSON in JSON in a text.
    """
    for text in sorted({text for _, text in MATCH}):
        said = before + text
        for entry in (
            {**BASE, "message": said},
            {**BASE, "message": "x", "list": ["a" + said]},
            {**BASE, "message": json.dumps([said])},
            {**BASE, "message": json.dumps([json.dumps(["a" + said], ensure_ascii=False)])},
        ):
            if changes(PRIVACY, entry):
                for encoder in (encode, escaped, fastest()):
                    assert not PRIVACY._gate.clean(encoder(entry), entry), entry


@pytest.mark.parametrize(
    "message",
    [
        "\n4111111111111111", "\nAKIAIOSFODNN7EXAMPLE", '"4111111111111111', "\\npm_" + "a1" * 20,
        "4111\u00a01111\u00a01111\u00a01111", '[["password","hunter22"]]', '["-password","hunter22"]',
        '["\\n4111111111111111"]', "secret_b64: aB3dE5fG7h", "at 12:00:01 secret_base64:aB3dE5fG7h",
    ],
)  # fmt: skip
def test_the_gate_sees_what_once_passed_it(message: str) -> None:
    """Each of these was written as it was."""
    entry = {**BASE, "message": message}
    assert changes(PRIVACY, entry)
    for encoder in (encode, escaped, fastest()):
        assert not PRIVACY._gate.clean(encoder(entry), entry)


PIECES = st.sampled_from(
    [
        *( text for _, text in MATCH), * WORDS, "password", "api_key", ": ", "=", ":", " ", "\"", "\\\"",
        "hunter22", "4111", "1111", " 1111", "-1111", "+49", "30", "1234567", "@", "example.org", "kim",
        "--", "<", ">", "DE89", "aB3dE5fG7hJ9kL1mN3pQ", "Bearer ", "phone", "0393 114", "x", "\u00a0", "é",
        ".", "/", "1", "sess", "ion_id", "\n", "\t", "\r\n", "\x01", "\\", "\\n", "\\u00e9", "[", "]",
        '["', '"]',
        "secret_b64", "12:34", "4111\u00a01111", "\u00a0",
    ]
)  # fmt: skip
TEXT = st.lists(PIECES, max_size=6).map("".join)
NAMES = st.sampled_from(
    ["message", "a", "user", "key", "value", "password", "pin", "phone", "rawHeaders", "n"]
)
VALUES = st.recursive(
    TEXT | st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=1_000 if thorough() else 80, deadline=None)
@given(st.dictionaries(NAMES | TEXT, VALUES, max_size=3))
def test_the_gate_misses_nothing_that_the_walk_finds(fields: dict[str, Any]) -> None:
    """Whatever pieces an entry is made of, and however it is nested."""
    entry = {**BASE, **fields}
    if changes(PRIVACY, entry):
        assert not PRIVACY._gate.clean(encode(entry), entry)


def test_the_gate_misses_nothing_in_real_lines() -> None:
    """The same over other people's lines, with and without secrets."""
    import base64

    for raw in need("redaction", "labelled.jsonl").read_text().splitlines():
        entry = {**BASE, "message": base64.b64decode(json.loads(raw)["line_b64"]).decode()}
        if changes(PRIVACY, entry):
            assert not PRIVACY._gate.clean(encode(entry), entry)


def test_what_is_no_plain_value_is_looked_at() -> None:
    """Of an object of the program's only the encoder knows what becomes of it."""

    class Card:
        def __str__(self) -> str:
            return "password: hunter22"

    entry = {**BASE, "message": "paid", "card": Card()}
    assert b"hunter22" not in PRIVACY.line(encode(entry), entry, encode)


@pytest.mark.parametrize(
    "fields",
    [
        {"message": "order placed and paid for", "order": 123456, "amount": 12.5},
        {"message": "took 17 ms at 12:00:01", "path": "/cart/checkout"},
        {"message": "done", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7"},
        {"message": "Bestellung für Müller", "order": 7},
        {
            "message": "done",
            "request": "6f1d0b5e-1f2a-4c3d-8e9f-0a1b2c3d4e5f",
            "user": {"id": 5, "tier": "gold"},
        },
    ],
)
def test_a_usual_entry_is_clean(fields: dict[str, Any]) -> None:
    """The gate lets it through as the same object, without a walk."""
    entry = {**BASE, **fields}
    assert PRIVACY._gate.clean(encode(entry), entry)
    assert PRIVACY._gate.clean(escaped(entry), entry)
    encoded = encode(entry)
    assert PRIVACY.line(encoded, entry, encode) is encoded


def test_most_real_lines_need_no_walk() -> None:
    """Of 400 benign lines at least 80 % are let through by the gate."""
    lines = [json.loads(each)["line"] for each in need("redaction", "benign.jsonl").read_text().splitlines()]
    entries = [{**BASE, "message": line} for line in lines]
    assert sum(PRIVACY._gate.clean(encode(each), each) for each in entries) >= 0.8 * len(entries)


def test_a_field_that_begins_an_entry_is_read_whole() -> None:
    """Only the client's own time is passed over: another value of that name is looked at."""
    for entry in ({"time": "4111111111111111"}, {"n": 4111111111111111}, {"time": 4111111111111111}):
        assert b"4111111111111111" not in PRIVACY.line(encode(entry), entry, encode)


def test_a_text_takes_time_by_its_length_alone() -> None:
    """Whoever writes what is logged, sixteen thousand times the same, say, cannot stop the caller.

    In a process of its own, since an expression that tries all ways to read a text never ends.
    """
    code = (
        "from sentinel_client.privacy import Policy, Privacy\n"
        "privacy = Privacy(Policy())\n"
        "for piece in (' ', '.', './ ', 'a', 'a ', '1 ', 'key', '://a:', '<password ', '{', '1-', 'a@a.'):\n"
        "    for end in ('1', '@', '!'):\n"
        "        privacy.entry({'message': piece * (16_384 // len(piece)) + end})\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_the_gate_knows_of_every_kind_of_row() -> None:
    """A row with a shorter run than the gate looks for would be missed."""
    from sentinel_client.privacy._gate import RUN

    assert all(not row.run or row.run >= RUN for row in table().detectors)
