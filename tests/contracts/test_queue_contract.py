"""The contract of `ports.Queue`, on a real Valkey."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_streams import GROUP, RedisQueue, connect
from sentinel.errors import Unavailable
from sentinel.ports import Hint
from tests.valkey import Valkey, running

LONG = 60.0  # seconds: what a machine may sleep over; waiting for ever would be longer


@pytest.fixture
def queue(client: redis.Redis) -> RedisQueue:
    """Make a queue on the empty server."""
    return RedisQueue(client)


def _ids(hints: list[Hint]) -> list[str]:
    return [hint.task_id for hint in hints]


LINE = "sentinel:{siem}:normal.0"  # where hints for the plain name of a stream stand
IDLE = 600_000  # milliseconds: longer than any test, so that nothing is idle for so long by itself


def _age(client: redis.Redis, hints: list[Hint]) -> None:
    """Have hints been delivered so long ago that they are idle, without waiting for it."""
    client.xclaim(LINE, GROUP, "dead", 0, [hint.id for hint in hints], idle=IDLE, justid=True)


def _pending(client: redis.Redis, key: str = LINE) -> int:
    found: Any = client.xpending(key, GROUP)
    return int(found["pending"])


def test_hints_come_in_order_and_once(queue: RedisQueue) -> None:
    """Hints are taken in the order they were added, and nobody else gets one that was taken."""
    queue.add("siem", ["a", "b", "c"])
    assert _ids(queue.take("siem", "w1", 2, 0)) == ["a", "b"]
    assert _ids(queue.take("siem", "w2", 10, 0)) == ["c"]
    assert queue.take("siem", "w1", 10, 0) == []


def test_streams_are_apart(queue: RedisQueue) -> None:
    """A worker sees its own stream only."""
    queue.add("siem", ["a"])
    assert queue.take("action", "w", 10, 0) == []
    assert _ids(queue.take("siem", "w", 10, 0)) == ["a"]


def test_adding_nothing_is_nothing(queue: RedisQueue, client: redis.Redis) -> None:
    """An empty run of hints makes no stream."""
    queue.add("siem", [])
    assert client.keys("*") == []


def test_taking_waits_at_most_as_long_as_asked(queue: RedisQueue) -> None:
    """`block_ms` bounds the wait for the first hint; 0 does not wait at all."""
    began = time.monotonic()
    assert queue.take("siem", "w", 1, 0) == []
    assert time.monotonic() - began < LONG
    began = time.monotonic()
    assert queue.take("siem", "w", 1, 150) == []
    assert 0.1 < time.monotonic() - began < LONG


def test_done_hints_are_gone(queue: RedisQueue, client: redis.Redis) -> None:
    """An acknowledged hint is neither pending nor in the stream, and acknowledging again changes nothing."""
    queue.add("siem", ["a", "b"])
    hints = queue.take("siem", "w", 2, 0)
    queue.done("siem", hints[:1])
    queue.done("siem", hints[:1])
    queue.done("siem", [])
    assert _pending(client) == 1
    assert client.xlen(LINE) == 1
    assert _ids(queue.claim("siem", "w2", 0, 10)) == ["b"]


def test_claim_takes_only_what_is_idle(queue: RedisQueue, client: redis.Redis) -> None:
    """A hint that was delivered just now is not claimed; one that is idle is, by one claimer."""
    queue.add("siem", ["a"])
    hints = queue.take("siem", "dead", 1, 0)
    assert queue.claim("siem", "w", IDLE, 10) == []
    _age(client, hints)
    claimed = queue.claim("siem", "w", IDLE, 10)
    assert _ids(claimed) == ["a"]
    assert claimed[0].deliveries > 1
    assert queue.claim("siem", "w2", IDLE, 10) == []


def test_what_is_idle_for_a_moment_may_be_claimed(queue: RedisQueue) -> None:
    """The time is told in milliseconds and passes by itself."""
    queue.add("siem", ["a"])
    queue.take("siem", "dead", 1, 0)
    time.sleep(0.06)
    assert _ids(queue.claim("siem", "w", 50, 10)) == ["a"]


def test_claim_reaches_the_end_of_a_long_list(queue: RedisQueue, client: redis.Redis) -> None:
    """Claiming until nothing comes takes over all idle hints, each once, however many calls that takes."""
    ids = [f"t{n}" for n in range(257)]
    queue.add("siem", ids)
    _age(client, queue.take("siem", "dead", 300, 0))
    found: list[str] = []
    while hints := queue.claim("siem", "w", IDLE, 10):
        found += _ids(hints)
    assert found == ids


def test_claim_looks_past_hints_that_are_not_idle(queue: RedisQueue, client: redis.Redis) -> None:
    """An idle hint behind more busy ones than one walk looks at is found all the same."""
    queue.add("siem", [f"t{n}" for n in range(101)])
    _age(client, queue.take("siem", "dead", 101, 0)[100:])
    assert _ids(RedisQueue(client).claim("siem", "w", IDLE, 3)) == ["t100"]


def test_trimmed_hints_do_not_come_back_empty(server: Valkey, client: redis.Redis) -> None:
    """Hints that were trimmed while pending are left out of a claim, and the claim still ends."""
    queue = RedisQueue(client)
    queue.add("siem", ["a", "b", "c"])
    hints = queue.take("siem", "dead", 3, 0)
    client.xdel(LINE, hints[0].id, hints[2].id)
    assert _ids(queue.claim("siem", "w", 0, 10)) == ["b"]


def test_a_stream_is_bounded(client: redis.Redis) -> None:
    """A stream that nobody reads stops growing near its bound; the oldest hints go."""
    queue = RedisQueue(client, max_hints=500)
    for start in range(0, 3000, 100):
        queue.add("siem", [f"t{n}" for n in range(start, start + 100)])
    assert 500 <= client.xlen(LINE) < 1000
    assert _ids(queue.take("siem", "w", 1000, 0))[-1] == "t2999"


def test_buried_tasks_are_readable(queue: RedisQueue, client: redis.Redis) -> None:
    """The dead-letter stream tells the task and the reason."""
    queue.bury("task1", "the target said no")
    rows: Any = client.xrange("sentinel:{dead}")
    assert [fields for _, fields in rows] == [{b"task": b"task1", b"reason": b"the target said no"}]
    queue.bury("task2", "nobody there")
    client.xadd("sentinel:{dead}", {"other": "x"})
    found = queue.buried(10)
    assert [(each.task_id, each.reason) for each in found] == [
        ("task2", "nobody there"),
        ("task1", "the target said no"),
    ]
    assert abs(found[0].t - time.time_ns()) < 10**10
    assert [each.task_id for each in queue.buried(2)] == ["task2"]  # the newest one is not ours


Call = Callable[[RedisQueue, list[Hint]], object]
CALLS: dict[str, Call] = {
    "add": lambda queue, _: queue.add("siem", ["x"]),
    "take": lambda queue, _: queue.take("siem", "w", 1, 0),
    "claim": lambda queue, _: queue.claim("siem", "w", 0, 1),
    "done": lambda queue, hints: queue.done("siem", hints),
    "bury": lambda queue, _: queue.bury("x", "why"),
    "buried": lambda queue, _: queue.buried(5),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_flush_goes_unnoticed(queue: RedisQueue, client: redis.Redis, name: str) -> None:
    """After FLUSHALL every call works as on a new server, and hints that are added then arrive."""
    queue.add("siem", ["old1", "old2"])
    hints = queue.take("siem", "w", 1, 0)
    client.flushall()
    CALLS[name](queue, hints)
    queue.add("siem", ["new"])
    found = queue.take("siem", "w", 10, 0) + queue.claim("siem", "w", 0, 10)
    assert "new" in _ids(found)
    assert not {"old1", "old2"} & set(_ids(found))


def test_a_flush_while_a_worker_waits(server: Valkey, client: redis.Redis) -> None:
    """A worker that waits for its first hint while the server is flushed does not fail."""
    import threading

    queue = RedisQueue(connect(server.url))
    queue.take("siem", "w", 1, 0)  # makes the group
    found: list[list[Hint]] = []
    thread = threading.Thread(target=lambda: found.append(queue.take("siem", "w", 1, 600)))
    thread.start()
    time.sleep(0.2)
    client.flushall()
    time.sleep(0.1)
    RedisQueue(client).add("siem", ["new"])
    thread.join(LONG)
    assert len(found) == 1
    assert _ids(found[0] + queue.take("siem", "w", 1, 0)) == ["new"]


def test_a_flush_just_after_the_groups_were_made(queue: RedisQueue, client: redis.Redis) -> None:
    """A second flush, between making the groups and waiting, is as good as the first; a flood says so."""
    make, flushes = queue._make_groups, [1]

    def make_in_vain(stream: str) -> None:
        make(stream)
        if flushes:
            flushes.pop()
            client.flushall()

    queue._make_groups = make_in_vain  # type: ignore[method-assign]
    assert queue.take("siem", "w", 1, 10) == []
    flushes.extend([1] * 50)
    client.flushall()
    with pytest.raises(Unavailable):
        queue.take("siem", "w", 1, 10)


def test_a_cursor_does_not_outlive_a_flush(queue: RedisQueue, client: redis.Redis) -> None:
    """A walk that was under way when the server was flushed begins anew."""
    queue.add("siem", [f"t{n}" for n in range(30)])
    queue.take("siem", "dead", 30, 0)
    assert len(queue.claim("siem", "w", 0, 10)) == 10
    client.flushall()
    queue.add("siem", ["new"])
    queue.take("siem", "dead", 1, 0)
    assert "new" in _ids(queue.claim("siem", "w", 0, 10) + queue.claim("siem", "w", 0, 10))


def test_foreign_messages_are_hints_for_nothing(queue: RedisQueue, client: redis.Redis) -> None:
    """A message that is not ours is handed out like any other, to be acknowledged and forgotten."""
    queue.take("siem", "w", 1, 0)
    client.xadd(LINE, {"other": "x"})
    client.xadd(LINE, {b"task": b"\xff\xfe"})
    hints = queue.take("siem", "w", 10, 0)
    assert [hint.task_id for hint in hints] == ["", "\ufffd\ufffd"]
    queue.done("siem", hints)
    assert client.xlen(LINE) == 0


@pytest.mark.parametrize("name", CALLS)
def test_a_server_that_is_away_is_unavailable(tmp_path: Any, name: str) -> None:
    """Whatever is called while the server is away says so, and works when it is back."""
    with running(tmp_path) as server:
        queue = RedisQueue(connect(server.url))
        queue.add("siem", ["a", "b"])
        hints = queue.take("siem", "w", 1, 0)
        server.kill()
        with pytest.raises(Unavailable):
            CALLS[name](queue, hints)
        server.start()
        CALLS[name](queue, hints)


def test_a_server_that_only_reads_is_unavailable(queue: RedisQueue, client: redis.Redis) -> None:
    """READONLY, as after a failover, and OOM are passing states, not faults of the caller."""
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(Unavailable):
            queue.add("siem", ["a"])
    finally:
        client.replicaof("NO", "ONE")
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable):
            queue.add("siem", ["a"])
    finally:
        client.config_set("maxmemory", "0")
    queue.add("siem", ["a"])


def test_a_wrong_command_stays_an_error(queue: RedisQueue, client: redis.Redis) -> None:
    """What no waiting repairs is not called unavailable: an id that is none."""
    client.xadd(LINE, {"task": "a"})
    client.xgroup_create(LINE, GROUP, id="0")
    with pytest.raises(redis.ResponseError, match="Invalid stream ID"):
        queue.done("siem", [Hint("x", "a", 1, "siem:normal.0")])


def test_two_workers_share_the_making_of_the_group(server: Valkey, client: redis.Redis) -> None:
    """Any number of workers may find the group missing at once; none of them fails."""
    from concurrent.futures import ThreadPoolExecutor

    queues = [RedisQueue(connect(server.url)) for _ in range(8)]
    client.flushall()
    queues[0].add("siem", [f"t{n}" for n in range(8)])
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda queue: queue.take("siem", "w", 1, 200), queues))
    assert sorted(hint.task_id for hints in taken for hint in hints) == [f"t{n}" for n in range(8)]
