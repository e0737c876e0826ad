"""The port to what the change feeds gave up: pointers to records, no content."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Records of a table's feed that were given up together.

    `first` and `last` are when the first and the last of them came to the feed, in nanoseconds, to the second
    below. `receipt` names the message for `done`.
    """

    receipt: str
    table: str
    first: int
    last: int
    records: int


class FailureQueue(Protocol):
    """Where pointers wait until somebody has seen to the records."""

    def waiting(self) -> Iterator[GivenUp]:
        """Yield what waits, each once; one that is not `done` shows again some minutes later.

        Messages that are no such pointers are left where they are, and told of in the log. Raises
        `Unavailable`, and `Forbidden` or `Missing` where the queue may not be read or is none.
        """

    def done(self, given_up: GivenUp) -> None:
        """Forget a pointer for good. Raises as `waiting` does."""
