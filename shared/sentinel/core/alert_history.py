"""The history of an alert: all that its sender told of one problem, folded into one record.

Folding takes notices one after the other and is safe to repeat: a notice that was folded changes nothing. The
record knows the newest `MOST` by their places; what is older than all of these counts as known.

A notice is *late* if its sender's time is before that of what the record stands at; where one of them says
no time, or both say the same second, the ledger's order decides. A late one is counted and stands in the
history, fills in what is not known, and changes nothing that is: so a `firing` that was on its way for long
does not open again what was resolved since. The sender's time is `updated`, else `ended` of what is resolved,
else `started`; never later than the ledger's, so that a clock that is ahead closes nothing for ever.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import orjson
import zstandard

from sentinel.core.alert_notices import Key, Notice
from sentinel.core.alerts import NO_TITLE, Alert, Severity, Status

MOST: Final = 50  # notices that a history has
_SECOND: Final = 1_000_000_000
_UNPACKED: Final = 1_000_000
_WORST_FIRST: Final = tuple(Severity)
_OPEN: Final = (Status.FIRING, Status.ACKNOWLEDGED)
_WORDS: Final = ("kind", "link", "resource", "service", "environment")


@dataclass(frozen=True, slots=True)
class Told:
    """One notice in a history: sealed at `t` in `chain` as `seq`, and what it said."""

    t: int
    chain: str
    seq: int
    status: Status
    severity: Severity
    late: bool = False

    @property
    def place(self) -> tuple[int, str, int]:
        """Where it stands in the ledger's order."""
        return (self.t, self.chain, self.seq)

    def json(self) -> dict[str, object]:
        """Return it as it is shown."""
        told = {"t": self.t, "chain": self.chain, "seq": self.seq}
        marks = {"late": True} if self.late else {}
        return {**told, "status": self.status.value, "severity": self.severity.value, **marks}


@dataclass(frozen=True, slots=True)
class Record:
    """One problem. Times are epoch nanoseconds, 0 where unknown; `first` and `last` are the ledger's.

    `severity` is as it was told last, `highest` the worst ever told. `service` is the alert's own word;
    whose webhook it is, `key` says. `started` and `ended` are of the newest of its `episodes`: each begins
    when what was resolved is open again. `at` and `place` are the sender's time and the ledger's place of
    the notice whose status stands. `history` is in the ledger's order, `notices` counts all.
    """

    key: Key
    status: Status = Status.UNKNOWN
    severity: Severity = Severity.UNKNOWN
    highest: Severity = Severity.UNKNOWN
    title: str = NO_TITLE
    kind: str = ""
    link: str = ""
    resource: str = ""
    service: str = ""
    environment: str = ""
    started: int = 0
    ended: int = 0
    first: int = 0
    last: int = 0
    at: int = 0
    place: tuple[int, str, int] = (0, "", 0)
    episodes: int = 1
    notices: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Told, ...] = ()

    @property
    def left_out(self) -> int:
        """How many notices the history does not have any more."""
        return self.notices - len(self.history)

    def summary(self) -> dict[str, object]:
        """Return it as a list shows it."""
        webhook = {"service": self.key.service, "source": self.key.source, "hook": self.key.hook}
        return {
            "id": self.key.id,
            "webhook": webhook,
            "fingerprint": self.key.fingerprint,
            "status": self.status.value,
            "severity": self.severity.value,
            "highest": self.highest.value,
            "title": self.title,
            **{name: getattr(self, name) for name in _WORDS},
            "started": self.started,
            "ended": self.ended,
            "first_seen": self.first,
            "last_seen": self.last,
            "episodes": self.episodes,
            "messages": self.notices,
        }

    def json(self) -> dict[str, object]:
        """Return all of it as it is shown, its history newest first."""
        history = [told.json() for told in reversed(self.history)]
        return {**self.summary(), "labels": dict(self.labels), "history": history, "left_out": self.left_out}


def fold(record: Record | None, notices: Iterable[Notice]) -> Record | None:
    """Return the record with these notices, which are all of its key; the same where it has them already."""
    for notice in notices:
        record = _folded(record or Record(notice.key), notice)
    return record


def _folded(record: Record, notice: Notice) -> Record:
    if _known(record, notice):
        return record
    at = _time(notice)
    late = _late(record, at, notice.place)
    counted = _counted(record, notice, late=late)
    if late:
        return _filled(counted, notice.alert)
    return _stands(_said(counted, notice.alert), notice, at)


def _known(record: Record, notice: Notice) -> bool:
    if any((told.chain, told.seq) == (notice.chain, notice.seq) for told in record.history):
        return True
    return record.left_out > 0 and notice.place < record.history[0].place


def _time(notice: Notice) -> int:
    """Return the sender's time of a notice, 0 where it says none."""
    alert = notice.alert
    ended = alert.ended if alert.status is Status.RESOLVED else 0
    return min(alert.updated or ended or alert.started, notice.t)


def _late(record: Record, at: int, place: tuple[int, str, int]) -> bool:
    # By seconds: one sender tells one moment in several precisions.
    now, stands = at // _SECOND, record.at // _SECOND
    if now and stands and now != stands:
        return now < stands
    return place < record.place


def _counted(record: Record, notice: Notice, *, late: bool) -> Record:
    alert = notice.alert
    told = Told(notice.t, notice.chain, notice.seq, alert.status, alert.severity, late)
    history = sorted((*record.history, told), key=lambda each: each.place)
    return replace(
        record,
        highest=min(record.highest, alert.severity, key=_WORST_FIRST.index),
        first=min(record.first or notice.t, notice.t),
        last=max(record.last, notice.t),
        notices=record.notices + 1,
        history=tuple(history[-MOST:]),
    )


def _said(record: Record, alert: Alert) -> Record:
    """Return the record with what a notice says of the problem; what it does not say stays."""
    words: dict[str, Any] = {name: getattr(alert, name) or getattr(record, name) for name in _WORDS}
    # What resolves often comes as "ok", which is no word on how bad it was.
    keeps = alert.severity is Severity.UNKNOWN or (
        alert.status is Status.RESOLVED and record.severity is not Severity.UNKNOWN
    )
    return replace(
        record,
        title=record.title if alert.title == NO_TITLE else alert.title,
        severity=record.severity if keeps else alert.severity,
        labels=alert.labels or record.labels,
        **words,
    )


def _filled(record: Record, alert: Alert) -> Record:
    """Return the record with what a late notice knows and the record does not."""
    words: dict[str, Any] = {name: getattr(record, name) or getattr(alert, name) for name in _WORDS}
    began = alert.started if record.episodes == 1 and alert.started <= record.last else 0
    return replace(
        record,
        title=alert.title if record.title == NO_TITLE else record.title,
        severity=alert.severity if record.severity is Severity.UNKNOWN else record.severity,
        started=record.started or began,
        labels=record.labels or alert.labels,
        **words,
    )


def _stands(record: Record, notice: Notice, at: int) -> Record:
    """Return the record at the status that a notice tells."""
    alert = notice.alert
    if alert.status is Status.UNKNOWN:
        return record
    now = at or notice.t
    started, ended, episodes = record.started, 0, record.episodes
    began = min(alert.started, notice.t)
    if alert.status is Status.RESOLVED:
        was = record.ended if record.status is Status.RESOLVED else 0
        ended = was or min(alert.ended, notice.t) or now
        started = started or began
    elif record.status is Status.RESOLVED:
        episodes += 1
        started = began if began > record.ended else now
    else:
        started = started or began or now
    return replace(
        record,
        status=alert.status,
        started=started,
        ended=ended,
        episodes=episodes,
        at=at or record.at,
        place=notice.place,
    )


def encode(record: Record) -> bytes:
    """Return a record as it is stored."""
    told = {each.name: getattr(record, each.name) for each in fields(record)}
    return zstandard.ZstdCompressor(level=3).compress(orjson.dumps(told))


def decode(body: bytes) -> Record:
    """Return the record that `encode` made these bytes of. Raises `ValueError` for any others.

    >>> decode(encode(Record(Key("shop", "sentry", "errors", "1")))).key.hook
    'errors'
    """
    try:
        told = orjson.loads(_unpacked(body))
        made = {name: _TYPES[name](value) for name, value in told.items()}
        record = Record(**made)
        whole = len(record.history) <= MOST and (bool(record.history) or not record.notices)
    except (zstandard.ZstdError, ArithmeticError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"no record: {type(error).__name__}") from None  # its text may quote the alert
    if not whole or record.left_out < 0:
        raise ValueError("no record: its history does not fit its count")
    return record


def _unpacked(body: bytes) -> bytes:
    if not 0 <= zstandard.frame_content_size(body) <= _UNPACKED:
        raise OverflowError
    return zstandard.ZstdDecompressor().decompress(body, max_output_size=_UNPACKED)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a text")
    return value


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("a number")
    return value


def _place(value: Any) -> tuple[int, str, int]:
    t, chain, seq = value
    return (_number(t), _text(chain), _number(seq))


def _told(value: Any) -> Told:
    t, chain, seq = _place((value["t"], value["chain"], value["seq"]))
    return Told(t, chain, seq, Status(value["status"]), Severity(value["severity"]), value["late"] is True)


_TYPES: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("title", *_WORDS), _text),
    **dict.fromkeys(("started", "ended", "first", "last", "at", "episodes", "notices"), _number),
    "key": lambda value: Key(**{name: _text(part) for name, part in value.items()}),
    "status": Status,
    "severity": Severity,
    "highest": Severity,
    "place": _place,
    "labels": lambda value: {_text(name): _text(each) for name, each in value.items()},
    "history": lambda value: tuple(map(_told, value)),
}
