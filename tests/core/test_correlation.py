"""Correlations: how they are compiled, what is refused, and what a match counts as."""

from __future__ import annotations

from typing import Any

import pytest

from sentinel.core.correlation import Hit, Measure, Threshold
from sentinel.core.correlation_conditions import Expression
from sentinel.core.rules import load_all
from sentinel.errors import Malformed, Unsupported
from tests.core.correlations import FAILED, RULES, S, correlation, document, loaded


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
    assert correlation(condition=f"{{{condition}}}").threshold == threshold


@pytest.mark.parametrize(
    ("body", "kind", "named"),
    [
        (
            "type: temporal, rules: [failed, refused], timespan: 1m, condition: failed or not refused",
            Unsupported,
            "holds when nothing happens",
        ),
        (
            "type: temporal, rules: [failed, refused], timespan: 1m, condition: failed xor refused",
            Malformed,
            "extended condition",
        ),
        (
            "type: temporal, rules: [failed, refused], timespan: 1m, condition: {gte: 3}",
            Malformed,
            "3 of 2 rules",
        ),
        (
            "type: temporal, rules: [failed, refused], timespan: 1m, condition: {field: f, gte: 2}",
            Malformed,
            "counts rules",
        ),
        (
            "type: temporal_ordered, rules: [failed, refused], timespan: 1m, condition: {gte: 1}",
            Unsupported,
            "order of rules other than all",
        ),
        (
            "type: temporal_ordered, rules: [failed, refused], timespan: 1m, condition: failed or refused",
            Unsupported,
            "order of rules other than all",
        ),
        (
            f"type: temporal_ordered, rules: [failed, {FAILED}], timespan: 1m",
            Malformed,
            "only once in an order",
        ),
        (
            "type: value_sum, rules: failed, timespan: 1m, condition: {field: f, lt: 1}",
            Unsupported,
            "holds when nothing happens",
        ),
        (
            "type: value_sum, rules: failed, timespan: 1m, condition: {gte: 1}",
            Malformed,
            "without field",
        ),
        (
            "type: value_avg, rules: failed, timespan: 1m, condition: {field: [f, g], gte: 1}",
            Malformed,
            "one field",
        ),
        (
            "type: value_avg, rules: failed, timespan: 1m, condition: {field: f, gt: 5, lt: 2}",
            Malformed,
            "never hold",
        ),
        (
            "type: value_percentile, rules: failed, timespan: 1m, condition: {field: f, lte: 1}",
            Malformed,
            "'percentile'",
        ),
        (
            "type: value_median, rules: failed, timespan: 1m, condition: {field: f, lte: 1, percentile: 9}",
            Malformed,
            "'percentile'",
        ),
        (
            "type: event_count, rules: failed, timespan: 1m, condition: {gte: 1, percentile: 9}",
            Malformed,
            "'percentile'",
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
            Malformed,
            "counts itself",
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
        ("good.yml", RULES.encode()),
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
    assert all(isinstance(value, str) and len(value) == 16 and "secret" not in value for value in values)
    assert found.hit({"h": 1}, rule, 1, "a/0", 0) is None


def test_temporal_conditions_count_rules() -> None:
    """Without a condition all rules have to match; a condition counts them, or says it in words."""
    both = "rules: [failed, refused]"
    for condition in (
        "",
        "{gte: 2}",
        "{eq: 2}",
        "{gte: 2, lte: 9}",
        "failed and refused",
        "failed AND refused",
    ):
        found = correlation("temporal", condition, both)
        assert (found.threshold, found.expression, found.in_order) == (Threshold(2), None, False), condition
    assert correlation("temporal", "{gte: 1}", both).threshold == Threshold(1)
    assert correlation("temporal", "{eq: 1}", both).in_order
    for condition in ("", "{gte: 2}", "failed and refused"):
        found = correlation("temporal_ordered", condition, both)
        assert (found.threshold, found.rule_ids) == (Threshold(2), (FAILED, "refused"))


def test_a_condition_in_words_may_name_the_rules() -> None:
    """A temporal condition in words needs no list of rules; `not` is of the rules that did not match."""
    found = loaded("type: temporal, timespan: 1m, condition: failed and not refused").correlations[0]
    assert found.rule_ids == (FAILED, "refused")
    assert isinstance(found.expression, Expression)
    assert found.expression.holds({FAILED})
    assert not found.expression.holds({FAILED, "refused"})
    assert found.in_order


@pytest.mark.parametrize("kind", ["value_sum", "value_avg", "value_median"])
def test_measures_take_numbers(kind: str) -> None:
    """Numbers, and texts that are numbers, are measured; a match without one counts for nothing."""
    found = correlation(kind, "{field: n, gt: 1.5, lte: 4}")
    assert found.measure == Measure(kind, (("gt", 1.5), ("lte", 4.0)))
    assert found.in_order
    rule = loaded("type: event_count, rules: failed, timespan: 1m, condition: {gte: 5}").rules[0]
    good: list[tuple[Any, float]] = [
        (5, 5.0),
        (2.5, 2.5),
        ("-3", -3.0),
        ("1.25", 1.25),
        ([7], 7.0),
        (10**300, 1e300),
    ]
    for value, number in good:
        assert found.hit({"n": value}, rule, 1, "a/0", 0) == ("[]", Hit(1, "a/0", 0, number))
    bads: list[Any] = [True, "x", "", "1e5", "nan", None, {}, [1, 2], 10**400, "٣"]
    for bad in bads:
        assert found.hit({"n": bad}, rule, 1, "a/0", 0) is None, bad


def test_a_rule_that_matched_is_what_temporal_counts() -> None:
    """Hits of temporal types say which rule matched."""
    rules = loaded("type: temporal, rules: [failed, refused], timespan: 1m")
    found = [rules.correlations[0].hit({}, rule, 1, "a/0", 0) for rule in rules.rules[:2]]
    assert [hit[1].value for hit in found if hit] == [FAILED, "refused"]


@pytest.mark.parametrize("percentile", ["99.9", "0", "101", "true", "-1", "'5'"])
def test_a_percentile_is_a_whole_number(percentile: str) -> None:
    """What is not a whole number from 1 to 100 is no percentile."""
    with pytest.raises(Malformed, match="from 1 to 100"):
        correlation("value_percentile", f"{{field: n, gt: 1, percentile: {percentile}}}")


CHAIN = (
    "type: event_count, rules: failed, group-by: [user, host], timespan: 1m, condition: {gte: 3}",
    "type: temporal_ordered, rules: [burst, refused], group-by: user, timespan: 5m",
)


def test_a_correlation_may_count_another() -> None:
    """A firing counts by the fields it is grouped by; it is decided in order, and no match of its own."""
    rules = loaded(*CHAIN)
    burst, chained = rules.correlations
    assert (burst.feeds, burst.own, burst.in_order, burst.depth) == (True, False, True, 0)
    assert (chained.feeds, chained.own, chained.in_order, chained.depth) == (False, True, False, 1)
    assert rules.correlations_of(burst) == (chained,)
    assert [rule.generate for rule in rules.rules] == [False, False, True]
    assert chained.hit_of(burst, '["ann","h1"]', 7, "a/0", 3) == ('["ann"]', Hit(7, "a/0", 3, "burst"))
    own = loaded(CHAIN[0], f"{CHAIN[1]}, generate: true")
    assert own.correlations[0].own


ALIASED = (
    "type: event_count, rules: burst, group-by: who, timespan: 5m, condition: {gte: 2}, "
    "aliases: {who: {burst: ip}}"
)


@pytest.mark.parametrize(
    ("chained", "named"),
    [
        ("type: event_count, rules: burst, group-by: ip, timespan: 5m, condition: {gte: 2}", "'ip'"),
        ("type: value_count, rules: burst, timespan: 5m, condition: {field: ip, gte: 2}", "'ip'"),
        (ALIASED, "'ip'"),
    ],
)
def test_a_firing_has_no_other_fields(chained: str, named: str) -> None:
    """What a counted correlation does not group by cannot be looked at, and is refused by name."""
    with pytest.raises(Unsupported, match="does not group by it") as caught:
        loaded(CHAIN[0], chained)
    assert named in str(caught.value)


def test_aliases_reach_firings() -> None:
    """An alias names the field of a firing as it does one of an event."""
    chained = (
        "type: value_count, rules: burst, group-by: who, timespan: 5m, condition: {field: host, gte: 2}, "
        "aliases: {who: {burst: user}}"
    )
    burst, found = loaded(CHAIN[0], chained).correlations
    hits = [found.hit_of(burst, f'["ann","{host}"]', 7, "a/0", 3) for host in ("h1", "h2", "h1")]
    assert {hit[0] for hit in hits if hit} == {'["ann"]'}
    assert len({hit[1].value for hit in hits if hit}) == 2


def test_correlations_that_count_each_other_are_refused() -> None:
    """No correlation of a circle is loaded, each by name; what counts one of them is refused with it."""
    bodies = [
        f"type: event_count, rules: {of}, timespan: 1m, condition: {{gte: 2}}"
        for of in ("burst1", "burst", "burst1", "failed")
    ]
    texts = [document(body, f"burst{number or ''}") for number, body in enumerate(bodies)]
    rules, refusals = load_all([("c.yml", (RULES + "---\n".join(texts)).encode())])
    assert [each.name for each in rules.correlations] == ["burst3"]
    assert len(refusals) == 3
    assert all("counts itself" in refusal.reason for refusal in refusals)


def test_chains_have_a_bounded_depth() -> None:
    """Four correlations on top of each other load, a fifth is refused by name."""
    bodies = [
        f"type: event_count, rules: {below}, timespan: 1m, condition: {{gte: 2}}"
        for below in ("failed", "burst", "burst1", "burst2")
    ]
    assert [each.depth for each in loaded(*bodies).correlations] == [0, 1, 2, 3]
    with pytest.raises(Unsupported, match="over 3 levels deep"):
        loaded(*bodies, "type: event_count, rules: burst3, timespan: 1m, condition: {gte: 2}")
