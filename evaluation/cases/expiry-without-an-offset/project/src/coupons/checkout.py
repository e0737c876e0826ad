"""Takes coupons off prices. The moment is an argument, in UTC, so that nothing here reads a clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from coupons.coupon import Coupon, NotRedeemed, check


def reduced(cents: int, code: str, coupons: Mapping[str, Coupon], at: datetime) -> int:
    """Return what is left of a price. Raises `NotRedeemed`."""
    coupon = coupons.get(code.strip().upper())
    if coupon is None:
        raise NotRedeemed("there is no such coupon")
    check(coupon, at)
    return cents - cents * coupon.percent // 100
