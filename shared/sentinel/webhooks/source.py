"""What a webhook source is, how one is made, and how a message is stored: its body, byte for byte."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

import orjson

from sentinel.core.alerts import Alert
from sentinel.core.alerts import Unparsed as Unparsed  # noqa: PLC0414 - sources have it from here
from sentinel.errors import Malformed
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
        """Return an id of the message, the same each time it is sent, another for another one.

        The sender's own where it has one that stays over its retries, else `hashed`. After `verify` only.
        """

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return the alerts that a message tells; none for one that tells none. After `verify` only.

        Raises `Unparsed` for what it does not know, and nothing else whatever the bytes are.
        """

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the entries of a message: one JSON object each, without line breaks."""


def _nobody(options: Mapping[str, str]) -> bool:
    del options
    return False


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sender. `make` returns a source with a webhook's own options, whose names `options` has.

    It raises `Malformed` for a name that is not there, or a value that cannot be. `heeds_429` says whether
    such a sender sends again after a 429; most take it for final, and are told 503 where there is too much.
    `strangers` says of a webhook's options whether anybody may have written what it tells.
    """

    make: Callable[[Mapping[str, str]], Source]
    options: Mapping[str, str] = field(default_factory=dict)
    heeds_429: bool = False
    strangers: Callable[[Mapping[str, str]], bool] = _nobody


def only(options: Mapping[str, str], known: Mapping[str, str]) -> None:
    """Raise `Malformed` where `options` has one that is not known."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        there = f"there are {', '.join(known)}" if known else "this source has none"
        raise Malformed(f"there is no option {', '.join(unknown)[:200]}; {there}")


def hashed(body: bytes) -> str:
    """Return the id of a message whose sender gives it none that lasts: SHA-256 of the body, in hex."""
    return sha256(body).hexdigest()


def stored(delivery: Delivery, body: bytes) -> list[bytes]:
    r"""Return the usual entries: `{"webhook": {"source", "hook", "id"}, "body"}`, the body as it came.

    A body that is no plain text (UTF-8 without control characters) is base64, and `webhook.encoding` says
    so. A long one is stored in parts: `webhook.part` counts them from 0, `webhook.parts` is how many. Of one
    whose alerts are not known, `webhook.parked` says why.

    >>> stored(Delivery("standard-webhooks", "billing", "m1"), b'{"a":1}')
    [b'{"webhook":{"source":"standard-webhooks","hook":"billing","id":"m1"},"body":"{\\"a\\":1}"}']
    """
    about = delivery.about()
    if delivery.parked:
        about["parked"] = delivery.parked
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
