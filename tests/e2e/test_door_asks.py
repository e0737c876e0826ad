"""The gateway's door and the authorizer: one question at a time about one token and certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from sentinel.local.door import Door
from sentinel.local.peer import Peer
from sentinel.local.proxy_events import API_ARN, Call
from sentinel.local.refusals import Refusal
from sentinel.routes import ROUTES
from tests.doors import Clock

ALLOW = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": f"{API_ARN}/*"}
ANSWER = {
    "principalId": "checkout",
    "policyDocument": {"Version": "2012-10-17", "Statement": [ALLOW]},
    "context": {"service": "checkout"},
}
ENTRIES = next(route for route in ROUTES if route.path == "/v1/entries")


class Asked:
    """An authorizer that answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[asyncio.Future[Any]] = []

    async def __call__(self, event: dict[str, Any], request_id: str) -> Any:
        """Wait for the answer."""
        self.calls.append(asyncio.get_running_loop().create_future())
        return await self.calls[-1]


def call(token: str = "one", digest: str = "d") -> Call:
    """Return a request with a token over a certificate."""
    request = make_mocked_request("POST", "/v1/entries", {"Authorization": f"Bearer {token}"})
    return Call(request, ENTRIES, {}, Peer(None, digest), "r")


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run one test in a loop of its own, for five seconds at most."""

    async def bounded() -> None:
        async with asyncio.timeout(5):
            await work

    asyncio.run(bounded())


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


def come(door: Door, *calls: Call) -> list[asyncio.Task[Any]]:
    """Let requests come in at one time."""
    return [asyncio.create_task(door.admit(each)) for each in calls]


def test_requests_at_once_ask_once() -> None:
    """A flood whose kept decision runs out makes one call; another token or certificate makes its own."""

    async def work() -> None:
        asked, clock = Asked(), Clock(0)
        door = Door(asked, 1.0, clock)
        for _ in range(2):
            flood = come(door, *[call() for _ in range(50)], call("two"), call("one", "e"))
            await settle()
            assert len(asked.calls) == 3
            for each in asked.calls:
                each.set_result(ANSWER)
            for context in await asyncio.gather(*flood):
                assert context is not None
                assert context["service"] == "checkout"
            asked.calls.clear()
            assert await door.admit(call())
            clock.now += 1
        assert not door._asking

    run(work())


def test_whoever_asked_first_may_go() -> None:
    """The others get the answer all the same; and where all are gone, it is still kept."""

    async def work() -> None:
        asked = Asked()
        door = Door(asked, 1.0, Clock(0))
        first, second = come(door, call(), call())
        await settle()
        first.cancel()
        await settle()
        asked.calls[0].set_result(ANSWER)
        assert await second
        (third,) = come(door, call("two"))
        await settle()
        third.cancel()
        asked.calls[1].set_result(ANSWER)
        await settle()
        assert await door.admit(call("two"))
        assert len(asked.calls) == 2

    run(work())


def test_a_refusal_is_shared_and_not_kept() -> None:
    """All who waited for it are refused; the next one asks anew."""

    async def work() -> None:
        asked = Asked()
        door = Door(asked, 1.0, Clock(0))
        flood = come(door, *[call() for _ in range(5)])
        await settle()
        asked.calls[0].set_exception(Exception("Unauthorized"))
        for each in await asyncio.gather(*flood, return_exceptions=True):
            assert isinstance(each, Refusal)
            assert each.status == 401
        (again,) = come(door, call())
        await settle()
        asked.calls[1].set_result(ANSWER)
        assert await again

    run(work())


@pytest.mark.parametrize(("seconds", "later"), [(1.0, 1.0), (0.0, 0.0)])
def test_an_answer_that_would_be_too_old_is_not_waited_for(seconds: float, later: float) -> None:
    """A question that hangs for longer than an answer may be used is asked anew; with 0 each one is."""

    async def work() -> None:
        asked, clock = Asked(), Clock(0)
        door = Door(asked, seconds, clock)
        old = come(door, call())
        await settle()
        clock.now += later
        new = come(door, call())
        await settle()
        assert len(asked.calls) == 2
        asked.calls[1].set_result(ANSWER)
        assert await new[0]
        asked.calls[0].set_exception(Exception("Unauthorized"))
        with pytest.raises(Refusal):
            await old[0]
        assert not door._asking

    run(work())
