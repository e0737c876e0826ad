"""NDJSON bodies: what is an entry, what is not, and how it is said."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import entry
from sentinel.errors import Malformed, TooLarge
from tests.data import need

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), JSON, max_size=4)


@given(st.lists(OBJECTS, min_size=1, max_size=10), st.booleans())
def test_lines_come_back_byte_for_byte(objects: list[dict[str, object]], newline: bool) -> None:
    """Every good line is an entry, unchanged, whether or not the last line ends in a newline."""
    lines = [orjson.dumps(each) for each in objects]
    found = entry.parse(b"\n".join(lines) + b"\n" * newline)
    assert (found.entries, found.bad) == (lines, 0)


def test_white_space_duplicate_keys_and_cr_are_kept() -> None:
    """Bytes are stored as they came: inner spaces, duplicate keys, number forms, a CR before the LF."""
    lines = [b'{ "a" : 1.0e1, "a":2 }  ', b'{"b":1}\r', b'{"\\u0000":"\\ud83d\\ude00"}']
    assert entry.parse(b"\n".join(lines)).entries == lines


def test_empty_lines_are_ignored_but_counted() -> None:
    """Empty lines are no entries; the numbers of bad lines are those of the body."""
    found = entry.parse(b'\n{"a":1}\n  \n[1]\n{"b":2}\n\n')
    assert found.entries == [b'{"a":1}', b'{"b":2}']
    assert found.problems == [{"line": 4, "reason": "not a JSON object"}]


@pytest.mark.parametrize("body", [b"", b"\n", b" \n\t\n"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    """A body without entries is a mistake of the sender's, and is told so."""
    with pytest.raises(Malformed, match="no entries"):
        entry.parse(body)


def test_only_the_first_20_bad_lines_are_listed() -> None:
    """All bad lines are counted, 20 are listed, good ones are kept for `partial`."""
    found = entry.parse(b"nope\n" * 30 + b"{}\n")
    assert found.bad == 30
    assert [each["line"] for each in found.problems] == list(range(1, 21))
    assert found.entries == [b"{}"]


def test_reasons_do_not_quote_the_line() -> None:
    """What a line holds may be secret: the reason names the place, not the content."""
    found = entry.parse(b'{"password": hunter2}\n{}')
    assert "hunter2" not in str(found.problems)
    assert found.problems[0]["line"] == 1
    assert "column" in str(found.problems[0]["reason"])


def test_one_object_over_several_lines_is_one_entry() -> None:
    """A pretty-printed object is taken as one entry; its line breaks stand between tokens only."""
    assert entry.parse(b'{\n  "a": 1\n}\n').entries == [b'{   "a": 1 }']


def test_lines_that_are_json_only_together_are_refused() -> None:
    """Lines are checked one by one: brackets that close on another line make both lines bad."""
    found = entry.parse(b'{"a":[{}\n{}]}\n{},{}')
    assert (found.bad, found.entries) == (3, [])


def _object(size: int) -> bytes:
    return b'{"m":"' + b"x" * (size - 8) + b'"}'


def test_entry_size_limit() -> None:
    """64 KiB is an entry, one byte more is not."""
    assert len(entry.parse(_object(65_536)).entries[0]) == 65_536
    found = entry.parse(_object(65_537) + b"\n{}")
    assert found.problems == [{"line": 1, "reason": "over 65536 bytes"}]


def test_entry_count_limit() -> None:
    """10,000 entries are a batch, one more is not; empty lines do not count."""
    assert len(entry.parse(b"{}\n" * 10_000).entries) == 10_000
    assert len(entry.parse(b"{}\n\n" * 10_000).entries) == 10_000
    with pytest.raises(TooLarge, match="10000 entries"):
        entry.parse(b"{}\n" * 10_001)


def test_batch_size_limit() -> None:
    """5 MB are a batch, one byte more is not."""
    line = _object(50_000 - 1) + b"\n"
    assert len(entry.parse(line * 100).entries) == 100
    with pytest.raises(TooLarge, match="5000000 bytes"):
        entry.parse(line * 100 + b"\n")


def test_hostile_json_files() -> None:
    """Of JSONTestSuite every `n_` is refused, every `y_` object is accepted, and nothing else is raised."""
    folder = need("badinput", "JSONTestSuite", "test_parsing")
    seen = {"y": 0, "n": 0, "i": 0}
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        try:
            accepted = not entry.parse(body).bad
        except Malformed:
            accepted = False
        kind = path.name[0]
        if kind == "n":
            assert not accepted, path.name
        if kind == "y":
            assert accepted == isinstance(orjson.loads(body), dict), path.name
        seen[kind] += 1
    assert seen["n"] > 50
    assert seen["y"] > 20


@pytest.mark.parametrize(
    "line",
    [
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a":"\\ud800"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\x00"}',
        b"\x00",
        b"\xff\xfe{\x00}\x00",
        b"\xef\xbb\xbf{}",
        b'{"a":NaN}',
        b'{"a":1e}',
        b"{}{}",
    ],
)
def test_hostile_lines(line: bytes) -> None:
    """Depth, lone surrogates, NUL, byte order marks and the like are bad lines, never a crash."""
    assert entry.parse(line + b"\n{}").bad == 1
