"""What somebody with full write access to the table may store: it is found or passed over, and never a crash.

Each field of a segment may hold anything that its store takes: `Tampered` (or `Forbidden`, where the payload
says that it is encrypted) is all that comes of reading, verifying, or appending behind it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import merkle
from sentinel.core.payload import CODEC_ERASED, ERASED, Opened, pack
from sentinel.core.segment import NUMBERS, Head, Segment
from sentinel.core.verify import Verifier
from sentinel.core.window import WINDOW, Part, decode_window
from sentinel.errors import Forbidden, Tampered
from sentinel.usecases.inspect import exported
from tests.chains import batch, grow

CHAIN = "checkout/0"
SEGMENTS = grow(CHAIN, [[b'{"n":%d}' % (3 * name + i) for i in range(3)] for name in range(4)])
NUMBER = (
    st.integers(-(10**38), 10**38) | st.integers(-2, 20) | st.sampled_from([NUMBERS, NUMBERS - 1, 1 << 64])
)
RAW = st.binary(max_size=200)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "chain": st.sampled_from(["", "/", "x", "checkout/1", "\0", "é/0"]),
    "first": NUMBER,
    "count": NUMBER,
    "prev": RAW,
    "head": RAW,
    "t": NUMBER,
    "payload": RAW | st.builds(lambda plain: pack(b"", b"", [plain]), RAW),
    "codec": NUMBER | st.integers(0, 16),
    "recent": RAW,
    "tree": RAW | st.just(bytes(64)),
    "key": st.sampled_from(["", "k", "\0" * 70_000]),
}


def damaged(data: st.DataObject, segment: Segment) -> Segment:
    """Return a segment with some fields of another's making."""
    name = st.sampled_from(sorted(FIELDS))
    names = data.draw(
        st.builds(lambda one: [one], name) | st.lists(name, min_size=2, max_size=3, unique=True)
    )
    return replace(segment, opener=None, **{name: data.draw(FIELDS[name], label=name) for name in names})


def read(segment: Segment, which: int) -> None:
    """Verify, read and write as everybody does, with a segment in the place of another."""
    with contextlib.suppress(Tampered, Forbidden):
        checked = Verifier(CHAIN)
        checked.check_all([*SEGMENTS[:which], segment, *SEGMENTS[which + 1 :]])
        assert checked.hash == SEGMENTS[-1].head, "another chain passed"
    with contextlib.suppress(Tampered, Forbidden):
        exported(segment)
    with contextlib.suppress(Tampered):
        head = Head.after(segment)
        if head.tree:
            placed, _ = batch(9, [b"{}"]).draft(0, bytes(32)).place(CHAIN, head, 5)
            assert placed.first == segment.next


@given(st.data(), st.integers(0, 3))
def test_reading_what_anybody_wrote(data: st.DataObject, which: int) -> None:
    """Any fields may hold anything: a verifier, a reader and a writer behind them say so, or go on."""
    read(damaged(data, SEGMENTS[which]), which)


@pytest.mark.parametrize("name", ["first", "count", "t", "codec"])
@pytest.mark.parametrize("number", [-(10**37), -1, 0, 3, NUMBERS - 1, NUMBERS, 1 << 64, 10**37])
def test_numbers_that_none_can_be(name: str, number: int) -> None:
    """A table takes numbers of 38 digits, and of either sign."""
    for which in range(4):
        read(replace(SEGMENTS[which], **{name: number}), which)  # type: ignore[arg-type]


def _record(part: Part, *, wasteful: bool = False) -> bytes:
    raw = part.encode()
    return raw[:16] + bytes((raw[16] | 0x80, 0)) + raw[17:] if wasteful else raw


@pytest.mark.parametrize("at", [0, -1])
def test_a_record_written_in_another_way_is_found(at: int) -> None:
    """The same numbers in more bytes than they need are another window than the one that was stored."""
    segments = grow(CHAIN, [[b"{}"]] * 3)
    part, raw = segments[at].parts[-1]
    other = _record(part, wasteful=True)
    assert decode_window(other)[0][0] == part
    segments[at] = replace(segments[at], recent=segments[at].recent.removesuffix(raw) + other)
    with pytest.raises(Tampered) as found:
        Verifier(CHAIN).check_all(segments)
    assert found.value.kind == "window"


def test_a_part_whose_record_says_that_it_is_all_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that makes a whole batch of a part would let a retry lose the rest."""
    monkeypatch.setattr("sentinel.core.segment.STORED_LIMIT", 90)
    segments = grow(CHAIN, [[b'{"m":"%032x"}' % (7**each) for each in range(4)]])
    part, raw = segments[0].parts[-1]
    assert part.total > part.count
    whole = Part(part.batch_id, part.count, 0, part.count).encode()
    with pytest.raises(Tampered) as found:
        Verifier(CHAIN).check(replace(segments[0], recent=segments[0].recent.removesuffix(raw) + whole))
    assert found.value.kind == "window"


def test_windows_have_an_end() -> None:
    """A window of more records than a chain's has is none, however long it is."""
    raw = Part(bytes(16), 1, 0, 1).encode()
    assert len(decode_window(raw * WINDOW)) == WINDOW
    with pytest.raises(ValueError, match="over 64"):
        decode_window(raw * 20_000)


@pytest.mark.parametrize(
    "change", [bytes.upper, lambda hexed: b" " + hexed, lambda hexed: hexed[:2] + b" " + hexed[2:]]
)
def test_an_erased_line_has_one_form(change: Any) -> None:
    """A leaf stands there in lower case and without spaces, so that every verifier reads the same."""
    segment = SEGMENTS[0]
    opened = segment.opened
    leaf = opened.leaves()[1]
    assert leaf.hex() != leaf.hex().upper()
    good = replace(
        segment,
        payload=Opened(opened.nonce, opened.context, opened.entries, {1: leaf}).pack(),
        codec=segment.codec | CODEC_ERASED,
    )
    Verifier(CHAIN).check(good)
    lines = [opened.entries[0], ERASED + change(leaf.hex().encode()), opened.entries[2]]
    with pytest.raises(Tampered, match="no leaf"):
        Verifier(CHAIN).check(replace(good, payload=pack(opened.nonce, opened.context, lines)))


def test_a_verifier_may_begin_among_segments_without_trees() -> None:
    """A proof that begins at a segment of a version before trees goes on to those that have one."""
    segments = [replace(each, tree=b"") for each in SEGMENTS[:3]] + [SEGMENTS[3]]
    checked = Verifier(CHAIN, segments[1].first, segments[1].prev, segments[1].t)
    checked.window = tuple(raw for _, raw in segments[1].parts[:-1])
    checked.check_all(segments[1:])
    assert checked.root == merkle.root(SEGMENTS[3].peaks)
    with pytest.raises(Tampered) as found:
        checked.check(replace(grow(CHAIN, [[b"{}"]] * 6)[5], tree=b"", first=checked.next, prev=checked.hash))
    assert found.value.kind in {"tree", "hash"}
