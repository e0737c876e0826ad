import pytest

from sessions.store import Store
from sessions.sweeper import Sweep, sweep


def store_of(*begun: int) -> Store:
    store = Store(lifetime=100)
    for count, at in enumerate(begun):
        store.begin(f"user{count}", at)
    return store


def test_all_sessions_that_ended_are_swept_at_once():
    store = store_of(0, 0, 0)
    assert sweep(store, 100) == Sweep(3, 0)


def test_keys_come_oldest_first_and_those_that_go_on_stay():
    store = store_of(0, 50, 10, 60)
    assert store.swept(110) == ["s1", "s3"]
    assert [store.user(key, 110) for key in ("s1", "s2", "s3", "s4")] == [None, "user1", None, "user3"]


@pytest.mark.parametrize("begun", [(0, 90), (90, 0), (0, 90, 90), (90, 90, 0), (90, 0, 90)])
def test_it_does_not_matter_where_the_one_that_ended_stands(begun):
    store = store_of(*begun)
    assert sweep(store, 120) == Sweep(1, len(begun) - 1)


def test_a_second_sweep_finds_nothing():
    store = store_of(0, 0, 90)
    sweep(store, 120)
    assert sweep(store, 120) == Sweep(0, 1)


def test_a_session_ends_with_its_last_second():
    store = store_of(0, 1)
    assert store.swept(100) == ["s1"]
    assert store.swept(101) == ["s2"]


def test_a_sweep_of_one_is_told():
    assert str(sweep(store_of(0), 100)) == "1 ended, 0 left"
