"""Erasing dead letters: `ports_erasure.DeadLetters` on Redis Streams.

A letter has a reason beside its task, which may quote what the task was about. What is taken out of a stream
stays in an append-only file until that is written anew; a server that is not ours does that by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sentinel.adapters.redis_streams import DEAD, FIELD, _name, _translated
from sentinel.errors import Unavailable

if TYPE_CHECKING:
    import redis

_PAGE = 500
_WAIT = 60.0  # seconds


class RedisLetters:
    """The dead-letter stream of one client. `own`: the server is this machine's, and its file ours."""

    def __init__(self, client: redis.Redis, *, own: bool) -> None:
        self._client = client
        self._own = own

    def forget(self, tasks: Iterable[str]) -> int:
        """See `ports_erasure.DeadLetters`."""
        wanted = {each.encode() for each in tasks}
        name, start, count = _name(DEAD), "-", 0
        while wanted:
            rows: Any = _translated(
                lambda start=start: self._client.xrange(name, min=start, count=_PAGE)  # type: ignore[misc]
            )
            ids = [entry for entry, fields in rows if fields.get(FIELD) in wanted]
            if ids:
                count += int(_translated(lambda ids=ids: self._client.xdel(name, *ids)))  # type: ignore[misc]
            if len(rows) < _PAGE:
                break
            start = "(" + rows[-1][0].decode()
        return count

    def compact(self) -> None:
        """See `ports_erasure.DeadLetters`."""
        if not self._own:
            return
        _translated(self._client.bgrewriteaof)
        until = time.monotonic() + _WAIT
        while True:
            told: Any = _translated(lambda: self._client.info("persistence"))
            if not told.get("aof_rewrite_in_progress") and not told.get("aof_rewrite_scheduled"):
                return
            if time.monotonic() > until:
                raise Unavailable("the server's append-only file is not written anew yet", 5.0)
            time.sleep(0.02)
