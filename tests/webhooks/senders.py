"""Senders of each kind, by the letter of what they document: what the contract suite sends with.

A source has a golden, `tests/goldens/webhooks/SOURCE.json`: bodies, each with what is to come of it. One that
has no entry here shows its secret in the usual ways; or its golden says, as `"(sender)"`, in which header it
brings the HMAC-SHA256 of the body in hex: `{"signature": HEADER, "prefix": TEXT}`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sentinel.webhooks import SOURCES

GOLDENS = Path(__file__).resolve().parents[1] / "goldens" / "webhooks"
NOW = 1_772_359_200
Headers = dict[str, str]


@dataclass(frozen=True)
class Sender:
    """How one kind signs: `sign(body, secret, now)` returns the headers, all of which must be needed.

    `covers` says whether the body is covered, `dated` whether the time is. `options` are the webhook's.
    """

    sign: Callable[[bytes, str, int], Headers]
    covers: bool = True
    dated: bool = False
    options: Mapping[str, str] = field(default_factory=dict)
    secret: str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    other: str = "whsec_" + base64.b64encode(b"o" * 32).decode()


def digest(secret: str, signed: bytes) -> bytes:
    """Return HMAC-SHA256 with the secret's own characters as the key."""
    return hmac.new(secret.encode(), signed, "sha256").digest()


def _standard(body: bytes, secret: str, now: int) -> Headers:
    text = secret.removeprefix("whsec_")
    key = base64.b64decode(text + "=" * (-len(text) % 4)) if len(text) > 1 else b""
    name = "m" + hashlib.sha256(body).hexdigest()[:16]
    mac = hmac.new(key, f"{name}.{now}.".encode() + body, "sha256").digest()
    signature = "v1," + base64.b64encode(mac).decode()
    return {"webhook-id": name, "webhook-timestamp": str(now), "webhook-signature": signature}


def _sentry(body: bytes, secret: str, now: int) -> Headers:
    del now
    return {"sentry-hook-signature": digest(secret, body).hex()}


def _pagerduty(body: bytes, secret: str, now: int) -> Headers:
    del now
    return {"x-pagerduty-signature": f"v1={'0' * 64},v1={digest(secret, body).hex()}"}


def _stamp(now: int) -> str:
    return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _falcon(body: bytes, secret: str, now: int) -> Headers:
    at = _stamp(now)
    mac = base64.b64encode(digest(secret, body + at.encode())).decode()
    return {"x-cs-delivery-timestamp": at, "x-cs-primary-signature": mac}


def _falcon_hex(body: bytes, secret: str, now: int) -> Headers:
    at = str(now * 1000)
    return {"x-time": at, "x-cs-primary-signature": digest(secret, at.encode() + body).hex()}


def in_header(name: str = "x-sentinel-key") -> Callable[[bytes, str, int], Headers]:
    """Return a sender that brings the secret in a header."""
    return lambda body, secret, now: {name: secret}


def as_basic(user: str = "sentinel") -> Callable[[bytes, str, int], Headers]:
    """Return a sender that brings the secret as the password of Basic."""
    return lambda body, secret, now: {
        "authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()
    }


def as_bearer() -> Callable[[bytes, str, int], Headers]:
    """Return a sender that brings the secret as a Bearer token."""
    return lambda body, secret, now: {"authorization": f"Bearer {secret}"}


def _grafana(body: bytes, secret: str, now: int) -> Headers:
    del now
    return {"x-grafana-alerting-signature": digest(secret, body).hex()}


def _grafana_timed(body: bytes, secret: str, now: int) -> Headers:
    mac = digest(secret, f"{now}:".encode() + body).hex()
    return {"x-grafana-alerting-signature": mac, "x-grafana-at": str(now)}


def _splunk_observability(body: bytes, secret: str, now: int) -> Headers:
    del now
    return {"x-sfx-signature": base64.b64encode(digest(secret, body)).decode()}


def _own(body: bytes, secret: str, now: int) -> Headers:
    mac = hmac.new(secret.encode(), f"v0:{_stamp(now)}:".encode() + body, "sha512").hexdigest()
    return {"x-own-signature": f"v0={mac}", "x-own-time": _stamp(now)}


_OWN = {
    "auth": "signature",
    "signature_header": "X-Own-Signature",
    "timestamp_header": "X-Own-Time",
    "signed": "v0:{timestamp}:{body}",
    "prefix": "v0=",
    "algorithm": "sha512",
}
_SHOWN = [
    Sender(in_header(), covers=False),
    Sender(as_basic(), covers=False),
    Sender(as_bearer(), covers=False),
]

_KNOWN: Mapping[str, list[Sender]] = {
    "standard-webhooks": [Sender(_standard, dated=True)],
    "sentry": [
        Sender(_sentry),
        Sender(as_basic(), covers=False, options={"auth": "secret"}),
    ],
    "datadog": [
        Sender(in_header(), covers=False),
        Sender(as_basic(), covers=False),
        Sender(as_basic("dd"), covers=False, options={"user": "dd"}),
        Sender(as_bearer(), covers=False),
    ],
    "pagerduty": [
        Sender(_pagerduty),
        Sender(in_header("x-our-key"), covers=False, options={"auth": "secret", "header": "X-Our-Key"}),
    ],
    "crowdstrike": [
        Sender(_falcon, dated=True),
        Sender(
            _falcon_hex,
            dated=True,
            options={"order": "ts_body", "encoding": "hex", "timestamp_header": "X-Time"},
        ),
    ],
    "microsoft-sentinel": [Sender(in_header(), covers=False), Sender(as_basic(), covers=False)],
    "azure-monitor": [Sender(in_header(), covers=False), Sender(as_bearer(), covers=False)],
    "splunk": _SHOWN,
    "elastic": _SHOWN,
    "alertmanager": _SHOWN,
    "grafana": [
        *_SHOWN,
        Sender(_grafana, options={"auth": "signature"}),
        Sender(_grafana_timed, dated=True, options={"auth": "signature", "timestamp_header": "X-Grafana-At"}),
    ],
    "cloudevents": [*_SHOWN, Sender(_own, dated=True, options=_OWN)],
    "guardduty": _SHOWN,
    "generic": [
        Sender(in_header("x-our-key"), covers=False, options={"mapping": "signalfx", "header": "X-Our-Key"}),
        Sender(
            _splunk_observability,
            options={
                "auth": "signature",
                "mapping": "signalfx",
                "signature_header": "X-SFX-Signature",
                "encoding": "base64",
            },
        ),
        Sender(_own, dated=True, options={**_OWN, "mapping": "signalfx"}),
    ],
}
IN_THE_BODY = frozenset({"sns"})
"""Sources whose messages bring their proof along in the body: each has a test file of its own."""


SENDER = "(sender)"


def read(source: str) -> dict[str, dict[str, Any]]:
    """Return a source's golden, whole."""
    found: dict[str, dict[str, Any]] = json.loads((GOLDENS / f"{source}.json").read_text())
    return found


def golden(source: str) -> dict[str, dict[str, Any]]:
    """Return the cases of a source's golden: name to `{"headers"?, "body", "alerts" or "parked"}`."""
    return {name: case for name, case in read(source).items() if name != SENDER}


def _declared(source: str) -> list[Sender]:
    told = read(source).get(SENDER)
    if told is None:
        return _SHOWN
    header, prefix = told["signature"], told.get("prefix", "")
    return [Sender(lambda body, secret, _: {header: prefix + digest(secret, body).hex()})]


SENDERS: Mapping[str, list[Sender]] = {
    source: _KNOWN.get(source) or _declared(source) for source in SOURCES if source not in IN_THE_BODY
}
"""The ways in which each kind of sender proves itself; the first is the usual one."""


def sent(case: Mapping[str, Any]) -> bytes:
    """Return a case's body as it is sent."""
    return json.dumps(case["body"], ensure_ascii=False).encode()


def first(source: str) -> bytes:
    """Return a body of a source that tells something."""
    return sent(next(iter(golden(source).values())))
