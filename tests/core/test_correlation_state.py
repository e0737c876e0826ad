"""Counting: when a correlation fires, and what its state survives."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import RESERVE, Fired, State, advance
from sentinel.core.rules import load
from sentinel.errors import Malformed

S = 1_000_000_000
BASE = """title: Login failed
id: 0e95725d-7320-415d-80f7-004da920fc11
name: failed
logsource: {category: auth}
detection: {selection: {outcome: failure}, condition: selection}
---
"""


def document(body: str, name: str = "burst") -> str:
    """Return a correlation document; `body` is the inside of its correlation section."""
    return f"title: {name}\nname: {name}\nlevel: high\ncorrelation: {{{body}}}\n"


def correlation(kind: str = "event_count", condition: str = "gte: 3") -> Correlation:
    """Return a correlation of failed logins within ten seconds."""
    body = f"type: {kind}, rules: failed, timespan: 10s, condition: {{{condition}}}"
    return load([("c.yml", (BASE + document(body)).encode())]).correlations[0]


def feed(compiled: Correlation, hits: list[Hit]) -> tuple[State, list[Fired]]:
    """Advance a new state by `hits`, through its bytes each time."""
    state, fired = State.new(compiled, "[]"), []
    for hit in hits:
        state, result = advance(compiled, State.loads(state.dumps()), hit)
        fired += [result] if result else []
    return state, fired


def at(*seconds: float, value: str | None = None) -> list[Hit]:
    """Return hits at these seconds, in one chain."""
    return [Hit(int(t * S), "a/0", i, value) for i, t in enumerate(seconds)]


def test_it_fires_when_the_count_is_reached_within_the_window() -> None:
    """Three within ten seconds fire, at the third, with all three as reasons."""
    state, fired = feed(correlation(), at(1, 5, 10.9))
    assert fired == [
        Fired("burst", correlation().digest, "[]", int(10.9 * S), 3, (("a/0", 0), ("a/0", 1), ("a/0", 2)))
    ]
    assert state.fired == (int(10.9 * S),)


@pytest.mark.parametrize(("last", "fires"), [(10.999, True), (11, False), (12, False)])
def test_the_window_is_open_at_its_start(last: float, fires: bool) -> None:
    """A hit exactly a timespan before another is not in its window; one a little later is."""
    assert bool(feed(correlation(), at(1, 5, last))[1]) is fires


def test_hits_of_one_moment_count_in_order() -> None:
    """Entries of one segment share their time; the one that completes the count is the third by sequence."""
    _, fired = feed(correlation(), [Hit(S, "a/0", i) for i in range(5)])
    assert [(f.count, f.refs[-1]) for f in fired] == [(3, ("a/0", 2))]


def test_a_lasting_attack_fires_once_a_timespan() -> None:
    """After a firing the group is silent for a timespan; no hit is part of two firings."""
    _, fired = feed(correlation(), at(*range(1, 41)))
    assert [f.t // S for f in fired] == [3, 13, 23, 33]
    refs = [ref for f in fired for ref in f.refs]
    assert len(refs) == len(set(refs))


def test_it_fires_again_after_a_pause() -> None:
    """A second burst, later than a timespan after the first, fires; one within it does not."""
    assert len(feed(correlation(), at(1, 2, 3, 20, 21, 22))[1]) == 2
    assert len(feed(correlation(), at(1, 2, 3, 8, 9, 10))[1]) == 1


def test_values_are_counted_once() -> None:
    """value_count counts distinct values: repetitions of one do not fire, three different ones do."""
    compiled = correlation("value_count", "field: user, gte: 3")
    hits = [Hit(i * S // 10, "a/0", i, value) for i, value in enumerate("aaabbbaac")]
    _, fired = feed(compiled, hits)
    assert [(f.count, len(f.refs)) for f in fired] == [(3, 9)]
    assert feed(compiled, hits[:-1])[1] == []


def test_a_range_fires_on_entering_it() -> None:
    """`gt: 2, lte: 4` fires when the count becomes three, and counting past it changes nothing."""
    _, fired = feed(correlation(condition="gt: 2, lte: 4"), at(1, 2, 3, 4, 5, 6))
    assert [f.count for f in fired] == [3]


def test_a_late_hit_completes_a_window() -> None:
    """Chains are fed separately: a hit that arrives late is put in its place, and the later hit fires."""
    hits = [Hit(1 * S, "a/0", 0), Hit(9 * S, "a/0", 1), Hit(5 * S, "b/0", 0)]
    _, fired = feed(correlation(), hits)
    assert [(f.t // S, f.refs) for f in fired] == [(9, (("a/0", 0), ("b/0", 0), ("a/0", 1)))]


def test_a_late_hit_is_counted_in_no_window_but_its_own() -> None:
    """The window of a later hit that is looked at again is open at its start, too."""
    hits = [Hit(1 * S, "a/0", 0), Hit(11 * S, "a/0", 1), Hit(5 * S, "b/0", 0)]
    assert feed(correlation(), hits)[1] == []


def test_a_hit_that_is_too_late_is_ignored() -> None:
    """Hits more than two timespans older than the newest change nothing."""
    state, _ = feed(correlation(), at(100))
    assert advance(correlation(), state, Hit(80 * S, "b/0", 0)) == (state, None)
    assert advance(correlation(), state, Hit(81 * S, "b/0", 0))[0] != state


seconds = st.lists(st.integers(0, 60), min_size=1, max_size=40)


@given(seconds, st.integers(0, 2**32), st.sampled_from(["event_count", "value_count"]))
@settings(max_examples=100, deadline=None)
def test_repeated_hits_change_nothing(times: list[int], seed: int, kind: str) -> None:
    """Feeds deliver at least once: giving any earlier hit again neither changes the state nor fires."""
    chance = random.Random(seed)
    compiled = correlation(kind, "gte: 3" if kind == "event_count" else "field: u, gte: 3")
    hits = [
        Hit(t * S, chance.choice("ab"), i, chance.choice("xyz") if compiled.counted else None)
        for i, t in enumerate(times)
    ]
    state = State.new(compiled, "[]")
    for i, hit in enumerate(hits):
        state, _ = advance(compiled, state, hit)
        assert advance(compiled, state, chance.choice(hits[: i + 1])) == (state, None)


@given(seconds, st.sampled_from(["event_count", "value_count"]), st.integers(1, 5))
@settings(max_examples=200, deadline=None)
def test_in_order_it_agrees_with_the_definition(times: list[int], kind: str, least: int) -> None:
    """Firings of an ordered stream are those of the plain definition, and the same through bytes."""
    compiled = correlation(kind, f"gte: {least}" if kind == "event_count" else f"field: u, gte: {least}")
    hits = [
        Hit(t * S, "a/0", i, str(i % 4) if compiled.counted else None) for i, t in enumerate(sorted(times))
    ]
    expected: list[int] = []
    for i, hit in enumerate(hits):
        window = [h for h in hits[: i + 1] if h.t > hit.t - 10 * S]
        count = len({h.value for h in window}) if compiled.counted else len(window)
        if count >= least and all(hit.t - t >= 10 * S for t in expected):
            expected.append(hit.t)
    assert [f.t for f in feed(compiled, hits)[1]] == expected


@given(seconds, st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_some_firing_survives_any_order_of_arrival(times: list[int], seed: int) -> None:
    """Within the time that late hits are accepted, a burst that fires in order fires in any order."""
    compiled = correlation()
    hits = [Hit((t % 20) * S, "a/0", i) for i, t in enumerate(times)]
    ordered = feed(compiled, sorted(hits))[1]
    random.Random(seed).shuffle(hits)
    assert bool(feed(compiled, hits)[1]) == bool(ordered)


def test_a_flood_keeps_the_state_within_its_bound() -> None:
    """However many hits come, the state stays small, and the group fires once a timespan all the same."""
    compiled = correlation()
    state, fired = State.new(compiled, "[]"), []
    for i in range(3000):
        state, result = advance(compiled, state, Hit(i * S // 100, "a/0", i))  # 1,000 in a window
        fired += [result.t // S] if result else []
    assert len(state.hits) == 3 + RESERVE
    assert len(state.dumps()) < 20_000
    assert fired == [0, 10, 20]
    assert advance(compiled, state, Hit(20 * S, "a/0", 2000)) == (state, None), (
        "what was let go is not counted again"
    )


def test_repeating_one_value_does_not_push_out_others() -> None:
    """A flood of one value cannot hide that other values were seen: repeats are let go first."""
    compiled = correlation("value_count", "field: u, gte: 3")
    state = State.new(compiled, "[]")
    hits = [
        Hit(0, "a/0", 0, "x"),
        *(Hit(S + i, "a/0", 1 + i, "flood") for i in range(2000)),
        Hit(9 * S, "a/0", 9999, "y"),
    ]
    results = []
    for hit in hits:
        state, result = advance(compiled, state, hit)
        results.append(result)
    assert results[-1] is not None
    assert results[-1].count == 3
    assert Counter(bool(r) for r in results)[True] == 1


def test_the_largest_state_fits_an_item() -> None:
    """At the highest threshold a state is well below 400 KB."""
    compiled = correlation("value_count", "field: u, gte: 5000")
    hits = tuple(Hit(10**18 + i, "a-service-name/0", i, f"{i:032x}") for i in range(5000 + RESERVE))
    assert len(State(compiled.digest, "[]", hits).dumps()) < 400_000


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"[1,2]", b'[9,"d","g",[],[],null,[]]', b'[1,"d","g",[],[[1,0,0,null]],null,[]]'],
)
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    """What `dumps` did not write is Malformed, never a state."""
    with pytest.raises(Malformed):
        State.loads(data)


def test_a_state_belongs_to_one_version_of_a_correlation() -> None:
    """A changed correlation does not count on what another version has counted."""
    other = correlation(condition="gte: 4")
    with pytest.raises(Malformed, match="not one of correlation"):
        advance(correlation(), State.new(other, "[]"), at(1)[0])


def test_a_range_is_not_entered_by_losing_count() -> None:
    """A burst beyond a range's upper end does not fall into the range because the state is bounded."""
    compiled = correlation(condition="gt: 2, lte: 400")
    state, fired = State.new(compiled, "[]"), []
    for i in range(3000):
        state, result = advance(compiled, state, Hit(i * S // 100, "a/0", i))  # 1,000 in a window
        fired += [result.t // S] if result else []
    assert fired == [0]
    kept = state.hits[0]
    assert advance(compiled, state, Hit(kept.t - S // 100, "a/0", kept.seq - 1)) == (state, None)
    assert advance(compiled, state, Hit(kept.t + 1, "late/0", 0))[1] is None
