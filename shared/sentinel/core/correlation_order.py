"""Deciding in order: correlations whose condition a further hit may make false.

Such are conditions with an upper end, sums and other measures of numbers, temporal conditions in words, and
correlations that other ones count. The rule:

    A hit is decided once `patience` has passed since it was sealed: by the clock of whoever counts for the
    group next, or of the schedule. Hits are decided one after the other in their order. A correlation fires
    at a hit when its condition holds for the hits of the timespan up to that one, (t - timespan, t], and it
    did not fire within a timespan before.

So hits that come within `patience` of their sealing give the same firings in every order of arrival, however
often they are repeated. Later ones, which come after what stands behind them was decided, are ignored, and
counted as old: then the firings depend on the order of the feed, and on nothing else. Since numbers may be
many, not more than `HALF` hits wait; the oldest are decided earlier where more come.

Bounds. Of what is decided only that is kept which can still matter (`kept` of each kind), which changes no
decision, but for numbers: of these the newest `HALF` of a timespan count, and what is let go is counted.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby
from typing import Protocol

from sentinel.core.correlation import Correlation, Hit, order
from sentinel.core.correlation_conditions import Measure
from sentinel.core.correlation_state import MOST, Advanced, Fired, State, merged

Place = tuple[int, str, int]
HALF = MOST // 2  # hits that may wait, and numbers that a timespan may have


class _Condition(Protocol):
    """What a kind of correlation looks at while hits come and go in order."""

    def add(self, hit: Hit) -> None:
        """Take the next hit."""

    def leave(self, hit: Hit) -> None:
        """Give up the oldest hit."""

    def holds(self) -> bool:
        """Say whether the condition holds for the hits that are there."""

    def told(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return those of the hits there that a firing tells of."""

    def kept(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        """Return the hits that may still matter later."""


def add(correlation: Correlation, state: State, hits: Iterable[Hit], now: int) -> Advanced:
    """Count hits, given in any order, and decide what can be decided at `now`, in nanoseconds."""
    given = set(hits)
    place = state.decided
    taken = {hit for hit in given if place is None or hit[:3] > place}
    old = len(given) - len(taken) - sum(hit in given for hit in state.hits if hit not in taken)
    together = merged(state, taken)
    split = bisect_right(together, place, key=lambda hit: hit[:3]) if place else 0
    waiting = together[split:]
    count = _ripe(waiting, now - correlation.patience)
    if not count:
        after = replace(state, hits=together) if len(together) > len(state.hits) else state
        return Advanced(after, old=old)
    run = _Run(correlation, state)
    for hit in together[:split]:
        run.take(hit)
    fired = tuple(run.decide(waiting[:count]))
    left = (*run.kept(), *waiting[count:])
    after = replace(state, hits=left, decided=waiting[count - 1][:3], fired=run.fired)
    return Advanced(after, fired, old, run.let_go)


def _ripe(waiting: Sequence[Hit], until: int) -> int:
    """Return how many hits are decided now, all of an entry together."""
    count = max(bisect_right(waiting, until, key=lambda hit: hit.t), len(waiting) - HALF)
    while 0 < count < len(waiting) and waiting[count][:3] == waiting[count - 1][:3]:
        count += 1
    return count


class _Run:
    """Decides hits one after the other; begins with those of the state that are decided."""

    def __init__(self, correlation: Correlation, state: State) -> None:
        self._correlation = correlation
        self._group = state.group
        self.fired = state.fired
        self._hits: deque[Hit] = deque()
        self._condition = _condition(correlation)
        self.let_go = 0

    def take(self, hit: Hit) -> None:
        """Take the next hit, and give up those that are a timespan older."""
        while self._hits and self._hits[0].t <= hit.t - self._correlation.timespan_ns:
            self._condition.leave(self._hits.popleft())
        if self._correlation.measure and len(self._hits) >= HALF:
            self._condition.leave(self._hits.popleft())
            self.let_go += 1
        self._hits.append(hit)
        self._condition.add(hit)

    def decide(self, hits: Sequence[Hit]) -> Iterator[Fired]:
        """Take the next hits, and yield the firings."""
        span = self._correlation.timespan_ns
        for _, entry in groupby(hits, key=lambda hit: hit[:3]):
            for hit in entry:
                self.take(hit)
            silent = self.fired is not None and hit.t - self.fired < span
            if not silent and self._condition.holds():
                self.fired = hit.t
                yield self._firing()

    def _firing(self) -> Fired:
        last = self._hits[-1]
        told = self._condition.told(self._hits)
        refs = dict.fromkeys((hit.chain, hit.seq) for hit in [*told, last])
        refs[last.chain, last.seq] = refs.pop((last.chain, last.seq))  # the last names the firing
        correlation = self._correlation
        return Fired(correlation.id, correlation.digest, self._group, last.t, len(told), tuple(refs))

    def kept(self) -> Sequence[Hit]:
        """Return the decided hits that may still matter."""
        return self._condition.kept(self._hits)


class _Events:
    """event_count: the newest ones, one more than counts, say as much as all of them."""

    def __init__(self, correlation: Correlation) -> None:
        self._threshold = correlation.threshold
        self._count = 0

    def add(self, _: Hit) -> None:
        self._count += 1

    def leave(self, _: Hit) -> None:
        self._count -= 1

    def holds(self) -> bool:
        return self._count in self._threshold

    def told(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        # Without an upper end there may have been more, which are not all kept.
        return list(hits)[-(self._threshold.high or self._threshold.low) :]

    def kept(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        most = (self._threshold.high or self._threshold.low) + 1
        return list(hits)[-most:]


class _Values:
    """value_count and temporal: the newest hit of each value says as much as all of them."""

    def __init__(self, correlation: Correlation) -> None:
        self._threshold = correlation.threshold
        self._expression = correlation.expression
        self._values = Counter[object]()

    def add(self, hit: Hit) -> None:
        self._values[hit.value] += 1

    def leave(self, hit: Hit) -> None:
        self._values[hit.value] -= 1
        if not self._values[hit.value]:
            del self._values[hit.value]

    def holds(self) -> bool:
        if self._expression is not None:
            return self._expression.holds({str(value) for value in self._values})
        return len(self._values) in self._threshold

    def told(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return self._newest(hits, 0)

    def kept(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return self._newest(hits, 1)

    def _newest(self, hits: Sequence[Hit], more: int) -> Sequence[Hit]:
        """Return the newest hit of each value, of as many values as matter and some more."""
        newest = sorted({hit.value: hit for hit in hits}.values(), key=order)
        if self._expression is not None:
            return newest
        return newest[-(self._threshold.high or self._threshold.low) - more :]


class _Numbers:
    """Sums and other measures: kept sorted, and as their exact sum."""

    def __init__(self, measure: Measure) -> None:
        self._measure = measure
        self._sorted: list[float] = []
        self._sum = Fraction(0)

    def add(self, hit: Hit) -> None:
        number = float(hit.value or 0)
        insort(self._sorted, number)
        self._sum += Fraction(number)

    def leave(self, hit: Hit) -> None:
        number = float(hit.value or 0)
        del self._sorted[bisect_left(self._sorted, number)]
        self._sum -= Fraction(number)

    def holds(self) -> bool:
        return self._measure.holds(self._sorted, self._sum)

    def told(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return hits

    def kept(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        return hits


class _InOrder:
    """temporal_ordered: of each beginning of the order the chain of hits that begins last says enough."""

    def __init__(self, correlation: Correlation) -> None:
        self._position = {rule: i for i, rule in enumerate(correlation.rule_ids)}
        self._span = correlation.timespan_ns
        # Of each length the last chain, and the one before the newest entry, which stands for one rule only.
        self._chains: list[tuple[Hit, ...] | None] = [None] * len(correlation.rule_ids)
        self._before = list(self._chains)
        self._newest: Hit | None = None

    def add(self, hit: Hit) -> None:
        if self._newest is None or hit[:3] != self._newest[:3]:
            self._before = list(self._chains)
        self._newest = hit
        i = self._position[str(hit.value)]
        shorter = self._before[i - 1] if i else ()
        if shorter is not None:
            self._chains[i] = (*shorter, hit)

    def leave(self, _: Hit) -> None:
        """Do nothing: whether a chain is within the timespan is seen by its ends."""

    def holds(self) -> bool:
        whole, last = self._chains[-1], self._newest
        return bool(whole and last and whole[-1][:3] == last[:3] and last.t - whole[0].t < self._span)

    def told(self, _: Sequence[Hit]) -> Sequence[Hit]:
        return self._chains[-1] or ()

    def kept(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        needed = {hit for chain in self._chains if chain for hit in chain}
        return [hit for hit in hits if hit in needed]


def _condition(correlation: Correlation) -> _Condition:
    if correlation.measure is not None:
        return _Numbers(correlation.measure)
    if correlation.kind == "event_count":
        return _Events(correlation)
    return _InOrder(correlation) if correlation.kind == "temporal_ordered" else _Values(correlation)
