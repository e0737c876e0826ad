"""Any value becomes plain JSON: bounded, valid, and never an error."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import types
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_client._encode import fastest, standard
from sentinel_client._entry import Bytes
from sentinel_client._plain import MAX_DEPTH, MAX_KEYS, MAX_TEXT, plain
from sentinel_client._types import MAX_ENTRY
from tests.sampling import thorough


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Number(enum.IntEnum):
    """One whose members are numbers."""

    ONE = 1


class Text(str):
    """A text that does not print."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError


@dataclasses.dataclass
class Order:
    """A dataclass."""

    id: int
    at: datetime.datetime


class Point(NamedTuple):
    """A named tuple."""

    x: int


class Model(pydantic.BaseModel):
    """A model of pydantic."""

    name: str


class Scalar:
    """What numpy's scalars can do."""

    dtype = "float32"
    size = 1

    def tolist(self) -> float:
        return 1.5


class Hostile:
    """Raises whatever is asked of it."""

    def __repr__(self) -> str:
        raise ValueError("no")

    def __str__(self) -> str:
        raise ValueError("no")


class Lies(Mapping[str, Any]):
    """A mapping that does not end well."""

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        raise RuntimeError


WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "a"),
        (memoryview(b"\x00a"), "AGE="),
        (b'{"pin": "\xc3\xa9"}\n', '{"pin": "é"}\n'),
        (b"a" * 16_383 + "é".encode(), "a" * 16_383),
        (WHEN, "2026-01-02T03:04:05+00:00"),
        (WHEN.date(), "2026-01-02"),
        (datetime.timedelta(seconds=1.5), "1.5"),
        (decimal.Decimal("12.50"), "12.50"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (pathlib.PurePosixPath("/a"), "/a"),
        (Colour.RED, "red"),
        (Number.ONE, 1),
        (Text("a"), "a"),
        (Order(1, WHEN), {"id": 1, "at": "2026-01-02T03:04:05+00:00"}),
        (Point(3), {"x": 3}),
        (Model(name="n"), {"name": "n"}),
        (Scalar(), 1.5),
        (types.MappingProxyType({1: (2,)}), {"1": [2]}),
        (collections.deque([1]), [1]),
        (frozenset([1]), [1]),
        (KeyError("price"), "KeyError: 'price'"),
        (2**70, 2**70),
        (1 << 19_931, "<a whole number of 19932 bits>"),
        ("\ud83d\ude00", "😀"),
        ("\ud83d", "\ufffd"),
        (Hostile(), "<Hostile that cannot be shown: ValueError>"),
        ({Hostile(): 1}, {"<Hostile that cannot be shown: ValueError>": 1}),
        (Lies(), "<Lies that cannot be told: KeyError>"),
        (lambda: 1, None),
    ],
    ids=lambda value: type(value).__name__,  # a value may not print
)
def test_each_kind_of_value_has_its_form(value: object, told: object) -> None:
    """What JSON has no form for is text that people read; what cannot be told says so."""
    found = plain(value)
    assert found == told if told is not None else found.startswith("<function")
    json.dumps(found, allow_nan=False)


def test_long_deep_many_and_circular_values_are_bounded() -> None:
    """What is cut is marked, and a cycle is named and not followed."""
    cut = plain("x" * (MAX_TEXT + 5))
    assert len(cut) == MAX_TEXT + 1
    assert cut.endswith("…")
    deep: list[Any] = []
    for _ in range(MAX_DEPTH + 5):
        deep = [deep]
    assert json.dumps(plain(deep)).count("[") == MAX_DEPTH
    many = plain(dict.fromkeys(range(MAX_KEYS + 7), 1))
    assert len(many) == MAX_KEYS + 1
    assert many["…"] == "7 more"
    assert len(plain(list(range(1000)))) == MAX_KEYS + 1
    cycle: dict[str, Any] = {"a": 1}
    cycle["self"] = cycle
    assert plain(cycle) == {"a": 1, "self": "<cycle>"}
    shared = [1]
    assert plain([shared, shared]) == [[1], [1]]
    wide = [[[list(range(200))] * 200] * 200]
    assert len(json.dumps(plain(wide))) < 1_000_000


def test_an_object_that_logs_itself_as_it_prints_ends() -> None:
    """Code of the program that we call and that logs again is stopped after a few times."""

    class Loud:
        def __repr__(self) -> str:
            return str(plain(self))

    assert plain(Loud()) == "<Loud>"


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.decimals()
    | st.datetimes(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=())), inner),
    max_leaves=20,
)


@settings(max_examples=100 if thorough() else 30)
@given(VALUES)
def test_what_is_plain_is_written_alike_by_both_encoders(value: object) -> None:
    """The bytes are JSON in UTF-8 and mean the same whichever encoder is there."""
    entry = {"value": plain(value)}
    one, other = Bytes(standard()).of(dict(entry)), Bytes(fastest()).of(dict(entry))
    assert json.loads(one.decode()) == json.loads(other.decode()) == entry


@pytest.mark.parametrize("encode", [standard(), fastest()])
def test_lone_surrogates_never_pass_an_encoder(encode: Any) -> None:
    """They raise, so that the entry is made plain first."""
    with pytest.raises((ValueError, TypeError)):
        encode({"a": "\ud800"})


def test_what_the_standard_library_writes_is_no_other_than_json_dumps() -> None:
    """The prepared encoder writes what `json.dumps` writes."""
    entry = {"a": 'x"\n\u2028é😀', "b": [1, 2.5, True, None, {"c": {}}], "": 1e300}
    assert standard()(entry) == json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        standard()({"a": float("nan")})


@pytest.mark.parametrize(
    "fields",
    [{"a": "é" * 70_000}, {f"k{at}": "x" * 10_000 for at in range(150)}, {"a": [["x" * 999] * 99] * 99}],
)
def test_an_entry_is_cut_until_the_server_takes_it(fields: dict[str, Any]) -> None:
    """However large its values are, an entry fits into 65,536 bytes and keeps time, level and message."""
    entry = {"time": 1.5, "level": "INFO", "logger": "a", "message": "m", **fields}
    line = Bytes().of(entry)
    assert len(line) <= MAX_ENTRY
    assert json.loads(line) == entry
    assert (entry["message"], entry["time"]) == ("m", 1.5)
