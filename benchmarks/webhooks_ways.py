"""Every way in which a sender may prove itself: each source with each of its options of proof."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from sentinel.webhooks import SOURCES
from sentinel.webhooks.proofs import WRITTEN
from tests.webhooks.senders import (
    IN_THE_BODY,
    SENDERS,
    Headers,
    Sender,
    as_basic,
    as_bearer,
    digest,
    in_header,
)

ALGORITHMS = ("sha256", "sha384", "sha512")
SIGNED = {"": "{body}", "X-Own-Time": "v0:{timestamp}:{body}"}


@dataclass(frozen=True)
class Way:
    """One source, and how its sender proves itself there; `name` says how."""

    source: str
    name: str
    sender: Sender


def ways() -> Iterator[Way]:
    """Yield the ways of all sources whose proof is in the headers."""
    for source, kind in SOURCES.items():
        if source in IN_THE_BODY:
            continue
        names = set(kind.options)
        if "header" in names:
            yield from shown(source, signs="auth" in names and SENDERS[source][0].covers)
        if {"auth", "signature_header"} <= names:
            yield from signing(source, names)
        elif "order" in names:
            yield from falcon(source)
        elif SENDERS[source][0].covers:
            yield Way(source, "signature", SENDERS[source][0])


def shown(source: str, *, signs: bool) -> Iterator[Way]:
    """Yield the ways to show the secret itself; `signs`: where a signature is usual."""
    asked = {"auth": "secret"} if signs else {}
    for name, options, sign in (
        ("secret in the usual header", {}, in_header()),
        ("secret in another header", {"header": "X-Our-Key"}, in_header("x-our-key")),
        ("secret in Basic", {}, as_basic()),
        ("secret in Basic of another user", {"user": "dd"}, as_basic("dd")),
        ("secret in Bearer", {}, as_bearer()),
    ):
        yield Way(source, name, Sender(sign, covers=False, options=asked | options))


def signing(source: str, names: set[str]) -> Iterator[Way]:
    """Yield the ways to sign that a webhook's options choose, those that the source has."""
    choices: dict[str, tuple[str, ...]] = {
        "algorithm": ALGORITHMS,
        "encoding": tuple(WRITTEN),
        "prefix": ("", "sha="),
        "timestamp_header": tuple(SIGNED),
        "tolerance": ("300", "30"),
    }
    mine = [name for name in choices if name in names]
    for values in product(*(choices[name] for name in mine)):
        chosen = {name: value for name, value in zip(mine, values, strict=True) if value}
        timed = bool(chosen.get("timestamp_header"))
        if not timed and chosen.get("tolerance") != "300":
            continue
        if timed and "signed" in names:
            chosen["signed"] = SIGNED[chosen["timestamp_header"]]
        options = {"auth": "signature", "signature_header": "X-Own-Signature", **chosen}
        words = [chosen.get(name, "") for name in mine if name != "tolerance"]
        name = " ".join(
            ["signature", *filter(None, words), *([f"±{chosen['tolerance']} s"] if timed else [])]
        )
        yield Way(source, name, Sender(Own(options, source).sign, dated=timed, options=options))


@dataclass(frozen=True)
class Own:
    """A sender that signs as a webhook's options say."""

    options: Mapping[str, str]
    source: str

    def sign(self, body: bytes, secret: str, now: int) -> Headers:
        """Return the headers."""
        told = self.options
        # Grafana joins time and body by a colon, and nothing can be chosen there.
        joined = told.get("signed") or ("{timestamp}:{body}" if "timestamp_header" in told else "{body}")
        head, _, tail = joined.replace("{timestamp}", str(now)).partition("{body}")
        signed = head.encode() + body + tail.encode()
        mac = hmac.new(secret.encode(), signed, getattr(hashlib, told.get("algorithm", "sha256"))).digest()
        found = {"x-own-signature": told.get("prefix", "") + WRITTEN[told.get("encoding", "hex")](mac)}
        return found | ({"x-own-time": str(now)} if "timestamp_header" in told else {})


def falcon(source: str) -> Iterator[Way]:
    """Yield the ways of CrowdStrike: order, encoding, which of two headers, names, tolerance."""
    usual = {"signature_header": "x-cs-primary-signature", "secondary_header": "x-cs-secondary-signature"}
    for order, encoding, header, other in product(
        ("body_ts", "ts_body"), tuple(WRITTEN), usual, (False, True)
    ):
        options = {"order": order, "encoding": encoding}
        names = {**usual, "timestamp_header": "x-cs-delivery-timestamp"}
        if other:
            names = {name: f"x-own-{name.partition('_')[0]}" for name in names}
            options |= names | {"tolerance": "30"}
        name = f"{header.partition('_')[0]} {order} {encoding}" + (" of other names ±30 s" if other else "")
        sign = Falcon(order, encoding, names[header], names["timestamp_header"]).sign
        yield Way(source, name, Sender(sign, dated=True, options=options))


@dataclass(frozen=True)
class Falcon:
    """A sender that signs as CrowdStrike does."""

    order: str
    encoding: str
    header: str
    clock: str

    def sign(self, body: bytes, secret: str, now: int) -> Headers:
        """Return the headers."""
        at = str(now * 1000)
        signed = body + at.encode() if self.order == "body_ts" else at.encode() + body
        return {self.clock: at, self.header: WRITTEN[self.encoding](digest(secret, signed))}
