"""W3C trace context: what is taken for one, and what is begun where there is none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.trace import parse, started, state

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"),
        (f" 00-{TRACE}-{PARENT}-00\t", f"00-{TRACE}-{PARENT}-00"),
        (f"cc-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-01"),
        (f"cc-{TRACE}-{PARENT}-01-what-comes-later", f"00-{TRACE}-{PARENT}-01"),
    ],
)
def test_what_is_one(text: str, found: str) -> None:
    """Version 00, and of later ones the fields that are known; it is passed on in version 00."""
    trace = parse(text)
    assert trace is not None
    assert trace.header() == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
    ],
)
def test_what_is_none(text: str) -> None:
    """Anything else counts as nothing."""
    assert parse(text) is None


@given(st.text())
def test_a_trace_that_is_begun_is_one(request_id: str) -> None:
    """Every request id gives a valid trace, the same each time."""
    trace = started(request_id)
    assert parse(trace.header()) == trace == started(request_id)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
        ("a=1 ,\t, b@c=2 2", "a=1,b@c=2 2"),
        ("a=1,a=2", ""),
        ("A=1", ""),
        ("a=1\r\nX: y", ""),
        ("a=" + "x" * 257, ""),
        (",".join(f"k{n}=1" for n in range(33)), ""),
        ("a=" + "x" * 200 + ",b=" + "x" * 200 + ",c=" + "x" * 200, ""),
    ],
)
def test_states(text: str, found: str) -> None:
    """A state is passed on whole and in order, or not at all."""
    assert state(text) == found


@given(st.text(max_size=600))
def test_a_state_is_clean(text: str) -> None:
    """Whatever comes, what goes on is printable ASCII of bounded length."""
    assert re.fullmatch(r"[\x20-\x7e]{0,512}", state(text))
