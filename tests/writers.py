"""Writers to test with: appenders that know nothing of each other, and the batches they send."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Callable

from sentinel.core.segment import Batch
from sentinel.core.verify import Verifier
from sentinel.errors import Unavailable
from sentinel.ports import Ledger
from sentinel.usecases.append import SECOND, Appender
from tests.chains import batch

CHAIN = "checkout/0"


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


def appender(ledger: Ledger, clock: Clock | None = None, seed: int = 1) -> Appender:
    """Make a writer of its own: what another process would be."""
    rng = random.Random(seed)
    return Appender(ledger, clock or Clock(), rng.randbytes, rng.random, lambda _: None)


def entries_of(ledger: Ledger, chain: str = CHAIN) -> list[bytes]:
    """Return a chain's entries, after verifying it."""
    verifier = Verifier(chain)
    found = []
    for segment in ledger.read(chain):
        verifier.check(segment)
        found += segment.opened.entries
    return found


def numbered(name: int, count: int = 2) -> Batch:
    """Make a batch of entries that are found nowhere else."""
    return batch(name, [b'{"b":%d,"i":%d}' % (name, i) for i in range(count)])


@functools.cache
def large(name: int) -> Batch:
    """Make a batch that takes three segments."""
    rng = random.Random(name)
    return batch(
        name, [b'{"b":%d,"m":"%s"}' % (name, rng.randbytes(9000).hex().encode()) for _ in range(100)]
    )


def send_all(ledger: Ledger, writers: int, make: Callable[[int], Batch]) -> set[int]:
    """Send four batches, each up to three times to one writer after another; return those acknowledged."""
    pool = [appender(ledger, seed=seed) for seed in range(writers)]
    acknowledged = set()
    for name in range(1, 5):
        for attempt in range(3):
            try:
                pool[(name + attempt) % writers].append(CHAIN, make(name))
            except Unavailable:
                continue
            acknowledged.add(name)
            break
    return acknowledged


def once(ledger: Ledger, acknowledged: set[int], make: Callable[[int], Batch]) -> None:
    """Check that no entry is there twice, and that each of the acknowledged batches is there."""
    found = Counter(entries_of(ledger))
    assert set(found.values()) <= {1}, "a batch was doubled"
    for name in acknowledged:
        assert all(found[entry] == 1 for entry in make(name).entries), "an acknowledged entry is missing"
