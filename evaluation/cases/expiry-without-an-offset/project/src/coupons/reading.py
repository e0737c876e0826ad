"""Reads coupons from the file that marketing keeps: `code,percent,starts,ends`.

Moments are in ISO 8601. Those without an offset are in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from coupons.coupon import Coupon


def moment_of(text: str) -> datetime:
    """Return a moment. Raises `ValueError` where the text is none."""
    return datetime.fromisoformat(text)


def coupons_of(lines: Iterable[str]) -> dict[str, Coupon]:
    """Return coupons by code. Raises `ValueError` where a line is of another form."""
    found = {}
    for line in lines:
        code, percent, starts, ends = (part.strip() for part in line.split(","))
        found[code] = Coupon(code, int(percent), moment_of(starts), moment_of(ends))
    return found
