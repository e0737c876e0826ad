"""The entries of a message's alerts: one each, after those of the message itself, so that rules see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from sentinel.core.alerts import Unparsed, line
from sentinel.core.replies import BY, OURS, marked

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.core.alerts import Alert
    from sentinel.ports_doors import Delivery

MOST: Final = 500  # alerts of one message
MOST_BYTES: Final = 2_500_000  # of all of them: with the longest message still within a batch
MAX_REASON: Final = 300  # characters


def told(alerts: Callable[[], list[Alert]]) -> tuple[list[Alert], str]:
    """Return the alerts of a message, and "" or the reason why they are not known: it is parked then."""
    try:
        return alerts(), ""
    except Unparsed as reason:
        return [], line(str(reason), MAX_REASON) or "not understood"


def alert_entries(delivery: Delivery, alerts: Sequence[Alert]) -> list[bytes]:
    """Return `{"webhook": {"source", "hook", "id", "alert": n}, "alert": {...}}` for each alert.

    At most `MOST`, of `MOST_BYTES` together; where there are more, `webhook.left_out` of the last entry is
    how many are missing. They are in the message, which is stored as it came.
    """
    entries: list[bytes] = []
    left = MOST_BYTES
    for number, alert in enumerate(alerts[:MOST]):
        entry = _entry(delivery, number, alert, 0)
        left -= len(entry)
        if left < 0:
            break
        entries.append(entry)
    missing = len(alerts) - len(entries)
    if missing:
        last = len(entries) - 1
        entries[last] = _entry(delivery, last, alerts[last], missing)
    return entries


def _entry(delivery: Delivery, number: int, alert: Alert, left_out: int) -> bytes:
    about = delivery.about()
    about |= {"alert": number} | ({"left_out": left_out} if left_out else {})
    entry = orjson.dumps({"webhook": about, "alert": alert.json()})
    # A stranger who quotes a mark would hide from the rules that leave our own doing out.
    if delivery.strangers or not marked(entry.decode()):
        return entry
    # It only tells what a reply of ours has said: rules can leave it out, and it is not replied to.
    echo = replace(alert, labels={BY: OURS, **alert.labels})
    return orjson.dumps({"webhook": about, "alert": echo.json()})
