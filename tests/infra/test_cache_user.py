"""The cache's user on a real server: it may do what the functions do with Redis, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from infra.network import ACCESS
from sentinel.adapters.redis_limits import SCRIPT, RedisLimits
from sentinel.adapters.redis_streams import RedisQueue
from sentinel.core.limits import Bucket
from tests.valkey import Valkey


@pytest.fixture
def user(server: Valkey, client: redis.Redis) -> Iterator[Any]:
    """Log in as a user with the rights of the cache's user; here by a password."""
    root: Any = client
    root.execute_command("ACL", "SETUSER", "sentinel-dev", "reset", ">word", *ACCESS.split())
    made = redis.Redis.from_url(server.url, username="sentinel-dev", password="word")
    yield made
    made.close()
    root.execute_command("ACL", "DELUSER", "sentinel-dev")


def test_the_user_may_do_what_functions_do(user: Any) -> None:
    """The queue's calls and the limits' script work with the rights that are deployed."""
    queue = RedisQueue(user)
    queue.add("siem", ["task"])
    hints = queue.take("siem", "worker", 1, 0)
    queue.done("siem", hints)
    assert [hint.task_id for hint in hints] == ["task"]
    limits = RedisLimits(user)
    for _ in range(2):  # with the script, then by its name
        assert limits.take("checkout", [Bucket("requests", 5, 10, 1)]).allowed


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("KEYS", "*"),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SCRIPT", "FLUSH"),
        ("SET", "elsewhere", "1"),
        ("GET", "elsewhere"),
        ("DEL", "sentinel:limit:{checkout}:requests"),
        ("EVAL", SCRIPT, 1, "elsewhere", 1, 1, 1),
        ("EVAL", "return redis.call('FLUSHALL')", 0),
    ],
    ids=lambda each: " ".join(map(str, each))[:24].replace("\n", " "),
)
def test_the_user_may_do_nothing_else(user: Any, command: tuple[object, ...]) -> None:
    """Other keys, other commands and both from within a script are refused by the server."""
    with pytest.raises(redis.exceptions.ResponseError, match=r"(?i)permission|NOPERM|ACL"):
        user.execute_command(*command)
