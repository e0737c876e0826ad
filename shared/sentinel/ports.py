"""The ports: what the use cases need from the outside, written as contracts.

Each adapter keeps the whole contract of its port; one contract suite runs on every adapter. Adapters raise
`Unavailable` for whatever may pass by itself (time-outs, throttling, lost connections) and never retry a
write by themselves beyond what their client library does with the very same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from sentinel.core.segment import Segment
from sentinel.core.tasks import Effect, Event, State, Task
from sentinel.ports_queue import Buried as Buried  # noqa: PLC0414 - they are ports as the others are
from sentinel.ports_queue import Doorbell as Doorbell  # noqa: PLC0414
from sentinel.ports_queue import Hint as Hint  # noqa: PLC0414
from sentinel.ports_queue import Queue as Queue  # noqa: PLC0414


class SlotTaken(Exception):
    """Another segment has the slot, or had it. `segment` is the one that took it, or the newest, whole."""

    def __init__(self, segment: Segment) -> None:
        super().__init__(f"{segment.chain} has a segment at {segment.first}")
        self.segment = segment


class Ledger(Protocol):
    """Stores segments, once each and for good.

    Durability: when `append` returns, the segment survives a crash of everything. Consistency: `head` and
    `at` see every append that returned before they began. Concurrency: of any number of writers to one
    slot exactly one succeeds. After `Unavailable` an append may or may not have happened: the caller sends
    the same segment to the same slot again, or finds it there.
    """

    def append(self, segment: Segment) -> None:
        """Store `segment` if `(chain, first)` is free: one write request, no read.

        Raises `SlotTaken` with the segment that has the slot, also when it is this one. Segments leave the
        table once they are archived: a store that sees that the chain goes on behind a slot which is free
        again raises `SlotTaken` with the chain's newest segment; who writes to one that does not see it looks
        himself (`usecases.append`).
        """

    def head(self, chain: str) -> Segment | None:
        """Return the newest segment of a chain; None where the chain has none. Consistent."""

    def at(self, chain: str, seq: int) -> Segment | None:
        """Return the segment that holds entry `seq`, or None. Consistent."""

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        """Yield segments in order from the first whose `first` is at least `first`; at most `limit`."""

    def chains(self) -> Iterator[str]:
        """Yield the id of every chain, in any order."""


class Tasks(Protocol):
    """Stores tasks, their lineage and their effects.

    A task's state and the lineage event that tells of it are written together or not at all. Every write
    is conditional, so that of any number of workers one wins; the others get `Conflict`.
    """

    def create(self, task: Task, event: Event) -> bool:
        """Store a new task with its first event. Return False, changing nothing, where its id exists.

        After `Unavailable` it may have happened: create again, and read where that says False.
        """

    def create_all(self, births: Sequence[tuple[Task, Event]]) -> list[bool]:
        """Create new tasks, each as `create` does, and return for each what that returns.

        After an error any of them may have been created, each whole or not at all: create all of them again.
        """

    def get(self, task_id: str) -> Task | None:
        """Return a task as it is now. Consistent."""

    def move(self, before: Task, after: Task, event: Event) -> None:
        """Replace `before` by `after` and add `event`, if the stored version is still `before.version`.

        Raises `Conflict` where it is not, also for the same move again. After `Unavailable` it may have
        happened: read again; it has where the stored `head` is the event's. Raises `Tampered` where an event
        stands already where the stored task has none: its state was put back.
        """

    def extend(self, task: Task, due: int) -> bool:
        """Put `due` into the stored task, if its version is still `task.version`, and nothing else.

        No event tells of it and the version stays, so that a lease goes on without a lineage of heartbeats.
        `task` is as stored but for `due`. Return False, changing nothing, where somebody has moved the task.
        Idempotent: after `Unavailable` call again.
        """

    def lineage(self, task_id: str) -> list[Event]:
        """Return the events of a task, oldest first. Consistent."""

    def record(self, effect: Effect, known: int = 0) -> bool:
        """Store an effect's state under `(task, key)`, replacing what stands there. Idempotent.

        `known` is the attempt of the INTENT that its worker has read there, 0 for none. An INTENT replaces
        that one and one of its own attempt, and nothing else: of two workers that both believe that they have
        the task one finds the other's. Then nothing is changed and False is returned.
        """

    def effects(self, task_id: str) -> dict[str, Effect]:
        """Return a task's effects by key. Consistent. Raises `Tampered` for one that cannot be read."""

    def due(self, now: int, limit: int) -> list[Task]:
        """Return unfinished tasks with `due` at most `now`, earliest first. May lag by a second or two."""

    def listing(self, state: State | None = None, limit: int = 100) -> list[Task]:
        """Return tasks, newest change first, of one state or of all. May lag by a second or two."""

    def newest(self, states: Sequence[State], until: int) -> Iterator[tuple[int, Task]]:
        """Yield (when it last changed, task) of some states, newest change first, a page at a time.

        Begins with those that changed at `until` (nanoseconds); of the same time they come by id. A task that
        is moved meanwhile may be left out, or come twice. One that cannot be read is passed over.
        """

    def walk(self, state: State, until: int) -> Iterator[Task]:
        """Yield every task of one state that changed at `until` (nanoseconds) or before, a page at a time.

        Each that is in the state from before the call until its end is yielded at least once; one that is
        moved meanwhile may be left out, yielded as it was, or both. May lag by a second or two. It ends,
        however many tasks come meanwhile, where `until` does not lie far ahead.
        """


@dataclass(frozen=True, slots=True)
class Document:
    """One version of a rule, recipe or sink as it was pushed. `digest` is SHA-256 of `body`, hex."""

    kind: str
    id: str
    version: int
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Activation:
    """At `t` (epoch nanoseconds) a version of a document became active, or was retired."""

    kind: str
    id: str
    version: int
    active: bool
    t: int


class Catalog(Protocol):
    """Stores documents: rules, recipes, sinks, accounts, deliveries.

    Versions are immutable; one version of each id is active.
    """

    def push(self, kind: str, doc_id: str, body: bytes) -> Document:
        """Make `body` the active version of a document; the same body again changes nothing.

        Versions count from 1. The body of the newest version gets no new number, so after `retire` it is
        active again as it was; an older body does. After `Unavailable` pushing again is safe. `kind` is a
        word without `#`.
        """

    def retire(self, kind: str, doc_id: str) -> None:
        """Take a document out of the active set; its versions stay. Nothing where it is not active."""

    def active(self, kind: str) -> list[Document]:
        """Return the active version of every document of a kind, by id."""

    def version(self, kind: str, doc_id: str, version: int) -> Document | None:
        """Return one version of a document, active or not."""

    def activations(self, kind: str) -> list[Activation]:
        """Return what became active or was retired, and when, in order of time.

        Written together with the change, so that each has one. A catalog of an earlier version has none of
        what was done before.
        """

    def revision(self) -> str:
        """Return a token that changes with every push or retire: one small read."""


class Counters(Protocol):
    """Stores the state of correlations, limits and pauses: byte strings, replaced by compare and swap."""

    def load(self, key: str) -> tuple[bytes, int]:
        """Return (state, version); (b"", 0) where there is none. Consistent."""

    def store(self, key: str, state: bytes, version: int, expires: int) -> bool:
        """Replace the state if its version is still `version`; the version becomes one more.

        `expires` is epoch seconds after which the state may be forgotten. Return False where somebody
        else was faster. After `Unavailable` it may have happened: load again.
        """


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request, whole. Header names in any case; `timeout` in seconds for the whole exchange.

    Headers and body hold tokens and entries, so neither is part of its `repr`. `ca` is the authority that
    signs the server's certificate, PEM; empty: those that the system trusts.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    timeout: float = 10.0
    ca: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer. Header names in lower case; the body is cut at the adapter's limit."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Http(Protocol):
    """Sends HTTP requests: TLS verified, no redirects followed, time and size bounded."""

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request once. Raises `Unavailable` where no answer came.

        Unless the error is `unsent` it may have arrived.
        Raises `Forbidden` for a target that the deployment does not allow, `Malformed` for a request that
        cannot be sent as it is.
        """


@dataclass(frozen=True, slots=True)
class FileAppend:
    """Whole lines to add to a file. `key` stands in every line, so that a line can be looked up."""

    path: str
    key: str
    data: bytes = field(repr=False)


class Files(Protocol):
    """Appends to files below one folder."""

    def append(self, request: FileAppend) -> None:
        """Add the lines in one write and flush them to disk, all of them or none.

        Raises `Unavailable` where it cannot, `Forbidden` for a path that leaves the folder.
        """

    def holds(self, request: FileAppend) -> bool:
        """Say whether lines with this key are in the file already, whole."""

    def check(self, path: str) -> None:
        """See that a file could be appended to, and leave it as it is; raises what `append` would."""


class Secrets(Protocol):
    """Looks secrets up by name."""

    def get(self, name: str) -> str:
        """Return the secret's current value, without a line break at its end. Never logs it.

        Raises `Missing`, `Unavailable`, or `Forbidden` where it may not be read or others could read it too.
        """
