"""Splunk: its alert action "webhook", by whatever adds the secret to it.

Format: Splunk's manual, "Use a webhook alert action": the first row that was found, and which search found
it. Splunk tells neither a severity nor an end of what it found. Severity comes from the row where the search
makes one (`eval severity="high"`), or from the option `severity`. What is one problem is the search, together
with the row's fields that the option `key` names. Splunk's own action can send no header: docs/connectors.md
says what can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from sentinel.core.alerts import Alert, Severity, Status, digest, instant, severity_of
from sentinel.errors import Malformed
from sentinel.webhooks import proofs
from sentinel.webhooks.reading import Part, document
from sentinel.webhooks.source import Unparsed, only

OPTIONS: Final[Mapping[str, str]] = {
    **proofs.SHOWN,
    "severity": "the severity where the row has no field `severity`, `urgency` or `priority`",
    "key": "fields of the row, with commas between, that with the search are the problem; `host,dest`",
}
_KEY: Final = "host,dest"
_FIELDS = re.compile(r"[^,\x00-\x1f]{1,100}(,[^,\x00-\x1f]{1,100}){0,19}")
_RUN = re.compile(r"_at_[0-9]+_[0-9]+.*$")  # of a sid: when it ran, and which run it was


class Splunk(proofs.Proven):
    """The source."""

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        super().__init__(proofs.shown(options))
        self._severity = severity_of(options.get("severity", ""))
        if "severity" in options and self._severity is Severity.UNKNOWN:
            raise Malformed("severity is critical, error, warning or info")
        if not _FIELDS.fullmatch(options.get("key", _KEY)):
            raise Malformed("key is up to 20 names of fields with commas between")
        self._key = [name.strip() for name in options.get("key", _KEY).split(",")]

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alert that a search raised; see `Source.alerts`."""
        del headers
        told = document(body)
        row = dict(told.members("result"))
        sid = told.text("sid")
        if not sid or told.at("result").value is None:
            raise Unparsed("no sid and result: not what Splunk's webhook alert action sends")
        app, owner, search = told.text("app"), told.text("owner"), told.text("search_name")
        return [
            Alert(
                title=search or f"Search of {owner or 'somebody'} in {app or 'Splunk'}",
                severity=self._severity_of(row),
                status=Status.FIRING,
                fingerprint=digest(
                    "splunk", app, owner, search or _RUN.sub("", sid), *_values(row, self._key)
                ),
                kind="search",
                description=row.get("description") or row.get("message") or row.get("_raw", ""),
                link=told.text("results_link"),
                resource=row.get("host") or row.get("dest", ""),
                service=row.get("service", ""),
                environment=row.get("environment") or row.get("env", ""),
                started=_time(told),
                labels={"app": app, "owner": owner} | row,
                sender_id=sid,
            )
        ]

    def _severity_of(self, row: Mapping[str, str]) -> Severity:
        told = (severity_of(row.get(name, "")) for name in ("severity", "urgency", "priority"))
        return next((each for each in told if each is not Severity.UNKNOWN), self._severity)


def _values(row: Mapping[str, str], names: list[str]) -> list[str]:
    return [row.get(name, "") for name in names]


def _time(told: Part) -> int:
    return instant(told.at("result").at("_time").value)
