"""In AWS Lambda: what was logged is sent before an invocation ends, since the process is frozen then.

    @flushed(client=client)
    def handler(event, context): ...

What cannot be sent in the time that is left stays on the function's disk, and is sent by the next invocation
there, if there is one: Lambda may take an environment away at any time, with all that is on its disk.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, overload

RESERVE = 0.5  # seconds of the invocation that are left to its answer
MOST = 5.0
T = TypeVar("T")
Handler = Callable[[Any, Any], T]


class Flushes(Protocol):
    """A client."""

    def flush(self, deadline: float) -> bool:
        """Send what is there within so many seconds."""


def left(context: Any, most: float = MOST, reserve: float = RESERVE) -> float:
    """Return the seconds that an invocation may spend on sending: what it has left, less a reserve."""
    try:
        remaining = float(context.get_remaining_time_in_millis()) / 1000.0
    except Exception:  # noqa: BLE001 - a context of tests may be anything
        return most
    return max(0.0, min(most, remaining - reserve))


@contextmanager
def invocation(context: Any, client: Flushes, most: float = MOST, reserve: float = RESERVE) -> Iterator[None]:
    """Flush at the end of a block, also where it raises, within the time that the invocation has left."""
    try:
        yield
    finally:
        client.flush(left(context, most, reserve))


@overload
def flushed(handler: Handler[T], *, client: Flushes) -> Handler[T]: ...


@overload
def flushed(handler: None = None, *, client: Flushes) -> Callable[[Handler[T]], Handler[T]]: ...


def flushed(handler: Handler[T] | None = None, *, client: Flushes) -> Any:
    """Have a handler's logs sent before its invocation ends. As a decorator, with the client."""

    def wrap(inner: Handler[T]) -> Handler[T]:
        @functools.wraps(inner)
        def outer(event: Any, context: Any) -> T:
            with invocation(context, client):
                return inner(event, context)

        return outer

    return wrap if handler is None else wrap(handler)
