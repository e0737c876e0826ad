"""Erasing dead letters: `ports_erasure.DeadLetters` on Redis Streams.

A letter has a reason beside its task, which may quote what the task was about. What is taken out of a stream
stays in its blocks until all of one's letters are gone, and in an append-only file until that is written
anew: on a server that is not ours both are left to it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
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
        gone = [entry for entry, fields in self._letters() if fields.get(FIELD) in wanted] if wanted else []
        for at in range(0, len(gone), _PAGE):
            these = gone[at : at + _PAGE]
            _translated(lambda these=these: self._client.xdel(_name(DEAD), *these))  # type: ignore[misc]
        return len(gone)

    def _letters(self) -> Iterator[tuple[bytes, Any]]:
        start = "-"
        while True:
            rows: Any = _translated(
                lambda start=start: self._client.xrange(_name(DEAD), min=start, count=_PAGE)  # type: ignore[misc]
            )
            yield from rows
            if len(rows) < _PAGE:
                return
            start = "(" + rows[-1][0].decode()

    def _rebuilt(self) -> None:
        """Make the stream anew: what is deleted of one only counts as deleted, and stays in its blocks.

        A letter that comes meanwhile has it begun again.
        """

        def build(pipe: Any) -> None:
            letters = list(self._letters())
            pipe.multi()
            pipe.delete(_name(DEAD))
            for entry, fields in letters:
                pipe.xadd(_name(DEAD), fields, id=entry)

        _translated(lambda: self._client.transaction(build, _name(DEAD)))

    def compact(self) -> None:
        """See `ports_erasure.DeadLetters`."""
        if not self._own:
            return
        self._rebuilt()
        _translated(self._client.bgrewriteaof)
        until = time.monotonic() + _WAIT
        while True:
            told: Any = _translated(lambda: self._client.info("persistence"))
            if not told.get("aof_rewrite_in_progress") and not told.get("aof_rewrite_scheduled"):
                return
            if time.monotonic() > until:
                raise Unavailable("the server's append-only file is not written anew yet", 5.0)
            time.sleep(0.02)
