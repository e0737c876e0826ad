"""The wiring of flow: what keeps tasks from starting, and what people do to tasks and queues."""

from __future__ import annotations

import secrets
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_doors import Doors

if TYPE_CHECKING:
    from sentinel.ports_feeds import FailureQueue
    from sentinel.usecases.bulk import Bulk
    from sentinel.usecases.control import Control
    from sentinel.usecases.detect_again import DetectAgain
    from sentinel.usecases.flow import Flow
    from sentinel.usecases.fork import Fork
    from sentinel.usecases.pauses import Pauses
    from sentinel.usecases.queues import Queues


class Flows(Doors):
    """Gates, control and queues, each made on first use; the stores that they need are `App`'s."""

    @cached_property
    def pauses(self) -> Pauses:
        """What people have paused."""
        from sentinel.usecases.pauses import Pauses

        return Pauses(self._stores.counters, time.time_ns)

    @cached_property
    def gates(self) -> Flow:
        """What keeps tasks from starting: pauses, maintenance windows, rates and limits."""
        from sentinel.usecases.flow import gates

        app = self._stores
        return gates(app.counters, app.tasks, self.pauses, app.playbook.recipe, time.time_ns, _nonce)

    @cached_property
    def control(self) -> Control:
        """What a person may do to tasks."""
        from sentinel.usecases.control import Control

        queue = self._stores.queue if self.settings.redis_url else None
        return Control(self._stores.tasks, time.time_ns, _nonce, queue, gates=self.gates)

    @cached_property
    def queues(self) -> Queues:
        """Pauses, resumes and purges what waits."""
        from sentinel.usecases.queues import Queues

        return Queues(self._stores.tasks, self.pauses, self.control, time.time_ns, _nonce)

    @cached_property
    def detect_again(self) -> DetectAgain:
        """Makes the tasks that detection did not."""
        from sentinel.usecases.detect_again import DetectAgain

        app = self._stores
        return DetectAgain(app.replay, app.detector, self.settings.ledger_table, app.alert_folder)

    def failure_queue(self, url: str) -> FailureQueue:
        """Return the queue of what a feed gave up."""
        from sentinel.adapters.sqs_failures import SqsFailures

        return SqsFailures(self._aws("sqs"), url)

    @cached_property
    def bulk(self) -> Bulk:
        """One act of a person on many tasks."""
        from sentinel.usecases.bulk import Bulk

        return Bulk(self._stores.tasks, self.control, time.time_ns)

    @cached_property
    def fork(self) -> Fork:
        """New tasks of old ones, with other inputs."""
        from sentinel.usecases.fork import Fork

        return Fork(self._stores.tasks, self._stores.playbook, self._stores.actions, time.time_ns, _nonce)

    @property
    def _stores(self) -> Any:
        return self  # App has them


def _nonce() -> bytes:
    return secrets.token_bytes(32)
