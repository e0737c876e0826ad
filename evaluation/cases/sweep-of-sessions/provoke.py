"""The first sweep after a busy hour."""

from sessions.store import Store
from sessions.sweeper import sweep

store = Store(lifetime=900)
for user, at in [("ada", 0), ("bob", 30), ("cleo", 700), ("dan", 60)]:
    store.begin(user, at)
sweep(store, 1_000)
