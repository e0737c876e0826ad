"""Running a worker: drains its stream of hints until it is empty or time is nearly up.

First it takes over what dead workers left, to the end of the pending list, then it takes new hints. A hint is
acknowledged when its task needs nothing more from it: it was run, or somebody else has it, or the sweep will
hint it again. A hint for no task at all is acknowledged and counted, so that it blocks nothing.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from sentinel.core.tasks import SECOND
from sentinel.errors import Conflict, Tampered, Unavailable
from sentinel.ports import Hint, Queue
from sentinel.usecases.execute import Executor

# One name for all consumers: Redis keeps every name it has heard for good, and a function has a new one at
# each cold start. Who took a hint shows in the task; when it was taken is all that `claim` asks for.
CONSUMER = "worker"
# No new step is begun so shortly before the end: `siem.send` may take 45 s, `http.call` 30 s, and a step
# that is cut off with its process leaves an effect of which nobody knows whether it happened.
MARGIN = 50 * SECOND
# A model may take five minutes to answer; a repository is fetched in parts, and so is a pull request made.
MARGINS = {"ai": 330 * SECOND, "read": 180 * SECOND, "git": 100 * SECOND}
BATCH = 8

_TASK_ID = re.compile(r"[a-z2-7]{26}")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drained:
    """What one drain did, in tasks: by the state they were left in, and why others were not run.

    `skipped` had ended, were leased, not due or waiting for a person; `lost` were moved by somebody else
    meanwhile; `poison` are hints for no task.
    """

    succeeded: int = 0
    failed: int = 0
    waiting: int = 0
    queued: int = 0
    awaiting_approval: int = 0
    ambiguous: int = 0
    expired: int = 0
    skipped: int = 0
    lost: int = 0
    poison: int = 0


def _plain(part: Callable[[], str]) -> str:
    return part()


def drain(
    executor: Executor,
    deadline: int,
    margin: int = MARGIN,
    batch: int = BATCH,
    block_ms: int = 0,
    guard: Callable[[Callable[[], str]], str] = _plain,
) -> Drained:
    """Run what is hinted on the executor's stream until there is none, or until `margin` before `deadline`.

    `deadline` is in epoch nanoseconds; a step that was begun goes on past the margin. Waits at most
    `block_ms` for the first hint. Raises `Unavailable` where a store or the queue does not answer, once the
    batch at hand is through, and `Tampered` at the end where an entry could not be read. `guard` does what is
    done for one hint, and says "skipped" where it catches a fault of ours: no other task is to wait for that.
    """
    until = deadline - margin
    counts: Counter[str] = Counter()
    tampered: Tampered | None = None
    for hints in _hints(executor, until, batch, block_ms):
        done = _Batch()
        for hint in hints:
            if executor.clock() >= until:
                done.left.append(hint)
            else:
                counts.update(done.run(hint, partial(guard, partial(_run, executor, hint, until))))
        _give_back(executor.queue, done.left)
        executor.queue.done(executor.stream, done.finished + done.left)
        tampered = tampered or done.tampered
        if done.error is not None:
            raise done.error
    if tampered is not None:
        raise tampered
    return Drained(**counts)


@dataclass(slots=True)
class _Batch:
    """What came of the hints of one batch. Those in `finished` and `left` are taken out of their lines."""

    finished: list[Hint] = field(default_factory=list)
    left: list[Hint] = field(default_factory=list)
    error: Unavailable | None = None
    tampered: Tampered | None = None

    def run(self, hint: Hint, part: Callable[[], str]) -> list[str]:
        """Run what is hinted; return what to count. Whatever becomes of it, the others of the batch run."""
        try:
            found = part()
        except Unavailable as error:
            self.error = self.error or error
            return []
        except Tampered as error:
            self.tampered = self.tampered or error
            found = "failed"
        self.finished.append(hint)
        return [found]


def _hints(executor: Executor, until: int, batch: int, block_ms: int) -> Iterator[list[Hint]]:
    queue, stream = executor.queue, executor.stream
    idle_ms = executor.lease * 1000 // SECOND
    while executor.clock() < until:
        hints = queue.claim(stream, CONSUMER, idle_ms, batch)
        if not hints:
            break
        yield hints
    while executor.clock() < until:
        hints = queue.take(stream, CONSUMER, batch, block_ms)
        if not hints:
            return
        yield hints


def _give_back(queue: Queue, hints: Sequence[Hint]) -> None:
    """Put hints for which there is no time at the end of their lines; a claim would come a lease later."""
    by_line: dict[str, list[str]] = {}
    for hint in hints:
        by_line.setdefault(hint.line, []).append(hint.task_id)
    for line, ids in by_line.items():
        queue.add(line, ids)


def _run(executor: Executor, hint: Hint, until: int) -> str:
    task = executor.tasks.get(hint.task_id) if _TASK_ID.fullmatch(hint.task_id) else None
    if task is None:
        log.error("a hint in line %s names no task; it is dropped", hint.line)
        return "poison"
    try:
        after = executor.execute(task, until)
    except Conflict:
        return "lost"
    return "skipped" if after is None else after.state.value.replace("-", "_")
