"""The limiter: tiers, headers, what is refused without asking, and what holds while the counter is away."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.adapters.redis_limits import RedisLimits
from sentinel.adapters.redis_streams import connect
from sentinel.core.access import TIERS
from sentinel.core.limits import Bucket, Verdict
from sentinel.errors import Forbidden, Limited, Malformed, Unavailable
from sentinel.ports_doors import Limits
from sentinel.usecases.limit import MOST_CLOSED, PAUSE, Limiter
from sentinel.usecases.local_limits import LocalLimits
from tests.valkey import Valkey, running


@dataclass
class Clock:
    """A clock that stands still until it is moved."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counter:
    """The counter of all processes, with its calls counted; `away` is what it raises while it is set."""

    inner: Limits
    calls: int = 0
    away: Exception | None = None
    keys: list[str] = field(default_factory=list)

    def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
        self.calls += 1
        self.keys.append(key)
        if self.away is not None:
            raise self.away
        return self.inner.take(key, buckets)


@pytest.fixture
def clock() -> Clock:
    """A clock in the test's hand."""
    return Clock()


@pytest.fixture
def counter(clock: Clock) -> Counter:
    """A counter that all limiters of a test share."""
    return Counter(LocalLimits(clock))


@pytest.fixture
def limiter(counter: Counter, clock: Clock) -> Limiter:
    """One process's limiter."""
    return Limiter(lambda: counter, clock)


def burst(limiter: Limiter, service: str = "checkout", tier: str = "trial") -> int:
    """Send requests until one is refused; return how many passed."""
    passed = 0
    try:
        while passed < 10_000:
            limiter.take(service, tier)
            passed += 1
    except Limited:
        pass
    return passed


def test_a_request_takes_of_every_bucket(limiter: Limiter) -> None:
    """Requests, entries and bytes are limited each; the tightest decides."""
    trial = TIERS["trial"]
    limiter.take("checkout", "trial", 1, int(trial.entries * trial.burst), 10)
    with pytest.raises(Limited, match="500 entries a second"):
        limiter.take("checkout", "trial", 1, 1, 10)
    limiter.take("checkout", "trial")
    limiter.take("other", "trial", 1, 1, int(trial.bytes * trial.burst))
    with pytest.raises(Limited, match="500,000 bytes a second"):
        limiter.take("other", "trial", 1, 1, 1)


def test_the_headers_of_an_answer(limiter: Limiter) -> None:
    """`RateLimit-Policy` names the tier's limits, `RateLimit` what the tightest has left, and until when."""
    headers = limiter.take("checkout", "standard", 1, 10_000, 1_500_000)
    assert headers == {
        "RateLimit-Policy": '"requests";q=200;w=2, "entries";q=40000;w=2;qu="sentinel-entries", '
        '"bytes";q=40000000;w=2;qu="content-bytes"',
        "RateLimit": '"entries";r=30000;t=1',
    }
    assert limiter.take("reader", "standard")["RateLimit"] == '"requests";r=199;t=1'


def test_a_refusal_says_when_to_come_back(limiter: Limiter, clock: Clock) -> None:
    """429 comes with the seconds until the same request passes, in `Retry-After` and in `RateLimit` alike."""
    limiter.take("checkout", "trial", 1, 1000)
    with pytest.raises(Limited) as caught:
        limiter.take("checkout", "trial", 1, 600)
    assert caught.value.retry_after == pytest.approx(1.2)
    assert caught.value.limits["RateLimit"] == '"entries";r=0;t=2'
    assert "RateLimit-Policy" in caught.value.limits
    clock.now += caught.value.retry_after + 1e-5
    limiter.take("checkout", "trial", 1, 600)


@given(st.lists(st.tuples(st.sampled_from(list(TIERS)), st.integers(0, 20_000), st.integers(0, 10**7))))
def test_headers_are_structured_fields(takes: list[tuple[str, int, int]]) -> None:
    """Whatever is taken, the fields parse as lists of RFC 9651 with whole numbers of at most 15 digits."""
    limiter = Limiter(None, Clock())
    item = r'"[a-z]+"(;[a-z]+=(\d{1,15}|"[a-z-]+"))+'
    for tier, entries, size in takes:
        try:
            headers: Mapping[str, str] = limiter.take("a", tier, 1, entries, size)
        except Limited as error:
            headers = error.limits
        assert set(headers) == {"RateLimit", "RateLimit-Policy"}
        for value in headers.values():
            assert re.fullmatch(rf"{item}(, {item})*", value), value


def test_an_unknown_tier_is_refused(limiter: Limiter, counter: Counter) -> None:
    """A tier that this version does not know is 403, with the tiers that there are."""
    with pytest.raises(Forbidden, match="trial, standard, high"):
        limiter.take("checkout", "gold")
    with pytest.raises(Forbidden):
        limiter.refuse_closed("checkout", "gold")
    assert counter.calls == 0


def test_services_and_tiers_are_apart(limiter: Limiter, counter: Counter) -> None:
    """One service's use is not another's, and a service that gets another tier begins anew."""
    assert burst(limiter, "a") == burst(limiter, "b") == 10
    assert burst(limiter, "a", "standard") == 200
    assert set(counter.keys) == {"a/trial", "b/trial", "a/standard"}


def test_what_is_closed_is_refused_without_asking(limiter: Limiter, counter: Counter, clock: Clock) -> None:
    """Once a bucket lets nothing through, requests that need it are refused here until it does."""
    assert burst(limiter) == 10
    calls = counter.calls
    for _ in range(100):
        with pytest.raises(Limited) as caught:
            limiter.take("checkout", "trial", 1, 5, 5)
        assert caught.value.retry_after == pytest.approx(0.2)
        assert caught.value.limits["RateLimit"] == '"requests";r=0;t=1'
        with pytest.raises(Limited):
            limiter.refuse_closed("checkout", "trial")
    assert counter.calls == calls
    limiter.refuse_closed("other", "trial")
    clock.now += 0.2
    limiter.refuse_closed("checkout", "trial")
    limiter.take("checkout", "trial")
    assert counter.calls == calls + 1


def test_a_closed_bucket_closes_nothing_else(limiter: Limiter, counter: Counter) -> None:
    """Without entries left, what stores none still passes, and a small batch is asked about."""
    limiter.take("checkout", "trial", 1, 1000)
    with pytest.raises(Limited):
        limiter.take("checkout", "trial", 1, 1)
    limiter.refuse_closed("checkout", "trial")
    limiter.take("checkout", "trial")
    limiter.take("other", "trial", 1, 995)
    calls = counter.calls
    with pytest.raises(Limited):
        limiter.take("other", "trial", 1, 10)
    limiter.take("other", "trial", 1, 5)
    assert counter.calls == calls + 2


@given(
    st.lists(
        st.tuples(st.integers(0, 700), st.integers(0, 1500), st.integers(0, 10**6)),
        max_size=80,
    )
)
def test_refusing_without_asking_is_exact(steps: list[tuple[int, int, int]]) -> None:
    """A limiter that remembers decides as one that asks each time."""
    clock = Clock()
    one, two = Limiter(lambda: first, clock), LocalLimits(clock)
    first = Counter(LocalLimits(clock))
    for pause, entries, size in steps:
        clock.now += pause / 1000
        trial = TIERS["trial"]
        shape = (
            ("requests", trial.requests, 1),
            ("entries", trial.entries, entries),
            ("bytes", trial.bytes, size),
        )
        found = two.take("a", [Bucket(name, rate, rate * 2, cost) for name, rate, cost in shape if cost])
        try:
            one.take("a", "trial", 1, entries, size)
        except Limited:
            assert not found.allowed
        else:
            assert found.allowed


def test_the_memory_of_closed_buckets_is_bounded(counter: Counter, clock: Clock) -> None:
    """However many services are over their limits, so many closed buckets are remembered and no more."""
    closed = Verdict(False, "requests", 1.0, 1.0, 0, 2.0)

    class Closed:
        def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
            del key, buckets
            return closed

    limiter = Limiter(Closed, clock)
    for number in range(MOST_CLOSED + 100):
        with pytest.raises(Limited):
            limiter.take(f"s{number}", "trial")
    assert len(limiter._closed) == MOST_CLOSED
    with pytest.raises(Limited):
        limiter.refuse_closed(f"s{MOST_CLOSED + 99}", "trial")


@pytest.mark.parametrize(
    "error", [Unavailable("away"), Malformed("no such address")], ids=["away", "not to be had"]
)
def test_it_fails_open_up_to_a_bound(
    limiter: Limiter, counter: Counter, clock: Clock, error: Exception
) -> None:
    """While the counter is away each process holds services to the same rates by itself, and says so."""
    counter.away = error
    assert burst(limiter) == 10
    assert counter.calls == 1
    assert limiter.uncounted() == 10
    assert limiter.uncounted() == 0
    clock.now += 0.6
    assert burst(limiter) == 3
    assert counter.calls == 1


def test_a_counter_that_is_away_is_asked_once_a_second(
    limiter: Limiter, counter: Counter, clock: Clock
) -> None:
    """It is left alone for a second, then asked by one request; once it answers, it is asked always."""
    counter.away = Unavailable("away")
    for _ in range(5):
        limiter.take("checkout", "standard")
    assert counter.calls == 1
    clock.now += PAUSE - 0.01
    limiter.take("checkout", "standard")
    assert counter.calls == 1
    clock.now += 0.01
    limiter.take("checkout", "standard")
    limiter.take("checkout", "standard")
    assert counter.calls == 2
    counter.away = None
    clock.now += PAUSE
    limiter.uncounted()
    for _ in range(3):
        limiter.take("checkout", "standard")
    assert (counter.calls, limiter.uncounted()) == (5, 0)


def test_what_was_closed_here_is_open_when_the_counter_is_back(
    limiter: Limiter, counter: Counter, clock: Clock
) -> None:
    """A debt that a process wrote down by itself counts until the counter answers again, and no longer."""
    counter.away = Unavailable("away")
    limiter.take("checkout", "trial", 1, 1, 5_000_000)
    clock.now += PAUSE
    counter.away = None
    with pytest.raises(Limited):
        limiter.take("checkout", "trial", 1, 1, 1)
    limiter.take("other", "trial")
    limiter.take("checkout", "trial", 1, 1, 1)


def test_one_request_at_a_time_tries_a_dead_counter(clock: Clock) -> None:
    """While one request waits for a counter that is away, the others do not: they are decided here."""
    begun, go = threading.Event(), threading.Event()

    class Slow:
        calls = 0

        def take(self, key: str, buckets: Sequence[Bucket]) -> Verdict:
            del key, buckets
            self.calls += 1
            if self.calls > 1:
                begun.set()
                assert go.wait(60)
            raise Unavailable("away")

    slow = Slow()
    limiter = Limiter(lambda: slow, clock)
    limiter.take("a", "standard")
    clock.now += PAUSE
    probe = threading.Thread(target=limiter.take, args=("a", "standard"))
    probe.start()
    assert begun.wait(60)
    for _ in range(10):
        limiter.take("a", "standard")
    go.set()
    probe.join()
    assert slow.calls == 2


def test_alone_a_process_needs_no_counter(clock: Clock) -> None:
    """Without a counter the limits are those of the process, and that is no failure."""
    limiter = Limiter(None, clock)
    assert burst(limiter) == 10
    assert limiter.uncounted() == 0


def test_failed_attempts_are_limited(limiter: Limiter, counter: Counter, clock: Clock) -> None:
    """After ten failures in a minute a client is refused before anything of it is looked at."""
    for _ in range(10):
        limiter.check_failures("checkout", "thumb")
        limiter.failure("checkout", "thumb")
    calls = counter.calls
    for _ in range(20):
        with pytest.raises(Limited, match="failed attempts") as caught:
            limiter.check_failures("checkout", "thumb")
        assert caught.value.retry_after == pytest.approx(6)
    assert counter.calls == calls
    limiter.failure("checkout", "thumb")
    clock.now += 6
    limiter.check_failures("checkout", "thumb")
    limiter.failure("checkout", "thumb")
    with pytest.raises(Limited):
        limiter.check_failures("checkout", "thumb")


@pytest.mark.parametrize(
    "other",
    [("checkout", "thumb2"), ("checkout2", "thumb"), ("checkoutt", "humb"), ("", ""), ("\ud800}{", "\0")],
)
def test_failures_of_one_are_nobody_elses(limiter: Limiter, other: tuple[str, str]) -> None:
    """Nobody can lock out a client by failing in its name with another certificate, or as somebody else."""
    for _ in range(11):
        limiter.failure("checkout", "thumb")
    limiter.check_failures(*other)
    with pytest.raises(Limited):
        limiter.check_failures("checkout", "thumb")


def test_failures_are_limited_while_the_counter_is_away(limiter: Limiter, counter: Counter) -> None:
    """Guessing does not get free by the counter's being away."""
    counter.away = Unavailable("away")
    for _ in range(10):
        limiter.check_failures("checkout", "thumb")
        limiter.failure("checkout", "thumb")
    with pytest.raises(Limited):
        limiter.check_failures("checkout", "thumb")


PATIENCE = 20.0  # seconds that a server may take to answer; where nobody listens, no time at all passes


def _redis(server: Valkey, clock: Callable[[], float] = time.monotonic) -> Limiter:
    store = RedisLimits(connect(server.url, seconds=PATIENCE, retries=0))
    return Limiter(lambda: store, clock)


def test_two_processes_share_one_burst(server: Valkey) -> None:
    """What one process admits the other one does not, on a real Valkey."""
    one, two = _redis(server), _redis(server)
    passed = 0
    began = time.monotonic()
    for limiter in (one, two) * 20:
        try:
            limiter.take("shared", "trial")
            passed += 1
        except Limited:
            pass
    assert 10 <= passed <= 10 + 5 * (time.monotonic() - began) + 1


def _bursts(limiter: Limiter, service: str) -> None:
    """Check that a service gets its burst and no more, but for what leaked meanwhile: five a second."""
    began = time.monotonic()
    passed = burst(limiter, service)
    assert 10 <= passed <= 10 + 5 * (time.monotonic() - began) + 1


def test_a_server_that_is_killed_in_the_middle(tmp_path: Path, clock: Clock) -> None:
    """After kill -9 every request is answered at once and within a bound; afterwards it is exact again."""
    with running(tmp_path) as server:
        limiter = _redis(server, clock)
        _bursts(limiter, "before")
        assert limiter.uncounted() == 0
        server.kill()
        began = time.monotonic()
        assert burst(limiter, "during") == 10
        assert time.monotonic() - began < PATIENCE / 2
        assert limiter.uncounted() == 10
        server.start()
        clock.now += PAUSE
        _bursts(limiter, "after")
        assert limiter.uncounted() == 0
        server.flush()
        clock.now += 2.1  # what was closed is open again
        _bursts(limiter, "after")


@contextmanager
def _silent() -> Iterator[int]:
    """Listen on loopback and never answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_never_answers_costs_its_time_once(clock: Clock) -> None:
    """One request waits for a quarter of a second; the others in the second after it wait for nothing."""
    with _silent() as port:
        store = Counter(RedisLimits(connect(f"redis://127.0.0.1:{port}", seconds=0.25, retries=0)))
        limiter = Limiter(lambda: store, clock)
        began = time.monotonic()
        limiter.take("a", "high")
        assert 0.2 < time.monotonic() - began < PATIENCE
        for _ in range(500):
            limiter.take("a", "high")
        assert store.calls == 1
        clock.now += PAUSE
        limiter.take("a", "high")
        assert store.calls == 2
        assert limiter.uncounted() == 502
