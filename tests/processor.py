"""Bounds on processor time: what hostile input costs does not depend on who else uses the machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail where a block takes so many seconds of this process's processor time, or more."""
    begun = time.process_time()
    yield
    took = time.process_time() - begun
    assert took < seconds, f"it took {took:.1f} s of the processor"
