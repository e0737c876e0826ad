"""Correlations: how they are compiled, what is refused, and what a match counts as."""

from __future__ import annotations

from typing import Any

import pytest
from sentinel.core.correlation import Correlation, Hit, Threshold
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


def correlation(kind: str = "event_count", condition: str = "gte: 3") -> Correlation:
    """Return a correlation of failed logins within ten seconds."""
    body = f"type: {kind}, rules: failed, timespan: 10s, condition: {{{condition}}}"
    return loaded(body).correlations[0]


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
