"""The wiring of what people do: approvals, many tasks at once, forks."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_doors import Doors

if TYPE_CHECKING:
    from sentinel.usecases.approval_links import LinkMaker, LinkReader
    from sentinel.usecases.approve import Approving
    from sentinel.usecases.approvers import Approvers
    from sentinel.usecases.bulk import Bulk
    from sentinel.usecases.fork import Fork


class People(Doors):
    """What people do to tasks, each made on first use; the stores that it needs are `App`'s."""

    @cached_property
    def approvers(self) -> Approvers:
        """Who may approve."""
        from sentinel.usecases.approvers import Approvers

        return Approvers(self.authors, time.time_ns, self.settings.recipes_signed == "required")

    @cached_property
    def approving(self) -> Approving:
        """What tasks ask, and what is said to it."""
        from sentinel.usecases.approve import Approving

        app = _whole(self)
        return Approving(
            app.tasks,
            app.ledger,
            app.playbook,
            app.actions,
            time.time_ns,
            lambda: secrets.token_bytes(32),
            app.queue if self.settings.redis_url else None,
            gates=app.gates,
            removed=self.approvers.removed,
        )

    @cached_property
    def link_maker(self) -> LinkMaker:
        """Makes one-time links."""
        from sentinel.usecases.approval_links import LinkMaker
        from sentinel.usecases.signing_keys import SigningKeys

        to, app = self.settings, _whole(self)
        keys = SigningKeys(self.directory, self.door_secrets, to.signing_secret, time.monotonic)
        return LinkMaker(app.tasks, self.approvers, keys.current, to.issuer, to.approve_url, time.time_ns)

    @cached_property
    def link_reader(self) -> LinkReader:
        """Takes one-time links."""
        from sentinel.usecases.approval_links import LinkReader

        app = _whole(self)
        return LinkReader(app.tasks, self.approvers, self.directory, self.settings.issuer, time.time_ns)

    @cached_property
    def bulk(self) -> Bulk:
        """One act of a person on many tasks."""
        from sentinel.usecases.bulk import Bulk

        app = _whole(self)
        return Bulk(app.tasks, app.control, time.time_ns)

    @cached_property
    def fork(self) -> Fork:
        """New tasks of old ones, with other inputs."""
        from sentinel.usecases.fork import Fork

        app = _whole(self)
        return Fork(app.tasks, app.playbook, app.actions, time.time_ns, lambda: secrets.token_bytes(32))


def _whole(part: People) -> Any:
    """Return the application that a part is of, which has the stores."""
    return part
