"""Inspect: what anybody with the right may look at. Chains, their verification and export; tasks.

Verification and export work on the ledger alone and trust no stored head: they begin at the genesis hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from sentinel.core.chain import service_of
from sentinel.core.segment import Segment
from sentinel.core.selection import Selection, services_of
from sentinel.core.tasks import Event, KeyOf, Task
from sentinel.errors import Missing, Tampered
from sentinel.ports import Ledger, Tasks
from sentinel.usecases.exported import plain
from sentinel.usecases.forks import forks_of
from sentinel.usecases.look import Place, look
from sentinel.usecases.story import read
from sentinel.usecases.verify_chain import ChainVerification, Verified

LOOKED_AT = 2_000  # tasks of all services that one call looks at: no index tells them by service


@dataclass(frozen=True, slots=True)
class ChainHead:
    """A chain as it is now. `head` is H of the last entry, hex."""

    chain: str
    entries: int
    head: str

    def json(self) -> dict[str, object]:
        """Return the head as it is printed and sent."""
        return {"chain": self.chain, "entries": self.entries, "head": self.head}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list of tasks. `next` says where to go on; "" at its end."""

    tasks: list[dict[str, object]]
    next: str = ""

    def json(self) -> dict[str, object]:
        """Return the page as it is sent."""
        return {"tasks": self.tasks, **({"next": self.next} if self.next else {})}


@dataclass(frozen=True, slots=True)
class Inspect:
    """The use case. The store of tasks is opened for tasks only: an auditor may have just a ledger.

    Without `verification` chains are verified by themselves, not against what was signed of them. `strays`
    tells what the ledger's table has of a chain that is no part of it. `keys` gives the log's key of a
    lineage, by which erased events are known.
    """

    ledger: Ledger
    stored_tasks: Callable[[], Tasks]
    verification: Callable[[], ChainVerification] | None = None
    strays: Callable[[str], Iterable[Tampered]] = lambda _: ()
    keys: KeyOf | None = None

    def heads(self) -> list[ChainHead]:
        """Return every chain's head, by name."""
        return [self.head(chain) for chain in sorted(self.ledger.chains())]

    def head(self, chain: str) -> ChainHead:
        """Return one chain's head. Raises `Missing`."""
        newest = self.ledger.head(chain)
        if newest is None:
            raise Missing(f"there is no chain {chain}; `sentinel chains` lists them")
        return ChainHead(chain, newest.first + newest.count, newest.head.hex())

    def chains(self, service: str) -> list[dict[str, object]]:
        """Return the heads of one service's chains."""
        names = sorted(name for name in self.ledger.chains() if service_of(name) == service)
        return [self.head(name).json() for name in names]

    def verify(self, chain: str, expected: Mapping[int, str] | None = None) -> Verified:
        """Check a chain from its first entry to its last. Raises `Tampered` with the place, or `Missing`.

        `expected` are heads that were written down earlier, by the number of entries they were heads of:
        each must still be there, so a chain that was cut or written anew does not pass. What was signed of
        the chain must be there, too, where the log is known.
        """
        by = self.verification() if self.verification else ChainVerification(self.ledger)
        found = by.verify(chain, expected)
        for stray in self.strays(chain):
            raise stray
        return found

    def export(self, chain: str) -> Iterator[dict[str, object]]:
        """Yield a chain's segments as JSON objects (`docs/wire.md`). Raises `Missing` at the first step."""
        nothing = True
        for segment in self.ledger.read(chain):
            nothing = False
            yield exported(segment)
        if nothing:
            raise Missing(f"there is no chain {chain}; `sentinel chains` lists them")

    def tasks(self, wanted: Selection, limit: int = 100, start: str = "") -> Page:
        """Return up to `limit` tasks of a selection, newest change first, from where an earlier page ended.

        A page may be short, or empty, while there is more. Raises `Malformed` for a bad `start`.
        """
        place = Place.read(start)
        found: list[dict[str, object]] = []
        for number, (task, behind) in enumerate(look(self.stored_tasks(), wanted, place), 1):
            place = behind
            found += [summary(task)] if task is not None else []
            if len(found) >= limit or number >= LOOKED_AT:
                return Page(found, str(place))
        return Page(found)

    def task(self, service: str | None, task_id: str) -> dict[str, object]:
        """Return one task with its lineage, checked. Raises `Missing`; `Tampered` where it is not whole.

        With `service` only a task that entries of that service set off.
        """
        story = read(self.stored_tasks(), task_id, self.keys)
        task = story.task if story else None
        # What cannot be read is nobody's: whose it was, nobody can tell.
        known = service is None or (task is not None and service in services_of(task))
        if story is None or not known:
            raise Missing("there is no such task")
        if story.damage or task is None:
            raise story.damage[0]
        return {
            **summary(task),
            "cause": dict(task.cause),
            "results": dict(task.results),
            "inputs": dict(task.inputs),
            "forks": [fork.id for fork in forks_of(self.stored_tasks(), task)],
            "lineage": [_told(event) for event in story.events],
        }


def _told(event: Event) -> dict[str, object]:
    """Return an event; of one that was erased what stays of it, and that it was."""
    if not event.erased:
        return {**event.body, "head": event.head.hex()}
    told = {"event": "erased", "seq": event.seq, "t": event.t, **event.body}
    return {**told, "erased": True, "head": event.head.hex()}


def summary(task: Task) -> dict[str, object]:
    """Return what a list shows of a task."""
    return {
        "id": task.id,
        "state": task.state.value,
        "recipe": task.recipe,
        "version": task.recipe_version,
        "rule": task.cause.get("rule"),
        "created": task.created,
        "attempt": task.attempt,
        "step": task.step,
        "reason": task.reason,
        **({"fork_of": task.cause["fork_of"]} if "fork_of" in task.cause else {}),
    }


def exported(segment: Segment) -> dict[str, object]:
    """Return one line of an export: hashes and nonce in hex, context and entries as text.

    An entry or context that is not UTF-8 becomes `{"b64": ...}`, an entry that was erased `{"erased": LEAF}`.
    """
    opened = segment.opened
    return {
        "chain": segment.chain,
        "first": segment.first,
        "count": segment.count,
        "prev": segment.prev.hex(),
        "head": segment.head.hex(),
        "t": segment.t,
        "nonce": opened.nonce.hex(),
        "context": plain(opened.context),
        "entries": [
            {"erased": opened.erased[at].hex()} if at in opened.erased else plain(entry)
            for at, entry in enumerate(opened.entries)
        ],
    }
