"""Notices: the alerts that stand in the ledger because a webhook told them.

An entry counts for what the segment's context says of how it came: through `/hooks/`, by the webhook that the
entry names. Whoever writes an entry of the same form through another door tells no alert.
"""

from __future__ import annotations

from base64 import b32encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core.alerts import Alert, Severity, Status
from sentinel.core.chain import service_of
from sentinel.core.segment import Segment, numbered

_DOOR, _SUBJECT = "/hooks/", "hook/"
_TEXTS = ("title", "fingerprint", "kind", "link", "resource", "service", "environment")
_TIMES = ("started", "ended", "updated")
# A whole name of the first scope comes before all others: see `event_fields`.
_NO_WEBHOOK = {"webhook.source": None, "webhook.hook": None}
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
    came_by = webhook_of(segment.opened.context)
    if not came_by:  # nearly always
        return
    for seq, entry in numbered(segment):
        told = told_alert(entry, came_by)
        if told is not None:
            made = alert_of(told)
            source, _, hook = came_by.partition("/")
            key = Key(service_of(segment.chain), source, hook, made.fingerprint)
            yield Notice(key, segment.t, segment.chain, seq, made)


def webhook_of(context: bytes) -> str:
    """Return the webhook that told a segment's entries, `SOURCE/HOOK`, by its context; "" where none did.

    `Receiver.store` says so of every message, and no other door lets anybody be called this.

    >>> webhook_of(b'{"endpoint":"/hooks/sentry/errors","subject":"hook/sentry/errors"}')
    'sentry/errors'
    >>> webhook_of(b'{"endpoint":"/v1/entries","subject":"hook/sentry/errors"}')
    ''
    """
    if b'"/hooks/' not in context:
        return ""
    came = _object(context)
    endpoint, subject = came.get("endpoint"), came.get("subject")
    if not isinstance(endpoint, str) or not isinstance(subject, str) or not endpoint.startswith(_DOOR):
        return ""
    return subject.removeprefix(_SUBJECT) if subject.startswith(_SUBJECT) else ""


def event_of(entry: bytes, context: bytes) -> dict[str, Any] | None:
    """Return an entry as rules see it; None where it is no object. `context` is its segment's.

    `webhook.source` and `webhook.hook` are what the receiver of webhooks says. In what came by another door
    they are null, wherever it has them: it cannot pass for an alert of somebody else.
    """
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(found, dict):
        return None
    if not webhook_of(context):
        found.update(_NO_WEBHOOK)
    return found


def told_alert(entry: bytes, webhook: str) -> Mapping[str, object] | None:
    """Return the `alert` of an entry that `webhook` told, `SOURCE/HOOK`; None for any other entry."""
    told = _object(entry)
    about, alert = told.get("webhook"), told.get("alert")
    if not isinstance(about, dict) or not isinstance(alert, dict) or "alert" not in about:
        return None
    source, hook = about.get("source"), about.get("hook")
    named = isinstance(source, str) and isinstance(hook, str) and f"{source}/{hook}" == webhook
    return alert if named else None


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
