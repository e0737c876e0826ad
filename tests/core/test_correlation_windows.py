"""Deciding at once: the same windows fire in every order of arrival."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.correlation import Correlation, Hit, order
from sentinel.core.correlation_state import MOST, Fired, State, advance
from sentinel.core.correlation_windows import late_windows
from tests.core.correlations import SPAN, S, correlation, fed, feed, loaded, windows

TWO = "rules: [failed, refused]"
THREE = "rules: [failed, refused, unrelated]"
KINDS = {
    "one event": correlation("event_count", "{gte: 1}"),
    "two events": correlation("event_count", "{gte: 2}"),
    "three events": correlation("event_count", "{gte: 3}"),
    "four events": correlation("event_count", "{gt: 3}"),
    "two values": correlation("value_count", "{field: u, gte: 2}"),
    "three values": correlation("value_count", "{field: u, gte: 3}"),
    "two rules": correlation("temporal", "", TWO),
    "two of three rules": correlation("temporal", "{gte: 2}", THREE),
    "three rules": correlation("temporal", "", THREE),
    "an order of one": correlation("temporal_ordered", "", "rules: [failed]"),
    "an order of two": correlation("temporal_ordered", "", TWO),
    "an order of three": correlation("temporal_ordered", "failed and refused and unrelated", THREE),
}


def at(*seconds: float, value: str | None = None) -> list[Hit]:
    """Return hits at these seconds, in one chain."""
    return [Hit(int(t * S), "a/0", i, value) for i, t in enumerate(seconds)]


def begun(fired: list[Fired]) -> list[int]:
    """Return the beginnings of the windows that fired, in seconds."""
    return [each.when // S for each in fired]


@st.composite
def entries(draw: st.DrawFn, values: tuple[str | None, ...], most: int, span: int) -> list[Hit]:
    """Draw the hits of entries of two chains; times do not go back in a chain, an entry may be two hits."""
    hits = []
    for chain in "ab":
        times = sorted(draw(st.lists(st.integers(0, span), max_size=most // 2)))
        for seq, t in enumerate(times):
            those = draw(st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True))
            hits += [Hit(t * S, chain, seq, value) for value in those]
    return hits[:most]


@st.composite
def arrivals(draw: st.DrawFn, most: int = 9, span: int = 35) -> tuple[Correlation, list[Hit], list[Hit]]:
    """Draw a correlation, its hits, and the same hits in an order of arrival, some of them repeated."""
    compiled = KINDS[draw(st.sampled_from(sorted(KINDS)))]
    values: tuple[str | None, ...] = (None,)
    if compiled.kind == "value_count":
        values = ("x", "y", "z")
    if compiled.kind.startswith("temporal"):
        values = compiled.rule_ids
    hits = draw(entries(values, most, span))
    again = draw(st.lists(st.sampled_from(hits), max_size=3)) if hits else []
    return compiled, hits, draw(st.permutations(hits + again))


def cut(hits: list[Hit], seed: int) -> list[list[Hit]]:
    """Cut hits into batches."""
    chance = random.Random(seed)
    batches: list[list[Hit]] = [[]]
    for hit in hits:
        if chance.random() < 0.6:
            batches.append([])
        batches[-1].append(hit)
    return [batch for batch in batches if batch]


@given(arrivals(), st.integers(0, 2**16))
@settings(max_examples=400, deadline=None)
def test_every_order_of_arrival_fires_the_same_windows(
    drawn: tuple[Correlation, list[Hit], list[Hit]], seed: int
) -> None:
    """Whatever the order, the batches and the repetitions, those windows fire that the definition says."""
    compiled, hits, arrived = drawn
    _, fired, steps = fed(compiled, cut(arrived, seed))
    found = [each.when // SPAN for each in fired]
    assert sorted(found) == sorted(windows(compiled, hits))
    assert not any(step.old or step.let_go for step in steps)


@given(arrivals(), st.integers(0, 2**16))
@settings(max_examples=150, deadline=None)
def test_in_order_a_firing_tells_the_same_of_itself(
    drawn: tuple[Correlation, list[Hit], list[Hit]], seed: int
) -> None:
    """In a feed that is in order firings name the same entries in whatever batches they come, and enough."""
    compiled, hits, _ = drawn
    ordered = sorted(set(hits), key=order)
    _, one_by_one = feed(compiled, [[hit] for hit in ordered])
    _, batched = feed(compiled, cut(ordered, seed))
    _, at_once = feed(compiled, [ordered] if ordered else [])
    key = Fired.identity.fget  # type: ignore[attr-defined]
    assert sorted(one_by_one, key=key) == sorted(batched, key=key) == sorted(at_once, key=key)
    by_place = {hit[1:3]: hit.t for hit in hits}
    for each in one_by_one:
        times = [by_place[ref] for ref in each.refs]
        assert max(times) - min(times) < SPAN
        assert each.t == max(times)
        assert each.count == compiled.threshold.low


@given(arrivals(), st.data())
@settings(max_examples=150, deadline=None)
def test_repeated_hits_change_nothing(
    drawn: tuple[Correlation, list[Hit], list[Hit]], data: st.DataObject
) -> None:
    """Feeds deliver at least once: giving earlier hits again neither changes the state nor fires."""
    compiled, hits, _ = drawn
    state, _ = feed(compiled, [[hit] for hit in hits])
    if hits:
        again = data.draw(st.lists(st.sampled_from(hits), min_size=1))
        step = advance(compiled, state, again, 0)
        assert (step.state, step.fired) == (state, ())


@given(st.integers(2, 40), st.integers(0, 2**16), st.sampled_from(sorted(KINDS)))
@settings(max_examples=150, deadline=None)
def test_what_is_let_go_of_a_flood_changes_no_decision(hits: int, seed: int, kind: str) -> None:
    """States that are thinned out after each hit decide as one that is given everything at once."""
    compiled, chance = KINDS[kind], random.Random(seed)
    values = {"value_count": "xyzuvw"}.get(compiled.kind, compiled.rule_ids or (None,))
    if compiled.kind == "event_count":
        values = (None,)
    flood = [
        Hit(chance.randrange(0, 300) * S // 10, chance.choice("ab"), i // 2, chance.choice(list(values)))
        for i in range(hits)
    ]
    one_by_one = {each.when for each in feed(compiled, [[hit] for hit in flood])[1]}
    at_once = {each.when for each in feed(compiled, [flood])[1]}
    assert one_by_one == at_once


def test_it_fires_when_enough_come_within_the_timespan() -> None:
    """Three within ten seconds fire, for the window of the middle one, with all three as reasons."""
    compiled = correlation()
    state, fired = feed(compiled, [[hit] for hit in at(1, 5, 10.9)])
    refs = (("a/0", 0), ("a/0", 1), ("a/0", 2))
    assert fired == [Fired("burst", compiled.digest, "[]", int(10.9 * S), 3, refs, 0)]
    assert state.windows == (0,)


@pytest.mark.parametrize(("last", "fires"), [(10.999, True), (11, False), (12, False)])
def test_hits_a_timespan_apart_are_not_within_it(last: float, fires: bool) -> None:
    """A hit exactly a timespan before another is not taken with it; one a little later is."""
    assert bool(feed(correlation(), [at(1, 5, last)])[1]) is fires


def test_a_lasting_attack_fires_once_a_window() -> None:
    """However many hits come, a group fires once in each window of the grid."""
    assert begun(feed(correlation(), [[hit] for hit in at(*range(1, 41))])[1]) == [0, 10, 20, 30]


def test_what_trickles_after_a_burst_does_not_fire_again() -> None:
    """A burst fires for its window; in the next one half a burst is needed to fire again."""
    compiled = correlation(condition="{gte: 6}")
    burst = [4, 5, 6, 7, 8, 9]
    assert begun(feed(compiled, [at(*burst, 11, 12)])[1]) == [0]
    assert begun(feed(compiled, [at(*burst, 11, 12, 13)])[1]) == [0, 10]


def test_a_burst_across_two_windows_fires_once() -> None:
    """Just enough hits on both sides of a boundary are one firing, for the side that has more of them."""
    compiled = correlation(condition="{gte: 5}")
    assert begun(feed(compiled, [at(7, 8, 9, 10, 11)])[1]) == [0]
    assert begun(feed(compiled, [at(8, 9, 10, 11, 12)])[1]) == [10]
    assert begun(feed(compiled, [at(9, 12)], 0)[1]) == []


def test_values_are_counted_once() -> None:
    """Repetitions of one value do not fire; of each the newest entry is named."""
    compiled = KINDS["three values"]
    hits = [Hit(i * S // 10, "a/0", i, value) for i, value in enumerate("aaabbbaac")]
    _, fired = feed(compiled, [[hit] for hit in hits])
    assert [(each.count, each.refs) for each in fired] == [(3, (("a/0", 5), ("a/0", 7), ("a/0", 8)))]
    assert feed(compiled, [hits[:-1]])[1] == []


def test_an_entry_stands_for_one_rule_of_an_order() -> None:
    """One entry that matches two rules is no order of two; in any order of rules it is both."""
    first, second = KINDS["an order of two"].rule_ids
    both = [Hit(S, "a/0", 0, first), Hit(S, "a/0", 0, second)]
    assert feed(KINDS["an order of two"], [both])[1] == []
    assert len(feed(KINDS["two rules"], [both])[1]) == 1
    assert len(feed(KINDS["an order of two"], [both, [Hit(S, "a/0", 1, second)]])[1]) == 1


def test_ties_are_ordered_by_chain_and_sequence_number() -> None:
    """Hits of one moment follow each other by the names of their chains, then by their numbers."""
    first, second = KINDS["an order of two"].rule_ids
    assert feed(KINDS["an order of two"], [[Hit(S, "b/0", 0, first), Hit(S, "a/0", 9, second)]])[1] == []
    assert len(feed(KINDS["an order of two"], [[Hit(S, "a/0", 9, first), Hit(S, "b/0", 0, second)]])[1]) == 1
    assert feed(KINDS["an order of two"], [[Hit(S, "a/0", 10, first), Hit(S, "a/0", 9, second)]])[1] == []


def test_a_hit_may_come_a_timespan_late_at_least() -> None:
    """Hits are taken for ten minutes' worth of windows where states stay small, else for one window."""
    small, large = correlation(), correlation(condition="{gte: 5000}")
    long = loaded("type: event_count, rules: failed, timespan: 2h, condition: {gte: 3}").correlations[0]
    assert (late_windows(small), late_windows(large), late_windows(long)) == (60, 1, 1)
    state, _ = feed(long, [[Hit(5 * 7200 * S, "a/0", 9)]])
    in_time = Hit(4 * 7200 * S, "b/0", 0)
    too_late = Hit(4 * 7200 * S - 1, "b/0", 0)
    assert in_time in advance(long, state, [in_time], 0).state.hits
    step = advance(long, state, [too_late, in_time], 0)
    assert (step.old, too_late in step.state.hits) == (1, False)


def test_late_hits_of_different_chains_meet() -> None:
    """A hit that comes as late as is allowed still fires with one that came in time, a window before."""
    compiled = KINDS["two events"]
    late = late_windows(compiled)
    first, second = Hit(9 * S, "a/0", 0), Hit(11 * S, "b/0", 0)
    newest = Hit((late + 1) * SPAN, "c/0", 0)
    assert begun(feed(compiled, [[first], [newest], [second]])[1]) == [10]
    assert begun(feed(compiled, [[second], [Hit(late * SPAN, "c/0", 0)], [first]])[1]) == [10]


def test_a_flood_keeps_the_state_small() -> None:
    """However many hits come, a window keeps twice as many as are enough."""
    compiled = correlation()
    hits = [Hit(i * S // 100, "a/0", i) for i in range(3000)]
    state, fired = feed(compiled, [hits[i : i + 7] for i in range(0, 3000, 7)])
    assert begun(fired) == [0, 10, 20]
    assert len(state.hits) == 3 * 6
    flood = correlation("temporal_ordered", "", TWO)
    first, second = flood.rule_ids
    run = [Hit(i * S // 100, "a/0", i, first) for i in range(900)]
    state, fired = feed(flood, [[hit] for hit in run])
    assert (len(state.hits), fired) == (4, [])
    assert begun(list(advance(flood, state, [Hit(9 * S, "b/0", 0, second)], 0).fired)) == [0]


def test_what_has_no_room_is_counted() -> None:
    """Where a state would grow beyond its bound the oldest hits go, counted, and are not taken again."""
    compiled = correlation("temporal_ordered", "", THREE)
    first, second, _ = compiled.rule_ids
    hits = [Hit(i * S // 2000, "a/0", i, (first, second)[i % 2]) for i in range(MOST + 500)]
    state, _, steps = fed(compiled, [hits[:MOST], hits[MOST:]])
    assert len(state.hits) == MOST
    assert [step.let_go for step in steps] == [0, 500]
    step = advance(compiled, state, hits[:2], 0)
    assert (step.state, step.old) == (state, 2)


def test_the_largest_state_fits_an_item() -> None:
    """With as many hits as a state holds, of different values, it packs to well below 400 KB."""
    import zstandard

    chance = random.Random(7)
    compiled = correlation("value_count", "{field: u, gte: 5000}")
    hits = sorted(
        (
            Hit(
                10**18 + chance.randrange(10**13),
                f"a-service-name/{i % 8}",
                10**9 + i,
                f"{chance.getrandbits(64):016x}",
            )
            for i in range(MOST)
        ),
        key=order,
    )
    packed = zstandard.ZstdCompressor(level=1).compress(State(compiled.digest, "[]", tuple(hits)).dumps())
    assert len(packed) < 370_000
