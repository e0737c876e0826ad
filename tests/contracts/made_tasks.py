"""Tasks and their events for the tests of the stores."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

from sentinel.core.states import By
from sentinel.core.tasks import SECOND, Event, State, Task, event_after, moved

T = 1_790_000_000 * SECOND


def nonce(*parts: object) -> bytes:
    """Return 32 bytes that depend on `parts` only."""
    return sha256(repr(parts).encode()).digest()


def created(name: str, due: int = T, now: int = T, by: str = "a", **changes: Any) -> tuple[Task, Event]:
    """Return a new queued task and its first event, as `by` makes it."""
    task = Task(
        id=name,
        recipe="tell-splunk",
        recipe_version=3,
        recipe_digest="ab" * 32,
        state=State.QUEUED,
        version=0,
        attempt=0,
        step=0,
        tries=0,
        stream="siem",
        created=now,
        due=due,
        cause={"rule": "checkout-5xx", "fingerprint": "決済 💥", "entries": [{"chain": "shop/0", "seq": 7}]},
        **changes,
    )
    event = event_after(task, "created", now, nonce(name, by), {"rule": "checkout-5xx"})
    return replace(task, version=1, head=event.head.hex()), event


def step(
    task: Task, to: State, by: str = "a", now: int = T, move_by: By = By.WORKER, **changes: Any
) -> tuple[Task, Event]:
    """Return the task in its next state, as worker `by` moves it, and the event of it."""
    return moved(task, to, now, nonce(task.id, task.version, by), {"worker": by}, by=move_by, **changes)
