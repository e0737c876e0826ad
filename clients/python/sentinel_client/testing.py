"""For tests of programs that log: what they log is kept in memory, and can be asserted.

    with capture() as log:
        pay(order=7)
    log.assert_logged(level="INFO", message="paid", order=7)

What is captured went the whole way, masking included; only the disk and the network are left out.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from ._client import Client
from ._install import lent
from ._options import Options
from ._types import Batch, Outcome, Sent
from .privacy import Policy, Privacy

_SHOWN: Final = 20  # entries in the message of a failed assertion
_ABSENT: Final = object()


class Captured:
    """What was logged: `entries` in order. It is a store of a client, too."""

    def __init__(self, options: Options | None = None) -> None:
        self._lock = threading.Lock()
        self._lines: list[bytes] = []
        self.threads: frozenset[str] = frozenset()
        self._privacy = Privacy(Policy.from_mapping((options or Options()).privacy))

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries as they would be sent."""
        with self._lock:
            return [json.loads(line) for line in self._lines]

    @property
    def messages(self) -> list[str]:
        """Their messages."""
        return [str(each.get("message")) for each in self.entries]

    def found(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the entries that have these fields. A compiled pattern is searched in the field's text."""
        return [each for each in self.entries if not _differences(each, wanted)]

    def assert_logged(self, *, times: int | None = None, **wanted: Any) -> dict[str, Any]:
        """Return the first entry with these fields; with `times` there have to be so many, 0 included.

        Raises `AssertionError`, which says what the nearest entries have in their place.
        """
        __tracebackhide__ = True
        found = self.found(**wanted)
        if len(found) == times or (found and times is None):
            return found[0] if found else {}
        if found:
            raise AssertionError(
                f"logged {len(found)} times and not {times}: {_shown(wanted)}\n{self._all()}"
            )
        raise AssertionError(f"not logged: {_shown(wanted)}\n{self._nearest(wanted)}")

    def assert_not_logged(self, **wanted: Any) -> None:
        """Raise `AssertionError` if an entry has these fields."""
        __tracebackhide__ = True
        found = self.found(**wanted)
        if found:
            raise AssertionError(f"logged, {len(found)} times: {_shown(wanted)}\n  {_shown(found[0])}")

    def clear(self) -> None:
        """Forget what was logged."""
        with self._lock:
            self._lines.clear()

    def append(self, line: bytes) -> int:
        """Keep a line."""
        with self._lock:
            self._lines.append(line)
            return len(self._lines) - 1

    def mask(self, line: bytes, entry: dict[str, Any], encode: Any) -> bytes:
        """Mask as policy says."""
        return self._privacy.line(line, entry, encode)

    def wake(self) -> None:
        """Have nothing to send."""

    def flush(self, seconds: float) -> bool:  # noqa: ARG002 - a store's arguments
        """Have nothing to send."""
        return True

    def close(self, seconds: float) -> bool:  # noqa: ARG002
        """Keep what was captured."""
        return True

    def stats(self) -> dict[str, Any]:
        """Return how many entries there are."""
        return {"captured": len(self._lines)}

    def _all(self) -> str:
        entries = self.entries
        if not entries:
            return "nothing was logged"
        lines = [f"  {_shown(each)}" for each in entries[:_SHOWN]]
        more = [f"  and {len(entries) - _SHOWN} more"] if len(entries) > _SHOWN else []
        return "\n".join([f"logged were {len(entries)}:", *lines, *more])

    def _nearest(self, wanted: dict[str, Any]) -> str:
        near = sorted(self.entries, key=lambda each: len(_differences(each, wanted)))
        if near and len(_differences(near[0], wanted)) < len(wanted):
            told = "; ".join(_differences(near[0], wanted))
            return f"the nearest entry differs: {told}\n{self._all()}"
        return self._all()


def _differences(entry: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    told = []
    for name, value in wanted.items():
        has = entry.get(name, _ABSENT)
        if isinstance(value, re.Pattern):
            same = isinstance(has, str) and value.search(has) is not None
        else:
            same = has == value and isinstance(has, bool) == isinstance(value, bool)
        if not same:
            told.append(f"no {name}" if has is _ABSENT else f"{name} is {has!r} and not {value!r}")
    return told


def _shown(entry: dict[str, Any]) -> str:
    return " ".join(f"{name}={value!r}" for name, value in entry.items() if name != "time")


@contextmanager
def capture(*, root: bool = True, **options: Any) -> Iterator[Captured]:
    """Have what is logged within the block kept in memory. `options` as for `install`; `level` is TRACE.

    With `root`, also what goes to the root logger of `logging`. What was installed is so again afterwards.
    """
    told = Options.load({"transports": [], "level": "TRACE", **options}, {})
    kept = Captured(told)
    client = Client(told, store=kept)
    with lent(client, root):
        try:
            yield kept
        finally:
            client.close()


class MemoryTransport:
    """A transport that keeps batches. `answers` are what it says next, in order; then that all is stored."""

    name = "memory"
    max_entries = 10_000
    max_bytes = 4_800_000

    def __init__(self, *answers: Outcome) -> None:
        self.batches: list[Batch] = []
        self._answers = list(answers)
        self._arrived = threading.Condition()

    def send(self, batch: Batch, timeout: float) -> Outcome:  # noqa: ARG002 - it takes no time
        """Keep a batch, if that is what it is to answer."""
        with self._arrived:
            answer = self._answers.pop(0) if self._answers else Sent()
            if isinstance(answer, Sent):
                self.batches.append(batch)
                self._arrived.notify_all()
            return answer

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The entries that arrived."""
        with self._arrived:
            return [json.loads(line) for batch in self.batches for line in batch.entries]

    def wait(self, count: int, seconds: float = 10.0) -> bool:
        """Wait until so many entries are there."""
        with self._arrived:
            return self._arrived.wait_for(
                lambda: sum(len(each.entries) for each in self.batches) >= count, seconds
            )

    def close(self) -> None:
        """Keep what arrived."""


__all__ = ["Captured", "MemoryTransport", "capture"]
