"""The queue on Redis Streams: one stream a worker, one consumer group, and a dead-letter stream.

It uses only what Redis 7, Valkey and ElastiCache Serverless all have. Names carry a hash tag
(`sentinel:{siem}`), so that each stream with its group lives in one slot of a cluster and no command spans
two. Redis may forget everything at any time (FLUSHALL, a failover, a restart without its newest second): the
group is made again on demand, and the hints that are gone are added again by the sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from sentinel.errors import Unavailable
from sentinel.ports import Hint

if TYPE_CHECKING:
    import redis
    from redis.credentials import CredentialProvider

GROUP = b"workers"
FIELD = b"task"
DEAD = "dead"

# A hint is about 100 bytes in memory: the bound keeps a stream below some 10 MB when no worker reads it.
# Trimming takes the oldest hints; the tasks are untouched, and the sweep hints them again.
MAX_HINTS = 100_000
MAX_BURIED = 10_000

CONNECT_SECONDS = 2.0
SOCKET_SECONDS = 5.0
_RETRIES = 2
_GROUP_TRIES = 4  # it may be flushed again just after the group was made

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


def _name(stream: str) -> str:
    return f"sentinel:{{{stream}}}"


class RedisQueue:
    """`ports.Queue` on one client. Threads may share it, except that each `claim` cursor is one walk."""

    def __init__(self, client: redis.Redis, max_hints: int = MAX_HINTS) -> None:
        self._client = client
        self._max_hints = max_hints
        self._cursors: dict[str, Any] = {}

    def add(self, stream: str, task_ids: Iterable[str]) -> None:
        """Add hints, in order, in one round trip."""
        ids = list(task_ids)
        if not ids:
            return

        def send() -> None:
            pipe = self._client.pipeline(transaction=False)
            for task_id in ids:
                pipe.xadd(_name(stream), {FIELD: task_id}, maxlen=self._max_hints, approximate=True)
            pipe.execute()

        _translated(send)

    def take(self, stream: str, consumer: str, count: int, block_ms: int) -> list[Hint]:
        """Return new hints for `consumer`; waits at most `block_ms` for the first (0: not at all)."""
        # The socket's time-out would cut a longer wait off; Redis takes 0 for "for ever".
        block = min(block_ms, int(SOCKET_SECONDS * 500)) or None

        def read() -> Any:
            return self._client.xreadgroup(GROUP, consumer, {_name(stream): ">"}, count, block)  # type: ignore[arg-type]

        found = self._grouped(stream, read)
        return [_hint(row) for _, rows in found or () for row in rows]

    def claim(self, stream: str, consumer: str, idle_ms: int, count: int) -> list[Hint]:
        """Take over hints that were delivered at least `idle_ms` ago and not acknowledged.

        Walks on from where the last call stopped until it has found some or is at the end of the pending
        list; an empty answer means the end. The next call then begins at the front.
        """
        name = _name(stream)
        while True:
            cursor = self._cursors.get(stream, b"0-0")

            def walk(start: Any = cursor) -> Any:
                return self._client.xautoclaim(name, GROUP, consumer, idle_ms, start, count)

            answer = self._grouped(stream, walk)
            found = [_hint(row, deliveries=2) for row in answer[1]]
            self._cursors[stream] = answer[0]
            if found or answer[0] == b"0-0":
                return found

    def done(self, stream: str, hints: Sequence[Hint]) -> None:
        """Acknowledge and delete hints, in one round trip. What is gone already stays gone."""
        if not hints:
            return

        def send() -> None:
            ids = [hint.id for hint in hints]
            pipe = self._client.pipeline(transaction=False)
            pipe.xack(_name(stream), GROUP, *ids)
            pipe.xdel(_name(stream), *ids)
            pipe.execute()

        _translated(send)

    def bury(self, task_id: str, reason: str) -> None:
        """Add a task to the dead-letter stream, which keeps about the newest ten thousand."""
        fields: Any = {FIELD: task_id, b"reason": reason[:1000]}
        _translated(
            lambda: self._client.xadd(_name(DEAD), fields, maxlen=MAX_BURIED, approximate=True),
        )

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
                self._make_group(stream)
            raise Unavailable("the queue is emptied faster than it can be read")

        return _translated(attempt)

    def _make_group(self, stream: str) -> None:
        from redis.exceptions import ResponseError

        try:
            # From 0: hints that were added before the group was made are hints, too.
            self._client.xgroup_create(_name(stream), GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):  # another worker was faster
                raise


def _hint(row: Any, deliveries: int = 1) -> Hint:
    """Read one message; one that is not ours becomes a hint for the task with no id, which nobody has."""
    entry_id, fields = row
    task_id = fields.get(FIELD, b"") if isinstance(fields, dict) else b""
    return Hint(entry_id.decode(), task_id.decode(errors="replace"), deliveries)


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
