"""What each construct of a Sigma rule means, by itself, negated, and behind the index."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from sentinel.core.rules import load

HEAD = "title: T\nlogsource: {category: test}\n"


def rule_text(detection: str, condition: str = "selection", head: str = HEAD) -> bytes:
    """Return a rule with this detection section, as YAML."""
    return f"{head}detection: {{{detection}, condition: '{condition}'}}\n".encode()


PART = b64encode("cmd".encode("utf-16le")).decode()

# (what the selection says, events that match, events that do not)
MEANINGS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "a value, ignoring case": ("f: Abc", [{"f": "aBC"}], [{"f": "abcd"}, {"f": "xabc"}, {}]),
    "a number, also as text": ("f: 1", [{"f": 1}, {"f": "1"}, {"f": 1.0}], [{"f": True}, {"f": 11}]),
    "a fraction": ("f: 1.5", [{"f": 1.5}, {"f": "1.5"}], [{"f": 1}]),
    "a text, also as number": ("f: '4624'", [{"f": 4624}], [{"f": 462}]),
    "a boolean, also as text": ("f: true", [{"f": True}, {"f": "True"}], [{"f": 1}, {"f": False}]),
    "null": ("f: null", [{}, {"f": None}, {"f": []}], [{"f": ""}, {"f": 0}, {"f": {}}]),
    "the empty string": ("f: ''", [{"f": ""}], [{}, {"f": None}, {"f": " "}, {"f": 0}]),
    "a list is OR": ("f: [a, b]", [{"f": "a"}, {"f": "B"}], [{"f": "c"}, {"f": "ab"}]),
    "a list with null": ("f: [a, null]", [{"f": "a"}, {}], [{"f": "b"}]),
    "a map is AND": ("f: {a: 1, b: 2}", [{"a": 1, "b": 2}], [{"a": 1}, {"a": 1, "b": 3}]),
    "a list of maps is OR": ("f: [{a: 1}, {b: 2}]", [{"a": 1}, {"b": 2}], [{"a": 2, "b": 1}]),
    "any element of a list": ("f: a", [{"f": ["x", "a"]}, {"f": [["a"]]}], [{"f": ["x"]}, {"f": []}]),
    "* is anything, also nothing": ("f: a*z", [{"f": "az"}, {"f": "aZ-\nz"}], [{"f": "a"}, {"f": "azb"}]),
    "several *": ("f: 'a*b*c'", [{"f": "abc"}, {"f": "a-b-b-c"}], [{"f": "acb"}, {"f": "ac"}, {"f": "ab"}]),
    "parts do not overlap": ("f: 'ab*ba'", [{"f": "abba"}], [{"f": "aba"}]),
    "* before and after": ("f: '*b*'", [{"f": "abc"}, {"f": "b"}], [{"f": "ac"}]),
    "a lone * is anything not null": ("f: '*'", [{"f": ""}, {"f": 0}, {"f": {}}], [{"f": None}, {}]),
    "? is one character": (
        "f: 'a?c'",
        [{"f": "abc"}, {"f": "A.C"}, {"f": "aéc"}],
        [{"f": "ac"}, {"f": "abbc"}],
    ),
    "? also a newline": ("f: '?*b'", [{"f": "\nab"}, {"f": "xb"}], [{"f": "b"}]),
    "escaped wildcards": (r"f: 'a\*\?'", [{"f": "a*?"}], [{"f": "aXY"}, {"f": "a\\*?"}]),
    "a backslash is itself": (r"f: 'C:\Windows'", [{"f": "c:\\windows"}], [{"f": "c:windows"}]),
    "an escaped backslash before *": (r"f: 'C:\\*'", [{"f": "c:\\x"}], [{"f": "c:*"}, {"f": "c:x"}]),
    "contains": ("f|contains: b", [{"f": "aBc"}, {"f": "b"}], [{"f": "ac"}, {"f": {"b": "b"}}]),
    "contains nothing": ("f|contains: ''", [{"f": "a"}, {"f": ""}], [{}, {"f": None}]),
    "contains all": ("f|contains|all: [a, b]", [{"f": "b-a"}], [{"f": "a"}]),
    "startswith": ("f|startswith: ab", [{"f": "ABc"}, {"f": "ab"}], [{"f": "cab"}, {"f": "a"}]),
    "endswith": ("f|endswith: '\\b.exe'", [{"f": "C:\\B.EXE"}], [{"f": "b.exe"}, {"f": "\\b.exe "}]),
    "all on a list of values": ("f|all: [a, b]", [{"f": ["b", "a"]}], [{"f": ["a"]}, {"f": "a"}]),
    "cased": ("f|cased: Ab", [{"f": "Ab"}], [{"f": "ab"}, {"f": "AB"}]),
    "cased contains": ("f|contains|cased: Ab", [{"f": "xAbx"}], [{"f": "xabx"}]),
    "cased ?": ("f|cased: 'A?'", [{"f": "Ab"}], [{"f": "ab"}]),
    "re is searched for": ("f|re: 'a.c'", [{"f": "xabcx"}], [{"f": "xABCx"}, {"f": "a\nc"}, {"f": "ac"}]),
    "re on a number": ("f|re: '^46..$'", [{"f": 4624}], [{"f": 46240}]),
    "re i": ("f|re|i: 'a.c'", [{"f": "ABC"}], [{"f": "ac"}]),
    "re m": ("f|re|m: '^b$'", [{"f": "a\nb\nc"}], [{"f": "ab"}]),
    "re without m": ("f|re: '^b$'", [{"f": "b"}], [{"f": "a\nb\nc"}]),
    "re s": ("f|re|s: 'a.c'", [{"f": "a\nc"}], [{"f": "ac"}]),
    "re i m s": ("f|re|i|m|s: '^A.B$'", [{"f": "x\na\nb\ny"}], [{"f": "ab"}]),
    "re with alternatives": ("f|re: 'ab|cd'", [{"f": "xcd"}, {"f": "ab"}], [{"f": "ad"}]),
    "cidr 4": ("f|cidr: 10.0.0.0/8", [{"f": "10.1.2.3"}], [{"f": "11.0.0.1"}, {"f": "10.1.2"}, {"f": "::1"}]),
    "cidr 6": ("f|cidr: 2001:db8::/32", [{"f": "2001:DB8::1"}], [{"f": "2001:db9::1"}, {"f": "10.0.0.1"}]),
    "cidr of several": (
        "f|cidr: [10.0.0.0/8, 192.168.0.0/16]",
        [{"f": "192.168.1.1"}],
        [{"f": "172.16.0.1"}],
    ),
    "base64": ("f|base64: cmd", [{"f": b64encode(b"cmd").decode()}], [{"f": "cmd"}]),
    "base64offset contains": (
        "f|base64offset|contains: foobar",
        [{"f": b64encode(b"x" * n + b"foobar" + b"yy").decode()} for n in range(4)],
        [{"f": "foobar"}, {"f": b64encode(b"foobaz").decode()}],
    ),
    "wide base64": ("f|wide|base64|contains: cmd", [{"f": f"x {PART}"}], [{"f": b64encode(b"cmd").decode()}]),
    "utf16be": ("f|utf16be|base64: c", [{"f": b64encode(b"\0c").decode()}], [{"f": "c"}]),
    "utf16": ("f|utf16|base64: c", [{"f": b64encode(b"\xff\xfec\0").decode()}], [{"f": "c"}]),
    "wide": ("f|wide: ab", [{"f": "a\0b\0"}], [{"f": "ab"}]),
    "windash": (
        "f|windash|contains: ' -enc'",
        [{"f": f"x {dash}enc y"} for dash in "-/–—―"],
        [{"f": "x enc"}, {"f": "x_-enc"}],
    ),
    "windash all": ("f|windash|contains|all: [' -a', ' -b']", [{"f": "x /b -a"}], [{"f": "x -a"}]),
    "exists": ("f|exists: true", [{"f": None}, {"f": ""}, {"f": []}, {"f": {}}], [{}, {"g": 1}]),
    "does not exist": ("f|exists: false", [{}], [{"f": None}, {"f": 1}]),
    "fieldref": (
        "f|fieldref: g",
        [{"f": "A", "g": "a"}, {"f": 1, "g": "1"}],
        [{"f": "a", "g": "b"}, {"f": "a"}, {}],
    ),
    "fieldref startswith": ("f|fieldref|startswith: g", [{"f": "abc", "g": "AB"}], [{"f": "abc", "g": "bc"}]),
    "fieldref endswith": ("f|fieldref|endswith: g", [{"f": "abc", "g": "BC"}], [{"f": "abc", "g": "ab"}]),
    "fieldref contains": ("f|fieldref|contains: g", [{"f": "abc", "g": "B"}], [{"f": "abc", "g": "d"}]),
    "fieldref neq": ("f|fieldref|neq: g", [{"f": "a", "g": "b"}, {"f": "a"}], [{"f": "a", "g": "A"}]),
    "gt": ("f|gt: 5", [{"f": 6}, {"f": "5.5"}, {"f": [1, 9]}], [{"f": 5}, {"f": "x"}, {"f": True}, {}]),
    "gte": ("f|gte: 5", [{"f": 5}], [{"f": 4.9}, {"f": "nan"}, {"f": "inf"}]),
    "lt": ("f|lt: 5", [{"f": 4}, {"f": "-1"}], [{"f": 5}, {}, {"f": "1_0"}]),
    "lte": ("f|lte: 5.5", [{"f": 5.5}], [{"f": 6}]),
    "neq": ("f|neq: a", [{"f": "b"}, {}], [{"f": "A"}, {"f": ["b", "a"]}]),
    "neq of several": ("f|neq: [1, 2]", [{"f": 3}], [{"f": 1}, {"f": "2"}]),
    "contains neq": ("f|contains|neq: a", [{"f": "xyz"}], [{"f": "bab"}]),
    "minute": ("f|minute: 7", [{"f": "2026-11-24T09:07:00Z"}], [{"f": "2026-11-24T07:08:00Z"}, {"f": 7}]),
    "hour, as written": ("f|hour: 9", [{"f": "2026-11-24T09:07:00+05:00"}], [{"f": "2026-11-24T04:07:00Z"}]),
    "hour compared": ("f|hour|gte: 20", [{"f": "2026-11-24 21:00:00"}], [{"f": "2026-11-24 19:59:59"}]),
    "day": ("f|day: 24", [{"f": "2026-11-24"}], [{"f": "2026-11-23"}, {"f": "24"}]),
    "week": ("f|week: 48", [{"f": "2026-11-24"}, {"f": "2026-11-29T23:59:59Z"}], [{"f": "2026-12-01"}]),
    "month": ("f|month: [11, 12]", [{"f": "2026-11-24"}], [{"f": "2026-10-24"}]),
    "year": ("f|year: 2026", [{"f": "2026-11-24"}], [{"f": "2025-11-24"}, {"f": "2026"}]),
    "a dotted field": (
        "a.b: x",
        [{"a": {"b": "x"}}, {"a.b": "x"}],
        [{"a": {"c": "x"}}, {"b": "x"}, {"a": "x"}],
    ),
    "the exact key wins": ("a.b: x", [{"a.b": "x", "a": {"b": "y"}}], [{"a.b": "y", "a": {"b": "x"}}]),
    "a path through lists": (
        "a.b.c: x",
        [{"a": [{"b": [[{"c": "x"}]]}, 1]}],
        [{"a": [{"b": "x"}, {"c": "x"}]}],
    ),
    "the rest as one key": ("a.http.code: 5", [{"a": {"http.code": 5}}], [{"a": {"http": {"c": 5}}}]),
    "nested Windows events": (
        "f: {Image: x, EventID: 1, Provider_Name: p, UserName: u}",
        [
            {
                "Event": {
                    "EventData": {"Image": "x", "User Name": "u"},
                    "System": {"EventID": 1, "Provider": {"#attributes": {"Name": "p"}}},
                }
            },
            {"Image": "x", "EventID": 1, "Provider_Name": "p", "User Name": "u"},
        ],
        [{"Event": {"System": {"EventID": 1}}}, {"Event": "x"}],
    ),
    "Windows UserData": (
        "f: x",
        [{"Event": {"UserData": {"Any": {"f": "x"}}}}],
        [{"Event": {"UserData": "x"}}],
    ),
    "Winlogbeat": ("f: x", [{"winlog": {"event_data": {"f": "x"}}}, {"winlog": {"f": "x"}}], [{"winlog": 1}]),
    "OpenTelemetry attributes": (
        "http.code: 5",
        [{"attributes": {"http.code": 5}, "body": "x"}],
        [{"body": 5}],
    ),
    "OpenTelemetry resource": (
        "service.name: s",
        [{"resource": {"attributes": {"service.name": "s"}}}],
        [{}],
    ),
    "OpenTelemetry body is the message": (
        "message|contains: fail",
        [{"body": "it FAILed"}],
        [{"body": "ok"}],
    ),
    "a structured body": ("f: x", [{"body": {"f": "x"}}], [{"body": ["x"]}]),
    "EventBridge": ("eventName: x", [{"detail": {"eventName": "X"}}], [{"detail": "x"}]),
    "the event wins over its envelope": (
        "f: x",
        [{"f": "x", "detail": {"f": "y"}}],
        [{"f": "y", "detail": {"f": "x"}}],
    ),
    "non-ASCII ignores case": ("f|contains: 'STRASSE Ä'", [{"f": "die straße ä"}], [{"f": "strase ä"}]),
}


@pytest.mark.parametrize("name", MEANINGS)
def test_each_construct_means_what_the_specification_says(name: str) -> None:
    """A selection matches the right events and no others, by itself, negated, and behind the index."""
    detection, matching, others = MEANINGS[name]
    is_whole = detection.startswith(("f: {", "f: [{"))  # not a field but the selection itself
    selection = detection[3:] if is_whole else f"{{{detection}}}"
    rules = load([("a.yml", rule_text(f"selection: {selection}"))])
    negated = load([("a.yml", rule_text(f"selection: {selection}", "not selection"))])
    for event, expected in [(e, True) for e in matching] + [(e, False) for e in others]:
        assert rules.rules[0].matches(event) is expected, event
        assert bool(rules.match(event)) is expected, event
        assert bool(negated.match(event)) is not expected, event


@pytest.mark.parametrize(
    ("keywords", "matching", "others"),
    [
        (
            "[Evil, 'b c']",
            [{"x": "an eVil one"}, {"x": [{"y": "a b c d"}]}, {"message": "evil"}],
            [{"evil": "x"}],
        ),
        ("evil", [{"x": "evil"}], [{"x": "evi l"}]),
        ("[42]", [{"x": 1420}, {"x": "42"}], [{"x": 41}, {"42": 1}]),
        ("{'|all': [a b, c d]}", [{"x": "a b", "y": ["c d"]}], [{"x": "a b"}]),
        ("['a*d']", [{"x": "-abcd-"}], [{"x": "a", "y": "d"}]),
        ("['a?d']", [{"x": "-aXd-"}], [{"x": "ad"}]),
        ("{'|re': 'a[0-9]d'}", [{"x": "-a1d-"}], [{"x": "-A1d-"}]),
        ("{'|cased': Evil}", [{"x": "-Evil-"}], [{"x": "-evil-"}]),
        ('["a\\0b"]', [{"x": "-a\0b-"}], [{"x": "a", "y": "b"}]),
        ("[true]", [{"x": True}, {"x": "untrue"}], [{"x": False}, {"x": None}]),
    ],
)
def test_keywords_are_found_in_any_text_of_the_event(
    keywords: str, matching: list[Any], others: list[Any]
) -> None:
    """A keyword is looked for inside every scalar, wherever it is, never in names or across values."""
    rules = load([("a.yml", rule_text(f"selection: {keywords}"))])
    for event, expected in [(e, True) for e in matching] + [(e, False) for e in others]:
        assert rules.rules[0].matches(event) is expected, event
        assert bool(rules.match(event)) is expected, event


@pytest.mark.parametrize(
    ("condition", "matching", "others"),
    [
        ("a and b", ["ab", "abc"], ["a", "b", ""]),
        ("a or b and c", ["a", "bc"], ["b", "c"]),
        ("(a or b) and c", ["ac", "bc"], ["a", "ab"]),
        ("a and not b", ["a", "ac"], ["ab", ""]),
        ("not (a or b)", ["", "c"], ["a", "b"]),
        ("1 of them", ["a", "b", "c"], ["", "d"]),
        ("all of them", ["abc"], ["ab"]),
        ("1 of s_*", ["d", "e"], ["a", ""]),
        ("all of s_* and not a", ["de"], ["d", "ade"]),
        ("a and 1 of s_*", ["ad"], ["a", "d"]),
        ("any of s_*", ["d"], ["a"]),
    ],
)
def test_conditions_combine_selections(condition: str, matching: list[str], others: list[str]) -> None:
    """and, or, not, brackets, `1 of`, `all of` and `them` bind as the specification says."""
    names = {"a": "a", "b": "b", "c": "c", "s_d": "d", "s_e": "e"}
    selections = names if "s_" in condition else {name: key for name, key in names.items() if "_" not in name}
    detection = ", ".join(f"{name}: {{{key}: 1}}" for name, key in selections.items())
    rules = load([("a.yml", rule_text(detection, condition))])
    for keys, expected in [(k, True) for k in matching] + [(k, False) for k in others]:
        assert bool(rules.match(dict.fromkeys(keys, 1))) is expected, keys


def test_several_conditions_are_alternatives() -> None:
    """A list of conditions matches when one of them does."""
    content = f"{HEAD}detection: {{a: {{x: 1}}, b: {{y: 1}}, condition: [a, b]}}".encode()
    rules = load([("a.yml", content)])
    assert [bool(rules.match(e)) for e in ({"x": 1}, {"y": 1}, {"z": 1})] == [True, True, False]
