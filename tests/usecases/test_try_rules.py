"""Trying rules on the lines of a file."""

from __future__ import annotations

from sentinel.core.rules import load
from sentinel.usecases.try_rules import Tally, try_rules

HEAD = "title: T\nlogsource: {category: test}\n"


def rule_text(detection: str, condition: str = "selection", head: str = HEAD) -> bytes:
    """Return a rule with this detection section, as YAML."""
    return f"{head}detection: {{{detection}, condition: '{condition}'}}\n".encode()


def test_trying_rules_on_lines() -> None:
    """JSON objects are events, other lines are messages, blank lines are nothing; the tally adds it up."""
    rules = load(
        [("a.yml", rule_text("selection: {f: 1}")), ("b.yml", rule_text("selection: ['boom', '{x']"))]
    )
    first, second = rules.rules
    lines = [
        (1, b'{"f": 1, "m": "boom"}\n'),
        (2, b"  "),
        (3, b"a BOOM \xff"),
        (4, b"[1]"),
        (5, b"{x"),
        (6, b"{" * 5000),
    ]
    tally = Tally.of(rules)
    results = list(try_rules(rules, lines))
    for result in results:
        tally.add(result)
    assert [(r.line, r.is_text, r.rules) for r in results] == [
        (1, False, (first, second)),
        (3, True, (second,)),
        (4, True, ()),
        (5, True, (second,)),
        (6, True, ()),
    ]
    assert (tally.lines, tally.texts, tally.matched) == (5, 4, 3)
    assert tally.by_rule == {first.id: 1, second.id: 3}
