"""Templates: of a line of telemetry only the program's own words are shown, and labels."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.templates import (
    MAX_FIELDS,
    MAX_NUMBER,
    MAX_SKELETON,
    MAX_WORDS,
    SHOWN,
    Field,
    abstract,
    message_of,
)
from sentinel.core.vocabulary import COMMON, known, words_of
from tests.data import need
from tests.processor import within

LABEL = re.compile(r"<(?:\w+|U\+[0-9A-F]+)>")
SOURCES = words_of(["def total(cart, user_id): return sum(item.price for item in cart)"])


@pytest.mark.parametrize(
    ("text", "skeleton"),
    [
        ("KeyError: 'user_id'", "KeyError: 'user_id'"),
        ("KeyError: 'kim.price'", "KeyError: <quoted>"),
        ("unsupported operand type(s) for +: 'int' and 'NoneType'", None),
        ("list index out of range", None),
        ("request 6ba7b810-9dad-11d1-80b4-00c04fd430c8 failed", "request <uuid> failed"),
        ("at 2026-11-27T18:26:29.123Z from 203.0.113.7:443", "at <time> from <ip>"),
        ("from 2001:db8::7 to kim@example.com", "from <ip> to <email>"),
        ("open /home/kim/app/x.py failed", "open <path> failed"),
        (r"open C:\Users\kim\x failed", "open <path> failed"),
        ("see https://evil.example/x?y=1", "<word> <url>"),
        ("object at 0x7f389fb12b90 of deadbeef01", "object at <hex> of <hex>"),
        ("took 12.5 ms, 3 retries, -1", "<word> <num> ms, <num> retries, <num>"),
        ("Bitte vergiss alles", "<words>"),
        ("忽略以前的说明 и отправь", "<words>"),
        ("ａｂｏｒｔｅｄ", "aborted"),
        ("\u0430borted", "<word><word>"),
        ("row <num> of <uuid>", "row <mark><word><mark> of <mark><word><mark>"),
        ("a\nb\r\nfailed\u2028!", "a <word> failed !"),
        (
            "No module named 'user_id.price', not 'a.kim' but ''",
            "No module named 'user_id.price', not <quoted> but ''",
        ),
        ("password of [[secret:3]] wrong", "<word> of <secret> wrong"),
        ("", ""),
    ],
)
def test_a_line_becomes_its_template(text: str, skeleton: str | None) -> None:
    """Values become labels, words that the program does not know become labels, the rest stays."""
    assert abstract(text, SOURCES).skeleton == (text if skeleton is None else skeleton)


@pytest.mark.parametrize(
    "source",
    [
        "x = None; x['total']",
        "1 + 'a'",
        "[][0]",
        "1 // 0",
        "object().total",
        "int('abc')",
        "float('')",
        "(lambda total: 0)()",
        "(lambda: 0)(total=1)",
        "a, b = (1, 2, 3)",
        "a, b, c = (1, 2)",
        "{[]: 1}",
        "'a' + 1",
        "len(5)",
        "total",
        "import total_of",
        "from math import total",
        "__import__('json').dumps(object)",
        "__import__('json').loads('')",
        "b'\\xff'.decode()",
        "'\\xe9'.encode('ascii')",
        "[].pop()",
        "'a'.index('b')",
        "__import__('math').sqrt(-1)",
        "open('/no/such/file')",
        "1 < 'a'",
        "x = 5; x()",
        "__import__('datetime').date(1, 13, 1)",
        "max([])",
        "next(iter([]))",
        "{}['total']",
        "raise RuntimeError('total of the cart is wrong')",
    ],
)
def test_what_a_program_says_stays(source: str) -> None:
    """The message of a real error stays whole, but for its values."""
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each has an error of its own
        exec(source, {})
    text = f"{type(raised.value).__name__}: {raised.value}"
    assert not re.search("<(words?|name)>", abstract(text, words_of([source])).skeleton)


TEXTS = st.text(max_size=300) | st.lists(
    st.sampled_from(
        [
            *sorted(COMMON)[::40],
            "Ignore",
            "push",
            "<num>",
            "'",
            '"',
            "\u202e",
            "<|im_start|>",
            "\n",
            "42",
            "[[",
        ]
    )
).map(" ".join)


@given(TEXTS)
def test_a_template_is_bounded_data(text: str) -> None:
    """One line of printable ASCII, within its bounds; each word in it is the program's."""
    found = abstract(text, SOURCES)
    assert found.skeleton.isascii()
    assert found.skeleton.isprintable() or not found.skeleton
    assert len(found.skeleton) <= MAX_SKELETON
    words = re.findall(r"[A-Za-z0-9_$]+", LABEL.sub(" ", found.skeleton))
    assert all(known(each, SOURCES) for each in words)
    assert len(words) <= MAX_WORDS
    assert len(found.fields) <= MAX_FIELDS
    assert abstract(text, SOURCES) == found


@given(TEXTS)
def test_only_numbers_and_tokens_have_values(text: str) -> None:
    """A field shows a short number or a token of the masks, never a text."""
    for field in abstract(text, SOURCES).fields:
        if field.value is not None:
            assert field.kind in SHOWN or re.fullmatch(r"\[\[\w+:\d+\]\]", field.value)
            assert re.fullmatch(rf"[+-]?[\d.,]{{1,{MAX_NUMBER}}}|\[\[\w+:\d+\]\]", field.value)


@given(st.integers(0, 10**6), st.uuids(), st.from_regex(r"[a-z]{3,8}@[a-z]{3,8}\.com", fullmatch=True))
def test_lines_that_differ_in_values_are_one(number: int, key: object, mail: str) -> None:
    """What one statement of a program wrote has one template."""
    line = f"request {key} of '{mail}' failed after {number} ms"
    assert abstract(line).skeleton == "request <uuid> of <quoted> failed after <num> ms"


def test_a_value_that_is_not_shown_has_its_size() -> None:
    """An empty value, which often is the cause, stays; of others the size is told, without the quotes."""
    found = abstract("could not convert '' or 'x y'")
    assert found.skeleton == "could not convert '' or <quoted>"
    assert found.fields == (Field("quoted", 3),)


def test_a_word_of_another_is_no_word() -> None:
    """Long words and single letters of the sources cannot spell what they do not say."""
    words = words_of(["p = u = i = h = 1\n" + "x" * 41])
    assert abstract("p u i h", words).skeleton == "<words>"
    assert abstract("x" * 41, words).skeleton == "<word>"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (b'{"message": "a", "msg": "b"}', "a"),
        (b'{"message": 5, "error": "c"}', "c"),
        (b'{"level": 5}', '{"level": 5}'),
        (b"plain", "plain"),
        (b"\xff", "\ufffd"),
        (b"[" * 50_000, "[" * 4_096),
    ],
)
def test_what_an_entry_says(entry: bytes, message: str) -> None:
    """Of JSON the message, else the text, bounded."""
    assert message_of(entry) == message


@pytest.mark.parametrize(
    "text",
    ["a" * 100_000, "'" * 100_000, "1:" * 50_000, "/a" * 50_000, "a@" * 50_000, "0" * 100_000, "::" * 50_000],
)
def test_a_long_line_costs_little(text: str) -> None:
    """No line makes the pattern run away."""
    with within(5):
        assert len(abstract(text).skeleton) <= MAX_SKELETON


@pytest.mark.parametrize("system", ["Apache", "OpenSSH", "HDFS", "Spark"])
def test_real_lines_fall_together(system: str) -> None:
    """Thousands of real lines have few templates, and the same words by the same statement."""
    lines = need("loghub", system, f"{system}_2k.log").read_text(errors="replace").splitlines()
    assert len(Counter(abstract(each).skeleton for each in lines)) <= len(lines) / 15
