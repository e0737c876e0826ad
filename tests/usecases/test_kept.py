"""What is kept: for how long, for how long at most, and how seldom a store that is away is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sentinel.errors import Unavailable
from sentinel.usecases.kept import PAUSE, Kept, Pause
from tests.doors import Clock


class Store:
    """Counts its readings; can be away, and then takes `hangs` seconds to say so."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.read, self.hangs, self.down = clock, 0, 0.0, False

    def load(self) -> int:
        """Return how often it was read."""
        self.read += 1
        if self.down:
            self.clock.now += self.hangs
            raise Unavailable("away")
        return self.read

    @contextmanager
    def away(self, hangs: float = 0.0) -> Iterator[None]:
        """Be away for a block."""
        self.down, self.hangs = True, hangs
        yield
        self.down = False


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands."""
    return Clock(1_000.0)


@pytest.fixture
def store(clock: Clock) -> Store:
    """Give a store that answers."""
    return Store(clock)


def test_a_value_is_used_for_its_seconds(clock: Clock, store: Store) -> None:
    """Then, or once it was declared old, it is read anew."""
    kept = Kept(store.load, 10, clock)
    assert [kept.get(), kept.get()] == [1, 1]
    clock.now += 9.9
    assert kept.get() == 1
    clock.now += 0.1
    assert kept.get() == 2
    kept.expire()
    assert kept.get() == 3


def test_a_store_that_hangs_keeps_one_caller_a_second_waiting(clock: Clock, store: Store) -> None:
    """The others get what is kept at once, and the pause begins when the waiting has ended."""
    kept = Kept(store.load, 10, clock, 60)
    kept.get()
    clock.now += 10
    with store.away(hangs=4):
        store.read = 0
        for _ in range(100):
            assert kept.get() == 1
        assert store.read == 1
        clock.now += PAUSE
        assert kept.get() == 1
        assert store.read == 2
    assert kept.get() == 1
    clock.now += PAUSE
    assert kept.get() == 3


def test_nothing_is_used_past_its_last_second(clock: Clock, store: Store) -> None:
    """Neither while the store is not asked, nor because asking it took so long."""
    kept = Kept(store.load, 10, clock, 60)
    kept.get()
    clock.now += 59.5
    with store.away(hangs=1):
        with pytest.raises(Unavailable):
            kept.get()
        with pytest.raises(Unavailable) as refused:
            kept.get()
        assert store.read == 2
        assert 0 < refused.value.retry_after <= PAUSE


def test_a_pause_is_of_all_that_is_read_from_one_store(clock: Clock, store: Store) -> None:
    """One that waited in vain speaks for the others: a request waits once."""
    pause = Pause(clock)
    first, second = (Kept(store.load, 10, clock, 60, pause) for _ in range(2))
    with store.away(hangs=2):
        for kept in (first, second, first):
            with pytest.raises(Unavailable):
                kept.get()
        assert store.read == 1
    clock.now += PAUSE
    assert (first.get(), second.get()) == (2, 3)
