"""Lines of the queue, on a real Valkey: priorities, fair shares between services, and their bounds."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_lines import key_of
from sentinel.adapters.redis_streams import GROUP, MAX_HINTS, RedisQueue, connect
from sentinel.core.lines import HIGH, LOW, NORMAL, PRIORITIES, line_of, lines_of, share_of
from sentinel.ports import Hint
from tests.valkey import Valkey


@pytest.fixture
def queue(client: redis.Redis) -> RedisQueue:
    """Make a queue on the empty server, at the first of its turns."""
    return RedisQueue(client, turn=0)


def _line(priority: str = NORMAL, share: int = 0) -> str:
    return line_of("action", priority, share)


def _shares(hints: list[Hint]) -> Counter[str]:
    return Counter(hint.line for hint in hints)


def test_a_flood_of_one_service_keeps_no_other_waiting(queue: RedisQueue) -> None:
    """One service has ten thousand hints before another adds one: that one is in the next batch."""
    flood, other = share_of("checkout"), share_of("billing")
    assert flood != other
    queue.add(_line(share=flood), [f"f{n}" for n in range(10_000)])
    assert len(queue.take("action", "w", 8, 0)) == 8
    queue.add(_line(share=other), ["one"])
    hints = queue.take("action", "w", 8, 0)
    assert "one" in [hint.task_id for hint in hints]
    assert len(hints) == 8


@pytest.mark.parametrize("busy", [2, 3, 5, 16])
@pytest.mark.parametrize("count", [1, 3, 8, 100])
def test_shares_get_equal_parts(queue: RedisQueue, busy: int, count: int) -> None:
    """Whatever the batch and however many shares have hints, each gets as many, give or take a batch."""
    for share in range(busy):
        queue.add(_line(share=share), [f"{share}-{n}" for n in range(300)])
    found: Counter[str] = Counter()
    while sum(found.values()) < 240:
        hints = queue.take("action", "w", count, 0)
        assert len(hints) == min(count, busy * 300)
        found += _shares(hints)
    assert set(found) == {_line(share=share) for share in range(busy)}
    assert max(found.values()) - min(found.values()) <= 2


def test_a_line_is_read_in_order_and_once(queue: RedisQueue) -> None:
    """Within a line hints come in the order they were added, each once, whatever others there are."""
    for share in range(3):
        queue.add(_line(share=share), [f"{share}-{n:03}" for n in range(50 + 20 * share)])
    taken: list[Hint] = []
    while hints := queue.take("action", "w", 7, 0):
        taken += hints
    for share in range(3):
        ids = [hint.task_id for hint in taken if hint.line == _line(share=share)]
        assert ids == [f"{share}-{n:03}" for n in range(50 + 20 * share)]


def test_high_overtakes(queue: RedisQueue) -> None:
    """What has a high priority is taken before all that waited, normal before low."""
    for priority in (LOW, NORMAL, HIGH):
        queue.add(_line(priority, 4), [f"{priority}{n}" for n in range(5)])
    order = [queue.take("action", "w", 5, 0)[0].line for _ in PRIORITIES]
    assert order == [_line(priority, 4) for priority in PRIORITIES]


def test_a_batch_is_filled_from_the_next_priority(queue: RedisQueue) -> None:
    """Where few of the highest wait, the rest of the batch is of the next."""
    queue.add(_line(LOW), ["l1", "l2"])
    queue.add(_line(HIGH, 9), ["h"])
    assert [hint.task_id for hint in queue.take("action", "w", 2, 0)] == ["h", "l1"]


def test_nothing_starves(queue: RedisQueue) -> None:
    """Under a flood of high priority, one turn in sixteen each is for low and for normal ones."""
    for priority in PRIORITIES:
        queue.add(_line(priority), [f"{priority}{n}" for n in range(1000)])
    found = Counter(
        hint.line.partition(":")[2].partition(".")[0]
        for _ in range(64)
        for hint in queue.take("action", "w", 4, 0)
    )
    assert found == {HIGH: 224, NORMAL: 16, LOW: 16}


def test_workers_of_one_turn_have_all_turns_between_them(client: redis.Redis) -> None:
    """Processes that take once and end, as cold ones may, begin at any turn: low priorities get theirs."""
    queue = RedisQueue(client)
    for priority in (HIGH, LOW):
        queue.add(_line(priority), [f"{priority}{n}" for n in range(500)])
    found = {RedisQueue(client).take("action", "w", 1, 0)[0].line for _ in range(300)}
    assert found == {_line(HIGH), _line(LOW)}


def test_a_line_that_gives_nothing_costs_the_others_nothing(queue: RedisQueue) -> None:
    """Hints that somebody has do not take the part of a share that has new ones."""
    for share in range(8):
        queue.add(_line(share=share), [f"{share}"])
    assert len(queue.take("action", "dead", 8, 0)) == 8
    queue.add(_line(share=11), [f"n{n}" for n in range(20)])
    assert len(queue.take("action", "w", 8, 0)) == 8


@pytest.mark.parametrize("priority", PRIORITIES)
def test_a_wait_is_for_all_lines(server: Valkey, client: redis.Redis, priority: str) -> None:
    """A worker that waits is woken by a hint in any line, also one that was never there before."""
    queue = RedisQueue(connect(server.url))
    found: list[list[Hint]] = []
    thread = threading.Thread(target=lambda: found.append(queue.take("action", "w", 1, 5_000)))
    thread.start()
    time.sleep(0.1)
    RedisQueue(client).add(_line(priority, 13), ["new"])
    thread.join(60)
    assert [hint.task_id for hint in found[0]] == ["new"], "the wait went by, and nobody was woken"


def test_a_wait_gives_no_more_than_asked_for(queue: RedisQueue) -> None:
    """Hints that came into several lines between the look and the wait go back to their lines."""
    for share in range(4):
        queue.add(_line(share=share), [f"s{share}"])
    hints = queue._wait("action", "w", 1, 100)
    rest = queue.take("action", "w", 10, 0)
    assert len(hints) == 1
    assert sorted(hint.task_id for hint in hints + rest) == ["s0", "s1", "s2", "s3"]
    queue.done("action", hints + rest)
    assert queue.claim("action", "w", 0, 10) == []


def test_hints_of_all_lines_are_claimed(queue: RedisQueue, client: redis.Redis) -> None:
    """What a dead worker left is found in every line, each once, and no line's group is needed for it."""
    for priority in PRIORITIES:
        for share in (0, 7, 15):
            queue.add(_line(priority, share), [f"{priority}{share}-{n}" for n in range(30)])
    idle = 600_000  # milliseconds: longer than this test, so that nothing that was claimed is idle again
    while hints := queue.take("action", "dead", 50, 0):
        for hint in hints:
            client.xclaim(key_of(hint.line), GROUP, "dead", 0, [hint.id], idle=idle, justid=True)
    queue.add(_line(NORMAL, 3), ["new"])  # a line without a group
    found: list[Hint] = []
    while hints := queue.claim("action", "w", idle, 7):
        assert len(hints) <= 7
        found += hints
    assert len({hint.task_id for hint in found}) == len(found) == 270
    queue.done("action", found)
    lengths: Any = [client.xlen(f"sentinel:{{action}}:{priority}.7") for priority in PRIORITIES]
    assert lengths == [0, 0, 0]
    assert [hint.task_id for hint in queue.take("action", "w", 5, 0)] == ["new"]


def test_done_reaches_every_line(queue: RedisQueue, client: redis.Redis) -> None:
    """One call acknowledges and deletes hints of several lines."""
    for line in (_line(HIGH, 1), _line(NORMAL, 2), _line(LOW, 3)):
        queue.add(line, ["a", "b"])
    queue.done("action", queue.take("action", "w", 10, 0))
    for place in ("high.1", "normal.2", "low.3"):
        pending: Any = client.xpending(f"sentinel:{{action}}:{place}", GROUP)
        assert (client.xlen(f"sentinel:{{action}}:{place}"), pending["pending"]) == (0, 0)


@pytest.mark.parametrize("name", ["action", "action:", "action:urgent.3", "action:high.16", "action:high.03"])
def test_what_names_no_line_stands_in_the_normal_one(queue: RedisQueue, name: str) -> None:
    """A plain stream, as tasks of an earlier version have it, and what nobody wrote, are read as well."""
    queue.add(name, ["old"])
    (hint,) = queue.take("action", "w", 5, 0)
    assert (hint.task_id, hint.line) == ("old", _line(NORMAL, 0))


def test_what_an_earlier_version_hinted_goes(queue: RedisQueue, client: redis.Redis) -> None:
    """The one stream of an earlier version is emptied: the sweep hints its tasks again, in their lines."""
    client.xadd("sentinel:{action}", {"task": "old"})
    client.xgroup_create("sentinel:{action}", GROUP, id="0")
    assert queue.claim("action", "w", 0, 10) == []
    assert client.xlen("sentinel:{action}") == 0


def test_poison_blocks_no_line(queue: RedisQueue, client: redis.Redis) -> None:
    """Messages of any form are handed out with the others, so that they can be acknowledged."""
    key = "sentinel:{action}:normal.5"
    client.xadd(key, {"other": "x"})
    client.xadd(key, {b"task": b"\xff", b"b": b"\x00" * 1000})
    client.xadd(key, {f"f{n}": "x" for n in range(300)})
    queue.add(_line(share=5), ["good"])
    hints = queue.take("action", "w", 10, 0)
    assert [hint.task_id for hint in hints] == ["", "\ufffd", "", "good"]
    assert [hint.task_id for hint in queue.claim("action", "w2", 0, 10)] == ["", "\ufffd", "", "good"]
    queue.done("action", hints)
    assert client.xlen(key) == 0


def test_all_lines_together_are_bounded(client: redis.Redis) -> None:
    """All lines of a stream take less than 100 MB when they are full, with task ids of their real length."""
    queue = RedisQueue(client)
    for start in range(0, MAX_HINTS + 5000, 1000):
        queue.add(_line(), [f"{n:026}" for n in range(start, start + 1000)])
    size: Any = client.memory_usage("sentinel:{action}:normal.0", samples=0)
    assert MAX_HINTS <= client.xlen("sentinel:{action}:normal.0") < MAX_HINTS * 1.02
    assert size * len(PRIORITIES) * len(lines_of("action", HIGH)) < 100_000_000


def test_a_full_server_can_be_drained(queue: RedisQueue, client: redis.Redis) -> None:
    """Where memory is up nothing can be added, and what is there is taken, claimed and acknowledged."""
    for share in range(3):
        queue.add(_line(share=share), ["a", "b"])
    queue.take("action", "dead", 1, 0)  # makes the groups of the lines that it asks
    assert len(queue.take("action", "dead", 3, 0)) == 3
    client.config_set("maxmemory", "1")
    try:
        hints = queue.take("action", "w", 10, 0) + queue.claim("action", "w", 0, 10)
        assert len(hints) >= 6
        queue.done("action", hints)
    finally:
        client.config_set("maxmemory", "0")


def test_the_scripts_may_be_forgotten(queue: RedisQueue, client: redis.Redis) -> None:
    """A server that lost its scripts is given them again."""
    queue.add(_line(), ["a", "b"])
    client.script_flush()
    assert len(queue.take("action", "w", 1, 0)) == 1
    client.script_flush()
    assert len(queue.claim("action", "w2", 0, 1)) == 1


def test_an_idle_look_is_one_call(queue: RedisQueue, client: redis.Redis) -> None:
    """Taking from an empty stream is one command and makes nothing; so is a take that finds hints."""
    queue.take("action", "w", 8, 0)
    assert client.keys("*") == []
    for n, share in enumerate((1, 2, 3)):
        queue.add(_line(share=share), [f"t{n}"])
    for expected in (3, 0):
        client.config_resetstat()
        assert len(queue.take("action", "w", 8, 0)) == expected
        told: Any = client.info("commandstats")
        assert told["cmdstat_evalsha"]["calls"] == 1
        assert "cmdstat_eval" not in told
