"""What each run of the tests takes of many cases that are alike; with `SENTINEL_THOROUGH` it takes all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def thorough() -> bool:
    """Say whether all cases are to be tried."""
    return bool(os.environ.get("SENTINEL_THOROUGH"))


def taken(cases: Sequence[T], step: int, first: int = 0) -> Sequence[T]:
    """Return each `step`-th case, from the `first` on: callers with another `first` take the others."""
    return cases if thorough() else cases[first % step :: step]
