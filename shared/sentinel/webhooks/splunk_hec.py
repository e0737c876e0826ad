"""Splunk's HTTP Event Collector (HEC): whoever shows a token of a webhook may send its log events.

What comes is events and not alerts, to paths of their own, so this is no `Source` of `/hooks`: `core.hec`
takes the bodies apart. The token says which webhook it is of (`core.hec_tokens`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from sentinel.core import hec_tokens
from sentinel.errors import Unauthenticated
from sentinel.webhooks import credentials
from sentinel.webhooks.proofs import one_of
from sentinel.webhooks.source import only

OPTIONS: Final[Mapping[str, str]] = {
    "ack": "`true`: answers have an ack id, and a channel is needed; else `false`",
    "query_token": "`true`: the token may come as `?token=`, which logs of proxies show; else `false`",
}


class SplunkHec:
    """One webhook's way in. `ack` and `query_token` are its options; raises `Malformed` for others."""

    proof: Sequence[str] = ("authorization",)

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        self.ack = one_of(options, "ack", ("false", "true")) == "true"
        self.query_token = one_of(options, "query_token", ("false", "true")) == "true"

    def usable(self, secret: str) -> bool:
        """Say whether a secret can be the rest of a token."""
        return credentials.usable(secret) and " " not in secret

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Check that the token in `Authorization` has one of `secrets`. Raises `Unauthenticated`.

        Takes the same time whichever is right; nothing is signed, so body and time do not matter.
        """
        del body, now
        shown = hec_tokens.presented(headers.get("authorization", ""))
        given = (shown.secret if shown else "").encode("utf-8", "replace")
        genuine = False
        for secret in filter(self.usable, secrets):
            genuine |= hmac.compare_digest(given, secret.encode())
        if not genuine:
            raise Unauthenticated(credentials.REFUSED)
