"""What is sent, and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Receipt = dict[str, str]
Sender = Callable[[str, str], Receipt | Awaitable[Receipt]]


@dataclass(frozen=True)
class Message:
    """One notification: `channel` says how it is sent, `to` whom it is for."""

    id: str
    channel: str
    to: str
    text: str
