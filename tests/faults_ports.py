"""A ledger whose calls fail on demand: the k-th, unsent or with its answer lost, once or ever after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from sentinel.core.segment import Segment
from sentinel.errors import Unavailable
from sentinel.ports import Ledger

T = TypeVar("T")


@dataclass
class FaultyLedger:
    """Passes calls on to `inner` and counts them; `fails(n)` says whether call n fails.

    With `applied` a failing call has been carried out, and only its answer is lost.
    """

    inner: Ledger
    fails: Callable[[int], bool] = lambda _: False
    applied: bool = False
    calls: int = 0
    log: list[str] = field(default_factory=list)

    def append(self, segment: Segment) -> None:
        self._call("append", lambda: self.inner.append(segment))

    def head(self, chain: str) -> Segment | None:
        return self._call("head", lambda: self.inner.head(chain))

    def at(self, chain: str, seq: int) -> Segment | None:
        return self._call("at", lambda: self.inner.at(chain, seq))

    def read(self, chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        return self._call("read", lambda: self.inner.read(chain, first, limit))

    def chains(self) -> Iterator[str]:
        return self._call("chains", self.inner.chains)

    def _call(self, name: str, call: Callable[[], T]) -> T:
        self.calls += 1
        self.log.append(name)
        if not self.fails(self.calls):
            return call()
        if self.applied:
            call()
        raise Unavailable(f"injected at call {self.calls}", 0.001)
