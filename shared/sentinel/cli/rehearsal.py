"""An application in memory that reaches nothing: what `sentinel recipes test` runs on."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap import App
from sentinel.errors import Forbidden
from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.core.steps import Action
    from sentinel.ports import Catalog, Counters, Ledger
    from sentinel.ports_audit import AuditedTasks
    from sentinel.usecases.rehearse import Rehearsal


class _Nothing:
    """Stands for what reaches outside, and refuses all of it."""

    def __getattr__(self, name: str) -> Any:
        raise Forbidden(f"a rehearsal reaches nothing outside: {name}")


class Offline(App):
    """Stores in memory, and no way out."""

    def __init__(self) -> None:
        super().__init__(Settings())

    @cached_property
    def ledger(self) -> Ledger:
        """A ledger in memory."""
        from sentinel.adapters.sqlite_ledger import SqliteLedger

        return SqliteLedger(":memory:")

    @cached_property
    def tasks(self) -> AuditedTasks:
        """Tasks in memory."""
        from sentinel.adapters.sqlite_tasks import SqliteTasks

        return SqliteTasks(":memory:")

    @cached_property
    def catalog(self) -> Catalog:
        """A catalog in memory."""
        from sentinel.adapters.sqlite_catalog import SqliteCatalog

        return SqliteCatalog(":memory:")

    @cached_property
    def counters(self) -> Counters:
        """Counters in memory."""
        from sentinel.adapters.sqlite_counters import SqliteCounters

        return SqliteCounters(":memory:")

    @cached_property
    def actions(self) -> dict[str, Action]:
        """The actions, with nothing to act through."""
        from sentinel.actions import build

        nothing: Any = _Nothing()
        return build(nothing, nothing, nothing, self.sinks.current, accounts=self.accounts.current)

    @cached_property
    def rehearsal(self) -> Rehearsal:
        """Rehearses recipes."""
        from sentinel.usecases.rehearse import Rehearsal

        nonce, now = (lambda: secrets.token_bytes(32)), time.time_ns()
        return Rehearsal(self.ledger, self.tasks, self.detector, self.actions, nonce, now)
