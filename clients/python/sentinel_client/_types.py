"""What the parts of the client hand to each other: batches, what became of them, the transports' contract."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

MAX_ENTRY = 65_536  # bytes of one entry, as the server has it


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of entries of one producer. `first` is the sequence number where its range begins.

    `count` is the length of the range, of which entries that were lost on disk are missing in `entries`.
    `again` says that it may have been sent before, by this process or another.
    """

    producer: str
    first: int
    count: int
    entries: Sequence[bytes]
    again: bool = False

    @property
    def id(self) -> bytes:
        """Return the batch's 16-byte id, which its range alone decides (docs/clients.md).

        >>> Batch("py-0011223344556677", 0, 2, [b"{}", b"{}"]).id.hex()
        '4f982b0fc7106ad5a55116e8ac594291'
        """
        import hashlib

        name = b"SB2" + self.producer.encode() + struct.pack(">QI", self.first, self.count)
        return hashlib.sha256(name).digest()[:16]


@dataclass(frozen=True, slots=True)
class Sent:
    """The batch is stored for good. `receipt` is what the server said, if it says anything.

    `refused` entries of it were not taken: `which` has their places in the batch, where they are known.
    `altered` says in what the receipt does not fit what was sent; "" where it fits or there is none.
    """

    receipt: dict[str, object] = field(default_factory=dict)
    refused: int = 0
    which: Sequence[int] = ()
    altered: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """The batch is to be sent again, the same, after so many seconds at least; 0 leaves it to the shipper.

    `why` is for people: a status, the kind of an error; never a body or a secret.
    """

    why: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """The batch will never be taken: its entries are counted as refused."""

    why: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    """The batch is over a limit on its way, and nothing of it was stored: send it in parts."""

    why: str


Outcome = Sent | Later | Refused | TooLarge


class Transport(Protocol):
    """Where entries go. Called by one thread, its shipper's.

    `send` never raises for what the network or the other side does: it says `Later`. It may be called again
    with the same batch, also by another process that took the slot over; where the other side can tell by the
    batch's id or its entries, it stores them once.
    """

    name: str
    max_entries: int
    max_bytes: int

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send a batch, within `timeout` seconds."""

    def close(self) -> None:
        """Give up connections. Nothing is sent afterwards."""


class Store(Protocol):
    """Where the client puts lines, and what it asks of it. `_stored.Stored` keeps them on disk and sends."""

    threads: frozenset[str]  # the names of its threads, whose records are not logged: sending would never end

    def append(self, line: bytes) -> int:
        """Keep a line; return -1 where it was dropped, and counted. Never raises."""

    def mask(self, line: bytes, entry: dict[str, Any], encode: Any) -> bytes:
        """Return what may be kept of a line. Raises whatever: then the entry is dropped."""

    def wake(self) -> None:
        """Begin to send in this process."""

    def flush(self, seconds: float) -> bool:
        """Send what is kept, within so many seconds; whether all is sent."""

    def close(self, seconds: float) -> bool:
        """Do the same, and end."""

    def stats(self) -> dict[str, Any]:
        """Return what is known of it."""
