"""Loading Sigma rules: what is kept, what is refused, and how a set is asked."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sentinel.core.rules import LogSource, Rule, load, load_all
from sentinel.errors import Malformed, Missing, Unsupported

HEAD = "title: T\nlogsource: {category: test}\n"


def rule_text(detection: str, condition: str = "selection", head: str = HEAD) -> bytes:
    """Return a rule with this detection section, as YAML."""
    return f"{head}detection: {{{detection}, condition: '{condition}'}}\n".encode()


def rule(detection: str, condition: str = "selection") -> Rule:
    """Return the one rule with this detection section."""
    return load([("rule.yml", rule_text(detection, condition))]).rules[0]


def refusal(content: bytes, **placeholders: list[str]) -> str:
    """Return the message with which a file is refused."""
    with pytest.raises(Malformed) as caught:
        load([("rule.yml", content)], placeholders)
    return str(caught.value)


FILTER = b"title: F\nlogsource: {category: x}\nfilter: {rules: [a], selection: {f: 1}, condition: selection}"
LAUGHS = b"a: &b0 [x]\n" + b"".join(
    b"b%d: &b%d [%s]\n" % (i, i, b",".join([b"*b%d" % (i - 1)] * 9)) for i in range(1, 9)
)


@pytest.mark.parametrize(
    ("content", "kind", "named"),
    [
        (rule_text("selection: {f|nonsense: 1}"), Unsupported, "nonsense"),
        (rule_text("selection: {f|utf16le: a}"), Unsupported, "utf16le"),
        (rule_text("selection: {f|re: '(?=a)b'}"), Unsupported, "RE2"),
        (rule_text(r"selection: {f|re: '(a)\1'}"), Unsupported, "RE2"),
        (rule_text("selection: {f|re: '(unclosed'}"), Unsupported, "unclosed"),
        (rule_text("selection: {f|expand: '%servers%'}"), Unsupported, "%servers%"),
        (rule_text("selection: {f: 1}", "selection | count() by x > 5"), Unsupported, "pipe syntax"),
        (rule_text("selection: {f: 1}, timeframe: 5m"), Unsupported, "timeframe"),
        (rule_text("selection: {'|cidr': 10.0.0.0/8}"), Unsupported, "keyword"),
        (rule_text("selection: {f: 1}", head=HEAD + "taxonomy: ecs\n"), Unsupported, "ecs"),
        (b"action: global\n" + rule_text("selection: {f: 1}"), Unsupported, "global"),
        (FILTER, Unsupported, "filter"),
        (rule_text("selection: {f|cidr: 10.0.0.1/8}"), Malformed, "10.0.0.1/8"),
        (rule_text("selection: {f|gt: abc}"), Malformed, "abc"),
        (rule_text("selection: {f|re|base64: a}"), Malformed, "Base64"),
        (rule_text("selection: {f|base64: 'a*'}"), Malformed, "wildcards"),
        (rule_text("selection: {f: 1}", "selektion"), Malformed, "selektion"),
        (rule_text("selection: {f: 1}", "1 of nothing_*"), Malformed, "nothing_*"),
        (rule_text("selection: {f: 1}", "selection and"), Malformed, "rule.yml"),
        (rule_text("selection: {f: {g: 1}}"), Malformed, "dict"),
        (rule_text("selection: {f: 1}", "not " * 3000 + "selection"), Malformed, "nested too deeply"),
        (b"title: T\ndetection: {a: {f: 1}, condition: a}", Malformed, "log source"),
        (b"title: T\nlogsource: {category: x}", Malformed, "detection"),
        (b"title: T\nlogsource: {category: x}\ndetection: {condition: 5, a: {f: 1}}", Malformed, "rule.yml"),
        (b"title: T\ntitle: U\n", Malformed, "Duplicate key"),
        (b"just text", Malformed, "must be a map"),
        (b"a: [", Malformed, "document 1"),
        (b"\xff\xfe\x00", Malformed, "UTF-8"),
        (b"[" * 5000, Malformed, "YAML"),
        (LAUGHS, Malformed, "YAML"),
    ],
)
def test_what_is_not_supported_is_refused_by_name(content: bytes, kind: type[Malformed], named: str) -> None:
    """A rule that would not be carried out as written is refused at loading: file, rule and feature."""
    with pytest.raises(kind) as caught:
        load([("rule.yml", content)])
    assert type(caught.value) is kind
    assert str(caught.value).startswith("rule.yml: ")
    assert named in str(caught.value)


def test_a_refusal_names_the_rule() -> None:
    """The message has the title and the id of the rule, so that it can be found in a file of many."""
    head = "title: My rule\nid: 0e95725d-7320-415d-80f7-004da920fc11\nlogsource: {category: x}\n"
    message = refusal(rule_text("selection: {f|nope: 1}", head=head))
    assert "'My rule'" in message
    assert "0e95725d-7320-415d-80f7-004da920fc11" in message


def test_loading_all_keeps_what_is_good_and_lists_what_is_not() -> None:
    """`load_all` gives the rules that load, and one reason for every document that does not."""
    files = [
        ("good.yml", rule_text("selection: {f: 1}")),
        (
            "two.yml",
            rule_text("selection: {f|no: 1}") + b"---\n" + rule_text("selection: {f: 2}") + b"---\na: [\n",
        ),
    ]
    rules, refusals = load_all(files)
    assert [r.matches({"f": 2}) for r in rules.rules] == [False, True]
    assert [r.name for r in refusals] == ["two.yml", "two.yml"]
    assert "no" in refusals[0].reason
    assert "document 3" in refusals[1].reason
    with pytest.raises(Unsupported) as caught:
        load(files)
    assert caught.value.problems == [{"name": r.name, "reason": r.reason} for r in refusals]


def test_placeholders_are_alternatives_and_taken_literally() -> None:
    """`expand` puts each given value in the place of the placeholder; `*` in a value is a star."""
    content = rule_text("selection: {f|expand: '%servers%-db', g|expand|contains: '%x%'}")
    rules = load([("a.yml", content)], {"servers": ["A*", "b"], "x": ["1"]})
    assert rules.match({"f": "B-db", "g": "212"})
    assert rules.match({"f": "a*-db", "g": "1"})
    assert not rules.match({"f": "axx-db", "g": "1"})
    assert "%other%" in refusal(rule_text("selection: {f|expand: '%other%'}"), servers=["a"])
    assert "encoding" in refusal(rule_text("selection: {f|expand|base64: '%x%'}"), x=["a"])
    assert "regular" in refusal(rule_text("selection: {f|re|expand: 'a%x%'}"), x=["a"])


def test_without_expand_a_percent_sign_is_plain() -> None:
    """`%name%` is a placeholder only under the expand modifier."""
    assert rule("selection: {f: '%temp%'}").matches({"f": "%TEMP%"})


def test_a_rule_carries_its_metadata_and_a_digest_of_its_document() -> None:
    """Title, level, tags, log source are kept; the digest changes with the document and with nothing else."""
    text = b"""title: One
id: 0e95725d-7320-415d-80f7-004da920fc11
name: one
status: test
level: high
tags: [attack.t1078, attack.initial-access]
logsource: {product: aws, service: cloudtrail}
detection: {selection: {f: 1}, condition: selection}
"""
    first = load([("a.yml", text)]).rules[0]
    again = load(
        [("b.yml", b"# a comment\n---\n" + text + b"\n---\n" + rule_text("selection: {f: 2}"))]
    ).rules[0]
    changed = load([("a.yml", text.replace(b"f: 1", b"f: 2"))]).rules[0]
    assert (first.id, first.name, first.level) == ("0e95725d-7320-415d-80f7-004da920fc11", "one", "high")
    assert (first.status, first.tags) == ("test", ("attack.t1078", "attack.initial-access"))
    assert first.logsource == LogSource(product="aws", service="cloudtrail")
    assert first.digest == again.digest != changed.digest
    assert first.generate is True


def test_ids_and_names_are_one_name_space() -> None:
    """Two rules may not share an id or a name, and a rule without an id is known by its name or digest."""
    named = rule_text("selection: {f: 1}", head=HEAD + "name: burst\n")
    rules = load([("a.yml", named), ("b.yml", rule_text("selection: {f: 2}"))])
    assert rules.find("burst") is rules.rules[0]
    assert rules.find(rules.rules[1].digest[:32]) is rules.rules[1]
    with pytest.raises(Missing, match="other"):
        rules.find("other")
    with pytest.raises(Malformed, match=r"b\.yml.*'burst' is already.*a\.yml"):
        load([("a.yml", named), ("b.yml", named)])


def test_a_log_source_leaves_out_rules_for_something_else() -> None:
    """Every rule sees every event, unless the caller knows the source and passes over what contradicts it."""
    aws = rule_text("selection: {f: 1}", head="title: A\nlogsource: {product: aws, service: cloudtrail}\n")
    web = rule_text("selection: {f: 1}", head="title: W\nlogsource: {category: webserver}\n")
    rules = load([("a.yml", aws), ("w.yml", web)])
    assert [r.title for r in rules.match({"f": 1})] == ["A", "W"]
    assert [r.title for r in rules.match({"f": 1}, LogSource(product="okta"))] == ["W"]
    assert [r.title for r in rules.match({"f": 1}, LogSource(product="aws"))] == ["A", "W"]


def test_importing_rules_does_not_import_pysigma() -> None:
    """Functions that only match never pay for pySigma: it is imported by loading."""
    code = "import sys, sentinel.core.rules; print({'sigma', 're2', 'yaml'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
