"""Expressions in inputs: what they give, where they are refused, and that no value changes a structure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sentinel.core import step_inputs
from sentinel.core.expressions import MAX_VALUE, Context, parse
from sentinel.core.step_inputs import MAX_EXPRESSIONS, MAX_INPUTS, Form
from sentinel.errors import Malformed

FORMS = {"url": Form.URL, "headers": Form.HEADER, "body": Form.TEMPLATE, "data": Form.JSON}
ENTRY = {
    "user": {"name": "ann", "id": 7, "none": None},
    "attributes": {"http.status": 503},
    "tags": ["a", "b"],
    "map": {"x": [1, True, None]},
    "flag": False,
    "empty": "",
    "@timestamp": "t",
}
RESULTS = {"open": {"number": 12, "who": {"id": "x"}}, "a.b": {"n": 1}}
CAUSE = {"rule": "r-1", "title": "A burst"}


def context(entry: Any = ENTRY, results: Any = RESULTS) -> Context:
    """Return what expressions can name."""
    return Context("tid", "rec", CAUSE, results, entry)


def put(data: object, entry: Any = ENTRY) -> Any:
    """Return the input `data` with its expressions resolved."""
    return step_inputs.resolve({"data": data}, FORMS, context(entry))["data"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${entry.user.name}", "ann"),
        ("${ entry.user.id }", 7),
        ("${entry.flag}", False),
        ("${entry.map}", {"x": [1, True, None]}),
        ("${entry.tags}", ["a", "b"]),
        ("${entry.http.status}", 503),  # as rules look for it: through the envelopes of senders
        ("${entry.@timestamp}", "t"),
        ("${entry.empty}", ""),
        ("${steps.open.result.who.id}", "x"),
        ("${steps.a.b.result.n}", 1),
        ("${cause.title}", "A burst"),
        ("${task.id}/${task.recipe}", "tid/rec"),
        ("<${entry.user.id}|${entry.flag}>", "<7|false>"),
        ('${entry.gone | default("}{|")}', "}{|"),
        ('${entry.user.none | default("n")}', "n"),
        ('${entry.empty | default("n")}', ""),
        ("${entry.user.name | cut(2)}", "an"),
        ('${entry.gone|default("long")|cut(1)}', "l"),
        ("is ${entry.map | json}", 'is {"x":[1,true,null]}'),
        ("$${entry.user.name} and $5 and $$", "${entry.user.name} and $5 and $$"),
        ({"k": ["${entry.user.id}", 1]}, {"k": [7, 1]}),
    ],
)
def test_what_an_expression_gives(written: object, value: object) -> None:
    """The value at a path, of its own type where it stands alone, as text inside a text; filters in order."""
    step_inputs.check({"data": written}, FORMS, frozenset({"open", "a.b"}))
    assert put(written) == value


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("${entry.gone}", "no such value"),
        ("${entry.user.none}", "no such value"),
        ("x ${entry.map}", "a map or a list"),
        ("${entry.map | cut(3)}", "a map or a list"),
        ("${steps.open.result.gone}", "no such value"),
        ("${cause.gone.deep}", "no such value"),
    ],
)
def test_what_has_no_value_fails(written: str, said: str) -> None:
    """A missing value, and a map inside a text, is refused, and the message quotes the expression alone."""
    with pytest.raises(Malformed, match=said):
        put(written)


@pytest.mark.parametrize(
    "inputs",
    [
        {"url": "${entry.u}"},
        {"url": "https://${entry.u}/"},
        {"url": "https://a.example.com${entry.u}/"},
        {"url": "https://a.example.com:${entry.u}/"},
        {"url": "${entry.u}://a.example.com/"},
        {"url": "https://${entry.u}@a.example.com/"},
        {"url": "https://a.example.com/#${entry.u}"},
        {"url": "https:///${entry.u}"},
        {"url": "https://a.example.com\\${entry.u}"},
        {"method": "${entry.u}"},
        {"timeout": "${entry.u}"},
        {"to": ["${entry.u}"]},
        {"headers": {"${entry.u}": "a"}},
        {"headers": {"A": {"secret": "${entry.u}"}}},
        {"headers": {"A": {"secret": "s", "prefix": "${entry.u}"}}},
        {"headers": "${entry.u}"},
        {"body": {"${entry.u}": 1}},
        {"data": "${entry}"},
        {"data": "${entry.}"},
        {"data": "${entry..a}"},
        {"data": "${env.HOME}"},
        {"data": "${entry.a b}"},
        {"data": "${entry.a | upper}"},
        {"data": "${entry.a | cut(x)}"},
        {"data": '${entry.a | default("a"}'},
        {"data": "${entry.a"},
        {"data": "${entry.__class__()}"},
        {"data": "${entry.${entry.a}}"},
        {"data": "${task.version}"},
        {"data": "${steps.later.result.x}"},
        {"data": "${steps.open.number}"},
        {"data": ["${entry.a}"] * (MAX_EXPRESSIONS + 1)},
    ],
)
def test_where_expressions_are_refused(inputs: dict[str, object]) -> None:
    """An expression never chooses a host, a method, a name, a secret or a sink; no other syntax exists."""
    with pytest.raises(Malformed):
        step_inputs.check(inputs, FORMS, frozenset({"open"}))


def test_values_are_bounded() -> None:
    """A value of over 16 KB, inputs of over 128 KB, and what is nested too deeply, fail the step."""
    big = {
        "a": "x" * (MAX_VALUE - 2),
        "b": "x" * (MAX_VALUE - 1),
        "deep": orjson.loads('{"a":' * 900 + "1" + "}" * 900),
    }
    assert put("${entry.a}", big) == big["a"]
    assert put("${entry.b | cut(3)}", big) == "xxx"
    for written in ("${entry.b}", "${entry.deep}", "${entry.deep | json}"):
        with pytest.raises(Malformed, match=r"bytes|nested"):
            put(written, big)
    with pytest.raises(Malformed, match=f"{MAX_INPUTS:,}"):
        put(["${entry.a}"] * 9, big)


def test_an_erased_entry_is_no_missing_value() -> None:
    """Where the entry was erased nothing stands in for it: the effect's key would become another one."""
    with pytest.raises(Malformed, match="was erased"):
        put('${entry.user.name | default("x")}', None)
    assert put("${cause.rule}", None) == "r-1"


def test_steps_that_have_not_run_stay_as_written() -> None:
    """In a rehearsal the results of earlier steps are their expressions."""
    found = step_inputs.resolve({"data": "${steps.open.result.n}"}, FORMS, context(results=None))
    assert found == {"data": "${steps.open.result.n}"}


def test_a_sample_keeps_everything_else() -> None:
    """For checks, each expression becomes `x`, and what takes none stays."""
    inputs = {"url": "https://a.example.com/${entry.u}", "method": "PUT", "data": ["${entry.a}", "b"]}
    assert step_inputs.sample(inputs, FORMS) == {
        "url": "https://a.example.com/x",
        "method": "PUT",
        "data": ["x", "b"],
    }


# What strangers write: text of any kind, and what breaks out of things.
NASTY = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        [
            *("../..", "..", ".", "%2e%2e", "..;/", "a/../b", "..\\..\\x", "\r\nX-Evil: 1", "@evil.example"),
            *(
                "?admin=1",
                "#",
                "&a=b",
                '","admin":true,"',
                "${entry.secret}",
                "$title",
                "$$",
                "${count}",
                "$",
            ),
            *(
                "//evil.example/",
                "\x00",
                "%",
                "%0d%0a",
                " ",
                "é💥",
                "https://evil.example",
                "\u2028",
                ":8443",
            ),
        ]
    ),
)
VALUES = st.recursive(
    st.one_of(NASTY, st.integers(-(2**63), 2**64 - 1), st.booleans(), st.none(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NASTY, inner, max_size=3)),
    max_leaves=6,
)


@given(NASTY, NASTY)
@example("..", "x")
@example("", "")
def test_no_value_changes_where_a_request_goes(one: str, two: str) -> None:
    """Scheme, authority, segments of the path and names of the query stay the recipe's, whatever comes."""
    written = {"url": "https://api.example.com:8443/v1/${entry.a}/x-${entry.b}/end?q=${entry.a}&r=${entry.b}"}
    try:
        url = str(step_inputs.resolve(written, FORMS, context({"a": one, "b": two}))["url"])
    except Malformed:
        assert (
            "" in {one, two}
            or re.search(r"(^|[/\\])\.\.?($|[/\\;])", one)
            or re.search(r"[/\\]\.\.?($|[/\\;])", two)
        )
        return
    assert url.isascii()
    assert url.isprintable()
    assert " " not in url
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.fragment) == ("https", "api.example.com:8443", "")
    segments = parts.path.split("/")
    assert segments[:2] == ["", "v1"]
    assert [unquote(each) for each in segments[2:]] == [one, f"x-{two}", "end"]
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", one), ("r", two)]


@given(NASTY)
def test_no_value_makes_another_header(value: str) -> None:
    """A header's value is printable ASCII in one line, and reads back as the value."""
    headers: Any = step_inputs.resolve({"headers": {"A": "b ${entry.a}"}}, FORMS, context({"a": value}))[
        "headers"
    ]
    assert list(headers) == ["A"]
    assert re.fullmatch(r"[\x20-\x7e]*", headers["A"])
    assert unquote(headers["A"].removeprefix("b "), errors="strict") == value


@given(VALUES, NASTY)
def test_no_value_changes_the_json_around_it(value: Any, text: str) -> None:
    """A body has the keys of the recipe and the value in its place, `$` and all; nothing is read twice."""
    written = {"body": {"whole": "${entry.a}", "in": "<${entry.b}>", "$title": ["${entry.b}", "$title"]}}
    entry = {"a": value, "b": text}
    try:
        body: Any = step_inputs.resolve(written, FORMS, context(entry))["body"]
    except Malformed:
        assert value is None or isinstance(value, list)  # nothing in it, at least nothing that is not null
        return
    assert list(body) == ["whole", "in", "$title"]
    assert _undoubled(body["in"]) == f"<{text}>"
    assert [_undoubled(body["$title"][0]), body["$title"][1]] == [text, "$title"]
    if not isinstance(value, list):  # lists are flattened, as everywhere where rules read fields
        assert _undoubled(body["whole"]) == value


def _undoubled(value: Any) -> Any:
    """Read a value as an action reads its template: `$$` is a `$`, and no `$` stands alone."""
    if isinstance(value, str):
        assert "$" not in value.replace("$$", "")
        return value.replace("$$", "$")
    if isinstance(value, dict):
        return {name: _undoubled(each) for name, each in value.items()}
    return [_undoubled(each) for each in value] if isinstance(value, list) else value


@given(st.text(max_size=80))
def test_parsing_never_breaks(text: str) -> None:
    """Any text between braces is an expression or refused, and so is any text around them."""
    for attempt in (
        lambda: parse(text),
        lambda: step_inputs.check({"data": f"${{{text}"}, FORMS, frozenset()),
    ):
        try:
            attempt()
        except Malformed:
            continue
