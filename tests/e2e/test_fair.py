"""Turns at the gateway: whoever floods waits behind itself, and nobody else waits behind it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.local.fair import Crowded, Fair


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run one test in a loop of its own, for five seconds at most."""

    async def bounded() -> None:
        async with asyncio.timeout(5):
            await work

    asyncio.run(bounded())


def idle(fair: Fair) -> bool:
    """Say whether nothing is held and nobody waits, by what the next callers would see."""
    return not fair._held and not fair._lines and fair._in_line == 0


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Requests that hold their turn until they are told to go; `order` is who got a place, in order."""

    def __init__(self, fair: Fair) -> None:
        self.fair = fair
        self.order: list[str] = []
        self.inside: list[tuple[str, asyncio.Event]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, caller: str) -> asyncio.Task[None]:
        async def request() -> None:
            async with self.fair.turn(caller):
                go = asyncio.Event()
                self.order.append(caller)
                self.inside.append((caller, go))
                await go.wait()

        task = asyncio.create_task(request())
        self.tasks.append(task)
        return task

    async def finish(self, count: int = 1) -> None:
        for _ in range(count):
            self.inside.pop(0)[1].set()
            await settle()

    async def drain(self) -> None:
        while self.inside:
            await self.finish()


def test_a_rare_caller_finds_a_free_place() -> None:
    """One caller holds at most its share, so another one enters at once, however many wait."""

    async def work() -> None:
        crowd = Crowd(Fair(4, 3, 100, 400))
        for _ in range(50):
            crowd.come("noisy")
        await settle()
        assert crowd.order == ["noisy"] * 3
        crowd.come("quiet")
        await settle()
        assert crowd.order == ["noisy"] * 3 + ["quiet"]
        await crowd.drain()
        assert Counter(crowd.order) == {"noisy": 50, "quiet": 1}
        assert idle(crowd.fair)

    run(work())


def test_those_who_wait_are_served_in_turn() -> None:
    """With all places taken, callers get the next places one after the other, not in order of arrival."""

    async def work() -> None:
        crowd = Crowd(Fair(1, 1, 100, 400))
        for _ in range(4):
            crowd.come("a")
        await settle()
        for caller in ("b", "c", "b"):
            crowd.come(caller)
        await settle()
        await crowd.drain()
        assert crowd.order == ["a", "a", "b", "c", "a", "b", "a"]

    run(work())


def test_a_line_is_bounded() -> None:
    """A caller with a full line, and anybody where all lines together are full, is refused at once."""

    async def work() -> None:
        crowd = Crowd(Fair(1, 1, 2, 3))
        for _ in range(3):
            crowd.come("a")
        await settle()
        with pytest.raises(Crowded):
            await crowd.come("a")
        crowd.come("b")
        await settle()
        with pytest.raises(Crowded):
            await crowd.come("c")
        await crowd.drain()
        assert Counter(crowd.order) == {"a": 3, "b": 1}
        assert idle(crowd.fair)

    run(work())


def test_a_failure_gives_the_place_back() -> None:
    """A turn ends with its block, also where that raises."""

    async def work() -> None:
        fair = Fair(1, 1, 1, 1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with fair.turn("a"):
                    raise ZeroDivisionError
        assert idle(fair)

    run(work())


@pytest.mark.parametrize("late", [False, True], ids=["while it waits", "as it gets its place"])
def test_a_cancelled_request_leaves_the_line(late: bool) -> None:
    """A request that is cancelled while it waits, or just as its turn comes, loses no place to anybody."""

    async def work() -> None:
        crowd = Crowd(Fair(1, 1, 10, 10))
        crowd.come("a")
        await settle()
        second, _third = crowd.come("a"), crowd.come("b")
        await settle()
        if late:
            crowd.inside.pop(0)[1].set()
            await asyncio.sleep(0)  # the first one leaves and hands its place over
        second.cancel()
        await settle()
        await crowd.drain()
        assert crowd.order == ["a", "b"]
        assert second.cancelled()
        assert idle(crowd.fair)

    run(work())


@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "finish", "cancel"]), st.sampled_from("abc"), st.integers(0, 9)),
        max_size=60,
    ),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_no_place_is_lost_or_given_twice(steps: list[tuple[str, str, int]], places: int, each: int) -> None:
    """However requests come, finish and are cancelled: limits hold, places do not idle, all end."""

    async def work() -> None:
        crowd = Crowd(Fair(places, each, 4, 8))
        for what, caller, number in steps:
            if what == "come":
                crowd.come(caller)
            elif what == "finish" and crowd.inside:
                crowd.inside.pop(number % len(crowd.inside))[1].set()
            elif what == "cancel" and crowd.tasks:
                crowd.tasks[number % len(crowd.tasks)].cancel()
            if number % 2:
                await settle()
            held = crowd.fair._held
            assert held.total() <= places
            assert max(held.values(), default=0) <= each
            free = held.total() < places
            assert not (free and any(held[who] < each for who in crowd.fair._lines))
        await settle()
        for task in crowd.tasks:
            task.cancel()
        await asyncio.gather(*crowd.tasks, return_exceptions=True)
        assert idle(crowd.fair)

    run(work())
