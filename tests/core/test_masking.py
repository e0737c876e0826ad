"""Masking: what is known to be a secret is hidden, in any shape of entry, and a line stays a line."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.masking import MAX_READ, mask

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "entry",
    [
        b'{"password": "hunter2-canary"}',
        b'{"a": {"Api-Key": ["hunter2-canary"]}}',
        b'{"headers": {"Authorization": "hunter2-canary"}}',
        b'{"SET_COOKIE": "hunter2-canary"}',
        b'{"msg": "login with password=hunter2-canary failed"}',
        b'{"msg": "{\\"token\\": \\"hunter2-canary\\"}"}',
        b"password: hunter2-canary",
        b"DB_PASSWORD=hunter2-canary",
        b"Authorization: Bearer hunter2-canary",
        b"Authorization: Basic aHVudGVyMi1jYW5hcnk=",
        b"postgres://app:hunter2-canary@db.internal/x",
        b"-----BEGIN PRIVATE KEY-----\nhunter2-canary\n-----END PRIVATE KEY-----",
        b"key AKIAHUNTER2CANARY777",
        b"ghp_hunter2canaryhunter2canary",
        b"eyJhbGciOiJIUzI1NiJ9.hunter2canary.abc",
        b"mail hunter2-canary@example.com now",
        b"card 4111 1111 1111 1111 declined",
        b'{"card": 4111111111111111}',
        b"hunter2canaryhunter2canaryhunter2canary",
    ],
)
def test_a_secret_is_hidden(entry: bytes) -> None:
    """Values under telling names and what looks like a credential do not show."""
    found = mask(entry, 500)
    assert "[hidden]" in found
    for word in ("hunter2", "HUNTER2", "canary", "aHVudGVy", "4111"):
        assert word not in found


@pytest.mark.parametrize(
    "entry",
    [
        b'{"status":504,"path":"/cart","ms":1730}',
        b"ERROR checkout: gateway timed out after 3 s",
        b'{"tokens_used":5}'[:0],
    ],
)
def test_the_rest_shows(entry: bytes) -> None:
    """What is no secret is there as it was."""
    assert mask(entry, 500) == entry.decode()


@given(JSON, st.integers(1, 80))
def test_json_is_one_bounded_line(value: object, limit: int) -> None:
    """Any JSON becomes one line of printable characters within the limit."""
    found = mask(orjson.dumps(value), limit)
    assert len(found) <= limit
    assert found.isprintable()


@given(st.dictionaries(st.sampled_from(["password", "user_token", "x-api-key"]), JSON, min_size=1))
def test_whatever_stands_under_a_telling_name_is_hidden(value: dict[str, object]) -> None:
    """Also a list or a mapping."""
    assert orjson.loads(mask(orjson.dumps(value), 10_000)) == dict.fromkeys(value, "[hidden]")


@given(st.binary(max_size=2000), st.integers(1, 400))
def test_bytes_are_one_bounded_line(entry: bytes, limit: int) -> None:
    """Bytes that are no text are shown as well as can be, and never longer."""
    found = mask(entry, limit)
    assert len(found) <= limit
    assert found.isprintable()


@pytest.mark.parametrize(
    "entry", [b"{" * 100_000, b"[" * 100_000, b"a" * 1_000_000, b"1 " * 50_000, b"a@" * 50_000]
)
def test_a_large_or_deep_entry_costs_little(entry: bytes) -> None:
    """At most `MAX_READ` bytes are looked at, and nesting exhausts nothing."""
    assert len(mask(entry, 300)) <= 300
    assert len(mask(b'{"a":' * 900 + b"1" + b"}" * 900, 300)) <= 300
    assert MAX_READ < 20_000
