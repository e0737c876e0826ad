"""Folding alerts: what webhooks told of one problem becomes one record with its history.

It is done behind detection, with the same segments, and may be repeated with any of them: the records stay
the same (`core.alert_history`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sentinel.core.alert_history import Record, decode, encode, fold
from sentinel.core.alert_notices import Notice, notices
from sentinel.core.segment import Segment
from sentinel.errors import Tampered, Unavailable
from sentinel.ports_alerts import Alerts, StoredAlert

TOGETHER = 100  # records that are read, and written, by one call of the store
ROUNDS = 5  # in which others were faster

log = logging.getLogger("sentinel.alerts")


@dataclass(slots=True)
class Folded:
    """What one run did: notices of the segments, records that changed, damaged ones that were begun anew."""

    notices: int = 0
    changed: int = 0
    anew: int = 0


@dataclass(frozen=True, slots=True)
class AlertFolder:
    """The use case."""

    alerts: Alerts

    def fold(self, segments: Iterable[Segment]) -> Folded:
        """Fold the notices of segments into their records; safe to repeat.

        Raises `Unavailable` where the store does not answer, or others write the same records all the time:
        the whole run is then to be given again. Raises `Tampered` for a segment that cannot be opened, after
        all the others were worked through.
        """
        told: dict[str, list[Notice]] = {}
        tampered: Tampered | None = None
        for segment in segments:
            try:
                for notice in notices(segment):
                    told.setdefault(notice.key.id, []).append(notice)
            except Tampered as error:
                tampered = tampered or error
        found = Folded(sum(map(len, told.values())))
        ids = list(told)
        for at in range(0, len(ids), TOGETHER):
            self._fold({each: told[each] for each in ids[at : at + TOGETHER]}, found)
        if tampered is not None:
            raise tampered
        return found

    def _fold(self, told: dict[str, list[Notice]], found: Folded) -> None:
        for _ in range(ROUNDS):
            changes = self._changes(told, found)
            lost = self.alerts.store(changes) if changes else set()
            found.changed += len(changes) - len(lost)
            if not lost:
                return
            told = {each: told[each] for each in lost}
        raise Unavailable("others write the same alerts all the time")

    def _changes(self, told: dict[str, list[Notice]], found: Folded) -> Sequence[StoredAlert]:
        stored = self.alerts.load(list(told))
        changes: list[StoredAlert] = []
        for alert_id, those in told.items():
            before = stored.get(alert_id)
            record = self._record(before, found)
            after = fold(record, those)
            if after is None or after is record:
                continue
            version = before.version if before else 0
            place = (after.key.service, after.status.value, after.last)
            changes.append(StoredAlert(alert_id, *place, encode(after), version))
        return changes

    def _record(self, stored: StoredAlert | None, found: Folded) -> Record | None:
        if stored is None:
            return None
        record = readable(stored)
        found.anew += record is None
        return record


def readable(stored: StoredAlert) -> Record | None:
    """Return the record that is stored; None for a damaged one, which the log is told of."""
    try:
        record = decode(stored.body)
    except ValueError as error:
        log.error(  # noqa: TRY400 - its text is enough
            "the record of alert %s is damaged and begun anew with what comes: %s; "
            "`sentinel detect --from` folds into it what was told before",
            *(stored.id, error),
        )
        return None
    if (record.key.id, record.key.service) != (stored.id, stored.service):
        log.error("the record of alert %s is another's, and begun anew with what comes", stored.id)
        return None
    return record
