"""What an entry says, read for mappings: its text, one line for people, and the alert where it is one.

An alert's entry is what a webhook left in the ledger: `{"webhook": {"source", ...}, "alert": {...}}`.
Whatever an entry holds, this reads something of it and raises nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from sentinel.siem.sink import Notice

MAX_LINE = 1_000
MAX_TEXT = 4_000
SECOND = 1_000_000_000
_LATEST = 253_402_300_800 * SECOND  # the year 10000 in epoch nanoseconds
_NUMBERS = frozenset({int, float, bool})  # which are never empty
_NAMES = ("message", "msg", "event", "error")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert that an entry tells. Times in epoch nanoseconds; what is not told is empty or 0."""

    title: str = ""
    severity: str = ""
    status: str = ""
    fingerprint: str = ""
    kind: str = ""
    description: str = ""
    link: str = ""
    resource: str = ""
    service: str = ""
    environment: str = ""
    started: int = 0
    ended: int = 0
    source: str = ""

    @property
    def resolved(self) -> bool:
        """Whether it says that the problem is over."""
        return self.status == "resolved"


_NO_ALERT = Alert()


@dataclass(frozen=True, slots=True)
class Said:
    """`text` is the whole entry, `message` one line of it or of the rule; a log entry has no `alert`."""

    text: str
    message: str
    alert: Alert


def said(notice: Notice) -> Said:
    """Read a notice's entry."""
    found = _object(notice.entry)
    alert = _alert(found)
    line = alert.title or _told(found) or notice.title or _about(notice)
    return Said(notice.entry.decode(errors="replace"), _line(line), alert)


def _told(entry: Mapping[str, object]) -> str:
    for name in _NAMES:
        each = entry.get(name)
        if isinstance(each, str) and each.strip():
            return each
    return ""


@lru_cache(maxsize=16)  # all entries of a segment have one time
def instant(t: int) -> str:
    """Return epoch nanoseconds as RFC 3339 in UTC.

    >>> instant(1_732_435_200_123_456_789)
    '2024-11-24T08:00:00.123456789Z'
    """
    seconds, nanos = divmod(t, SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


def filled(told: Mapping[str, object]) -> dict[str, object]:
    """Return a mapping without what is empty, in maps below it too."""
    return {
        name: kept
        for name, value in told.items()
        if (kept := filled(value) if type(value) is dict else value) or type(kept) in _NUMBERS
    }


def _object(entry: bytes) -> Mapping[str, object]:
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _alert(entry: Mapping[str, object]) -> Alert:
    webhook, alert = entry.get("webhook"), entry.get("alert")
    if not isinstance(webhook, dict) or not isinstance(alert, dict):
        return _NO_ALERT
    return Alert(
        title=_text(alert, "title"),
        severity=_text(alert, "severity"),
        status=_text(alert, "status"),
        fingerprint=_text(alert, "fingerprint"),
        kind=_text(alert, "kind"),
        description=_text(alert, "description"),
        link=_text(alert, "link"),
        resource=_text(alert, "resource"),
        service=_text(alert, "service"),
        environment=_text(alert, "environment"),
        started=_time(alert, "started"),
        ended=_time(alert, "ended"),
        source=_text(webhook, "source"),
    )


def _text(found: Mapping[str, object], name: str) -> str:
    value = found.get(name)
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _time(found: Mapping[str, object], name: str) -> int:
    value = found.get(name)
    return value if type(value) is int and 0 < value < _LATEST else 0


def _about(notice: Notice) -> str:
    return f"an entry of {notice.chain}{'' if notice.plain else ' matched a rule'}"


def _line(text: str) -> str:
    return " ".join(text[: 2 * MAX_LINE].split())[:MAX_LINE]
