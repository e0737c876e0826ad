"""Coupons and whether they can be redeemed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class NotRedeemed(ValueError):
    """A coupon takes nothing off a price; the customer sees why."""


@dataclass(frozen=True)
class Coupon:
    """What a code takes off a price, in percent, from a moment until another."""

    code: str
    percent: int
    starts: datetime
    ends: datetime


def check(coupon: Coupon, at: datetime) -> None:
    """Raise `NotRedeemed` where a coupon is not valid at a moment. It is from `starts` until before `ends`."""
    if at < coupon.starts:
        raise NotRedeemed(f"{coupon.code} is not valid yet")
    if at >= coupon.ends:
        raise NotRedeemed(f"{coupon.code} has expired")
