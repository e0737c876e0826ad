import asyncio

from courier.channels import senders
from courier.messages import Message
from courier.worker import Worker


class Gateway:
    def __init__(self) -> None:
        self.mails: list[tuple[str, str]] = []

    def mail(self, to: str, text: str) -> dict[str, str]:
        self.mails.append((to, text))
        return {"status": "sent"}

    async def text(self, to: str, text: str) -> dict[str, str]:
        await asyncio.sleep(0)
        if to == "+000":
            raise ConnectionError("the carrier hung up")
        return {"status": "sent"}

    async def post(self, to: str, text: str) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"status": "sent"}


def run(*messages: Message, hooks: int = 100) -> Worker:
    worker = Worker(senders(Gateway(), hooks))
    asyncio.run(worker.run(messages))
    return worker


def test_mail_is_handed_to_the_relay() -> None:
    gateway = Gateway()
    worker = Worker(senders(gateway))
    asyncio.run(worker.run([Message("m1", "mail", "ada@post.example", "hello")]))
    assert gateway.mails == [("ada@post.example", "hello")]
    assert worker.outcomes == {"m1": "sent"}


def test_text_messages_are_awaited() -> None:
    assert run(Message("t1", "text", "+4420", "hello")).outcomes == {"t1": "sent"}


def test_a_failed_connection_is_tried_later() -> None:
    message = Message("t1", "text", "+000", "hello")
    worker = run(message)
    assert worker.outcomes == {"t1": "failed"}
    assert worker.later == [message]


def test_hooks_over_the_limit_are_deferred() -> None:
    message = Message("h1", "hook", "https://a.example", "hello")
    worker = run(message, hooks=0)
    assert worker.outcomes == {"h1": "deferred"}
    assert worker.later == [message]
