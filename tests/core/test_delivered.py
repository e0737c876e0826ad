"""The record of a delivery: the cursor and what died on its way move together, whatever settles when."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.delivered import MOST_RANGES, Dead, Record, joined, merged, unpack
from sentinel.core.delivery_track import Move, Track

ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)).map(lambda each: (each[0], sum(each))))


def members(those: object) -> list[int]:
    """Return the entries of ranges."""
    return [n for first, last in those for n in range(first, last + 1)]  # type: ignore[attr-defined]


@given(ranges)
def test_joined_ranges_have_the_same_members(those: list[tuple[int, int]]) -> None:
    """Joining keeps every entry once, in order, with a gap between any two ranges."""
    found = joined(those)
    assert members(found) == sorted(set(members(those)))
    assert all(after[0] > before[1] + 1 for before, after in pairwise(found))


@given(ranges, st.sets(st.integers(0, 70)))
def test_what_was_sent_again_is_taken_out(those: list[tuple[int, int]], settled: set[int]) -> None:
    """Exactly the settled entries leave `again`."""
    before = Record(again=joined(those))
    after = before.sent_again(settled)
    assert members(after.again) == [n for n in members(before.again) if n not in settled]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["odd", "large"])), unique_by=lambda each: each[0])
)
def test_dead_neighbours_of_one_reason_are_one_range(those: list[tuple[int, str]]) -> None:
    """Merging keeps each entry and its reason; two reasons never become one."""
    found = merged([Dead(seq, seq, reason, 1) for seq, reason in those])
    assert sorted((n, each.reason) for each in found for n in range(each.first, each.last + 1)) == sorted(
        those
    )
    pairs = pairwise(found)
    assert all(b.first > a.last + 1 or a.reason != b.reason for a, b in pairs)


@given(ranges, st.integers(0, 9), st.text(max_size=5))
def test_a_record_comes_back_as_it_was_packed(those: list[tuple[int, int]], count: int, why: str) -> None:
    """Packing loses nothing."""
    dead = merged([Dead(first, last, "odd", 7) for first, last in joined(those)])
    record = Record(count, dead, joined(those), count, count, count, why.encode(errors="replace").decode())
    assert unpack(record.pack()) == record


@pytest.mark.parametrize(
    "state", [b"", b"[]", b"{}", b'{"next":-1}', Record().pack().replace(b"0", b"1.5", 1)]
)
def test_a_damaged_record_is_no_record(state: bytes) -> None:
    """What is no record is told as such, and never read as an empty one."""
    with pytest.raises(ValueError, match="record cannot be read"):
        unpack(state)


@given(st.integers(0, 2**32), st.integers(1, 80), st.sets(st.integers(0, 79)), st.sets(st.integers(0, 79)))
def test_the_cursor_is_the_end_of_the_settled_prefix(
    seed: int, many: int, odd: set[int], left_out: set[int]
) -> None:
    """In whatever order entries settle, the record tells of all before its cursor and nothing else."""
    rng = random.Random(seed)
    meant = [n for n in range(many) if n not in left_out]
    track, record = Track(0), Record()
    track.took(meant, many)
    waiting, settled = meant[:], set()
    rng.shuffle(waiting)
    while waiting:
        for _ in range(rng.randint(1, 5)):
            if waiting:
                seq = waiting.pop()
                settled.add(seq)
                track.settled(seq, "odd" if seq in odd else "")
        record = track.advance(record, 1).on(record)
        first_open = next((n for n in meant if n not in settled), many)
        assert record.next == first_open
        assert record.delivered == sum(n not in odd for n in meant if n < first_open)
        assert members((each.first, each.last) for each in record.dead) == [
            n for n in meant if n < first_open and n in odd
        ]
    record = track.advance(record, 1).on(record)
    assert (record.next, track.on_their_way) == (many, 0)


def test_a_record_takes_no_more_ranges_than_it_may() -> None:
    """The cursor stays before the entry that would be one range too many, and goes on after a redrive."""
    many = 2 * MOST_RANGES + 20
    track = Track(0)
    track.took(range(many), many)
    for seq in range(many):
        track.settled(seq, "odd" if seq % 2 else "")
    record = track.advance(Record(), 1).on(Record())
    assert (record.ranges, record.next, track.full) == (MOST_RANGES, 2 * MOST_RANGES + 1, True)
    record, count = record.redriven()
    assert (count, record.dead, record.waiting) == (MOST_RANGES, (), 0)
    record = record.sent_again(range(many))
    record = track.advance(record, 1).on(record)
    assert (record.next, track.full) == (many, False)


def test_a_move_can_be_made_on_a_record_that_somebody_else_redrove() -> None:
    """A redrive and a move do not disturb each other: either order gives the same record."""
    record = Record(5, (Dead(2, 3, "odd", 1),), (), 3, 2)
    move = Move(9, 3, (Dead(6, 6, "odd", 2),), (), 1)
    assert move.on(record.redriven()[0]) == Record(9, (Dead(6, 6, "odd", 2),), ((2, 3),), 6, 3, 1)
    assert record.redriven("another reason") == (record, 0)
