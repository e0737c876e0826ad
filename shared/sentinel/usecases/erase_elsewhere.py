"""What alerts, correlations, deliveries and strays keep of entries, and how it is erased."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson
import zstandard

from sentinel.core.alert_history import Record, decode, encode, fold
from sentinel.core.alert_notices import Notice, notices
from sentinel.core.chain import service_of
from sentinel.core.delivered import Dead, unpack
from sentinel.core.deliveries import DeliveryPlan
from sentinel.core.runs import alike
from sentinel.errors import Unavailable
from sentinel.ports import Counters, Ledger
from sentinel.ports_alerts import StoredAlert
from sentinel.ports_erasure import ErasableAlerts, ErasableCounters
from sentinel.ports_log import Archive
from sentinel.usecases.erase_from import Forgotten, Target

CORRELATION, DELIVERY = "correlation/", "delivery/"
TRIES = 5
_UNPACKED = 4_000_000
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class InAlerts:
    """Forgets what records of alerts say because of erased notices: they are folded anew of the others.

    Of notices that a record's history does not have any more nothing comes back.
    """

    alerts: ErasableAlerts
    ledger: Ledger

    def forget(self, target: Target) -> Forgotten:
        """See `erase_from.Place`."""
        these = {segment.first: segment for segment, _ in target.entries.values()}.values()
        told = {each.key.id for segment in these for each in notices(segment) if each.seq in target.entries}
        ids = told | {alert.id for alert in self.alerts.everything() if _names(alert, target)}
        for each in sorted(ids):
            self._anew(each, target)
        return Forgotten({"alerts": len(ids)} if ids else {})

    def compact(self) -> None:
        """See `erase_from.Place`."""
        self.alerts.compact()

    def _anew(self, alert_id: str, target: Target) -> None:
        for _ in range(TRIES):
            stored = self.alerts.load([alert_id]).get(alert_id)
            if stored is None:
                return
            record = _record(stored)
            after = fold(None, self._others(record, target)) if record else None
            if after is None:
                done = self.alerts.drop(alert_id, stored.version)
            else:
                place = (after.key.service, after.status.value, after.last)
                done = not self.alerts.store([StoredAlert(alert_id, *place, encode(after), stored.version)])
            if done:
                return
        raise Unavailable("others write the same alert all the time", 1.0)

    def _others(self, record: Record, target: Target) -> Iterator[Notice]:
        """Yield the notices of a record's history that are not erased, as the ledger has them."""
        for told in record.history:
            if target.names(told.chain, told.seq):
                continue
            segment = self.ledger.at(told.chain, told.seq)
            if segment is not None:
                yield from (n for n in notices(segment) if n.seq == told.seq and n.key == record.key)


def _record(stored: StoredAlert) -> Record | None:
    try:
        return decode(stored.body)
    except ValueError:
        return None


def _names(stored: StoredAlert, target: Target) -> bool:
    record = _record(stored)
    if record is None:  # what cannot be read cannot be kept either: it is folded anew with what comes
        return stored.service == service_of(target.chain)
    return any(target.names(told.chain, told.seq) for told in record.history)


@dataclass(frozen=True, slots=True)
class InCorrelations:
    """Forgets the groups that count an erased entry: their names are of its values, so they begin anew."""

    counters: ErasableCounters

    def forget(self, target: Target) -> Forgotten:
        """See `erase_from.Place`."""
        count = 0
        for key, state, version in self.counters.walk(CORRELATION):
            if _counts(state, target) and not self.counters.drop(key, version):
                raise Unavailable("others count for the same group: run it again", 1.0)
            count += _counts(state, target)
        return Forgotten({"groups": count} if count else {})

    def compact(self) -> None:
        """See `erase_from.Place`."""
        self.counters.compact()


def _counts(state: bytes, target: Target) -> bool:
    """Say whether a group's state, with its firings, names an erased entry (`usecases.correlate`).

    What cannot be read counts: it holds counts only, and begins anew anyway when it is next looked at.
    """
    try:
        if state.startswith(_ZSTD_MAGIC):
            state = zstandard.ZstdDecompressor().decompress(state, max_output_size=_UNPACKED)
        head, _, rest = state.partition(b"\n")
        fired: list[list[Any]] = orjson.loads(head)
        names, rows = orjson.loads(rest)[3:5]
        places = [(chain, seq) for row in fired for chain, seq in row[5]]
        places += [(names[row[1]], row[2]) for row in rows]
    except (ValueError, TypeError, IndexError, zstandard.ZstdError):
        return True
    return any(target.names(chain, seq) for chain, seq in places)


@dataclass(frozen=True, slots=True)
class InDeliveries:
    """Forgets why sinks refused erased entries, and says which sinks had them: they are out of our hands."""

    counters: ErasableCounters
    stored: Counters
    plans: Callable[[], Mapping[str, DeliveryPlan]]
    clock: Callable[[], int]

    def forget(self, target: Target) -> Forgotten:
        """See `erase_from.Place`."""
        found = Forgotten()
        plans = self.plans()
        for key, state, version in self.counters.walk(DELIVERY):
            name, _, chain = key.removeprefix(DELIVERY).partition("/")
            if chain != target.chain:
                continue
            try:
                record = unpack(state)
            except ValueError:
                found.left.append(f"the record of delivery {name} cannot be read")
                continue
            dead = tuple(_without_reason(each, target) for each in record.dead)
            if dead != record.dead:
                keep = self.clock() // 1_000_000_000 + 10 * 365 * 86_400
                if not self.stored.store(key, replace(record, dead=dead).pack(), version, keep):
                    found.unfinished.append(
                        f"delivery {name} was moved meanwhile: run the same command again"
                    )
                found.counts["refusals"] = found.counts.get("refusals", 0) + 1
            if record.next > target.first:
                to = f", to sink {plans[name].to}" if name in plans else ""
                found.left.append(f"delivery {name}{to} may have delivered it: erase it there")
        return found

    def compact(self) -> None:
        """See `erase_from.Place`."""
        self.counters.compact()


@dataclass(frozen=True, slots=True)
class InStrays:
    """Says which items of the ledger's table hold an erased batch once more, and are no part of its chain.

    A writer that was stopped for days may have left them where slots were emptied (docs/archive.md).
    """

    table: Ledger
    archive: Archive

    def forget(self, target: Target) -> Forgotten:
        """See `erase_from.Place`. Reads what the table still has of what was archived."""
        found = Forgotten()
        batches = {segment.parts[-1][0].batch_id for segment, _ in target.entries.values()}
        end = self.archive.end(target.chain) if batches else 0
        for row in self.table.read(target.chain) if end else ():
            if row.first >= end:
                break
            if row.parts[-1][0].batch_id not in batches:
                continue
            kept = self.archive.at(target.chain, row.first)
            if kept is None or not alike(kept, row):
                found.left.append(
                    f"the table's item of {target.chain} at {row.first} is no part of the chain, and has a "
                    "batch of these once more: delete the item"
                )
        return found

    def compact(self) -> None:
        """See `erase_from.Place`."""


def _without_reason(dead: Dead, target: Target) -> Dead:
    hit = dead.first <= target.last and target.first <= dead.last
    return replace(dead, reason="erased") if hit else dead
