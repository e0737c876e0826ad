"""The days on which subscriptions are renewed."""

from __future__ import annotations

from datetime import date


def renewal(started: str, months: int) -> date:
    """Return the day that is so many months after the start, which is a date in ISO 8601.

    It is the same day of the month as the start. A month that is too short for that is renewed on its last
    day; the months after it are renewed on the day of the start again.
    """
    first = date.fromisoformat(started)
    years, month = divmod(first.month - 1 + months, 12)
    return first.replace(year=first.year + years, month=month + 1)
