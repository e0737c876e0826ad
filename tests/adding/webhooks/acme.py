"""Acme's alarms. It signs the body; `id` is one alarm's, as long as it lasts and again when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sentinel.core.alerts import Alert, Status, digest, severity_of
from sentinel.webhooks import proofs
from sentinel.webhooks.reading import document
from sentinel.webhooks.source import Unparsed, only

OPTIONS: Final[Mapping[str, str]] = {}


class Acme(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.Signed("x-acme-signature", prefix="sha256="))

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alarm; see `Source.alerts`."""
        del headers
        told = document(body)
        title = told.text("alarm.title")
        if not title:
            raise Unparsed("no alarm with a title")
        return [
            Alert(
                title=title,
                severity=severity_of(told.text("alarm.priority")),
                status=Status.RESOLVED if told.text("alarm.over") == "true" else Status.FIRING,
                fingerprint=told.text("alarm.id") or digest(title),
                started=told.time("alarm.since"),
            )
        ]
