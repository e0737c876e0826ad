"""The ports of erasure: who signs its records, and what stores can do for it beside what the work needs.

No function uses those of stores. Each store keeps what its own port promises. All raise `Unavailable`, after
which a call may have been carried out; calling again is safe. `compact` overwrites what a store took away and
still holds somewhere in its files; a store of which AWS keeps the files has nothing to do then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from sentinel.core.erasure_notes import Asked
from sentinel.core.lineage_notes import AskedEvent
from sentinel.core.segment import Segment
from sentinel.core.tasks import Effect, Event, Task
from sentinel.ports import Ledger
from sentinel.ports_alerts import StoredAlert


class Recorder(Protocol):
    """Signs the records of erasures with the log's key, and nothing else."""

    def public_key(self) -> bytes:
        """See `ports_log.LogSigner`."""

    def record(self, asked: Asked) -> bytes:
        """Return a signed note that says what is asked, as of now by the signer's own clock.

        Nothing is stored: a note counts once it stands in the chain, so asking again is safe, also after an
        error, when one may have been signed. Raises `Forbidden` for what is not signed, or by whom not,
        `Malformed`, `Unavailable`. The note is the caller's to check (`Asked.answered`).
        """


class ErasableSegments(Ledger, Protocol):
    """The ledger's table."""

    def replace(self, segment: Segment, before: Segment) -> bool:
        """Put `segment`'s payload, codec and key in the place of those of `before`; nothing else changes.

        Return False, changing nothing, where the stored payload is not `before`'s, or nothing is stored.
        After `Unavailable` read it again.
        """

    def compact(self) -> None:
        """Overwrite what was taken away."""


class ErasableTasks(Protocol):
    """The store of tasks."""

    def ids(self) -> Iterator[str]:
        """See `ports_audit.AuditedTasks`."""

    def get(self, task_id: str) -> Task | None:
        """See `ports.Tasks`."""

    def lineage(self, task_id: str) -> list[Event]:
        """See `ports.Tasks`."""

    def effects(self, task_id: str) -> dict[str, Effect]:
        """See `ports.Tasks`."""

    def rewrite(self, task: Task, effects: Sequence[Effect]) -> bool:
        """Replace a task's state and these effects; no event tells of it.

        Return False where the stored version is not the task's; effects may have been replaced then.
        """

    def erase_event(self, event: Event, before: Event) -> bool:
        """Put `event`'s nonce and entry in the place of those of `before`; nothing else changes.

        Return False, changing nothing, where the stored entry is not `before`'s, or nothing is stored.
        """

    def compact(self) -> None:
        """Overwrite what was taken away."""


class EventNotes(Protocol):
    """Who signs that an event of a lineage was erased (`core.erased_events`)."""

    def note(self, asked: AskedEvent) -> bytes:
        """Return the signed note that is to stand for an event, as of now by the signer's own clock.

        Raises `Unavailable` and `Forbidden`; asking again is safe. The note is the caller's to check
        (`AskedEvent.answered`).
        """


class ErasableCounters(Protocol):
    """The store of counters."""

    def walk(self, prefix: str) -> Iterator[tuple[str, bytes, int]]:
        """Yield (key, state, version) of all whose key begins so; what changes meanwhile may be as before."""

    def drop(self, key: str, version: int) -> bool:
        """Take a state away, if its version is still this; return whether it is gone."""

    def compact(self) -> None:
        """Overwrite what was taken away."""


class ErasableAlerts(Protocol):
    """The store of alerts' records."""

    def everything(self) -> Iterator[StoredAlert]:
        """Yield every record, a page at a time."""

    def load(self, ids: Sequence[str]) -> dict[str, StoredAlert]:
        """See `ports_alerts.Alerts`."""

    def store(self, alerts: Sequence[StoredAlert]) -> set[str]:
        """See `ports_alerts.Alerts`."""

    def drop(self, alert_id: str, version: int) -> bool:
        """Take a record away, if its version is still this; return whether it is gone."""

    def compact(self) -> None:
        """Overwrite what was taken away."""


class ErasableBlobs(Protocol):
    """A store of what is named by its SHA-256."""

    def get(self, digest: str) -> bytes:
        """See `ports_patches.Blobs`."""

    def drop(self, digest: str) -> None:
        """Take away what is kept under a digest; nothing where there is nothing."""


class DeadLetters(Protocol):
    """The stream of tasks that have failed."""

    def forget(self, tasks: Iterable[str]) -> int:
        """Take away the dead letters of these tasks; return how many. The tasks stay as they are."""

    def compact(self) -> None:
        """Overwrite what was taken away, where the server is told to by us."""
