from sessions.store import Store
from sessions.sweeper import Sweep, sweep


def test_an_empty_store_is_swept():
    assert sweep(Store(lifetime=100), 0) == Sweep(0, 0)


def test_a_sweep_tells_what_is_left():
    store = Store(lifetime=100)
    store.begin("kim", 0)
    assert str(sweep(store, 50)) == "0 ended, 1 left"
