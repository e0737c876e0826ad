"""Deciding in order: hits that come in time give the same firings in every order of arrival."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.correlation import Correlation, Hit, Measure, order
from sentinel.core.correlation_conditions import relation
from sentinel.core.correlation_order import HALF
from sentinel.core.correlation_state import Fired, State, advance, due
from tests.core.correlations import SPAN, S, correlation, fed, loaded

TWO = "rules: [failed, refused]"
THREE = "rules: [failed, refused, unrelated]"
LONG = 10**6 * S


def fed_on(compiled: Correlation) -> Correlation:
    """Return a correlation as it is where another one counts it."""
    return replace(compiled, feeds=True)


KINDS = {
    "a range of events": correlation("event_count", "{gt: 1, lte: 3}"),
    "exactly two events": correlation("event_count", "{eq: 2}"),
    "events for another": fed_on(correlation()),
    "a range of values": correlation("value_count", "{field: u, gte: 2, lt: 4}"),
    "values for another": fed_on(correlation("value_count", "{field: u, gte: 3}")),
    "one rule of two": correlation("temporal", "{eq: 1}", TWO),
    "rules for another": fed_on(correlation("temporal", "", TWO)),
    "an order for another": fed_on(correlation("temporal_ordered", "", THREE)),
    "one rule but not another": correlation("temporal", "failed and not refused", TWO),
    "words": correlation("temporal", "(failed or refused) and unrelated", THREE),
    "a sum": correlation("value_sum", "{field: n, gt: 5}"),
    "a mean": correlation("value_avg", "{field: n, gte: 2, lt: 4}"),
    "a median": correlation("value_median", "{field: n, gte: 3}"),
    "a percentile": correlation("value_percentile", "{field: n, percentile: 75, gte: 4}"),
}


def holds(compiled: Correlation, window: Sequence[Hit]) -> bool:
    """Whether a condition holds for hits, as plainly as it can be said."""
    values = [hit.value for hit in window]
    if compiled.expression is not None:
        return compiled.expression.holds({str(value) for value in values})
    if compiled.measure is not None:
        numbers = sorted(float(value or 0) for value in values)
        size = len(numbers)
        found: float = {
            "value_sum": sum(numbers),
            "value_avg": sum(numbers) / size,
            "value_median": (numbers[(size - 1) // 2] + numbers[size // 2]) / 2,
            "value_percentile": next(
                n for i, n in enumerate(numbers, 1) if 100 * i >= compiled.measure.percentile * size
            ),
        }[compiled.kind]
        return all(relation(name, found, number) for name, number in compiled.measure.tests)
    if compiled.kind == "temporal_ordered":
        last, place = window[-1][:3], (-1, "", 0)
        wanted = list(compiled.rule_ids)
        for hit in window:
            is_last = len(wanted) == 1
            if wanted and hit.value == wanted[0] and place < hit[:3] and (not is_last or hit[:3] == last):
                place = hit[:3]
                wanted.pop(0)
        return not wanted
    return (len(window) if compiled.kind == "event_count" else len(set(values))) in compiled.threshold


def firings(compiled: Correlation, hits: Sequence[Hit]) -> list[tuple[int, tuple[str, int]]]:
    """Return (time, last entry) of what fires, by looking at the timespan before every entry."""
    ordered = sorted(set(hits), key=order)
    found: list[tuple[int, tuple[str, int]]] = []
    for place, _ in groupby(ordered, key=lambda hit: hit[:3]):
        window = [hit for hit in ordered if place[0] - SPAN < hit.t and hit[:3] <= place]
        silent = found and place[0] - found[-1][0] < SPAN
        if not silent and holds(compiled, window):
            found.append((place[0], place[1:]))
    return found


def told(fired: Sequence[Fired]) -> list[tuple[int, tuple[str, int]]]:
    """Return the same of firings."""
    assert all(each.window is None and each.when == each.t for each in fired)
    return [(each.t, each.refs[-1]) for each in fired]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Correlation, list[Hit], int]:
    """Draw a correlation, its hits of two chains, and a seed for how they come."""
    compiled = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    values: Sequence[str | float | None] = compiled.rule_ids
    if compiled.kind == "event_count":
        values = [None]
    if compiled.kind == "value_count":
        values = ["x", "y", "z", "w"]
    if compiled.measure:
        values = [-3.0, 0.5, 1.0, 4.0, 9.0]
    hits = []
    for chain in "ab":
        times = sorted(draw(st.lists(st.integers(0, 40), max_size=8)))
        for seq, t in enumerate(times):
            most = 2 if compiled.kind.startswith("temporal") else 1
            those = draw(st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True))
            hits += [Hit(t * S, chain, seq, value) for value in those]
    return compiled, hits, draw(st.integers(0, 2**16))


def arriving(compiled: Correlation, hits: Sequence[Hit], seed: int) -> list[tuple[int, list[Hit]]]:
    """Return (now, hits) of calls: each entry comes within `patience`, some again, some calls bring none."""
    chance = random.Random(seed)
    calls: list[tuple[int, list[Hit]]] = []
    for _, entry in groupby(sorted(hits, key=order), key=lambda hit: hit[:3]):
        those = list(entry)
        times = chance.choice((1, 1, 2))
        calls += [(those[0].t + chance.randrange(compiled.patience), those) for _ in range(times)]
        if chance.random() < 0.3:
            calls.append((those[0].t + chance.randrange(2 * compiled.patience), []))
    return sorted(calls, key=lambda call: call[0])


def run(compiled: Correlation, calls: Sequence[tuple[int, list[Hit]]]) -> tuple[State, list[Fired], int]:
    """Advance a new state by calls, through its bytes each time, and decide everything in the end."""
    fired: list[Fired] = []
    state, old = State.new(compiled, "[]"), 0
    for now, hits in [*calls, (LONG, [])]:
        step = advance(compiled, State.loads(state.dumps(), compiled), hits, now)
        state, old = step.state, old + step.old
        fired += step.fired
        assert not step.let_go
    return state, fired, old


@given(histories())
@settings(max_examples=500, deadline=None)
def test_hits_that_come_in_time_fire_the_same(drawn: tuple[Correlation, list[Hit], int]) -> None:
    """Whatever the order of arrival, the repetitions and the calls between, firings are the definition's."""
    compiled, hits, seed = drawn
    state, fired, _ = run(compiled, arriving(compiled, hits, seed))
    assert told(fired) == firings(compiled, hits)
    assert due(compiled, state) is None
    _, at_once, _ = run(compiled, [(0, hits)])
    assert fired == at_once


@given(histories())
@settings(max_examples=100, deadline=None)
def test_every_firing_is_decided_when_its_patience_is_over(drawn: tuple[Correlation, list[Hit], int]) -> None:
    """Nothing is decided before, and who calls when `due` says so finds everything decided."""
    compiled, hits, _ = drawn
    if not hits:
        return
    first = min(hit.t for hit in hits)
    step = advance(compiled, State.new(compiled, "[]"), hits, first + compiled.patience - 1)
    assert (step.fired, step.state.decided) == ((), None)
    at = due(compiled, step.state)
    assert at == max(hit.t for hit in hits) + compiled.patience
    step = advance(compiled, step.state, [], at)
    assert told(step.fired) == firings(compiled, hits)


def test_late_hits_change_nothing_and_are_counted() -> None:
    """What comes after a later hit was decided is ignored; the outcome depends on the feed's order only."""
    compiled = KINDS["events for another"]
    hits = [Hit(t * S, "a/0", t) for t in (100, 101, 102)]
    late = Hit(99 * S, "b/0", 0)
    state, fired, old = run(compiled, [(LONG, hits[:2]), (LONG, [late]), (LONG, hits[2:])])
    assert (told(fired), old) == ([(102 * S, ("a/0", 102))], 1)
    assert late not in state.hits


def test_a_flood_that_waits_is_decided_earlier() -> None:
    """No more hits wait than have room; then the oldest are decided before their patience is over."""
    compiled = KINDS["events for another"]
    hits = [Hit(i * S // 1000, "a/0", i) for i in range(HALF + 10)]
    step = advance(compiled, State.new(compiled, "[]"), hits, 0)
    assert len(step.state.hits) == HALF + 4
    assert step.state.decided == hits[9][:3]
    assert told(step.fired) == [(2 * S // 1000, ("a/0", 2))]


@pytest.mark.parametrize("name", sorted(set(KINDS) - {"a sum", "a mean", "a median", "a percentile"}))
def test_what_is_decided_stays_small(name: str) -> None:
    """Of decided hits a handful says as much as all of them, whatever the flood."""
    compiled = KINDS[name]
    values: list[str | None] = {"event_count": [None], "value_count": [*"xyzw"]}.get(
        compiled.kind, [*compiled.rule_ids]
    )
    hits = [Hit(i * S // 500, "a/0", i, values[i % 7 % len(values)]) for i in range(3000)]
    state, _, _ = run(compiled, [(LONG, hits[i : i + 300]) for i in range(0, 3000, 300)])
    assert len(state.hits) <= 9


def test_of_numbers_the_newest_count() -> None:
    """Numbers that a timespan has no room for go, the oldest first, however they come; they are counted."""
    compiled = correlation("value_sum", f"{{field: n, gte: {HALF + 1}}}")
    hits = [Hit(i, "a/0", i, 1.0) for i in range(HALF + 50)]
    _, fired, steps = fed(compiled, [hits[i : i + 1000] for i in range(0, len(hits), 1000)], LONG)
    _, at_once, step = fed(compiled, [hits], LONG)
    assert fired == at_once == []
    assert sum(each.let_go for each in steps) == step[0].let_go == 50


def test_sums_are_exact() -> None:
    """A sum does not depend on the order of its parts, nor does what has left it leave anything behind."""
    compiled = correlation("value_sum", "{field: n, gte: 0.25}")
    huge = [Hit(0, "a/0", 0, 1e300), Hit(1, "a/0", 1, -1e300), Hit(2, "a/0", 2, 0.25)]
    assert told(fed(compiled, [huge], LONG)[1]) == [(0, ("a/0", 0))]
    compiled = correlation("value_sum", "{field: n, eq: 0.25}")
    assert told(fed(compiled, [huge], LONG)[1]) == [(2, ("a/0", 2))]
    assert Fraction(1e300) + Fraction(0.25) - Fraction(1e300) == Fraction(0.25)


def test_a_percentile_is_one_by_nearest_rank() -> None:
    """The 95th percentile of twenty numbers is the nineteenth: at least 95% do not exceed it."""
    numbers = [float(n) for n in range(1, 21)]
    found = [
        n for n in numbers if Measure("value_percentile", (("eq", n),), 95).holds(numbers, Fraction(210))
    ]
    assert found == [19]


def test_each_level_waits_for_the_one_below() -> None:
    """Who counts firings waits for a minute's schedule longer than what it counts, and its clock, too."""
    rules = loaded(
        "type: event_count, rules: failed, timespan: 10s, condition: {gte: 3}",
        "type: event_count, rules: burst, timespan: 10m, condition: {eq: 2}",
        "type: event_count, rules: burst1, timespan: 1h, condition: {eq: 2}",
    )
    waits = [each.patience for each in rules.correlations]
    assert all(later >= earlier + 150 * S for earlier, later in pairwise(waits))
