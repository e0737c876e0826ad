"""Deciding at once: correlations whose condition further hits can only make truer.

Such are a lower end of a count of events, values or rules, and an order of rules. The rule:

    Time is cut into windows of one timespan, from the epoch. A correlation fires for a group at most once a
    window: when some of its hits, all within less than a timespan, are enough, and the middle one of them
    lies in the window.

Enough are `n` hits, hits of `n` different values or rules, or one of every rule in the order of the rules;
the middle one of `n` is number n // 2, counted from 0. So a burst that crosses from one window into the next
is found, and fires for the window that has the larger part of it; what follows it has to be half a burst to
fire again.

Which windows fire is a monotone function of the *set* of hits: hits only ever add windows. Hence it is the
same set in every order of arrival, however often hits are repeated and in whatever batches they come, and
there is nothing to wait for. What a firing tells of itself, its `refs`, is the first combination in the order
of hits as they are known; in a feed that is in order that is always the same one.

Bounds. All hits of a window are needed until it has fired; then of each window the first and last ones that
are enough (`_thinned`), which changes no decision. Windows older than `late_windows` before the newest hit's
are over: hits in them are ignored, and counted as old. That is at least one timespan, and as many as
`LATENESS` has where the states stay small enough.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from sentinel.core.correlation import SECOND, Correlation, Hit, order
from sentinel.core.correlation_state import MOST, Advanced, Fired, State, merged

LATENESS = 600 * SECOND

# The searches yield what fires beside the windows that are `known`, and add it to them.
_Found = Iterator[tuple[int, Sequence[Hit]]]


def late_windows(correlation: Correlation) -> int:
    """Return how many windows before the newest hit's still take hits; at least one."""
    wanted = -(-LATENESS // correlation.timespan_ns)
    room = MOST // (2 * correlation.threshold.low) - 2
    return max(1, min(wanted, room))


def add(correlation: Correlation, state: State, hits: Iterable[Hit]) -> Advanced:
    """Count hits, given in any order, and return the windows that fire with them and had not before."""
    span = correlation.timespan_ns
    late = late_windows(correlation)
    newest = state.hits[-1].t // span if state.hits else 0
    floor = max(state.floor, (newest - late) * span)
    given = set(hits)
    taken = [hit for hit in given if hit.t >= floor]
    together = merged(state, taken)
    if len(together) == len(state.hits):
        return Advanced(state, old=len(given) - len(taken))
    known = set(state.windows)
    search = _SEARCHES[correlation.kind]
    found = [
        _fired(correlation, state.group, window, those)
        for window, those in search(correlation, together, known)
    ]
    kept, floor, let_go = _bounded(correlation, together, state.floor)
    oldest = together[-1].t // span - late - 2
    windows = tuple(sorted(window for window in known if window >= oldest))
    after = replace(state, hits=kept, floor=floor, windows=windows)
    fired = tuple(sorted(found, key=lambda each: each.when))
    return Advanced(after, fired, len(given) - len(taken), let_go)


def _fired(correlation: Correlation, group: str, window: int, hits: Sequence[Hit]) -> Fired:
    """Return a firing; it names as many entries as are enough, of values and rules the newest one each."""
    if correlation.kind != "event_count":
        hits = sorted({hit.value: hit for hit in hits}.values(), key=order)[-correlation.threshold.low :]
    refs = tuple(dict.fromkeys((hit.chain, hit.seq) for hit in hits))
    begins = window * correlation.timespan_ns
    return Fired(correlation.id, correlation.digest, group, hits[-1].t, len(hits), refs, begins)


def _of_events(correlation: Correlation, hits: Sequence[Hit], known: set[int]) -> _Found:
    low, span = correlation.threshold.low, correlation.timespan_ns
    for last in range(low - 1, len(hits)):
        first = last - low + 1
        if hits[last].t - hits[first].t < span:
            window = hits[first + low // 2].t // span
            if window not in known:
                known.add(window)
                yield window, hits[first : last + 1]


def _of_values(correlation: Correlation, hits: Sequence[Hit], known: set[int]) -> _Found:
    """Look at the timespan before each hit. It reaches into two windows: `early` and `late` have its parts.

    Of hits of different values in it the middle one can be put into a part that has values enough.
    """
    low, span = correlation.threshold.low, correlation.timespan_ns
    whole, early, late = Counter[object](), Counter[object](), Counter[object]()
    start = cut = 0
    for last, hit in enumerate(hits):
        window = hit.t // span
        whole[hit.value] += 1
        late[hit.value] += 1
        while hits[cut].t // span < window:
            _less(late, hits[cut].value)
            early[hits[cut].value] += 1
            cut += 1
        while hits[start].t <= hit.t - span:
            _less(early, hits[start].value)
            _less(whole, hits[start].value)
            start += 1
        if len(whole) < low:
            continue
        for each, enough in (
            (window - 1, len(early) > low // 2),
            (window, len(late) >= low - low // 2),
        ):
            if enough and each not in known:
                known.add(each)
                yield each, hits[start : last + 1]


def _less(counts: Counter[object], value: object) -> None:
    counts[value] -= 1
    if not counts[value]:
        del counts[value]


def _of_order(correlation: Correlation, hits: Sequence[Hit], known: set[int]) -> _Found:
    """Look at each hit of the middle rule: the latest beginning before it, and the earliest end after it."""
    rules, span = correlation.rule_ids, correlation.timespan_ns
    middle = len(rules) // 2
    before = _chains(hits, rules[: middle + 1])
    after = _chains(hits[::-1], rules[: middle - 1 if middle else None : -1])
    for hit in hits:
        if hit.value == rules[middle] and hit in before and hit in after:
            those = [*before[hit], *after[hit][-2::-1]]
            window = hit.t // span
            if those[-1].t - those[0].t < span and window not in known:
                known.add(window)
                yield window, those


def _chains(hits: Iterable[Hit], rules: Sequence[str]) -> dict[Hit, list[Hit]]:
    """Return for each hit of the last of `rules` a chain of hits of all of them in order that ends with it.

    It is the one that begins last. An entry stands for one of the rules only.
    """
    position = {rule: i for i, rule in enumerate(rules)}
    best: list[list[Hit] | None] = [None] * len(rules)
    found: dict[Hit, list[Hit]] = {}
    for _, entry in groupby(hits, key=lambda hit: hit[:3]):
        fresh: list[tuple[int, list[Hit]]] = []
        for hit in entry:
            i = position.get(str(hit.value))
            shorter = best[i - 1] if i else []
            if i is not None and shorter is not None:
                fresh.append((i, [*shorter, hit]))
        for i, chain in fresh:
            best[i] = chain
            if i == len(rules) - 1:
                found[chain[-1]] = chain
    return found


_SEARCHES: dict[str, Callable[[Correlation, Sequence[Hit], set[int]], _Found]] = {
    "event_count": _of_events,
    "value_count": _of_values,
    "temporal": _of_values,
    "temporal_ordered": _of_order,
}


def _bounded(correlation: Correlation, hits: Sequence[Hit], floor: int) -> tuple[tuple[Hit, ...], int, int]:
    """Return what is kept of hits, the time from which on, and how many had to go that could matter."""
    span = correlation.timespan_ns
    oldest = hits[-1].t // span - late_windows(correlation) - 1
    kept: list[Hit] = []
    for window, those in groupby(hits, key=lambda hit: hit.t // span):
        if window >= oldest:
            kept += _thinned(correlation, list(those))
    over = len(kept) - MOST
    if over <= 0:
        return tuple(kept), floor, 0
    floor = kept[over - 1].t + 1
    left = tuple(hit for hit in kept if hit.t >= floor)
    return left, floor, len(kept) - len(left)


def _thinned(correlation: Correlation, hits: list[Hit]) -> list[Hit]:
    """Return the hits of one window without those that can change no decision.

    Windows before need its beginning, windows after its end, and each of them no more than is enough by
    itself. Of a value the first and the last hit stand for all between them; so it is for a run of one rule.
    """
    low = correlation.threshold.low
    if correlation.kind == "event_count":
        return hits if len(hits) <= 2 * low else hits[:low] + hits[-low:]
    if correlation.kind == "temporal_ordered":
        return [hit for i, hit in enumerate(hits) if not _inside_a_run(hits, i)]
    first: dict[object, Hit] = {}
    last: dict[object, Hit] = {}
    for hit in hits:
        first.setdefault(hit.value, hit)
    for hit in reversed(hits):
        last.setdefault(hit.value, hit)
    kept = {*list(first.values())[:low], *list(last.values())[:low]}
    return [hit for hit in hits if hit in kept]


def _inside_a_run(hits: Sequence[Hit], i: int) -> bool:
    """Whether the two hits on either side are of the same rule, each of an entry with no other hit."""
    near = hits[max(i - 2, 0) : i + 3]
    return len(near) == 5 and len({hit.value for hit in near}) == 1 and len({hit[:3] for hit in near}) == 5
