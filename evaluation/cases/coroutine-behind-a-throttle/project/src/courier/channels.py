"""The ways in which a message is sent."""

from __future__ import annotations

from typing import Protocol

from courier.messages import Receipt, Sender
from courier.throttle import throttled


class Gateway(Protocol):
    """The services that carry messages. Mail is handed to a local relay, which does not wait."""

    def mail(self, to: str, text: str) -> Receipt: ...

    async def text(self, to: str, text: str) -> Receipt: ...

    async def post(self, to: str, text: str) -> Receipt: ...


def senders(gateway: Gateway, hooks_per_address: int = 100) -> dict[str, Sender]:
    """Return a sender for each channel. Hooks are throttled: their owners asked for it."""
    return {
        "mail": gateway.mail,
        "text": gateway.text,
        "hook": throttled(gateway.post, hooks_per_address),
    }
