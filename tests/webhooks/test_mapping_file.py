"""Mappings: where a place leads, what a document may say, and that none costs more than it should."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra import bundle
from sentinel.core.alerts import Alert, Severity, Status
from sentinel.errors import Malformed
from sentinel.webhooks import SOURCES
from sentinel.webhooks.elastic import TEMPLATE
from sentinel.webhooks.generic import Generic
from sentinel.webhooks.mapping_file import MAX_BYTES, Model, mapping, shipped
from sentinel.webhooks.places import Found, place
from sentinel.webhooks.reading import Part
from sentinel.webhooks.source import Unparsed

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "shared" / "sentinel" / "webhooks" / "mappings"


def told(text: str, body: Any) -> list[Alert]:
    """Return what a mapping finds in a body."""
    return Generic({"mapping": text}).alerts({}, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("at", "found"),
    [
        ("a.b", "7"),
        (" a . b ", None),
        ("a.c.0.d", "x"),
        ("a.c.1.d", "y"),
        ("a.c.2.d", ""),
        ("a.c.-1.d", ""),
        ("a.c.d", ""),
        ("a", ""),
        ("flag", "true"),
        ("nothing", ""),
        ('"with.dot"', "dotted"),
        ('"with blank"."in | it"', "piped"),
        ("no|flag", "true"),
        ("no | a.b | flag", "7"),
        ("=text", "text"),
        ("no|=text", "text"),
        ("={a.b} of {flag}", "7 of true"),
        ("={no} of {flag}|={flag}!", "true!"),
        ('={"with.dot"}', "dotted"),
        ("$word", "taken"),
        ("={$word}{a.b}", "taken7"),
        ("$other", ""),
        ("$word.x", ""),
        ("$outer.id", "42"),
        ("$outer", ""),
        ("=", ""),
        ("", None),
        ("a..b", None),
        (".a", None),
        ("a.", None),
        ("a b", None),
        ("={a", None),
        ("=a}", None),
        ("={}", None),
        ("={{a}}", None),
        ("|".join("abcdefghijk"), None),
        (".".join("abcdefghijklmnopq"), None),
        ("a" * 501, None),
    ],
)
def test_places(at: str, found: str | None) -> None:
    """What each place finds; None is refused when the mapping is read."""
    body = {
        "a": {"b": 7, "c": [{"d": "x"}, {"d": "y"}]},
        "flag": True,
        "nothing": None,
        "with.dot": "dotted",
        "with blank": {"in | it": "piped"},
    }
    there = Found(Part(body), {"word": "taken"}, Part({"id": 42}))
    if found is None:
        with pytest.raises(ValueError, match=r"\w+"):
            place(at)
    else:
        assert place(at).text(there) == found


@given(st.text(max_size=40))
def test_any_text_is_a_place_or_none(text: str) -> None:
    """Whatever is written is refused in words or finds a text."""
    try:
        parsed = place(text)
    except ValueError:
        return
    assert isinstance(parsed.text(Found(Part({"a": [1]}), {})), str)


def test_words() -> None:
    """The sender's word as `values` have it, in any case and with `*`; then as usual; then `else`."""
    text = (
        "title: =t\n"
        "severity: {at: s, values: {Bad*: error, '5': critical, meh: unknown}, else: warning}\n"
        "status: {at: t, values: {'* -> up': resolved}, else: firing}\n"
    )
    expected = [
        ("BADLY", Severity.ERROR),
        (5, Severity.CRITICAL),
        ("MEH", Severity.UNKNOWN),
        ("info", Severity.INFO),
        ("so so", Severity.WARNING),
        ("", Severity.WARNING),
        (None, Severity.WARNING),
    ]
    for word, severity in expected:
        assert told(text, {"s": word})[0].severity is severity
    for word, status in [
        ("DOWN -> UP", Status.RESOLVED),
        ("acked", Status.ACKNOWLEDGED),
        ("?", Status.FIRING),
    ]:
        assert told(text, {"t": word})[0].status is status


def test_inside_each_require_ignore() -> None:
    """A list inside a text that is JSON; what is not meant is left out, and nothing but that is parked."""
    text = (
        "inside: wrapped\neach: items\nrequire: [id]\nignore: [{at: kind, values: [ping]}]\n"
        "title: name\nfingerprint: [$outer.source, id]\nlabels: {host: $outer.host}\n"
    )

    def body(*items: Any) -> dict[str, Any]:
        return {"wrapped": json.dumps({"items": items}), "source": "s", "host": "h"}

    one, two, ping, odd = {"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"kind": "ping"}, {"id": 3}
    found = told(text, body(one, ping, odd, two))
    assert [(each.title, dict(each.labels)) for each in found] == [("a", {"host": "h"}), ("b", {"host": "h"})]
    assert found[0].fingerprint != found[1].fingerprint
    assert told(text, body(ping)) == told(text, body()) == []
    strange: list[Any] = [body(odd), body(odd, ping), {"wrapped": "{"}, {"items": 7}, [], "x", None]
    for wrong in strange:
        with pytest.raises(Unparsed):
            told(text, wrong)
    assert told(text, {"items": [one]})[0].title == "a"  # not wrapped at all


def test_a_fingerprint_of_one_place_is_the_senders_own() -> None:
    """One place: its text; several: a name for all of them; none that has a text: made of what stays."""
    assert told("title: t\nfingerprint: [id]", {"t": "a", "id": "X-7"})[0].fingerprint == "X-7"
    several = "title: t\nfingerprint: [id, host]"
    first, second = (told(several, {"t": "a", "id": "1", "host": host})[0] for host in ("h", "g"))
    assert len(first.fingerprint) == 32 != len("1")
    assert first.fingerprint != second.fingerprint
    assert told(several, {"t": "a"})[0].fingerprint == told("title: t", {"t": "a"})[0].fingerprint


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "YAML mapping"),
        ("- a", "YAML mapping"),
        ("severity: {at: s}", "title: Field required"),
        ("title: a\nnope: b", "nope: Extra"),
        ("title: ['a']", "title: a place is a text"),
        ("title: a..b", "title: a path is"),
        ("title: a\nseverity: {values: {x: bad}}", "severity.values.x"),
        ("title: a\nstatus: {else: maybe}", "status.else"),
        ("title: a\nstatus: {values: {'***': firing}}", "status.values"),
        ("title: a\nignore: [{at: b, values: ['[a]']}]", "ignore.0.values.0"),
        ("title: a\nextract: {x: {at: b, match: 'no group'}}", "one group"),
        ("title: a\nextract: {x: {at: b, match: '((a'}}", "RE2 does not take"),
        ("title: a\nextract: {x: {at: b, match: '(?=a)(b)'}}", "RE2 does not take"),
        ("title: a\nlabels: {'a b': c}", "labels"),
        ("title: &x a\nkind: *x", "anchors"),
        ("title: !!python/object:os.system a", "not YAML"),
        ("title: a: b", "not YAML"),
        ("title: '\x00'", "not YAML"),
        ("nope", "there is no nope; .*wazuh.* ship"),
        ("title: a" + " " * MAX_BYTES, "8,000 bytes"),
        ("labels: {" + ", ".join(f"a{n}: b" for n in range(101)) + "}\ntitle: a", "labels"),
    ],
)
def test_documents_that_are_refused(text: str, why: str) -> None:
    """A mapping that cannot be is refused when the webhook is added, with words that say where and why."""
    with pytest.raises(Malformed, match=f"^mapping: .*{why}"):
        Generic({"mapping": text})


def test_a_document_that_doubles_itself_is_refused_at_once() -> None:
    """References that stand for a billion lines, and depth that would break the reader."""
    bomb = "a: &a [x]\n" + "".join(f"b{n}: &b{n} [*a, *a]\n" for n in range(30)) + "title: a"
    for text in (bomb, "[" * 4000, "title: " + "{a: " * 1500, "title: " + "{a: " * 400):
        begun = time.process_time()
        with pytest.raises(Malformed):
            Generic({"mapping": text})
        assert time.process_time() - begun < 3


def test_a_hostile_body_costs_no_more_than_its_length() -> None:
    """Patterns and stars that are slow elsewhere: a megabyte is read in well under a second."""
    text = (
        "title: =t\nextract: {x: {at: s, match: '((?:a+)+)$'}}\nkind: $x\n"
        "status: {at: s, values: {'*a*b': resolved}}\n"
    )
    begun = time.process_time()
    told(text, {"s": "a" * 900_000 + "!"})
    assert time.process_time() - begun < 2


def test_what_ships_is_whole_and_in_the_layer() -> None:
    """Every mapping that ships can be read, says how it tells a problem from another, and goes to AWS too."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    assert shipped() == names
    assert len(names) >= 7
    for name in names:
        assert mapping(name).fingerprint
    assert set(FOLDER.glob("*.yaml")) <= set(bundle.package_files())


def test_without_a_mapping_all_is_parked() -> None:
    """So that one can be written by what came."""
    with pytest.raises(Unparsed, match="no option mapping yet"):
        Generic({}).alerts({}, b'{"title": "x"}')


def test_the_mapping_of_the_docs_is_one() -> None:
    """The example in docs/connectors.md has every key, and reads what it says."""
    text = (ROOT / "docs" / "connectors.md").read_text().partition("\n### Mappings\n")[2]
    example = text.partition("```yaml\n")[2].partition("```")[0]
    assert set(Model.model_fields) == {
        line.partition(":")[0] for line in example.splitlines() if line[:1].strip()
    }
    item = {"id": 7, "name": "backup", "text": "it failed on host nas-2", "level": "badly", "state": 1}
    alerts = told(example, {"Message": json.dumps({"alerts": [item, {"type": "test it"}]})})
    assert [each.json() for each in alerts] == [
        {
            "title": "backup on nas-2",
            "severity": "error",
            "status": "firing",
            "fingerprint": alerts[0].fingerprint,
            "description": "it failed on host nas-2",
            "resource": "nas-2",
            "labels": {"host": "nas-2"},
        }
    ]
    assert all(f"`{name}`" in text for name in shipped())


def test_the_template_of_elastic_is_in_the_docs() -> None:
    """What is pasted at Kibana is what the source reads: JSON once its variables are filled."""
    assert TEMPLATE in (ROOT / "docs" / "connectors.md").read_text()
    section = re.compile(r"\{\{#context.alerts\}\}(.*?)\{\{/context.alerts\}\}", re.DOTALL)

    def filled(times: int) -> list[Alert]:
        text = section.sub(lambda found: found[1].replace("{{", "{{a ") * times, TEMPLATE)
        body = re.sub(r"\{\{([^}]*)\}\}", lambda found: f"<{found[1]}>", text)
        return SOURCES["elastic"].make({}).alerts({}, body.encode())

    (alone,) = filled(0)
    assert (alone.title, alone.fingerprint) == ("<context.title>", "<alert.uuid>")
    assert [each.fingerprint for each in filled(2)] == ["<a kibana.alert.uuid>"] * 2
