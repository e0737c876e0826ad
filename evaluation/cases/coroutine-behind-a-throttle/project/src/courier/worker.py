"""Takes messages from a queue and sends each over its channel."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping

from courier.messages import Message, Sender


class Worker:
    """Sends messages; `outcomes` says of each what the channel answered, `later` is to be sent again."""

    def __init__(self, senders: Mapping[str, Sender]) -> None:
        self._senders = senders
        self.outcomes: dict[str, str] = {}
        self.later: list[Message] = []

    async def handle(self, message: Message) -> None:
        """Send one message and note its outcome. A connection that fails makes it a message for later."""
        try:
            status = await self._sent(message)
        except ConnectionError:
            status = "failed"
        self.outcomes[message.id] = status
        if status in ("deferred", "failed"):
            self.later.append(message)

    async def _sent(self, message: Message) -> str:
        send = self._senders[message.channel]
        if inspect.iscoroutinefunction(send):
            receipt = await send(message.to, message.text)
        else:
            receipt = send(message.to, message.text)
        return receipt["status"]

    async def run(self, messages: Iterable[Message]) -> None:
        """Send messages one after the other."""
        for message in messages:
            await self.handle(message)
