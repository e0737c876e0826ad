import asyncio

import pytest

from courier.channels import senders
from courier.messages import Message
from courier.worker import Worker


class Gateway:
    def __init__(self, hook_status: str = "sent", fails: bool = False) -> None:
        self.posted: list[str] = []
        self._status, self._fails = hook_status, fails

    def mail(self, to: str, text: str) -> dict[str, str]:
        return {"status": "sent"}

    async def text(self, to: str, text: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"status": "queued"}

    async def post(self, to: str, text: str) -> dict[str, str]:
        await asyncio.sleep(0)
        if self._fails:
            raise ConnectionError("reset by peer")
        self.posted.append(text)
        return {"status": self._status}


def hooked(gateway: Gateway, count: int = 1, most: int = 100) -> Worker:
    worker = Worker(senders(gateway, most))
    messages = [Message(f"h{n}", "hook", "https://a.example", f"text {n}") for n in range(count)]
    asyncio.run(worker.run(messages))
    return worker


def test_a_hook_is_posted_and_its_receipt_is_kept() -> None:
    gateway = Gateway()
    assert hooked(gateway).outcomes == {"h0": "sent"}
    assert gateway.posted == ["text 0"]


@pytest.mark.parametrize("status", ["rejected", "accepted"])
def test_the_outcome_is_what_the_hook_answered(status: str) -> None:
    assert hooked(Gateway(status)).outcomes == {"h0": status}


def test_a_hook_that_asks_for_later_is_sent_later() -> None:
    worker = hooked(Gateway("deferred"))
    assert [each.id for each in worker.later] == ["h0"]


def test_a_hook_whose_connection_fails_is_sent_later() -> None:
    worker = hooked(Gateway(fails=True))
    assert worker.outcomes == {"h0": "failed"}
    assert [each.id for each in worker.later] == ["h0"]


def test_hooks_are_posted_in_order_and_up_to_the_limit() -> None:
    gateway = Gateway()
    worker = hooked(gateway, count=3, most=2)
    assert gateway.posted == ["text 0", "text 1"]
    assert worker.outcomes == {"h0": "sent", "h1": "sent", "h2": "deferred"}


def test_an_object_whose_call_is_a_coroutine_is_awaited() -> None:
    class Pager:
        async def __call__(self, to: str, text: str) -> dict[str, str]:
            await asyncio.sleep(0)
            return {"status": "paged"}

    worker = Worker({"pager": Pager()})
    asyncio.run(worker.run([Message("p1", "pager", "+1", "wake up")]))
    assert worker.outcomes == {"p1": "paged"}


def test_mail_and_text_stay_as_they_were() -> None:
    worker = Worker(senders(Gateway()))
    asyncio.run(worker.run([Message("m", "mail", "a@b.example", "x"), Message("t", "text", "+1", "x")]))
    assert worker.outcomes == {"m": "sent", "t": "queued"}
