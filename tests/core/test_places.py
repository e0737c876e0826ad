"""The arithmetic of places: whose turn it is, who may be in line, and what becomes of a place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from sentinel.core.places import (
    LINE,
    LONGEST,
    RESERVED,
    SOON,
    Fate,
    Gate,
    Place,
    Waiter,
    fate,
    following,
    given,
    joined,
    looks_again,
    ordered,
    packed,
    released,
    renewed,
    unpacked,
    waiter_of,
    without,
)
from sentinel.core.states import State
from sentinel.core.tasks import SECOND
from tests.contracts.made_tasks import T, created

TASK = created("a" * 26)[0]
KEY = "place/recipe/r"
LATE = RESERVED + 1


def waiter(name: str, rank: int = 1, service: str = "s", t: int = 0, most: int = 3) -> Waiter:
    """Return a task in line."""
    return Waiter(name, rank, service, t, most)


def in_line(*waiters: Waiter) -> Gate:
    """Return a gate with these in line."""
    gate = Gate()
    for each in waiters:
        gate = joined(gate, each)
    return gate


def test_priority_comes_before_fairness_and_fairness_before_age() -> None:
    """High tasks go first; of equals the services take turns, and within a service the older goes first."""
    gate = in_line(
        waiter("b2", service="b", t=2), waiter("b1", service="b", t=1), waiter("a9", service="a", t=9),
        waiter("low", 2, "c", 0), waiter("high", 0, "b", 99), waiter("b3", service="b", t=3),
    )  # fmt: skip
    # Service b has the high task by then, so a comes first.
    assert [each.id for each in ordered(gate)] == ["high", "a9", "b1", "b2", "b3", "low"]


def test_a_service_that_holds_places_waits_for_those_that_hold_none() -> None:
    """Of two services the one with fewer places is next; of equals the one that was served longest ago."""
    gate = in_line(waiter("x1", service="x", t=1), waiter("y5", service="y", t=5))
    gate = replace(gate, holders={"x0": Place(1, 0, 0, "x")})
    assert following(gate) == waiter("y5", service="y", t=5)
    level = in_line(waiter("x1", service="x", t=1), waiter("y5", service="y", t=5))
    assert following(replace(level, turns=("x",))) == waiter("y5", service="y", t=5)
    assert following(replace(level, turns=("y", "x"))) == waiter("y5", service="y", t=5)
    assert following(replace(level, turns=("x", "y"))) == waiter("x1", service="x", t=1)


def test_each_keeps_to_its_own_limit() -> None:
    """Where recipes of one group allow different numbers, the next is one whose own number is not reached."""
    gate = replace(
        in_line(waiter("a", t=1, most=1), waiter("b", t=2, most=2)), holders={"x": Place(1, 0, 0, "z")}
    )
    assert following(gate) == waiter("b", t=2, most=2)
    assert following(replace(gate, holders={**gate.holders, "y": Place(1, 0, 0, "z")})) is None


def test_a_place_that_is_given_leaves_the_line() -> None:
    """Who is given a place waits no more, and its service was served last."""
    gate = given(in_line(waiter("a"), waiter("b", service="t")), waiter("a"), Place(4, 0, 7, "s"))
    assert gate.holders == {"a": Place(4, 0, 7, "s")}
    assert [each.id for each in gate.line] == ["b"]
    assert gate.turns == ("s",)


def test_a_full_line_turns_away_the_lowest_of_the_service_that_has_most() -> None:
    """A flood of one service keeps no other out of the line, nor does it keep out a higher priority."""
    gate = in_line(*(waiter(f"f{n}", service="flood", t=n) for n in range(LINE)))
    assert len(gate.line) == LINE
    assert joined(gate, waiter("late", service="flood", t=LINE)).line == gate.line
    gate = joined(gate, waiter("other", service="quiet", t=9**9))
    assert len(gate.line) == LINE
    names = {each.id for each in gate.line}
    assert "other" in names
    assert f"f{LINE - 1}" not in names
    gate = joined(gate, waiter("high", 0, "flood", 9**9))
    assert {"high", "other"} <= {each.id for each in gate.line}
    assert joined(gate, waiter("low", 2, "quiet", 0)).line == gate.line


def test_who_waits_nearer_looks_sooner_and_a_backlog_looks_bit_by_bit() -> None:
    """The first looks after seconds, nobody later than ten minutes; those without room never all at once."""
    gate = in_line(*(waiter(f"w{n}", t=n) for n in range(LINE)))
    gate, due = looks_again(gate, [f"w{n}" for n in range(LINE)], T)
    assert due["w0"] == T + SOON
    assert list(due.values()) == sorted(due.values())
    assert due[f"w{LINE - 1}"] <= T + LONGEST
    away = [f"x{n}" for n in range(20_000)]
    _, due = looks_again(gate, away, T)
    assert all(T + SOON < each <= T + LONGEST for each in due.values())
    spread = [each for each in due.values() if each < T + LONGEST]
    assert len(set(spread)) == len(spread) > 10_000


@pytest.mark.parametrize(
    ("changes", "place", "expected"),
    [
        ({"state": State.SUCCEEDED}, Place(1, 0, T, "s"), Fate.DROPPED),
        ({"state": State.CANCELLED}, Place(99, 0, T, "s"), Fate.DROPPED),
        ({"state": State.RUNNING, "attempt": 1}, Place(1, 0, 0, "s"), Fate.KEPT),
        ({"state": State.AWAITING_APPROVAL, "attempt": 3}, Place(1, 2, 0, "s"), Fate.DROPPED),
        ({"state": State.AMBIGUOUS, "attempt": 3}, Place(1, 2, 0, "s"), Fate.KEPT),
        ({"state": State.WAITING, "attempt": 1, "held": "pause/all"}, Place(1, 0, 0, "s"), Fate.KEPT),
        # It may be started this very moment, from the version that its place names.
        ({"state": State.QUEUED, "version": 1}, Place(1, 0, 0, "s"), Fate.KEPT),
        ({"state": State.QUEUED, "version": 2}, Place(1, 0, T, "s"), Fate.KEPT),
        ({"state": State.QUEUED, "version": 2}, Place(1, 0, T - LATE, "s"), Fate.DROPPED),
        ({"state": State.WAITING, "version": 2, "held": "pause/all"}, Place(1, 0, T, "s"), Fate.DROPPED),
        ({"state": State.WAITING, "version": 2, "held": KEY}, Place(1, 0, T, "s"), Fate.WOKEN),
        ({"state": State.WAITING, "version": 1, "held": KEY}, Place(1, 0, T, "s"), Fate.WOKEN),
        ({"state": State.WAITING, "version": 1, "held": "rate"}, Place(1, 0, T, "s"), Fate.KEPT),
        ({"state": State.WAITING, "version": 1, "held": "rate"}, Place(1, 0, T - LATE, "s"), Fate.WOKEN),
    ],
)  # fmt: skip
def test_the_state_of_the_task_decides(changes: dict[str, object], place: Place, expected: Fate) -> None:
    """A place is kept by who is on its way or about to be, and by nobody else."""
    assert fate(place, replace(TASK, **changes), KEY, T) is expected  # type: ignore[arg-type]
    assert fate(place, None, KEY, T) is Fate.DROPPED


def test_only_the_owner_gives_back() -> None:
    """A late report of an end takes nothing from a task that was redriven and has its place anew."""
    ended = replace(TASK, state=State.FAILED, version=7, attempt=2)
    gate = Gate(holders={TASK.id: Place(5, 0, T, "s")})
    assert TASK.id not in released(gate, ended).holders
    again = renewed(gate, replace(ended, state=State.QUEUED, version=8), T)
    assert again.holders[TASK.id] == Place(8, 0, T, "s")
    assert released(again, ended) is again
    # Held between two tries it keeps its place; held before it has begun it does not.
    assert released(gate, replace(TASK, state=State.WAITING, version=7, attempt=1)) is gate
    assert not released(gate, replace(TASK, state=State.WAITING, version=7, attempt=0)).holders


@drawn(
    st.dictionaries(
        st.text(max_size=30), st.builds(Place, *[st.integers(0, 2**60)] * 3, st.text(max_size=9))
    ),
    st.lists(
        st.builds(
            Waiter, st.text(max_size=30), st.integers(0, 2), st.text(max_size=9), *[st.integers(0, 9)] * 2
        )
    ),
    st.integers(0, 2**62),
)
def test_a_gate_is_stored_whole(holders: dict[str, Place], line: list[Waiter], tail: int) -> None:
    """What is stored is read back equal; what is no gate says so."""
    gate = Gate(holders, tuple(line), ("a", "b"), tail, 3)
    assert unpacked(packed(gate)) == gate
    assert unpacked(b"") == Gate()
    for raw in (b"x", packed(gate)[:-3], b"\x28\xb5\x2f\xfd"):
        with pytest.raises(ValueError, match="no gate"):
            unpacked(raw)


def test_what_a_task_is_in_line() -> None:
    """A task stands in line with its priority, its service and its age, and leaves it whole."""
    found = waiter_of(replace(TASK, priority="high"), "shop", 3)
    assert (found.rank, found.t, found.most) == (0, TASK.created, 3)
    assert found.service == waiter_of(TASK, "shop", 1).service != waiter_of(TASK, "desk", 1).service
    gate = in_line(found)
    assert without(gate, TASK.id) == Gate()
    assert without(gate, "b") is gate
    assert SECOND < SOON
