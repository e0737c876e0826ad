"""The index changes nothing but the time, and no event makes matching raise or hang."""

from __future__ import annotations

import random
import time
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.event_fields import View
from sentinel.core.literal_index import LiteralIndex
from sentinel.core.probes import regex_literal
from sentinel.core.rules import RuleSet, load

HEAD = "title: T\nlogsource: {category: test}\n"


def rule_text(detection: str, condition: str = "selection", head: str = HEAD) -> bytes:
    """Return a rule with this detection section, as YAML."""
    return f"{head}detection: {{{detection}, condition: '{condition}'}}\n".encode()


def nested(depth: int, leaf: object, inside: str) -> Any:
    """Return `leaf` inside `depth` lists or maps."""
    value: Any = leaf
    for _ in range(depth):
        value = [value] if inside == "list" else {"a": value}
    return value


HOSTILE: dict[str, Any] = {
    "empty": {},
    "deep maps": {"f": nested(100_000, "needle", "map")},
    "deep lists": {"f": nested(100_000, "needle", "list")},
    "a thousand as parsed": orjson.loads(b'{"f":' + b"[" * 1000 + b'"needle"' + b"]" * 1000 + b"}"),
    "huge text": {"f": "a" * 65_536},
    "huge number of keys": {str(i): i for i in range(20_000)},
    "lone surrogate": {"f": "\ud800needle", "\udfff": "\udfff"},
    "odd values": {"f": [None, True, 1e308, -0.0, float("inf"), float("nan"), {}, [], 2**63, 10**5000]},
    "empty keys": {"": {"": ""}, ".": ".", "..": {"": 1}},
    "wrong envelopes": {
        "Event": {"EventData": 1, "System": [], "UserData": None},
        "attributes": "x",
        "body": None,
    },
    "envelope in itself": {"body": {"body": {"f": "needle"}}, "detail": {"detail": {"f": "needle"}}},
    "odd names": {
        "Event": {"EventData": {" ": " "}, "System": {"Provider": {"#attributes": 3}}},
        "EventID": [],
    },
}
EVERY_KIND = [
    "f|contains: needle",
    "f|re: '(a+)+$'",
    "f|re: '(a|a)*b'",
    "f: 'a*a*a*a*a*a*b'",
    "f: '?*a*?*a*?*b'",
    "f|cidr: 10.0.0.0/8",
    "f|gt: 5",
    "f|hour: 5",
    "f|fieldref: g",
    "f|exists: true",
    "f: null",
    "a.a.a.a: needle",
    "f|cased: Needle*x",
    "'|re': 'n(e+)+dle!'",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_event_makes_matching_raise_or_hang(name: str) -> None:
    """Whatever a stranger sends, matching answers, soon, and the index agrees with evaluating everything."""
    documents = [(f"{i}.yml", rule_text(f"selection: {{{d}}}")) for i, d in enumerate(EVERY_KIND)]
    documents += [("k.yml", rule_text("selection: [needle, 'n*dle?', xyz]"))]
    rules = load(documents)
    started = time.process_time()
    found = rules.match(HOSTILE[name])
    assert time.process_time() - started < 2
    assert found == tuple(r for r in rules.rules if r.matches(HOSTILE[name]))


def test_patterns_take_linear_time() -> None:
    """Patterns that make a backtracking engine take exponential or polynomial time stay fast on 64 KiB."""
    patterns = [
        "f|re: '^(a+)+$'",
        "f|re: '(a|aa)+b'",
        "f|re: '(.*a){12}x'",
        "f: '*a*a*a*a*a*a*a*a*b'",
        "f: '*a?a*a?b'",
    ]
    rules = load([(f"{i}.yml", rule_text(f"selection: {{{p}}}")) for i, p in enumerate(patterns)])
    started = time.process_time()
    assert rules.match({"f": "a" * 65_535 + "!"}) == ()
    assert time.process_time() - started < 2


FIELDS = ["f", "g", "a.b", "message"]
WORDS = [
    "",
    "a",
    "ab",
    "abc",
    "Abc",
    "b",
    "cab",
    "ß",
    "SS",
    "x*y",
    "1",
    "10.0.0.1",
    "\\b.exe",
    "é",
    "abcabcabcabc",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 12),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from(WORDS),
    st.text(max_size=4),
)
values = st.recursive(
    scalars,
    lambda v: st.one_of(
        st.lists(v, max_size=3), st.dictionaries(st.sampled_from(["b", "c", "f"]), v, max_size=2)
    ),
    max_leaves=4,
)
events = st.dictionaries(
    st.sampled_from(["f", "g", "a", "a.b", "message", "body", "attributes", "detail", "Event", "EventID"]),
    values,
    max_size=5,
)
items = st.tuples(
    st.sampled_from(FIELDS),
    st.sampled_from(
        [
            "",
            "|contains",
            "|startswith",
            "|endswith",
            "|cased",
            "|neq",
            "|contains|all",
            "|contains|cased",
            "|windash",
        ]
    ),
    st.lists(st.sampled_from([*WORDS, "a*", "*b", "a?c", "*", "a*c*", "?", "-b"]), min_size=1, max_size=3),
).map(lambda t: (t[0] + t[1], t[2]))
others = st.sampled_from(
    [
        ("f|re", ["a.c"]),
        ("g|re|i", ["ab+c"]),
        ("f|exists", True),
        ("f|exists", False),
        ("f|gt", 1),
        ("f|cidr", "10.0.0.0/8"),
        ("f|fieldref", "g"),
        ("g", None),
        ("f", [1, None]),
    ]
)
maps = st.lists(st.one_of(items, others), min_size=1, max_size=3).map(dict)
keywords = st.lists(st.sampled_from(["ab", "b", "a*c", "1", "SS", "x", "true"]), min_size=1, max_size=3)
selections = st.one_of(maps, st.lists(maps, min_size=1, max_size=2), keywords)
conditions = st.sampled_from(
    [
        "a",
        "a and b",
        "a or b",
        "a and not b",
        "not a",
        "1 of them",
        "all of them",
        "not (a or b)",
        "a and (b or not a)",
    ]
)
documents = st.lists(st.tuples(selections, selections, conditions), min_size=1, max_size=20)


def compiled(parts: list[tuple[Any, Any, str]]) -> RuleSet:
    """Return the rules with these selections a and b and conditions."""
    made = [
        {"title": str(i), "logsource": {"category": "t"}, "detection": {"a": a, "b": b, "condition": c}}
        for i, (a, b, c) in enumerate(parts)
    ]
    return load([(f"{i}", orjson.dumps(d)) for i, d in enumerate(made)])


@given(documents, st.lists(events, min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_the_index_only_leaves_out_rules_that_cannot_match(
    parts: list[tuple[Any, Any, str]], seen: list[Any]
) -> None:
    """For any rules and events, matching behind the index is the same as evaluating every rule."""
    rules = compiled(parts)
    for event in seen:
        assert rules.match(event) == tuple(r for r in rules.rules if r.matches(event))


def test_rules_whose_literals_are_absent_are_not_evaluated() -> None:
    """Of a thousand rules only those whose required literal is in the event are candidates."""
    docs = [(str(i), rule_text(f"selection: {{eventName: Do{i}, source: aws}}")) for i in range(500)]
    docs += [(f"c{i}", rule_text(f"selection: {{CommandLine|contains: ' --flag{i}x'}}")) for i in range(400)]
    docs += [(f"k{i}", rule_text(f"selection: ['keyword{i}x']")) for i in range(100)]
    rules = load(docs)
    index = LiteralIndex([r.expression for r in rules.rules])
    event = {"eventName": "do7", "source": "aws", "CommandLine": "x --flag8x", "message": "é keyword9x"}
    assert index.candidates(View(event)) == {7, 508, 909}
    assert len(rules.match(event)) == 3
    assert index.candidates(View({"eventName": "other", "source": "aws", "CommandLine": ""})) == set()


def test_a_rule_that_requires_nothing_is_always_evaluated() -> None:
    """A negation alone promises no literal, so the index must not leave the rule out."""
    rules = load([("a.yml", rule_text("selection: {f: 1}", "not selection"))])
    assert rules.match({}) == rules.rules


def test_substrings_are_found_when_an_automaton_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 answers "nothing" when it runs out of memory for a set; the index notices and looks by itself."""
    rules = load([(str(i), rule_text(f"selection: {{f|contains: 'word{i}x'}}")) for i in range(40)])
    index = LiteralIndex([r.expression for r in rules.rules])
    (field,) = index._by_root["f"]
    (group,) = field._contains._groups
    monkeypatch.setattr(group, "_which", lambda _: [])
    assert index.candidates(View({"f": "word3x word5x"})) == {3, 5}
    assert index.candidates(View({"f": "nothing"})) == set()


def test_thousands_of_substrings_stay_linear() -> None:
    """Many literals on one field, and one longer than RE2 takes, neither fail nor make hostile texts slow."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefgh", k=chance.randint(8, 30))) for _ in range(3000)]
    made = [f"selection: {{f|contains: '{word}'}}" for word in [*words, "a" * 200_000]]
    rules = load([(str(i), rule_text(detection)) for i, detection in enumerate(made)])
    text = "".join(chance.choices("abcdefgh", k=60_000))
    rules.match({"f": ""})
    started = time.process_time()
    found = rules.match({"f": text + words[7]})
    assert time.process_time() - started < 5
    assert rules.rules[7] in found
    assert found == tuple(rule for rule in rules.rules if rule.matches({"f": text + words[7]}))
    assert rules.match({"f": "a" * 200_001}) == (rules.rules[-1],)


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        (r"^.+:assumed-role/aws:.+$", ":assumed-role/aws:"),
        (r"(?i)ABc", "abc"),
        (r"a\.b\.c+d", "a.b.c"),
        ("ab|cdef", ""),
        ("abc*def", "def"),
        ("abc?de", "ab"),
        ("ab{0,3}cd", "cd"),
        (r"\x41bc", ""),
        (r"\Qa|b\E", ""),
        ("[[:alpha:]]xyz", ""),
        ("[]ab]cde", "cde"),
        ("(ab|cd)ef", "ef"),
        ("((a)bcd)ef", ""),
        (r"a\dbc", "bc"),
        ("", ""),
        ("é", ""),
    ],
)
def test_literals_of_regular_expressions_are_read_carefully(pattern: str, literal: str) -> None:
    """A literal is only taken from a pattern when every text the pattern is found in has it."""
    assert regex_literal(pattern) == literal
