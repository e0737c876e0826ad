"""The wiring of approvals: who approves, and what they approve."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_doors import Doors

if TYPE_CHECKING:
    from sentinel.usecases.approve import Approving
    from sentinel.usecases.approvers import Approvers


class People(Doors):
    """The use cases of approvals, each made on first use; the stores that they need are `App`'s."""

    @cached_property
    def approvers(self) -> Approvers:
        """Who may approve."""
        from sentinel.usecases.approvers import Approvers

        return Approvers(self.authors, time.time_ns, self.settings.recipes_signed == "required")

    @cached_property
    def approving(self) -> Approving:
        """What tasks ask, and what is said to it."""
        from sentinel.usecases.approve import Approving

        app: Any = self  # App has the stores
        return Approving(
            app.tasks,
            app.ledger,
            app.playbook,
            app.actions,
            time.time_ns,
            lambda: secrets.token_bytes(32),
            app.queue if self.settings.redis_url else None,
        )
