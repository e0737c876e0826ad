"""What a webhook source is, and the form in which a message is stored: its body, byte for byte."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import orjson

from sentinel.ports_doors import Delivery

WHOLE = 60_000  # bytes of a body, as JSON text, that is stored as one entry; an entry may have 65,536
PIECE = 15_000  # characters of each part of a longer one: at most four bytes each
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


class Source(Protocol):
    """One kind of sender. Pure: nothing is read, sent or remembered; header names are in lower case."""

    @property
    def proof(self) -> Sequence[str]:
        """The names of the headers that `verify` and `message` read: each may come once only."""

    def usable(self, secret: str) -> bool:
        """Say whether messages can be signed with a secret that the sender chose."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Check that the sender has one of `secrets` and that the message is of now (epoch seconds).

        Raises `Unauthenticated`. Takes the same time whichever secret or byte is wrong, and never says which.
        """

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return the sender's own id of the message, the same each time it is sent. After `verify` only."""

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the entries of a message: one JSON object each, without line breaks."""


def stored(delivery: Delivery, body: bytes) -> list[bytes]:
    r"""Return the usual entries: `{"webhook": {"source", "hook", "id"}, "body"}`, the body as it came.

    A body that is no plain text (UTF-8 without control characters) is base64, and `webhook.encoding` says
    so. A long one is stored in parts: `webhook.part` counts them from 0, `webhook.parts` is how many.

    >>> stored(Delivery("standard-webhooks", "billing", "m1"), b'{"a":1}')
    [b'{"webhook":{"source":"standard-webhooks","hook":"billing","id":"m1"},"body":"{\\"a\\":1}"}']
    """
    about: dict[str, object] = {"source": delivery.source, "hook": delivery.hook, "id": delivery.id}
    text = _text(body)
    if text is None:
        text = base64.b64encode(body).decode()
        about["encoding"] = "base64"
    if len(orjson.dumps(text)) <= WHOLE:
        return [orjson.dumps({"webhook": about, "body": text})]
    pieces = list(_pieces(text))
    return [
        orjson.dumps({"webhook": {**about, "part": part, "parts": len(pieces)}, "body": piece})
        for part, piece in enumerate(pieces)
    ]


def _text(body: bytes) -> str | None:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if _CONTROL.search(text) else text


def _pieces(text: str) -> Iterator[str]:
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]
