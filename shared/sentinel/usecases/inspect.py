"""Inspect: what anybody with the right may look at. Chains, their verification and export; tasks.

Verification and export work on the ledger alone and trust no stored head: they begin at the genesis hash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from sentinel.core.chain import genesis, service_of
from sentinel.core.segment import Segment
from sentinel.core.tasks import State, Task
from sentinel.core.verify import Verifier
from sentinel.errors import Malformed, Missing, Tampered
from sentinel.ports import Ledger, Tasks
from sentinel.usecases.exported import plain
from sentinel.usecases.story import read

LOOKED_AT = 2_000  # tasks of all services among which one service's are looked for


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
class Verified:
    """What a verification found to be whole."""

    chain: str
    entries: int
    segments: int
    head: str

    def json(self) -> dict[str, object]:
        """Return the result as it is printed and sent."""
        return {
            "chain": self.chain,
            "entries": self.entries,
            "segments": self.segments,
            "head": self.head,
            "verified": True,
        }


@dataclass(frozen=True, slots=True)
class Inspect:
    """The use case. The store of tasks is opened for tasks only: an auditor may have just a ledger."""

    ledger: Ledger
    stored_tasks: Callable[[], Tasks]

    def heads(self) -> list[ChainHead]:
        """Return every chain's head, by name."""
        return [self.head(chain) for chain in sorted(self.ledger.chains())]

    def head(self, chain: str) -> ChainHead:
        """Return one chain's head. Raises `Missing`."""
        newest = self.ledger.head(chain)
        if newest is None:
            raise Missing(f"there is no chain {chain}")
        return ChainHead(chain, newest.first + newest.count, newest.head.hex())

    def chains(self, service: str) -> list[dict[str, object]]:
        """Return the heads of one service's chains."""
        names = sorted(name for name in self.ledger.chains() if service_of(name) == service)
        return [self.head(name).json() for name in names]

    def verify(self, chain: str, expected: Mapping[int, str] | None = None) -> Verified:
        """Check a chain from its first entry to its last. Raises `Tampered` with the place, or `Missing`.

        `expected` are heads that were written down earlier, by the number of entries they were heads of:
        each must still be there, so a chain that was cut or written anew does not pass.
        """
        checked = Verifier(chain)
        left = dict(expected or {})
        for segment in self.ledger.read(chain):
            checked.check(segment)
            known = left.pop(checked.next, None)
            if known not in {None, checked.hash.hex()}:
                raise Tampered(chain, checked.next - 1, "rewritten", "its head is not the one written down")
        if not checked.segments and not expected:
            raise Missing(f"there is no chain {chain}")
        if left:
            raise _unmet(checked, left)
        return Verified(chain, checked.next, checked.segments, checked.hash.hex())

    def export(self, chain: str) -> Iterator[dict[str, object]]:
        """Yield a chain's segments as JSON objects (`docs/wire.md`). Raises `Missing` at the first step."""
        nothing = True
        for segment in self.ledger.read(chain):
            nothing = False
            yield exported(segment)
        if nothing:
            raise Missing(f"there is no chain {chain}")

    def tasks(self, service: str | None, state: str | None, limit: int = 100) -> list[dict[str, object]]:
        """Return tasks, newest change first; only one service's where one is named."""
        try:
            wanted = State(state) if state else None
        except ValueError:
            raise Malformed(f"state is one of {', '.join(State)}") from None
        if service is None:
            return [summary(task) for task in self.stored_tasks().listing(wanted, limit)]
        # No index tells tasks by service, so a quiet service is looked for among the newest of all.
        found = self.stored_tasks().listing(wanted, LOOKED_AT)
        return [summary(task) for task in found if service in services_of(task)][:limit]

    def task(self, service: str | None, task_id: str) -> dict[str, object]:
        """Return one task with its lineage, checked. Raises `Missing`; `Tampered` where it is not whole."""
        story = read(self.stored_tasks(), task_id)
        task = story.task if story else None
        if story is None or (task and service is not None and service not in services_of(task)):
            raise Missing("there is no such task")
        if story.damage or task is None:
            raise story.damage[0]
        return {
            **summary(task),
            "cause": dict(task.cause),
            "results": dict(task.results),
            "lineage": [{**event.body, "head": event.head.hex()} for event in story.events],
        }


def services_of(task: Task) -> set[str]:
    """Return the services whose entries set a task off."""
    entries = task.cause.get("entries")
    return {service_of(str(each["chain"])) for each in entries} if isinstance(entries, list) else set()


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
    }


def exported(segment: Segment) -> dict[str, object]:
    """Return one line of an export: hashes and nonce in hex, context and entries as text.

    An entry or context that is not UTF-8 becomes `{"b64": ...}`.
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
        "entries": [plain(entry) for entry in opened.entries],
    }


def _unmet(checked: Verifier, left: Mapping[int, str]) -> Tampered:
    """Name the damage where a written-down head was not met at a segment's end."""
    size = min(left)
    if size == 0 and left[size] == genesis(checked.chain).hex():
        size = max(left)
    if size > checked.next:
        detail = f"the chain ends at entry {checked.next - 1}; it had {size} entries once"
        return Tampered(checked.chain, checked.next, "cut", detail)
    return Tampered(checked.chain, size - 1, "rewritten", f"no segment ends where it had {size} entries once")
