"""Notices: the alerts that stand in the ledger because a webhook told them.

An entry counts for what the segment's context says of how it came: through `/hooks/`, by the webhook that the
entry names. Whoever writes an entry of the same form through another door tells no alert.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

import orjson

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.core.chain import service_of
from sentinel.core.segment import Segment, numbered

_DOOR = "/hooks/"
_TEXTS = ("title", "fingerprint", "kind", "link", "resource", "service", "environment")
_TIMES = ("started", "ended", "updated")
_SEVERITIES, _STATUSES = frozenset(Severity), frozenset(Status)


@dataclass(frozen=True, slots=True)
class Key:
    """What names one problem: whose webhook told it, and what its sender calls it."""

    service: str
    source: str
    hook: str
    fingerprint: str

    @property
    def id(self) -> str:
        """The alert's id: 26 characters, the same for the same problem everywhere.

        >>> Key("shop", "sentry", "errors", "700100200").id
        'vpil7uznyjyyi26oo5jbr6dtl3'
        """
        parts = "\0".join((self.service, self.source, self.hook, self.fingerprint))
        return b32encode(sha256(b"SA1" + parts.encode()).digest())[:26].decode().lower()


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert as a message told it, sealed at `t` (epoch nanoseconds) in `chain` as `seq`."""

    key: Key
    t: int
    chain: str
    seq: int
    alert: Alert

    @property
    def place(self) -> tuple[int, str, int]:
        """Where it stands in the ledger's order."""
        return (self.t, self.chain, self.seq)


def notices(segment: Segment) -> Iterator[Notice]:
    """Yield the notices of a segment, in order. Raises `Tampered` where it cannot be opened, nothing else."""
    context = segment.opened.context
    if b'"/hooks/' not in context:  # nearly always
        return
    came = _object(context)
    endpoint = came.get("endpoint")
    if not isinstance(endpoint, str) or not endpoint.startswith(_DOOR):
        return
    for seq, entry in numbered(segment):
        found = _notice(segment, seq, came.get("subject"), _object(entry))
        if found is not None:
            yield found


def _notice(segment: Segment, seq: int, by: object, told: Mapping[str, object]) -> Notice | None:
    about, alert = told.get("webhook"), told.get("alert")
    if not isinstance(about, dict) or not isinstance(alert, dict) or "alert" not in about:
        return None
    source, hook = about.get("source"), about.get("hook")
    # `Receiver.store` says so of every message, and no other door lets anybody be called this.
    if not isinstance(source, str) or not isinstance(hook, str) or by != f"hook/{source}/{hook}":
        return None
    made = alert_of(alert)
    key = Key(service_of(segment.chain), source, hook, made.fingerprint)
    return Notice(key, segment.t, segment.chain, seq, made)


def alert_of(told: Mapping[str, object]) -> Alert:
    """Return the alert that `Alert.json` told, without its description; what is not as it tells is left out.

    >>> alert_of({"title": "Disk full", "severity": "dire", "status": "firing", "started": "now"}).severity
    <Severity.UNKNOWN: 'unknown'>
    """
    texts = {name: value for name in _TEXTS if isinstance(value := told.get(name), str)}
    times = {name: value for name in _TIMES if type(value := told.get(name)) is int}
    labels = told.get("labels")
    named = labels.items() if isinstance(labels, dict) else ()
    severity, status = (str(told.get(name)) for name in ("severity", "status"))
    return Alert(
        **{"title": "", **texts, **times},  # type: ignore[arg-type]
        severity=Severity(severity) if severity in _SEVERITIES else Severity.UNKNOWN,
        status=Status(status) if status in _STATUSES else Status.UNKNOWN,
        labels={name: value for name, value in named if isinstance(value, str)},
    )


def _object(text: bytes) -> Mapping[str, object]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
