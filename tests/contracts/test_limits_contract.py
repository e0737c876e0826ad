"""The contract of `ports_doors.Limits`, on a real Valkey, on a cluster, and in memory, against the model."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from sentinel.adapters.redis_limits import DIGEST, RedisLimits, name_of
from sentinel.adapters.redis_streams import connect
from sentinel.core.limits import MILLION, Bucket, State, take, verdict
from sentinel.errors import Unavailable
from sentinel.ports_doors import Limits
from sentinel.usecases.local_limits import LocalLimits
from tests.valkey import Valkey, running

# A second in which the machine does something else leaks a thousandth of what is counted here.
UNIT = 1_000
PATIENCE = 20.0  # seconds that a server may take to answer; where nobody listens, no time at all passes


@pytest.fixture
def limits(server: Valkey, client: redis.Redis) -> RedisLimits:
    """The counter on the empty server, connected as the doors do, but with patience."""
    assert client.dbsize() == 0
    return RedisLimits(connect(server.url, seconds=PATIENCE, retries=0))


@pytest.fixture(params=["redis", "memory"])
def counter(request: pytest.FixtureRequest) -> Limits:
    """Both counters."""
    if request.param == "memory":
        return LocalLimits(time.monotonic)
    found: RedisLimits = request.getfixturevalue("limits")
    return found


def _bucket(name: str = "requests", rate: int = 1, burst: int = 3, cost: int = 1) -> Bucket:
    return Bucket(name, rate, burst * UNIT, cost * UNIT, UNIT)


def test_a_burst_passes_and_no_more(counter: Limits) -> None:
    """The burst passes at once; what comes then is refused with the time at which it would pass."""
    found = [counter.take("a", [_bucket()]) for _ in range(4)]
    assert [each.allowed for each in found] == [True, True, True, False]
    assert [each.remaining // UNIT for each in found] == [2, 1, 0, 0]
    assert 0.5 * UNIT < found[3].retry_after <= UNIT
    assert found[3].closed == found[3].retry_after
    assert 2 * UNIT < found[3].reset <= 3 * UNIT


def test_a_refused_request_passes_when_it_was_told(counter: Limits) -> None:
    """After `retry_after` the same request passes."""
    bucket = Bucket("requests", 20, 10, 4)
    while (found := counter.take("a", [bucket])).allowed:
        pass
    time.sleep(found.retry_after)
    assert counter.take("a", [bucket]).allowed


def test_all_or_nothing(counter: Limits) -> None:
    """A bucket that is full keeps the others from being used."""
    assert counter.take("a", [_bucket("entries", cost=3)]).allowed
    for _ in range(3):
        assert not counter.take("a", [_bucket("requests"), _bucket("entries", cost=2)]).allowed
    found = counter.take("a", [_bucket("requests", cost=3)])
    assert (found.allowed, found.remaining) == (True, 0)


def test_keys_and_buckets_are_apart(counter: Limits) -> None:
    """What one service takes of one bucket is nobody else's and no other bucket's."""
    for key in ("a", "b", "a/trial", "a}", "{a", "a}:x{", "ä ", "\ud800", "a%7D", "x" * 5000):
        for name in ("requests", "bytes"):
            assert counter.take(key, [_bucket(name, cost=3)]).remaining == 0, (key, name)
            assert not counter.take(key, [_bucket(name)]).allowed


def test_asking_takes_nothing(counter: Limits) -> None:
    """A cost of 0 changes nothing and tells whether the least cost would pass."""
    ask, failure = Bucket("failures", 1, 60_000, 0, 6_000), Bucket("failures", 1, 60_000, 6_000, 6_000)
    for _ in range(10):
        assert counter.take("a", [ask]).closed == 0
        assert counter.take("a", [failure]).allowed
    assert 5_000 < counter.take("a", [ask]).closed <= 6_000
    assert not counter.take("a", [failure]).allowed


def test_no_parallel_taker_gets_what_another_got(counter: Limits) -> None:
    """Of many at once exactly the burst passes."""
    passed: list[bool] = []

    def work() -> None:
        for _ in range(50):
            found = counter.take("a", [_bucket(burst=60), _bucket("bytes", burst=1000)])
            passed.append(found.allowed)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(passed), sum(passed)) == (400, 60)


@pytest.mark.parametrize("seed", range(4))
def test_the_script_is_the_model(limits: RedisLimits, seed: int) -> None:
    """The script counts as `core.limits` does, to the last digit, with rates and sizes of every kind."""
    rng = random.Random(seed)
    shapes = [("a", 5, 10), ("b", 7, 3), ("c", 500_000_000, 1_000_000_000), ("d", 333, 1000), ("e", 1, 60)]
    states = {name: State() for name, *_ in shapes}
    outcomes = set()
    for _ in range(1500):
        chosen = rng.sample(shapes, rng.randint(1, 4))
        buckets = [
            Bucket(name, rate, burst, rng.choice([0, 1, 1, rng.randint(0, max(1, burst // 10)), burst + 7]))
            for name, rate, burst in chosen
        ]
        admitted, now, levels = limits.counted("model", buckets)
        model = take([states[each.name] for each in buckets], buckets, now)
        assert (admitted, levels) == model[:2]
        assert verdict(admitted, levels, buckets).allowed == admitted
        states |= {each.name: state for each, state in zip(buckets, model[2], strict=True)}
        outcomes.add(admitted)
        if rng.random() < 0.02:
            time.sleep(rng.random() / 50)
    assert outcomes == {True, False}


def test_large_numbers_keep_their_last_digit(limits: RedisLimits, client: redis.Redis) -> None:
    """What is stored is whole, though Lua's own way to write numbers has 14 digits."""
    bucket = Bucket("bytes", 1, 4_000_000_000, 1_234_567_891)
    _, first, _ = limits.counted("a", [bucket])
    stored: Any = client.get(name_of("a", "bytes"))
    assert stored == b"1234567891000000 %d" % first
    _, second, (high,) = limits.counted("a", [bucket])
    assert high == 1_234_567_891_000_000 - (second - first)
    stored = client.get(name_of("a", "bytes"))
    assert stored == b"%d %d" % (high + 1_234_567_891_000_000, second)


def test_idle_keys_vanish(limits: RedisLimits, client: redis.Redis) -> None:
    """A key lives until its bucket is empty, and a refusal or a question makes none."""
    limits.take("a", [Bucket("requests", 1, 1_000, 100)])
    left: Any = client.pttl(name_of("a", "requests"))
    assert 80_000 <= left <= 100_001
    limits.take("b", [Bucket("requests", 1, 1, 0)])
    assert client.keys("*") == [name_of("a", "requests").encode()]
    client.flushall()
    limits.take("a", [Bucket("requests", 100, 100, 10)])
    deadline = time.monotonic() + 60
    while client.dbsize():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_clock_that_was_put_back_holds_nobody_up(limits: RedisLimits, client: redis.Redis) -> None:
    """A level of an hour ahead leaks from now on, as after a failover to a server whose clock is behind."""
    bucket = Bucket("requests", 100, 100, 100)
    ahead = int(time.time() * MILLION) + 3600 * MILLION
    client.set(name_of("a", "requests"), b"%d %d" % (10 * MILLION, ahead), px=10_000)
    found = limits.take("a", [bucket])
    assert (found.allowed, found.retry_after) == (False, 0.1)
    time.sleep(0.1)
    assert limits.take("a", [bucket]).allowed


@pytest.mark.parametrize("stored", [b"", b"x", b"-1 5", b"1", b"1e9 5", b"nan 3", b"\xff\xfe", b"5 6 7"])
def test_what_is_no_level_is_none(limits: RedisLimits, client: redis.Redis, stored: bytes) -> None:
    """Text that was never written by the script counts as an empty bucket and is replaced."""
    client.set(name_of("a", "requests"), stored)
    assert limits.take("a", [_bucket()]).remaining // UNIT == 2
    assert limits.take("a", [_bucket()]).remaining // UNIT == 1


def test_a_key_of_another_type_is_unavailable(limits: RedisLimits, client: redis.Redis) -> None:
    """An error inside the script is `Unavailable`, and takes from no bucket."""
    client.lpush(name_of("a", "bytes"), "x")
    with pytest.raises(Unavailable, match="ResponseError"):
        limits.take("a", [_bucket("requests"), _bucket("bytes")])
    assert client.exists(name_of("a", "requests")) == 0


def test_a_script_that_was_forgotten_is_sent_again(limits: RedisLimits, client: redis.Redis) -> None:
    """SCRIPT FLUSH costs one call more, not a request, and counts it once."""
    assert limits.take("a", [_bucket()]).remaining // UNIT == 2
    client.script_flush()
    assert client.script_exists(DIGEST) == [False]
    assert limits.take("a", [_bucket()]).remaining // UNIT == 1
    assert client.script_exists(DIGEST) == [True]


def test_a_flushed_server_begins_anew(limits: RedisLimits, client: redis.Redis) -> None:
    """FLUSHALL forgets what was taken: limits begin anew, nothing fails."""
    assert limits.take("a", [_bucket(cost=3)]).allowed
    assert not limits.take("a", [_bucket()]).allowed
    client.flushall()
    assert limits.take("a", [_bucket()]).remaining // UNIT == 2


def test_a_full_server_is_unavailable(limits: RedisLimits, client: redis.Redis) -> None:
    """Where the server has no memory left the limits fail as if it were away, and nothing is taken."""
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Unavailable, match="OutOfMemory"):
            limits.take("a", [_bucket(), _bucket("bytes")])
    finally:
        client.config_set("maxmemory", "0")
    assert client.dbsize() == 0


def test_a_read_only_server_is_unavailable(limits: RedisLimits, client: redis.Redis) -> None:
    """A replica, as after a failover, is as good as away."""
    client.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(Unavailable):
            limits.take("a", [_bucket()])
    finally:
        client.replicaof("NO", "ONE")


def test_no_key_is_a_mistake(limits: RedisLimits) -> None:
    """An empty key would put the buckets into different slots."""
    with pytest.raises(ValueError, match="key"):
        limits.take("", [_bucket()])


def test_it_works_on_a_cluster(cluster: tuple[str, Any]) -> None:
    """All buckets of a key are in one slot, whatever the key; a forgotten script is sent again there, too."""
    url, process = cluster
    client = connect(url, cluster=True, seconds=PATIENCE, retries=0)
    limits = RedisLimits(client)
    buckets = [_bucket(name) for name in ("requests", "entries", "bytes")]
    for key in ("a", "b}c", "{", "ä/trial", "/token/0"):
        assert limits.take(key, buckets).remaining // UNIT == 2
        client.script_flush()
        assert limits.take(key, buckets).remaining // UNIT == 1
    process.kill()
    process.wait()
    began = time.monotonic()
    with pytest.raises(Unavailable):
        limits.take("a", buckets)
    assert time.monotonic() - began < PATIENCE / 2


def test_a_killed_server_is_unavailable_at_once_and_comes_back(tmp_path: Path) -> None:
    """After kill -9 a call fails without delay; once the server is back the next call counts again."""
    with running(tmp_path) as server:
        limits = RedisLimits(connect(server.url, seconds=PATIENCE, retries=0))
        assert limits.take("a", [_bucket()]).allowed
        server.kill()
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(Unavailable):
                limits.take("a", [_bucket()])
            assert time.monotonic() - began < PATIENCE / 2
        server.start()
        assert limits.take("a", [_bucket()]).allowed


def test_a_memory_forgets_whom_it_saw_last() -> None:
    """The bound of one process remembers so many buckets and no more, those that were used last."""
    memory = LocalLimits(lambda: 1.0, most=4)
    for key in "abcd":
        assert memory.take(key, [_bucket(cost=3)]).allowed
    assert not memory.take("a", [_bucket()]).allowed
    assert memory.take("e", [_bucket(cost=3)]).allowed
    assert not memory.take("a", [_bucket()]).allowed
    assert memory.take("b", [_bucket(cost=3)]).allowed
    assert len(memory._states) == 4
