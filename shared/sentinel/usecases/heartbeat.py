"""The heartbeat of a step: extends the task's lease while an action performs, and notices when it is over.

It beats every third of the lease, so that two beats may be lost. A step that takes less than that costs no
write. A beat that finds the task moved, by a person or at its deadline, and a step that takes longer than its
time, turn `stopped` true; then the lease is extended no more.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType

from sentinel.core.tasks import SECOND, Task, by_deadline
from sentinel.errors import Unavailable
from sentinel.ports import Tasks

log = logging.getLogger(__name__)


class Heartbeat:
    """A context in which a task's lease of `lease` nanoseconds goes on, from `begun` for at most `timeout`.

    Afterwards `lost` says that somebody else has moved the task, `over` that the step took too long.
    """

    def __init__(
        self, tasks: Tasks, task: Task, clock: Callable[[], int], lease: int, begun: int, timeout: int
    ) -> None:
        self._tasks = tasks
        self._task = task
        self._clock = clock
        self._lease = lease
        self._until = begun + timeout
        self._pause = min(lease // 3, timeout)
        self._ended = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat-{task.id}", daemon=True)
        self.stopped = self._stopped.is_set
        self.lost = False
        self.over = False

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._pause / SECOND):
            now = self._clock()
            self.over = now >= self._until
            # A step whose time is over is given up at once, not when the lease would have run out.
            due = now if self.over else now + self._lease
            try:
                self.lost = not self._tasks.extend(self._task, by_deadline(self._task, due))
            except Unavailable as error:
                log.warning("the lease of task %s was not extended: %s", self._task.id, error)
            if self.lost or self.over:
                self._stopped.set()
                return
            self._pause = max(1, min(self._lease // 3, self._until - now))
