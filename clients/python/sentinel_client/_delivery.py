"""What becomes of one batch after another: sent, counted, kept, and its progress noted."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_client._backoff import Backoff
from sentinel_client._batches import Batches
from sentinel_client._counts import Counts
from sentinel_client._kept import ALTERED, RECEIPTS, REFUSED, Kept
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge, Transport

Tell = Callable[[Mapping[str, object]], None]
# Of a receipt: what is kept. A server may answer with anything besides.
_KEPT = ("chain", "first", "count", "head", "t", "batch_id", "segments", "rejected", "lines")


@dataclass(slots=True)
class Delivery:
    """Sends batches through one transport. `tell` gets what the program should hear of as an entry.

    `root` is where receipts and refused entries are kept; None: nowhere.
    """

    transport: Transport
    counts: Counts
    backoff: Backoff
    tell: Tell
    root: Path | None = None
    sent: int = 0
    batches: int = 0
    tries: int = 0
    altered: int = 0
    refused: int = 0
    why: str = ""
    _abandoned: bool = False
    _gate: threading.Lock = field(default_factory=threading.Lock)

    def send(self, source: Batches, timeout: float) -> bool:
        """Send the next batch of a log, once; whether it is through with it. Raises what the log does."""
        with self._gate:
            batch = None if self._abandoned else source.take()
        if batch is None:
            return True
        outcome: Outcome = Sent()
        if batch.entries:  # else all of them were lost on disk, and counted
            self.tries += 1
            outcome = self._try(batch, timeout)
        with self._gate:
            if self._abandoned:
                return False
            return self._settle(source, batch, outcome)

    def abandon(self, seconds: float) -> None:
        """Leave the log alone: another process may have it, which sends again what is under way."""
        held = self._gate.acquire(timeout=max(0.0, seconds))
        self._abandoned = True
        if held:
            self._gate.release()

    def begin_anew(self) -> None:
        """Forget what another thread may have held, in a forked child."""
        self._gate = threading.Lock()

    def _settle(self, source: Batches, batch: Batch, outcome: Outcome) -> bool:
        if isinstance(outcome, Later):
            self.why = outcome.why
            self.backoff.failed(outcome.after)
            return False
        if isinstance(outcome, TooLarge):
            self.why = outcome.why
            if source.halve(batch):
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
            told = {name: value for name, value in kept.items() if name not in {"segments", "lines"}}
            self.tell({"event": "receipt.altered", "transport": self.transport.name, **told})
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
            told: dict[str, object] = {
                "transport": self.transport.name,
                "producer": batch.producer,
                "why": why,
            }
            if whole:
                told["sequence"] = batch.first + at
            self._keep(REFUSED, {**told, "entry": batch.entries[at].decode(errors="replace")})

    def _keep(self, name: str, told: Mapping[str, object]) -> None:
        if self.root is not None:
            line = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
            Kept(self.root / name).add(line.encode(errors="backslashreplace"))
