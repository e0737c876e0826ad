"""Keys of another type where lines should be: whoever put them there, all other lines work on."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from sentinel.adapters.lambda_doorbell import NoDoorbell
from sentinel.adapters.redis_lines import key_of
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.lines import line_of, lines_of
from sentinel.errors import Unavailable
from sentinel.usecases.dispatch import hint

KEYS = ["sentinel:{action}:high.3", "sentinel:{action}:normal.5", "sentinel:{action}"]


@pytest.fixture
def queue(client: redis.Redis) -> RedisQueue:
    """Give a queue of the server, in which some keys are of another type."""
    for key, kind in zip(KEYS, ("set", "rpush", "hset"), strict=True):
        args: dict[str, tuple[Any, ...]] = {"set": ("x",), "rpush": ("x", "y"), "hset": ("x", "y")}
        getattr(client, kind)(key, *args[kind])
    return RedisQueue(client)


def test_the_other_lines_are_taken_and_claimed(queue: RedisQueue) -> None:
    """A worker gets the hints of every line that is one."""
    for share in (2, 4):
        queue.add(line_of("action", "high", share), [f"h{share}"])
        queue.add(line_of("action", "normal", share), [f"n{share}"])
    hints = queue.take("action", "w", 10, 0)
    assert sorted(hint.task_id for hint in hints) == ["h2", "h4", "n2", "n4"]
    assert queue.take("action", "w", 10, 0) == []
    found = queue.claim("action", "w", 0, 10)
    assert sorted(hint.task_id for hint in found) == ["h2", "h4", "n2", "n4"]
    queue.done("action", found)
    assert queue.claim("action", "w", 0, 10) == []


def test_hints_for_a_line_that_is_none_stand_in_another(queue: RedisQueue) -> None:
    """A task whose line cannot take its hint is hinted in another one, of its priority."""
    wanted = {line_of("action", "high", 3): ["a", "b"], line_of("action", "normal", 5): ["c"]}
    assert hint({**wanted, line_of("action", "normal", 6): ["d"]}, queue, NoDoorbell()) == 4
    hints = queue.take("action", "w", 10, 0)
    assert len(hints) == 4
    assert {each.task_id for each in hints} == {"a", "b", "c", "d"}
    assert {each.line.partition(".")[0] for each in hints} == {"action:high", "action:normal"}
    queue.done("action", hints)


@pytest.mark.parametrize("added", [True, False])
def test_a_wait_passes_by_what_is_no_line(queue: RedisQueue, added: bool) -> None:
    """A worker that waits gets what comes, or nothing, and no error."""
    if added:
        queue.add(line_of("action", "low", 0), ["late"])
        queue.take("action", "w", 1, 0)
    assert queue.take("action", "w", 10, 20) == []


def test_a_dead_letter_stream_of_another_type_is_told_of(client: redis.Redis) -> None:
    """Where failures cannot be listed it is said: what has failed is known from the tasks."""
    client.set("sentinel:{dead}", "x")
    queue = RedisQueue(client)
    with pytest.raises(Unavailable):
        queue.bury("t", "why")
    with pytest.raises(Unavailable):
        queue.buried(10)


def test_where_no_key_of_a_priority_is_a_stream_it_is_said(client: redis.Redis) -> None:
    """Then nothing can be hinted, and the feed keeps the change."""
    for line in lines_of("action", "low"):
        client.set(key_of(line), "x")
    with pytest.raises(Unavailable, match="delete"):
        RedisQueue(client).add(line_of("action", "low", 7), ["a"])
