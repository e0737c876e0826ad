"""Numbering: which numbers of its producer each segment answers for, whatever was refused and split."""

from __future__ import annotations

import random

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import entry
from sentinel.core.numbering import MAX_SEQUENCE, Numbering, numbering, numbers_of
from sentinel.core.segment import Batch, Head
from sentinel.errors import Malformed


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, MAX_SEQUENCE), st.data())
def test_segments_answer_for_every_number_once(refused: list[bool], first: int, data: st.DataObject) -> None:
    """However a batch is cut, its segments' numbers follow each other, and each entry's is its line's."""
    places = [at for at, bad in enumerate(refused) if bad]
    lines = [at for at, bad in enumerate(refused) if not bad]
    made, offset, end = Numbering("p", first, places), 0, first
    while offset < len(lines):
        count = data.draw(st.integers(1, len(lines) - offset))
        context = made.context(offset, count, len(lines))
        found = numbers_of(orjson.loads(orjson.dumps(context)), count)
        assert found is not None
        assert found.first == end
        skipped = {n for a, b in context.get("refused", []) for n in range(a, b + 1)}  # type: ignore[attr-defined]
        own = [n for n in range(found.first, found.end) if n not in skipped]
        assert own == [first + at for at in lines[offset : offset + count]]
        offset, end = offset + count, found.end
    assert end == first + (len(refused) if lines else 0)


def test_a_batch_in_several_segments_has_each_ones_numbers() -> None:
    """A batch that is cut says in each segment's context which number that begins with."""
    rng = random.Random(1)
    lines = [b'{"m":"%s"}' % rng.randbytes(9_000).hex().encode() for _ in range(100)]
    batch, offset, told = Batch(bytes(16), lines, {"service": "s"}, Numbering("p", 1_000)), 0, []
    while offset < len(lines):
        draft = batch.draft(offset, rng.randbytes(32))
        told.append((offset, len(draft.leaves)))
        context = orjson.loads(draft.place("s/0", Head.genesis("s/0"), 1)[0].opened.context)
        assert (context["producer"], context["sequence"]) == ("p", 1_000 + offset)
        offset = draft.part.end
    assert len(told) > 1


def test_empty_lines_have_no_number() -> None:
    """Places are counted among the lines that are not empty: those alone are entries of the sender."""
    found = entry.parse(b'{}\n\n[]\n  \n{"a":1}\nx\n{}\n')
    assert (found.numbers, found.places, len(found.entries)) == ([3, 6], [1, 3], 3)


@pytest.mark.parametrize(
    ("producer", "sequence"),
    [
        (None, "0"),
        ("p", None),
        ("", "0"),
        ("p" * 129, "0"),
        (" p", "0"),
        ("p\n", "0"),
        ("pä", "0"),
        ("p\x7f", "0"),
        ("p", ""),
        ("p", "-1"),
        ("p", "+1"),
        ("p", "1.0"),
        ("p", "0x1"),
        ("p", "1_0"),
        ("p", " 1"),
        ("p", "1\n"),
        ("p", "٣"),
        ("p", str(MAX_SEQUENCE + 1)),
        ("p", "9" * 5_000),
    ],
)
def test_bad_headers_are_refused(producer: str | None, sequence: str | None) -> None:
    """One without the other, and whatever is no id and no number, is said to be so."""
    with pytest.raises(Malformed, match="Sentinel-"):
        numbering(producer, sequence)


@pytest.mark.parametrize("producer", ["p", "p" * 128, "a b", "py-00~!"])
@pytest.mark.parametrize("sequence", ["0", "007", str(MAX_SEQUENCE)])
def test_good_headers_are_read(producer: str, sequence: str) -> None:
    """Both sides of each limit."""
    assert numbering(producer, sequence) == Numbering(producer, int(sequence))
    assert numbering(None, None) is None
