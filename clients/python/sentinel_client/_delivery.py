"""What becomes of one batch after another: sent, counted, kept, and its progress noted."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_client._backoff import Backoff
from sentinel_client._batches import Batches, Log
from sentinel_client._counts import Counts
from sentinel_client._journal import ALTERED, RECEIPTS, REFUSED, Journal
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge, Transport

Tell = Callable[[Mapping[str, object]], None]
# Of a receipt: what is kept. A server may answer with anything besides.
_KEPT = ("chain", "first", "count", "head", "t", "batch_id", "segments", "rejected", "lines")


@dataclass(slots=True)
class Delivery:
    """Sends batches through one transport. `tell` gets what the program should hear of as an entry.

    `folder` is where receipts and refused entries are kept; None: nowhere.
    """

    transport: Transport
    counts: Counts
    backoff: Backoff
    tell: Tell
    folder: Path | None = None
    sent: int = 0
    batches: int = 0
    tries: int = 0
    altered: int = 0
    refused: int = 0
    why: str = ""
    _journals: dict[str, Journal] = field(default_factory=dict)

    def send(self, source: Batches, timeout: float) -> bool:
        """Send the next batch of a log, once; whether it is through with it. Raises what the log does."""
        batch = source.take()
        if batch is None:
            return True
        if not batch.entries:
            source.done(batch)
            return True
        self.tries += 1
        outcome = self._try(batch, timeout)
        if isinstance(outcome, Later):
            self.why = outcome.why
            self.backoff.failed(outcome.after)
            return False
        if isinstance(outcome, TooLarge):
            self.why = outcome.why
            if source.halve(batch) is not None:
                return False
            outcome = Refused(outcome.why)
        if isinstance(outcome, Sent):
            self._sent(batch, outcome)
            self.why = ""
        else:
            self._refuse(batch, range(len(batch.entries)), outcome.why)
            self.why = outcome.why
        source.done(batch)
        self.backoff.succeeded()
        return True

    def adopt(self, log: Log) -> None:
        """Take over what is kept in the slot of a dead process, which is about to be removed."""
        folder = folder_of(log)
        if folder is None or self.folder is None or folder == self.folder:
            return
        for path in sorted(folder.glob("*.ndjson*")):
            name = path.name.removesuffix(".1")
            if name in {RECEIPTS, ALTERED} or name.startswith(f"{REFUSED}-"):
                other = Journal(folder / name)
                self._journal(name).adopt(other)
                other.remove()

    def move(self, folder: Path | None) -> None:
        """Keep things elsewhere from now on."""
        if folder != self.folder:
            self.folder = folder
            self._journals.clear()

    def _try(self, batch: Batch, timeout: float) -> Outcome:
        try:
            return self.transport.send(batch, timeout)
        except Exception as error:  # noqa: BLE001 - a transport of the program's own may raise anything
            return Later(f"the transport raised {type(error).__name__}")

    def _sent(self, batch: Batch, outcome: Sent) -> None:
        self.batches += 1
        self.sent += len(batch.entries) - outcome.refused
        kept: dict[str, Any] = {name: outcome.receipt[name] for name in _KEPT if name in outcome.receipt}
        kept |= {"producer": batch.producer, "sequence": batch.first}
        if outcome.altered:
            self.altered += 1
            self.counts.add("altered")
            kept["altered"] = outcome.altered
            self._keep(ALTERED, kept)
            self.tell({"event": "receipt.altered", "transport": self.transport.name, **kept})
        if outcome.receipt:
            self._keep(RECEIPTS, kept)
        if outcome.refused:
            which = outcome.which if len(outcome.which) == outcome.refused else ()
            self._refuse(batch, which, "the server does not take it", outcome.refused)

    def _refuse(self, batch: Batch, which: Sequence[int], why: str, number: int | None = None) -> None:
        """Count entries that will not be taken, and keep them where they can be looked at."""
        number = len(which) if number is None else number
        self.refused += number
        self.counts.add("refused", number)
        whole = len(batch.entries) == batch.count  # else the numbers of its entries are not known
        for at in which:
            told = {"producer": batch.producer, "sequence": batch.first + at if whole else None, "why": why}
            entry = batch.entries[at].decode(errors="replace")
            self._keep(f"{REFUSED}-{self.transport.name}.ndjson", {**told, "entry": entry})

    def _keep(self, name: str, told: Mapping[str, object]) -> None:
        if self.folder is not None:
            self._journal(name).add(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())

    def _journal(self, name: str) -> Journal:
        assert self.folder is not None  # noqa: S101 - for the type checker
        return self._journals.setdefault(name, Journal(self.folder / name))


def folder_of(log: Log) -> Path | None:
    """Return the folder of a log's slot; None where it has none."""
    found = getattr(log, "folder", None)
    return found if isinstance(found, Path) else None
