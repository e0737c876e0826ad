"""Correlations: what they count, when they fire, what is refused, and what their state survives."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentinel.core.correlation import Correlation, Hit, Threshold
from sentinel.core.correlation_state import RESERVE, Fired, State, advance
from sentinel.core.rules import RuleSet, load, load_all
from sentinel.errors import Malformed, Unsupported

S = 1_000_000_000
BASE = """title: Login failed
id: 0e95725d-7320-415d-80f7-004da920fc11
name: failed
logsource: {category: auth}
detection: {selection: {outcome: failure}, condition: selection}
---
title: Login refused
name: refused
logsource: {category: auth}
detection: {selection: {result: refused}, condition: selection}
---
title: Unrelated
name: unrelated
logsource: {category: auth}
detection: {selection: {x: 1}, condition: selection}
---
"""


def document(body: str, name: str = "burst") -> str:
    """Return a correlation document; `body` is the inside of its correlation section."""
    return f"title: {name}\nname: {name}\nlevel: high\ncorrelation: {{{body}}}\n"


def loaded(body: str) -> RuleSet:
    """Return the base rules and one correlation."""
    return load([("c.yml", (BASE + document(body)).encode())])


def correlation(kind: str = "event_count", condition: str = "gte: 3", extra: str = "") -> Correlation:
    """Return a correlation of failed logins within ten seconds."""
    body = f"type: {kind}, rules: failed, timespan: 10s, condition: {{{condition}}}{extra}"
    return loaded(body).correlations[0]


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


def test_a_correlation_carries_what_it_says() -> None:
    """Kind, references by id or name, span, groups and threshold are compiled; digests tell versions."""
    body = (
        "type: event_count, rules: [0e95725d-7320-415d-80f7-004da920fc11, refused], group-by: [user, host], "
        "timespan: 5m, condition: {gte: 10}"
    )
    rules = loaded(body)
    found = rules.correlations[0]
    assert (found.kind, found.level, found.timespan_ns) == ("event_count", "high", 300 * S)
    assert found.rule_ids == ("0e95725d-7320-415d-80f7-004da920fc11", "refused")
    assert (found.group_by, found.threshold) == (("user", "host"), Threshold(10))
    assert rules.find("burst") is found
    assert found.digest != correlation().digest
    assert [rules.correlations_of(rule) for rule in rules.rules] == [(found,), (found,), ()]


@pytest.mark.parametrize(
    ("condition", "threshold"),
    [
        ("gte: 3", Threshold(3)),
        ("gt: 3", Threshold(4)),
        ("gt: 2.5", Threshold(3)),
        ("eq: 3", Threshold(3, 3)),
        ("neq: 0", Threshold(1)),
        ("gt: 3, lte: 5", Threshold(4, 5)),
        ("gte: 1, lt: 5", Threshold(1, 4)),
        ("gt: 0", Threshold(1)),
        ("gte: 5000", Threshold(5000)),
    ],
)
def test_conditions_are_intervals_of_counts(condition: str, threshold: Threshold) -> None:
    """Every operator and every range of two is an interval of whole numbers that leaves out zero."""
    assert correlation(condition=condition).threshold == threshold


@pytest.mark.parametrize(
    ("body", "kind", "named"),
    [
        (
            "type: temporal, rules: [failed, refused], timespan: 1m",
            Unsupported,
            "correlation type 'temporal' is not supported yet",
        ),
        ("type: temporal_ordered, rules: [failed, refused], timespan: 1m", Unsupported, "'temporal_ordered'"),
        (
            "type: value_sum, rules: failed, timespan: 1m, condition: {field: f, gte: 1}",
            Unsupported,
            "'value_sum'",
        ),
        ("type: nonsense, rules: failed, timespan: 1m, condition: {gte: 1}", Unsupported, "'nonsense'"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {lt: 5}", Unsupported, "lt: 5"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {lte: 5}", Unsupported, "lte: 5"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {eq: 0}", Unsupported, "eq: 0"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {neq: 5}", Unsupported, "neq: 5"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {gte: 0}", Unsupported, "gte: 0"),
        (
            "type: event_count, rules: failed, timespan: 1m, condition: {gte: 1, neq: 5}",
            Unsupported,
            "neq: 5",
        ),
        ("type: event_count, rules: failed, timespan: 1m, condition: {gte: 5001}", Unsupported, "5000"),
        (
            "type: event_count, rules: failed, timespan: 1m, condition: {gte: 5, lt: 5}",
            Malformed,
            "never hold",
        ),
        ("type: event_count, rules: failed, timespan: 1m, condition: {eq: 2.5}", Malformed, "never hold"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {gte: many}", Malformed, "many"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {gte: true}", Malformed, "True"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {}", Malformed, "condition"),
        ("type: event_count, rules: failed, timespan: 1m, condition: failed", Malformed, "condition"),
        ("type: event_count, rules: failed, timespan: 1m, condition: {field: f, gte: 5}", Malformed, "field"),
        ("type: value_count, rules: failed, timespan: 1m, condition: {gte: 5}", Malformed, "field"),
        ("type: event_count, rules: failed, timespan: soon, condition: {gte: 5}", Malformed, "soon"),
        ("type: event_count, rules: failed, condition: {gte: 5}", Malformed, "timespan"),
        (
            "type: event_count, rules: failed, timespan: 1m, within: 5, condition: {gte: 5}",
            Unsupported,
            "'within'",
        ),
        ("type: event_count, rules: [], timespan: 1m, condition: {gte: 5}", Malformed, "at least one rule"),
        ("type: event_count, rules: missing, timespan: 1m, condition: {gte: 5}", Malformed, "'missing'"),
        (
            "type: event_count, rules: burst, timespan: 1m, condition: {gte: 5}",
            Unsupported,
            "a correlation of a correlation",
        ),
        (
            "type: event_count, rules: failed, timespan: 1m, condition: {gte: 5}, aliases: {u: {refused: x}}",
            Malformed,
            "'refused'",
        ),
        ("rules: failed, timespan: 1m, condition: {gte: 5}", Malformed, "without type"),
    ],
)
def test_what_cannot_be_decided_is_refused_by_name(body: str, kind: type[Malformed], named: str) -> None:
    """A correlation that would not be carried out as written is refused: file, correlation and feature."""
    with pytest.raises(kind) as caught:
        loaded(body)
    assert type(caught.value) is kind
    assert str(caught.value).startswith("c.yml: ")
    assert "burst" in str(caught.value)
    assert named in str(caught.value)


def test_a_correlation_of_a_refused_rule_is_refused_too() -> None:
    """When a referenced rule did not load, the correlation is listed with that reason, and the rest loads."""
    files = [
        (
            "bad.yml",
            b"title: Bad\nname: bad\nlogsource: {category: x}\ndetection: {a: {f|no: 1}, condition: a}",
        ),
        ("c.yml", document("type: event_count, rules: bad, timespan: 1m, condition: {gte: 5}").encode()),
        ("good.yml", BASE.encode()),
    ]
    rules, refusals = load_all(files)
    assert [refusal.name for refusal in refusals] == ["bad.yml", "c.yml"]
    assert "'bad', which was not loaded" in refusals[1].reason
    assert len(rules.rules) == 3
    assert rules.correlations == ()


@pytest.mark.parametrize(
    ("extra", "generates"), [("", False), (", generate: false", False), (", generate: true", True)]
)
def test_a_counted_rule_is_a_match_of_its_own_only_with_generate(extra: str, generates: bool) -> None:
    """A rule that serves a correlation still matches; its `generate` says whether that counts by itself."""
    rules = loaded(f"type: event_count, rules: failed, timespan: 1m, condition: {{gte: 5}}{extra}")
    assert [rule.generate for rule in rules.rules] == [generates, True, True]
    assert [rule.name for rule in rules.match({"outcome": "failure"})] == ["failed"]


# --- Groups and hits ---------------------------------------------------------------------------------------


def test_groups_are_told_apart_by_type_case_and_position() -> None:
    """Different group-by values never share a key, and equal ones always do."""
    rules = loaded("type: event_count, rules: failed, group-by: [u, h.n], timespan: 1m, condition: {gte: 5}")
    found, rule = rules.correlations[0], rules.rules[0]
    events: list[dict[str, Any]] = [
        {"u": "a", "h": {"n": "b"}},
        {"u": "b", "h": {"n": "a"}},
        {"u": "A", "h": {"n": "b"}},
        {"u": 1, "h": {"n": "b"}},
        {"u": "1", "h": {"n": "b"}},
        {"u": True, "h": {"n": "b"}},
        {"u": ["a", "b"], "h": {"n": "b"}},
        {"u": 'a","b', "h": {"n": "b"}},
        {"u": "", "h": {"n": "b"}},
        {"u": '["a","b"]', "h": {"n": "b"}},
    ]
    keys = [found.group_key(event, rule) for event in events]
    assert None not in keys
    assert len(set(keys)) == len(events)
    assert found.group_key({"h.n": "b", "u": "a", "z": 1}, rule) == keys[0] == '["a","b"]'


@pytest.mark.parametrize("event", [{}, {"u": None}, {"u": []}, {"u": {}}, {"u": [None, "a"]}, {"v": 1}])
def test_a_match_without_a_group_field_is_not_counted(event: dict[str, Any]) -> None:
    """A group-by field that is missing, null or a map gives no key, so the match belongs to no group."""
    rules = loaded("type: event_count, rules: failed, group-by: u, timespan: 1m, condition: {gte: 5}")
    assert rules.correlations[0].group_key(event, rules.rules[0]) is None
    assert rules.correlations[0].hit(event, rules.rules[0], 1, "a/0", 0) is None


def test_without_group_by_all_matches_are_one_group() -> None:
    """A correlation that does not group has one key for everything."""
    rules = loaded("type: event_count, rules: failed, timespan: 1m, condition: {gte: 5}")
    assert rules.correlations[0].hit({}, rules.rules[0], 5, "a/0", 7) == ("[]", Hit(5, "a/0", 7))


def test_aliases_name_a_different_field_for_each_rule() -> None:
    """An alias in group-by is looked up under the name that the matching rule's events use."""
    rules = loaded(
        "type: event_count, rules: [failed, refused], group-by: [who], timespan: 1m, condition: {gte: 5}, "
        "aliases: {who: {failed: user.name, refused: account}}"
    )
    found, failed, refused = rules.correlations[0], rules.rules[0], rules.rules[1]
    assert found.group_key({"user": {"name": "a"}}, failed) == '["a"]'
    assert found.group_key({"account": "a"}, refused) == '["a"]'
    assert found.group_key({"account": "a"}, failed) is None
    assert found.group_key({"who": "a"}, failed) is None


def test_counted_values_are_kept_as_digests() -> None:
    """A value_count hit tells values apart without holding them, and is absent when the value is."""
    rules = loaded(
        "type: value_count, rules: failed, group-by: h, timespan: 1m, condition: {field: u, gte: 5}"
    )
    found, rule = rules.correlations[0], rules.rules[0]
    hits = [found.hit({"h": 1, "u": u}, rule, 1, "a/0", 0) for u in ("secret" * 1000, "other", 1, "1")]
    values = {hit[1].value for hit in hits if hit}
    assert len(values) == 4
    assert all(value and len(value) == 32 and "secret" not in value for value in values)
    assert found.hit({"h": 1}, rule, 1, "a/0", 0) is None


# --- Counting ----------------------------------------------------------------------------------------------


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


# --- Bounds ------------------------------------------------------------------------------------------------


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
