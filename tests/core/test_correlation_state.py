"""The state of a group as bytes: written and read, now and as the earlier version wrote it."""

from __future__ import annotations

import orjson
import pytest

from sentinel.core.correlation import Hit
from sentinel.core.correlation_state import State, advance
from sentinel.errors import Malformed
from tests.core.correlations import S, correlation, feed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"[1,2]",
        b'[9,"d","g",[],[],0,[],null,null]',
        b'[1,"d","g",[],[[1,0,0,null]],null,[]]',
        b'[2,"d","g",[],[[1,0,0,null]],0,[],null,null]',
    ],
)
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    """What `dumps` did not write is Malformed, never a state."""
    with pytest.raises(Malformed):
        State.loads(data, correlation())


def test_a_state_belongs_to_one_version_of_a_correlation() -> None:
    """A changed correlation does not count on what another version has counted."""
    other = correlation(condition="{gte: 4}")
    with pytest.raises(Malformed, match="not one of correlation"):
        advance(correlation(), State.new(other, "[]"), [Hit(S, "a/0", 0)], 0)


VALUES = ["a/0", "0123456789abcdef" * 2, "b/0", "fedcba9876543210" * 2]


def earlier(
    rows: list[list[object]], floor: list[object] | None = None, fired: tuple[int, ...] = ()
) -> bytes:
    """Return a state as the earlier version wrote it."""
    digest = correlation("value_count", "{field: u, gte: 3}").digest
    return orjson.dumps([1, digest, '["ann"]', VALUES, rows, floor, fired])


def test_a_state_of_the_earlier_version_counts_on() -> None:
    """Its hits are counted with new ones, whose values are shorter digests of the same kind."""
    compiled = correlation("value_count", "{field: u, gte: 3}")
    state = State.loads(earlier([[S, 0, 5, 1], [2 * S, 2, 0, 3]]), compiled)
    assert state.hits == (Hit(S, "a/0", 5, "0123456789abcdef"), Hit(2 * S, "b/0", 0, "fedcba9876543210"))
    again = Hit(3 * S, "a/0", 6, "0123456789abcdef")
    fresh = Hit(4 * S, "a/0", 7, "aaaaaaaaaaaaaaaa")
    state = advance(compiled, state, [again], 0).state
    (fired,) = advance(compiled, state, [fresh], 0).fired
    assert (fired.group, fired.count, fired.refs) == ('["ann"]', 3, (("b/0", 0), ("a/0", 6), ("a/0", 7)))


def test_what_the_earlier_version_fired_does_not_fire_again() -> None:
    """The windows that an earlier firing can have been of are those that have fired."""
    compiled = correlation("value_count", "{field: u, gte: 3}")
    state = State.loads(earlier([[S, 0, 5, 1], [12 * S, 2, 0, 3]], fired=(12 * S,)), compiled)
    assert state.windows == (0, 1)
    more = [Hit(13 * S, "a/0", 7, "aaaaaaaaaaaaaaaa"), Hit(14 * S, "a/0", 8, "bbbbbbbbbbbbbbbb")]
    assert advance(compiled, state, more, 0).fired == ()
    ranged = correlation("value_count", "{field: u, gte: 3, lte: 9}")
    state = State.loads(earlier([[S, 0, 5, 1]], fired=(S,)).replace(compiled.digest.encode(), b"x"), ranged)
    assert (state.decided, state.fired) == ((S, "a/0", 5), S)


def test_what_the_earlier_version_let_go_stays_ignored() -> None:
    """Hits from before its floor are not counted again."""
    compiled = correlation("value_count", "{field: u, gte: 3}")
    state = State.loads(earlier([[3 * S, 0, 5, 1]], floor=[2 * S, "a/0", 4, VALUES[3]]), compiled)
    step = advance(compiled, state, [Hit(2 * S, "a/0", 4, "fedcba9876543210")], 0)
    assert (step.state, step.old) == (state, 1)


@pytest.mark.parametrize(
    ("compiled", "values"),
    [
        (correlation(), [None, None, None]),
        (correlation("value_count", "{field: u, gte: 3}"), ["a", "b", "c"]),
        (correlation("value_sum", "{field: u, gte: 3}"), [1.0, -0.5, 1e300]),
        (correlation("temporal", "{eq: 1}", "rules: [failed, refused]"), ["refused", "refused", "refused"]),
    ],
    ids=lambda each: getattr(each, "kind", None),
)
def test_a_state_reads_as_it_was_written(compiled: object, values: list[str | float | None]) -> None:
    """Every kind of value, of a state with everything in it, comes back as it was."""
    hits = [Hit((9 * i + 1) * S, f"{'ab'[i % 2]}/0", i, value) for i, value in enumerate(values)]
    state, _ = feed(compiled, [hits], 0)  # type: ignore[arg-type]
    assert state.hits == tuple(hits)
    assert State.loads(state.dumps(), compiled) == state  # type: ignore[arg-type]
    state, _ = feed(compiled, [hits], 10**15)  # type: ignore[arg-type]
    assert State.loads(state.dumps(), compiled) == state  # type: ignore[arg-type]
