"""What is remembered of one group of one correlation between hits, and how hits are added to it.

`advance` is a pure function of the state, a small value that is stored as bytes between calls. There are two
ways of deciding, each with its own rules and bounds: at once (`correlation_windows`), for conditions that
further hits can only make truer, and in order (`correlation_order`), for all others. Both share:

- *Order.* Hits are ordered by (t, chain, sequence number). Chains are fed separately, so hits come in any
  order; each is put in its place.
- *Repeats.* A hit that is in the state already changes nothing: feeds deliver at least once.
- *Old hits.* What comes later than a correlation waits for it is ignored and counted (`Advanced.old`). So is
  what is delivered again after so long; the two cannot be told apart.
- *Bounds.* A state holds at most `MOST` hits. What has to be let go, though it could still matter, is counted
  (`Advanced.let_go`).

A caller stores what a firing causes *before* it stores the next state. If it dies between the two, the firing
is found in the state, with the same contents, and a task id that is derived from them makes it the same task.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from sentinel.core.correlation import Correlation, Hit, order
from sentinel.errors import Malformed

MOST = 12_000  # hits of a state: packed well below the 400 KB of an item
_VERSION = 2


@dataclass(frozen=True, slots=True)
class Fired:
    """A correlation fired: which, for which group (a `group_key`), when, and because of what.

    `t` is the time of the hit that completed it, in nanoseconds, `count` the number of events, values or
    rules, and `refs` the (chain, seq) of the entries that it took, oldest first; of values and rules the
    newest entry each. `window` says which firing it is, where it was decided at once: the beginning of its
    window of time, in nanoseconds. Where it is None the last of `refs` says so.
    """

    correlation: str
    digest: str
    group: str
    t: int
    count: int
    refs: tuple[tuple[str, int], ...]
    window: int | None = None

    @property
    def identity(self) -> tuple[object, ...]:
        """What tells it from the other firings of its group, in every order of arrival."""
        return self.refs[-1] if self.window is None else (self.window,)

    @property
    def when(self) -> int:
        """The time that it is filed under, in nanoseconds: the same in every order of arrival."""
        return self.t if self.window is None else self.window


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of one group.

    `digest` is the correlation's: a changed correlation starts from new states. `hits` are sorted. Hits of
    times before `floor` are ignored. `windows` are the windows that have fired, counted from the epoch. All
    up to `decided` is decided, in order, and `fired` is the time of the newest firing then.
    """

    digest: str
    group: str
    hits: tuple[Hit, ...] = ()
    floor: int = 0
    windows: tuple[int, ...] = ()
    decided: tuple[int, str, int] | None = None
    fired: int | None = None

    @staticmethod
    def new(correlation: Correlation, group: str) -> State:
        """Return the state of a group that has had no hit yet."""
        return State(correlation.digest, group)

    def dumps(self) -> bytes:
        """Write the state as bytes: JSON, each name of a chain and each text written once, times as steps."""
        names = list(
            dict.fromkeys(
                name for hit in self.hits for name in (hit.chain, hit.value) if isinstance(name, str)
            )
        )
        at: dict[object, int] = {name: i for i, name in enumerate(names)}
        rows, before = [], 0
        for hit in self.hits:
            value = at[hit.value] if isinstance(hit.value, str) else hit.value
            rows.append([hit.t - before, at[hit.chain], hit.seq, value])
            before = hit.t
        head = [_VERSION, self.digest, self.group, names]
        return orjson.dumps([*head, rows, self.floor, self.windows, self.decided, self.fired])

    @staticmethod
    def loads(data: bytes, correlation: Correlation) -> State:
        """Read the state that `dumps` wrote, now or in version 1. Raises Malformed."""
        try:
            version, digest, group, names, rows, *rest = orjson.loads(data)
            if version == 1:
                return _version_1(correlation, digest, group, names, rows, *rest)
            floor, windows, decided, fired = rest
            hits, t = [], 0
            for step, chain, seq, value in rows:
                t += step
                is_name = isinstance(value, int) and not correlation.measure
                hits.append(Hit(t, names[chain], seq, names[value] if is_name else value))
            place = (decided[0], decided[1], decided[2]) if decided else None
            state = State(digest, group, tuple(hits), floor, tuple(windows), place, fired)
        except (ValueError, TypeError, IndexError) as error:
            raise Malformed(f"not a correlation state: {type(error).__name__}") from None
        if version != _VERSION:
            raise Malformed(f"a correlation state of version {version}, not {_VERSION}")
        return state


def _version_1(
    correlation: Correlation,
    digest: str,
    group: str,
    names: list[str],
    rows: list[list[Any]],
    floor: list[int] | None,
    fired: list[int],
) -> State:
    """Read a state in which firings had times of their own: their windows have fired, and those before.

    Which of the two windows holds the larger part of a burst was not written down.
    """
    span = correlation.timespan_ns
    hits = (Hit(t, names[c], seq, None if v is None else names[v][:16]) for t, c, seq, v in rows)
    windows = sorted({window for t in fired for window in (t // span - 1, t // span)})
    state = State(digest, group, tuple(hits), floor[0] + 1 if floor else 0, tuple(windows))
    if not correlation.in_order or not state.hits:
        return state
    last = state.hits[-1]
    return State(
        digest,
        group,
        state.hits,
        state.floor,
        (),
        (last.t, last.chain, last.seq),
        max(fired) if fired else None,
    )


@dataclass(frozen=True, slots=True)
class Advanced:
    """What came of adding hits: the new state, its firings, and how many hits were old or had to go."""

    state: State
    fired: tuple[Fired, ...] = ()
    old: int = 0
    let_go: int = 0


def advance(correlation: Correlation, state: State, hits: Iterable[Hit], now: int) -> Advanced:
    """Add hits, in any order, at the time `now` (nanoseconds), which only deciding in order looks at.

    Raises Malformed when the state belongs to another correlation or another version of it.
    """
    from sentinel.core import correlation_order, correlation_windows

    if state.digest != correlation.digest:
        raise Malformed(f"the state is not one of correlation {correlation.id}")
    if correlation.in_order:
        return correlation_order.add(correlation, state, hits, now)
    return correlation_windows.add(correlation, state, hits)


def due(correlation: Correlation, state: State) -> int | None:
    """Return when all hits of a state can be decided, in nanoseconds; None where they are."""
    if not correlation.in_order or not state.hits:
        return None
    last = state.hits[-1]
    undecided = state.decided is None or state.decided < last[:3]
    return last.t + correlation.patience if undecided else None


def reach(correlation: Correlation) -> int:
    """Return how far behind the newest hit of a group a hit may be and count, in nanoseconds."""
    from sentinel.core.correlation_windows import late_windows

    if correlation.in_order:
        return correlation.timespan_ns + correlation.patience
    return (late_windows(correlation) + 1) * correlation.timespan_ns


def merged(state: State, hits: Collection[Hit]) -> tuple[Hit, ...]:
    """Return the hits of a state with others, in order, each once."""
    return tuple(sorted({*state.hits, *hits}, key=order)) if hits else state.hits
