"""Showing alerts: a service's own, or everybody's, the newest first; and one with its history."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import merge
from typing import TypeVar

from sentinel.core.alert_history import Record
from sentinel.core.alerts import Severity, Status
from sentinel.core.states import NEVER
from sentinel.errors import Malformed, Missing
from sentinel.ports_alerts import Alerts, StoredAlert
from sentinel.usecases.fold_alerts import readable

LOOKED_AT = 2_000  # alerts that one call looks at: no index tells them by severity
_ID = "[a-z2-7]{26}"
_NEXT = re.compile(rf"(\d{{1,19}})\.({_ID})", re.ASCII)

Named = TypeVar("Named", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts are listed. `status` and `severity` None: any; `service` None: everybody's."""

    service: str | None
    status: Status | None = None
    severity: Severity | None = None

    @staticmethod
    def of(service: str | None, status: str = "", severity: str = "") -> Wanted:
        """Return what is asked for by name, "" for any. Raises `Malformed` for a name that is none."""
        return Wanted(service, _named(Status, "status", status), _named(Severity, "severity", severity))

    def holds(self, record: Record) -> bool:
        """Whether an alert is one of these, as far as its service does not tell."""
        return (self.status is None or record.status is self.status) and (
            self.severity is None or record.severity is self.severity
        )


def _named(kind: type[Named], name: str, text: str) -> Named | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        raise Malformed(f"{name} is one of {', '.join(kind)}") from None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of alerts. `next` says where to go on; "" at its end."""

    alerts: list[dict[str, object]]
    next: str = ""

    def json(self) -> dict[str, object]:
        """Return the page as it is sent."""
        return {"alerts": self.alerts, **({"next": self.next} if self.next else {})}


@dataclass(frozen=True, slots=True)
class ShowAlerts:
    """The use case. `services` gives all that there are, for who may see everybody's."""

    alerts: Alerts
    services: Callable[[], Sequence[str]]

    def page(self, wanted: Wanted, limit: int = 100, start: str = "") -> Page:
        """Return up to `limit` alerts, the last heard first, from where an earlier page ended.

        A page may be short, or empty, while there is more. Raises `Malformed` for a bad `start`.
        """
        found: list[dict[str, object]] = []
        shown: set[str] = set()
        for number, stored in enumerate(self._newest(wanted, _place(start)), 1):
            record = None if stored.id in shown else readable(stored)
            shown.add(stored.id)
            if record is not None and wanted.holds(record):
                found.append(record.summary())
            if len(found) >= limit or number >= LOOKED_AT:
                return Page(found, f"{stored.seen}.{stored.id}")
        return Page(found)

    def _newest(self, wanted: Wanted, before: tuple[int, str] | None) -> Iterator[StoredAlert]:
        services = self.services() if wanted.service is None else [wanted.service]
        statuses = list(Status) if wanted.status is None else [wanted.status]
        every = (self.alerts.newest(service, status, before) for service in services for status in statuses)
        return merge(*every, key=lambda each: (each.seen, each.id), reverse=True)

    def one(self, service: str | None, alert_id: str) -> dict[str, object]:
        """Return one alert with its history; `service` None: anybody's. Raises `Missing`."""
        known = re.fullmatch(_ID, alert_id) is not None
        stored = self.alerts.load([alert_id]).get(alert_id) if known else None
        if stored is None or service not in {None, stored.service}:
            raise Missing("there is no such alert")
        record = readable(stored)
        if record is None:
            raise Missing("the alert's record is damaged: `sentinel detect --from` makes it anew")
        return record.json()


def _place(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    found = _NEXT.fullmatch(text)
    if found is None or int(found[1]) > NEVER:
        raise Malformed("next is what the answer before said, as it said it")
    return int(found[1]), found[2]
