"""The queue on Redis Streams: a stream a line, one consumer group in each, and a dead-letter stream.

It uses only what Redis 7, Valkey and ElastiCache Serverless all have. Names carry a hash tag
(`sentinel:{siem}:high.3`), so that all lines of a worker's stream live in one slot of a cluster and no
command spans two. A line is made by its first hint, and its group by whoever first reads it. Redis may forget
everything at any time (FLUSHALL, a failover, a restart without its newest second): groups are made again on
demand, and the hints that are gone are added again by the sweep.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sentinel.adapters.redis_lines import CLAIM, TAKE, called, fit, key_of, keys_of, line_at, wrong
from sentinel.core import lines
from sentinel.errors import Unavailable
from sentinel.ports import Buried, Hint

if TYPE_CHECKING:
    import redis
    from redis.credentials import CredentialProvider

GROUP = b"workers"
FIELD = b"task"
REASON = b"reason"
DEAD = "dead"

# A line keeps so many: one takes 37 bytes in memory, so a line that no worker reads stays below 2 MB, and all
# 48 lines of a stream below 90. Trimming takes the oldest hints; the tasks are untouched, and the sweep hints
# them again.
MAX_HINTS = 50_000
MAX_BURIED = 10_000

CONNECT_SECONDS = 2.0
SOCKET_SECONDS = 5.0
_RETRIES = 2
_GROUP_TRIES = 4  # it may be flushed again just after the group was made

# Which priority comes first, turn by turn: mostly the highest, and each of the others now and then.
_STRICT = lines.PRIORITIES
_LOWEST = (lines.LOW, lines.NORMAL, lines.HIGH)
_MIDDLE = (lines.NORMAL, lines.LOW, lines.HIGH)
_TURNS = (*[_STRICT] * 7, _LOWEST, *[_STRICT] * 7, _MIDDLE)
_FRONT = (1, b"0-0")  # where a walk over the pending lists begins

T = TypeVar("T")


def connect(
    url: str,
    cluster: bool = False,
    credentials: CredentialProvider | None = None,
    password: str | None = None,
    *,
    seconds: float = SOCKET_SECONDS,
    retries: int = _RETRIES,
) -> redis.Redis:
    """Return a client of the server at `url`.

    It connects on its first command; a cluster's at once, since it asks for the slots, so that this raises
    `Unavailable` where the cluster is away.

    `url` is redis://, rediss:// (TLS, certificate verified) or unix://. `cluster` speaks the cluster
    protocol, which ElastiCache Serverless always does. `credentials` are asked at each connection;
    `password` is for a server outside AWS. An answer is waited for `seconds`, a connection no longer and two
    seconds at most. A command that got no answer is sent up to `retries` times more: a hint that is added
    twice does no harm; what must not be done twice takes 0.
    """
    import redis
    from redis.backoff import FullJitterBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "socket_connect_timeout": min(CONNECT_SECONDS, seconds),
        "socket_timeout": seconds,
        "retry": Retry(FullJitterBackoff(cap=0.5, base=0.05), retries),
        "protocol": 2,  # the one that all three servers have always had; shapes of answers depend on it
        "health_check_interval": 30,
    }
    if credentials is not None:
        options["credential_provider"] = credentials
    elif password is not None:
        options["password"] = password
    if cluster:
        # What RedisCluster shares with Redis is all that is used here, but it is no subclass of it.
        made: Any = _translated(lambda: redis.RedisCluster.from_url(url, **options))
        return made  # type: ignore[no-any-return]
    return redis.Redis.from_url(url, **options)


class RedisQueue:
    """`ports.Queue` on one client. Threads may share it, except that each `claim` is a step of one walk.

    `max_hints` is how many a line keeps. `turn` is the first of the turns of `take`; any, where none is
    given, so that processes which live for a few turns only have them all between them.
    """

    def __init__(self, client: redis.Redis, max_hints: int = MAX_HINTS, turn: int | None = None) -> None:
        self._client = client
        self._max_hints = max_hints
        self._first = random.randrange(1 << 16) if turn is None else turn  # noqa: S311 - no secret
        self._turns = itertools.count(self._first)
        self._shares: dict[tuple[str, str], int] = {}
        self._places: dict[str, tuple[int, bytes]] = {}

    def add(self, line: str, task_ids: Iterable[str]) -> None:
        """Add hints, in order, in one round trip. The next share has them where a key is no stream."""
        ids = list(task_ids)

        def send(key: bytes) -> bool:
            pipe = self._client.pipeline(transaction=False)
            for task_id in ids:
                pipe.xadd(key, {FIELD: task_id}, maxlen=self._max_hints, approximate=True)
            answers = pipe.execute(raise_on_error=False)
            failed = next((each for each in answers if isinstance(each, Exception)), None)
            if failed is not None and not wrong(failed):
                raise failed
            return failed is None

        if ids and not any(_translated(partial(send, key_of(each))) for each in lines.from_line(line)):
            raise Unavailable(f"no key of the priority of {line} is a stream: delete those that are none")

    def take(self, stream: str, consumer: str, count: int, block_ms: int) -> list[Hint]:
        """Return at most `count` new hints, in one round trip where there are some or none is waited for.

        Begins with the share after the last one that was served. Seven turns in eight go to the highest
        priority first; of the others, every other one to the low and to the normal one.
        """
        turn = next(self._turns)
        order = _TURNS[turn % len(_TURNS)]
        keys: list[bytes] = []
        for priority in order:
            row = keys_of(stream, priority)
            at = self._shares.get((stream, priority), self._first % lines.SHARES)
            keys += row[at:] + row[:at]
        args = (GROUP, consumer, count, lines.SHARES)
        hints = _hints(self._called(TAKE, keys, args))
        if not hints and block_ms:
            hints = self._wait(stream, consumer, count, block_ms)
        for hint in hints:
            priority, _, share = hint.line.partition(":")[2].partition(".")
            self._shares[stream, priority] = (int(share) + 1) % lines.SHARES
        return hints

    def _wait(self, stream: str, consumer: str, count: int, block_ms: int) -> list[Hint]:
        """Wait for hints on all lines at once."""
        from redis.exceptions import ResponseError

        block = min(block_ms, int(SOCKET_SECONDS * 500))  # the socket's time-out would cut a longer one off
        keys = [key for priority in lines.PRIORITIES for key in keys_of(stream, priority)]

        def read() -> Any:
            try:
                return self._read(consumer, keys, block)
            except ResponseError as error:
                if not wrong(error):
                    raise
            return self._read(consumer, fit(self._client, keys), block)

        # A message that is not ours is a hint for the task with no id, which nobody has.
        found = self._grouped(stream, read) or ()
        hints = _hints([key, entry, fields.get(FIELD, b"")] for key, rows in found for entry, fields in rows)
        # It gives one of each line that had some when it began: seldom more than one.
        over = hints[count:]
        for hint in over:
            self.add(hint.line, [hint.task_id])
        self.done(stream, over)
        return hints[:count]

    def _read(self, consumer: str, keys: Sequence[bytes], block: int) -> Any:
        to: Any = self._client
        return to.xreadgroup(GROUP, consumer, dict.fromkeys(keys, ">"), 1, block) if keys else None

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> list[Hint]:
        """Take over hints that were delivered at least `idle_ms` ago and not acknowledged.

        Walks on from where the last call stopped until it has found some or is at the end of the last line's
        pending list; an empty answer means the end. The next call then begins at the front.
        """
        keys = [_name(stream), *(key for priority in lines.PRIORITIES for key in keys_of(stream, priority))]
        while True:
            at, cursor = self._places.get(stream, _FRONT)
            args = (GROUP, consumer, idle_ms, count, at, cursor)
            at, cursor, rows = self._called(CLAIM, keys, args)
            self._places[stream] = (at, cursor) if at else _FRONT
            if rows or not at:
                return _hints(rows, deliveries=2)

    def done(self, stream: str, hints: Sequence[Hint]) -> None:
        """Acknowledge and delete hints, in one round trip. What is gone already stays gone."""
        del stream  # a hint knows its line
        if not hints:
            return
        by_line: dict[str, list[str]] = {}
        for hint in hints:
            by_line.setdefault(hint.line, []).append(hint.id)

        def send() -> None:
            pipe = self._client.pipeline(transaction=False)
            for line, ids in by_line.items():
                pipe.xack(key_of(line), GROUP, *ids)
                pipe.xdel(key_of(line), *ids)
            pipe.execute()

        _translated(send)

    def bury(self, task_id: str, reason: str) -> None:
        """Add a task to the dead-letter stream, which keeps about the newest ten thousand."""
        fields: Any = {FIELD: task_id, REASON: reason[:1000]}
        _translated(
            lambda: self._client.xadd(_name(DEAD), fields, maxlen=MAX_BURIED, approximate=True),
        )

    def buried(self, limit: int) -> list[Buried]:
        """Return the newest dead letters, newest first; what is not ours is left out."""
        rows: Any = _translated(lambda: self._client.xrevrange(_name(DEAD), count=limit))
        return [
            Buried(
                fields[FIELD].decode(errors="replace"),
                fields.get(REASON, b"").decode(errors="replace"),
                int(entry.partition(b"-")[0]) * 1_000_000,
            )
            for entry, fields in rows
            if FIELD in fields
        ]

    def _called(self, script: bytes, keys: Sequence[bytes], args: Sequence[bytes | str | int]) -> Any:
        return _translated(lambda: called(self._client, script, keys, args))

    def _grouped(self, stream: str, command: Callable[[], T]) -> T:
        """Run a command that needs the group, and make the group where it is gone."""
        from redis.exceptions import ResponseError

        def attempt() -> T:
            for _ in range(_GROUP_TRIES):
                try:
                    return command()
                except ResponseError as error:
                    # NOGROUP: never made, or flushed. UNBLOCKED: flushed while we waited, at Redis 7.
                    if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                        raise
                self._make_groups(stream)
            raise Unavailable("the queue is emptied faster than it can be read")

        return _translated(attempt)

    def _make_groups(self, stream: str) -> None:
        """Make the groups of all lines, in one round trip: one that waits has to name them all."""
        pipe = self._client.pipeline(transaction=False)
        for priority in lines.PRIORITIES:
            for key in keys_of(stream, priority):
                # From 0: hints that were added before the group was made are hints, too.
                pipe.xgroup_create(key, GROUP, id="0", mkstream=True)
        for answer in pipe.execute(raise_on_error=False):
            # BUSYGROUP: it is there, or another worker was faster.
            if isinstance(answer, Exception) and not str(answer).startswith(("BUSYGROUP", "WRONGTYPE")):
                raise answer


def _name(stream: str) -> bytes:
    """Name the key of a whole stream: that of dead letters, and what a stream was before it had lines."""
    return f"sentinel:{{{stream}}}".encode()


def _hints(told: Iterable[list[bytes]], deliveries: int = 1) -> list[Hint]:
    """Read what a script answers: lines with ids and tasks in turn."""
    return [
        Hint(entry.decode(), task.decode(errors="replace"), deliveries, line)
        for key, *rest in told
        for line in (line_at(key),)
        for entry, task in zip(rest[::2], rest[1::2], strict=True)
    ]


def _translated(command: Callable[[], T]) -> T:
    """Run a command; what may pass by itself becomes `Unavailable`. A wrong command stays an error."""
    from redis import exceptions as redis_errors

    passing = (
        redis_errors.ConnectionError,  # includes refused logins, LOADING and a full pool
        redis_errors.TimeoutError,
        redis_errors.ReadOnlyError,
        redis_errors.OutOfMemoryError,
        redis_errors.ClusterError,  # includes CLUSTERDOWN
        redis_errors.RedisClusterException,  # no node reachable, slot not covered
        redis_errors.TryAgainError,
        redis_errors.AskError,  # includes MOVED: the cluster changes faster than we follow
    )
    try:
        return command()
    except passing as error:
        raise Unavailable(f"the queue does not answer: {type(error).__name__}") from error
    except redis_errors.ResponseError as error:
        if wrong(error):
            raise Unavailable("a key of the queue is no stream: delete it") from error
        raise
