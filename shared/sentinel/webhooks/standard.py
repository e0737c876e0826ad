"""Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature: v1,<base64> ...`.

Format: standard-webhooks/standard-webhooks, spec/standard-webhooks.md, version 1.0.0, symmetric signatures
(`v1`): HMAC-SHA256 over `id.timestamp.body` with a secret of at least 24 bytes, written `whsec_` and base64.
Asymmetric ones (`v1a`) beside them are ignored. The spec lets a message id have no full stop where a sender's
customer could choose it; here it never may, so that what is signed can be read in one way only. What a body
means is between sender and receiver, so alerts are told only where the webhook's options say where they are.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sentinel.core.alerts import Alert
from sentinel.errors import Unauthenticated
from sentinel.ports_doors import Delivery
from sentinel.webhooks import mapping
from sentinel.webhooks.reading import document
from sentinel.webhooks.source import Unparsed, only, stored

TOLERANCE = 300  # seconds that the time of a message may be off, either way
MIN_SECRET = 24  # bytes
MAX_SIGNATURES = 16
PREFIX = "whsec_"
OPTIONS: Mapping[str, str] = mapping.OPTIONS

_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")
_TIME = re.compile(r"[0-9]{1,12}")
_REFUSED = "the message is not signed with a secret of this webhook, or its time is over 5 minutes off"


class StandardWebhooks:
    """The source."""

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        only(options or {}, OPTIONS)
        self._places = mapping.Places(options or {})

    proof: Sequence[str] = ("webhook-id", "webhook-timestamp", "webhook-signature")

    def usable(self, secret: str) -> bool:
        """Say whether this is a secret, and one that is long enough."""
        return any(keys([secret]))

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Check signature and time; see `Source.verify`."""
        name, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not _ID.fullmatch(name) or not _TIME.fullmatch(at):
            raise Unauthenticated(_REFUSED)
        signed = f"{name}.{at}.".encode() + body
        given = list(_signatures(headers.get("webhook-signature", "")))
        genuine = False
        for key in keys(secrets):
            expected = base64.b64encode(hmac.digest(key, signed, "sha256"))
            for signature in given:  # all of them, however early one fits
                genuine |= hmac.compare_digest(expected, signature)
        if not genuine or abs(now - int(at)) > TOLERANCE:
            raise Unauthenticated(_REFUSED)

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return `webhook-id`."""
        del body
        return headers["webhook-id"]

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert at the places of the options; none where there are no options."""
        del headers
        if not self._places:
            return []
        alert = self._places.alert(document(body))
        if alert is None:
            raise Unparsed("there is no title at the place of the option title")
        return [alert]

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the message as it came."""
        return stored(delivery, body)


def keys(secrets: Iterable[str]) -> Iterator[bytes]:
    """Yield the keys that secrets stand for. What is no secret of this format, or a short one, is left out.

    >>> [len(key) for key in keys(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_%"])]
    [24]
    """
    for secret in secrets:
        try:
            key = base64.b64decode(secret.strip().removeprefix(PREFIX), validate=True)
        except (binascii.Error, ValueError):
            continue
        if len(key) >= MIN_SECRET:
            yield key


def _signatures(header: str) -> Iterator[bytes]:
    for each in header.split(" ")[:MAX_SIGNATURES]:
        version, _, signature = each.partition(",")
        if version == "v1":
            yield signature.encode("utf-8", "replace")
