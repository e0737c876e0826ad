"""What somebody who checks needs of the store of tasks, beside what the work needs. No function uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from sentinel.ports import Tasks


class AuditedTasks(Tasks, Protocol):
    """The store of tasks with ways to look through all of it. They are slow, and for people."""

    def holder(self, key: str) -> str | None:
        """Return the id of the task that has an effect; None where none has. Reads a whole table or index."""

    def ids(self) -> Iterator[str]:
        """Yield the id of every task of which anything is stored, state, event or effect, each once.

        Reads everything, a page at a time; what is new meanwhile may be left out. Nothing is passed over: no
        state that cannot be read, and no lineage without a state.
        """
