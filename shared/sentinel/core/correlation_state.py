"""Counts the hits of one correlation in one group, over a sliding window of event time.

`advance` is a pure function of the state, a small value that is stored as bytes between calls. Its rules:

- *Window.* At a hit the count is the number of hits (or of distinct values) with times in (t - timespan, t]
  that are not after it in the order of `Hit`. The correlation fires at the first hit whose count satisfies
  the threshold.
- *Once.* A firing at t silences the group for all hits less than a timespan away from t, so a lasting attack
  fires once a timespan and no hit is part of two firings.
- *Repeats.* A hit that is in the state already changes nothing and never fires again: feeds deliver at least
  once.
- *Order.* Chains are fed separately, so times may go backwards between calls. A late hit is put in its place,
  and the windows of later hits that contain it are looked at again. Hits more than two timespans older than
  the newest are too late and ignored.
- *Bound.* At most `RESERVE` hits more than the threshold's upper (else lower) end are kept. When there are
  more, hits whose value occurs again later go first, then the oldest. Lost then: the exact count and the full
  list of contributing entries of a burst (both are lower bounds), late hits older than what was let go, and
  for a range the windows that reach back to it. Whether a lower end was reached is not lost in a stream that
  is in order.

A caller stores what a firing causes *before* it stores the new state. If it dies between the two, the same
hit fires again with the same contents, and a task id that is derived from them makes it the same task.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from sentinel.core.correlation import Correlation, Hit
from sentinel.errors import Malformed

RESERVE = 256
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Fired:
    """A correlation fired: which, for which group (a `group_key`), when, and because of what.

    `t` is the time of the hit that completed the count, in nanoseconds. `count` is the number of events or of
    distinct values in the window, and `refs` the (chain, seq) of the entries that contributed, oldest first;
    both are lower bounds when the state was at its bound.
    """

    correlation: str
    digest: str
    group: str
    t: int
    count: int
    refs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one group of one correlation between hits.

    `digest` is the correlation's: a changed correlation starts from new states. `hits` are sorted. Hits at or
    before `floor` were let go. `fired` are the times of recent firings.
    """

    digest: str
    group: str
    hits: tuple[Hit, ...] = ()
    floor: Hit | None = None
    fired: tuple[int, ...] = ()

    @staticmethod
    def new(correlation: Correlation, group: str) -> State:
        """Return the state of a group that has had no hit yet."""
        return State(correlation.digest, group)

    def dumps(self) -> bytes:
        """Write the state as bytes: JSON, with each name of a chain and each value written once."""
        names = list(
            dict.fromkeys(name for hit in self.hits for name in (hit.chain, hit.value) if name is not None)
        )
        at = {name: i for i, name in enumerate(names)}
        rows = [[h.t, at[h.chain], h.seq, None if h.value is None else at[h.value]] for h in self.hits]
        return orjson.dumps(
            [
                _VERSION,
                self.digest,
                self.group,
                names,
                rows,
                self.floor and list(self.floor),
                list(self.fired),
            ]
        )

    @staticmethod
    def loads(data: bytes) -> State:
        """Read the state that `dumps` wrote. Raises Malformed."""
        try:
            version, digest, group, names, rows, floor, fired = orjson.loads(data)
            hits = tuple(Hit(t, names[c], seq, None if v is None else names[v]) for t, c, seq, v in rows)
            state = State(digest, group, hits, Hit(*floor) if floor else None, tuple(fired))
        except (ValueError, TypeError, IndexError) as error:
            raise Malformed(f"not a correlation state: {type(error).__name__}") from None
        if version != _VERSION:
            raise Malformed(f"a correlation state of version {version}, not {_VERSION}")
        return state


def advance(correlation: Correlation, state: State, hit: Hit) -> tuple[State, Fired | None]:
    """Count one more hit. Returns the new state, and the firing if this hit completes one (see the module).

    Raises Malformed when the state belongs to another correlation or another version of it.
    """
    if state.digest != correlation.digest:
        raise Malformed(f"the state is not one of correlation {correlation.id}")
    if _known(correlation, state, hit):
        return state, None
    hits = list(state.hits)
    insort(hits, hit, key=_order)
    crossing = _crossing(correlation, state, hits, hit)
    fired = state.fired
    result = None
    if crossing is not None:
        last, count = crossing
        fired = (*fired, hits[last].t)
        result = _fired(correlation, state.group, hits, last, count)
    return _bounded(correlation, replace(state, hits=tuple(hits), fired=fired)), result


def _order(hit: Hit) -> tuple[int, str, int]:
    return hit.t, hit.chain, hit.seq


def _known(correlation: Correlation, state: State, hit: Hit) -> bool:
    """Whether the hit was counted before, or is from a time that was let go."""
    if state.floor is not None and _order(hit) <= _order(state.floor):
        return True
    if state.hits and hit.t <= state.hits[-1].t - 2 * correlation.timespan_ns:
        return True
    at = bisect_left(state.hits, _order(hit), key=_order)
    return at < len(state.hits) and _order(state.hits[at]) == _order(hit)


def _crossing(
    correlation: Correlation, state: State, hits: Sequence[Hit], new: Hit
) -> tuple[int, int] | None:
    """Find the first hit from `new` on that fires: (its position, its count).

    Its window has `new` in it, satisfies the threshold, and is not silenced by an earlier firing.
    """
    span = correlation.timespan_ns
    first = bisect_left(hits, _order(new), key=_order)
    start = _window_start(hits, first, span)
    values = Counter(hit.value for hit in hits[start:first])
    for i in range(first, len(hits)):
        if hits[i].t >= new.t + span:
            break
        while hits[start].t <= hits[i].t - span:
            values[hits[start].value] -= 1
            if not values[hits[start].value]:
                del values[hits[start].value]
            start += 1
        values[hits[i].value] += 1
        count = len(values) if correlation.counted else i - start + 1
        if count in correlation.threshold and _may_fire(correlation, state, hits[i].t):
            return i, count
    return None


def _may_fire(correlation: Correlation, state: State, t: int) -> bool:
    """Say whether no firing silences time `t`, and a range is not decided on a window that was cut short."""
    span = correlation.timespan_ns
    cut_short = state.floor is not None and state.floor.t > t - span
    if cut_short and correlation.threshold.high is not None:
        return False
    return all(abs(t - fired) >= span for fired in state.fired)


def _window_start(hits: Sequence[Hit], last: int, span: int) -> int:
    return bisect_right(hits, hits[last].t - span, hi=last, key=lambda hit: hit.t)


def _fired(correlation: Correlation, group: str, hits: Sequence[Hit], last: int, count: int) -> Fired:
    window = hits[_window_start(hits, last, correlation.timespan_ns) : last + 1]
    refs = tuple((hit.chain, hit.seq) for hit in window)
    return Fired(correlation.id, correlation.digest, group, hits[last].t, count, refs)


def _bounded(correlation: Correlation, state: State) -> State:
    """Return the state without what can no longer matter, and within its bound."""
    horizon = state.hits[-1].t - 2 * correlation.timespan_ns
    hits = [hit for hit in state.hits if hit.t > horizon]
    fired = tuple(t for t in state.fired if t > horizon - correlation.timespan_ns)
    floor = state.floor
    cap = (correlation.threshold.high or correlation.threshold.low) + RESERVE
    if len(hits) > cap:
        hits = _without_one_repeat(hits)
        if len(hits) > cap:
            floor = hits[0]
            del hits[0]
    return replace(state, hits=tuple(hits), floor=floor, fired=fired)


def _without_one_repeat(hits: list[Hit]) -> list[Hit]:
    """Leave out the oldest hit whose value occurs again later, if there is one and hits have values."""
    if hits[0].value is None:
        return hits
    left: Counter[Any] = Counter(hit.value for hit in hits)
    for i, hit in enumerate(hits):
        if left[hit.value] > 1:
            return hits[:i] + hits[i + 1 :]
    return hits
