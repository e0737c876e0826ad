"""Alerts are bounded and clean however they are made, and words and times of senders are read rightly."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.alerts import (
    MAX_DESCRIPTION,
    MAX_LABEL_NAME,
    MAX_LABELS,
    MAX_LABELS_TEXT,
    MAX_LINK,
    MAX_TEXT,
    MAX_TITLE,
    Alert,
    Severity,
    Status,
    instant,
    severity_of,
    status_of,
)
from sentinel.core.entry import MAX_ENTRY_BYTES

PLAIN = Alert("Disk full", Severity.ERROR, Status.FIRING)
SECOND = 10**9


@given(
    st.text(max_size=700),
    st.text(max_size=5_000),
    st.dictionaries(st.text(max_size=200), st.text(max_size=900), max_size=90),
    st.integers(-(2**70), 2**70),
)
def test_whatever_is_given_it_is_bounded(text: str, long: str, labels: dict[str, str], time: int) -> None:
    """Lengths hold, no control or direction character is left, and it can be written as JSON."""
    made = Alert(
        text, Severity.INFO, Status.FIRING, text, text, long, text, text, labels=labels, started=time
    )
    assert 0 < len(made.title) <= MAX_TITLE
    assert 0 < len(made.fingerprint) <= MAX_TEXT
    assert len(made.description) <= MAX_DESCRIPTION
    assert len(made.labels) <= MAX_LABELS
    assert sum(len(name) + len(value) for name, value in made.labels.items()) <= MAX_LABELS_TEXT
    assert all(0 < len(name) <= MAX_LABEL_NAME and value for name, value in made.labels.items())
    assert 0 <= made.started < 2**63
    for line in (made.title, made.kind, made.resource, *made.labels, *made.description.split("\n")):
        assert line.isprintable()
    orjson.dumps(made.json())
    assert replace(made) == made


def test_the_largest_alert_fits_an_entry() -> None:
    """All texts as long as they may be, of the widest characters."""
    wide = "\U0001f525" * 9_000
    labels = {f"{n}{wide}": wide for n in range(99)}
    made = Alert(
        wide, Severity.INFO, Status.FIRING, wide[:MAX_TEXT], wide, wide, "https://" + wide[: MAX_LINK - 8]
    )
    made = replace(made, resource=wide, service=wide, environment=wide, labels=labels, sender_id=wide)
    entry = orjson.dumps({"webhook": {"id": "i" * 256, "hook": "h" * 64, "alert": 499}, "alert": made.json()})
    assert 40_000 < len(entry) <= MAX_ENTRY_BYTES


def test_text_is_shown_as_it_reads() -> None:
    """Direction marks, zero-width characters and escapes go; line breaks stay in a description alone."""
    made = Alert(
        "a\u202eb\u200bc\x1b[31m\nd", Severity.INFO, Status.FIRING, description="one\r\n\u2066two\x00"
    )
    assert made.title == "abc[31m d"
    assert made.description == "one \ntwo"
    assert Alert(" \u200b ", Severity.INFO, Status.FIRING).title == "(no title)"


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        ("https://a.example/1?b=c#d", True),
        ("HTTP://a.example", True),
        ("javascript:alert(1)", False),
        ("//a.example", False),
        ("https://a.example/ b", False),
        ("https://a.example/" + "a" * MAX_LINK, False),
        ("", False),
    ],
)
def test_links_lead_to_the_web_or_nowhere(link: str, kept: bool) -> None:
    """What a browser would run, and what is cut off, is no link."""
    assert Alert("a", Severity.INFO, Status.FIRING, link=link).link == (link if kept else "")


def test_a_fingerprint_is_made_where_there_is_none() -> None:
    """Of what stays: not of severity, status, times and words. A long one is not cut but hashed."""
    later = replace(
        PLAIN, fingerprint="", status=Status.RESOLVED, severity=Severity.INFO, ended=5, description="x"
    )
    assert later.fingerprint == PLAIN.fingerprint
    assert replace(PLAIN, fingerprint="", resource="db").fingerprint != PLAIN.fingerprint
    long = [replace(PLAIN, fingerprint="f" * 600 + end).fingerprint for end in "ab"]
    assert long[0] != long[1]


def test_what_is_unknown_is_left_out() -> None:
    """An entry says what is known."""
    told = replace(PLAIN, fingerprint="f", started=7, labels={"a": "b", "c": ""}).json()
    assert told == {
        "title": "Disk full",
        "severity": "error",
        "status": "firing",
        "fingerprint": "f",
        "started": 7,
        "labels": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("value", "nanoseconds"),
    [
        ("2026-03-01T10:00:00Z", 1772359200 * SECOND),
        ("2026-03-01 10:00:00", 1772359200 * SECOND),
        ("2026-03-01t10:00:00.1234567z", 1772359200_123456700),
        ("2026-03-01T10:00:00.123456789012Z", 1772359200_123456789),
        ("2026-03-01T12:00:00+02:00", 1772359200 * SECOND),
        ("2026-03-01T04:30:00.5-0530", 1772359200_500000000),
        ("2016-12-31T23:59:60Z", 1483228799 * SECOND),
        (1772359200, 1772359200 * SECOND),
        (1772359200.25, 1772359200_250000000),
        ("1772359200.391", 1772359200_391000000),
        (1772359200123, 1772359200_123000000),
        ("1772359200123456", 1772359200_123456000),
        (1772359200123456789, 1772359200123456789),
        ("0001-01-01T00:00:00Z", 0),
        ("2026-02-30T10:00:00Z", 0),
        ("2026-03-01", 0),
        ("9999-12-31T23:59:59Z", 0),
        ("9999-12-31T23:59:59-01:00", 0),
        ("-5", 0),
        ("1e9", 0),
        ("９", 0),
        (10**19, 0),
        (float("inf"), 0),
        (-1.5, 0),
        (True, 0),
        (None, 0),
        ([1], 0),
        ("", 0),
    ],
)
def test_times(value: object, nanoseconds: int) -> None:
    """RFC 3339 of any precision and offset, epoch in four units, and 0 for all that is no time."""
    assert instant(value) == nanoseconds


@given(st.integers(1, 9_000_000_000_000_000))
def test_written_times_are_read(microseconds: int) -> None:
    """What Python writes, to the microsecond."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1000
    assert instant(at.isoformat()) == expected


@given(st.text() | st.floats() | st.integers())
def test_no_time_raises(value: object) -> None:
    """Anything is a time or 0."""
    assert 0 <= instant(value) < 2**63


@pytest.mark.parametrize(
    ("word", "severity"),
    [
        ("CRITICAL", Severity.CRITICAL),
        (" fatal ", Severity.CRITICAL),
        ("High", Severity.ERROR),
        ("Medium", Severity.WARNING),
        ("Low", Severity.INFO),
        ("Sev0", Severity.CRITICAL),
        ("SEV-1", Severity.CRITICAL),
        ("Sev1", Severity.ERROR),
        ("P5", Severity.INFO),
        ("", Severity.UNKNOWN),
        ("purple", Severity.UNKNOWN),
    ],
)
def test_severities(word: str, severity: Severity) -> None:
    """Words of different senders, in any case."""
    assert severity_of(word) == severity


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("Fired", Status.FIRING),
        ("triggered", Status.FIRING),
        ("acknowledged", Status.ACKNOWLEDGED),
        ("OK", Status.RESOLVED),
        ("Closed", Status.RESOLVED),
        ("", Status.UNKNOWN),
    ],
)
def test_statuses(word: str, status: Status) -> None:
    """Words of different senders, in any case."""
    assert status_of(word) == status
