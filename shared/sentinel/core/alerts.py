"""Alerts: what somebody's monitoring tells, in one form, whoever told it.

An `Alert` is bounded and clean however it is made: over-long texts are cut, control and direction characters
taken out, links that are no web addresses dropped. So whoever reads one need not know where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from re import ASCII, IGNORECASE
from re import compile as pattern
from typing import Final

NO_TITLE: Final = "(no title)"
MAX_TITLE: Final = 500  # characters, as all of these
MAX_TEXT: Final = 500
MAX_DESCRIPTION: Final = 4_000
MAX_LINK: Final = 2_000
MAX_LABELS: Final = 64  # of them
MAX_LABEL_NAME: Final = 100
MAX_LABELS_TEXT: Final = 4_000  # names and values of all labels together
_LATEST: Final = 2**63 - 1


class Severity(StrEnum):
    """How bad it is. `error` is what others call high, `warning` medium, `info` low."""

    CRITICAL = "critical"
    ERROR = "error"
    WARNING = "warning"
    INFO = "info"
    UNKNOWN = "unknown"


class Status(StrEnum):
    """Whether it is going on."""

    FIRING = "firing"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    UNKNOWN = "unknown"


class Unparsed(Exception):
    """A message that is genuine, and of a kind that is not known. The text says what was not understood.

    It is for whoever looks after parked messages, so it quotes nothing of the message but short names.
    """


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. Times are epoch nanoseconds, 0 where unknown; texts are "" where unknown.

    `fingerprint` names the problem: the same from firing to resolved, and for whoever asks its sender about
    it. Where none is given it is made of the fields that stay. `kind` is the sender's word for what it
    is, `sender_id` what the sender calls this one notice of it.
    """

    title: str
    severity: Severity
    status: Status
    fingerprint: str = ""
    kind: str = ""
    description: str = ""
    link: str = ""
    resource: str = ""
    service: str = ""
    environment: str = ""
    started: int = 0
    ended: int = 0
    updated: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    sender_id: str = ""

    def __post_init__(self) -> None:
        """Bound and clean what was given."""
        made = {name: line(getattr(self, name)) for name in _LINES}
        made["title"] = line(self.title, MAX_TITLE) or NO_TITLE
        made["description"] = clean(self.description, MAX_DESCRIPTION)
        made["link"] = _link(self.link)
        stays = (made["kind"], made["title"], made["resource"], made["service"], made["environment"])
        made["fingerprint"] = _fingerprint(self.fingerprint) or digest(*stays)
        for name, value in made.items():
            object.__setattr__(self, name, value)
        for name in _TIMES:
            time = getattr(self, name)
            object.__setattr__(self, name, time if 0 <= time <= _LATEST else 0)
        object.__setattr__(self, "labels", _labels(self.labels))

    def json(self) -> dict[str, object]:
        """Return it as an entry holds it: always the first four fields, and of the others those known.

        >>> Alert("Disk full", Severity.ERROR, Status.FIRING, "disk-7").json()
        {'title': 'Disk full', 'severity': 'error', 'status': 'firing', 'fingerprint': 'disk-7'}
        """
        told = {name: value for name, value in asdict(self).items() if value}
        return told | {"severity": self.severity.value, "status": self.status.value}


_LINES: Final = ("kind", "resource", "service", "environment", "sender_id")
_TIMES: Final = ("started", "ended", "updated")


def line(text: str, limit: int = MAX_TEXT) -> str:
    r"""Return a text as one clean line of at most `limit` characters.

    >>> line(" a\tb\n\u202ec\x00 ")
    'a b c'
    """
    return " ".join(clean(text, 4 * limit).split())[:limit].rstrip()


def clean(text: str, limit: int) -> str:
    """Return a text without control, format and direction characters, line breaks kept; cut at `limit`."""
    text = text[: 2 * limit]
    if not text.isprintable():
        text = "".join(_printable(each) for each in text)
    return text.strip()[:limit].rstrip()


def digest(*parts: str) -> str:
    """Return a name for what parts say together: 32 hexadecimal digits.

    >>> digest("a", "b") == digest("a", "b") != digest("ab")
    True
    """
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def severity_of(text: str) -> Severity:
    """Return what a sender's word for a severity means, in any case.

    >>> severity_of("Fatal"), severity_of("P3"), severity_of("Sev1"), severity_of("so so")
    (<Severity.CRITICAL: 'critical'>, <Severity.WARNING: 'warning'>, <Severity.ERROR: 'error'>, <Severity.UNKNOWN: 'unknown'>)
    """  # noqa: E501
    return _SEVERITIES.get(text.strip().lower(), Severity.UNKNOWN)


def status_of(text: str) -> Status:
    """Return what a sender's word for a status means, in any case.

    >>> status_of("Triggered"), status_of("Closed")
    (<Status.FIRING: 'firing'>, <Status.RESOLVED: 'resolved'>)
    """
    return _STATUSES.get(text.strip().lower(), Status.UNKNOWN)


def instant(value: object) -> int:
    """Return a time in epoch nanoseconds: RFC 3339 with any number of digits, or epoch s, ms, us or ns.

    What has no offset is UTC. 0 for what is no time, and for the year 1, by which some say "not yet".

    >>> instant("2019-03-22T13:58:24.3713213Z"), instant("1553263104371"), instant(1553263104.25)
    (1553263104371321300, 1553263104371000000, 1553263104250000000)
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return 0
    text = str(value).strip()[:64]
    number = _NUMBER.fullmatch(text)
    if number is not None:
        return _epoch(number[1], number[2] or "")
    time = _RFC_3339.fullmatch(text)
    return 0 if time is None else _date(time.groups())


_NUMBER = pattern(r"([0-9]{1,19})(?:\.([0-9]{1,12}))?", ASCII)
_RFC_3339 = pattern(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,12}))?"
    r" ?(?:(Z|UTC)|([+-])([0-9]{2}):?([0-9]{2}))?",
    ASCII | IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGITS = ((11, 9), (14, 6), (17, 3))  # up to so many digits of a whole number: 10 to the power of that


def _epoch(whole: str, fraction: str) -> int:
    digits = len(whole.lstrip("0"))
    power = next((power for most, power in _DIGITS if digits <= most), 0)
    nanoseconds = int(whole + fraction.ljust(power, "0")[:power])
    return nanoseconds if nanoseconds <= _LATEST else 0


def _date(parts: tuple[str | None, ...]) -> int:
    year, month, day, hour, minute, second = (int(each or 0) for each in parts[:6])
    offset = timedelta(hours=int(parts[9] or 0), minutes=int(parts[10] or 0))
    try:
        # A leap second, which the clocks behind us do not know either, is the one before it.
        at = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
        at += -offset if parts[8] == "+" else offset
    except (ValueError, OverflowError):
        return 0
    nanoseconds = (at - _EPOCH) // timedelta(seconds=1) * 10**9 + int((parts[6] or "").ljust(9, "0")[:9])
    return nanoseconds if 0 < nanoseconds <= _LATEST else 0


def _printable(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return " " if character.isspace() else ""


def _link(text: str) -> str:
    found = line(text, MAX_LINK + 1)
    good = len(found) <= MAX_LINK and " " not in found and found.lower().startswith(("https://", "http://"))
    return found if good else ""


def _fingerprint(text: str) -> str:
    """Return a fingerprint; a long one is hashed, since one that is cut might be that of something else."""
    return line(text) if len(text) <= MAX_TEXT else digest(text)


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    left = MAX_LABELS_TEXT
    for name, value in labels.items():
        name, value = line(name, MAX_LABEL_NAME), line(value)  # noqa: PLW2901
        left -= len(name) + len(value)
        if len(found) == MAX_LABELS or left < 0:
            break
        if name and value:
            found[name] = value
    return found


# "Sev1" is Azure's, which counts from 0; "SEV-1" is of those who count from 1.
_SEVERITIES: Final = {
    word: severity
    for severity, words in {
        Severity.CRITICAL: "critical crit fatal emergency emerg disaster page p1 sev0 sev-0 sev-1 severe",
        Severity.ERROR: "error err high major p2 sev1 sev-2 failure",
        Severity.WARNING: "warning warn medium moderate minor average p3 sev2 sev-3",
        Severity.INFO: "info information informational low notice debug sample ok success none normal "
        "p4 p5 sev3 sev4 sev-4 sev-5 verbose",
    }.items()
    for word in words.split()
}
_STATUSES: Final = {
    word: status
    for status, words in {
        Status.FIRING: "firing fired triggered trigger alerting alert alarm open opened new active created "
        "unresolved problem started reopened failed ongoing",
        Status.ACKNOWLEDGED: "acknowledged acknowledge acked ack in_progress",
        Status.RESOLVED: "resolved resolve ok closed close recovered recovery cleared normal success fixed "
        "passed completed",
    }.items()
    for word in words.split()
}
