from datetime import UTC, datetime

import pytest

from coupons.checkout import reduced
from coupons.coupon import NotRedeemed
from coupons.reading import coupons_of

COUPONS = coupons_of(["SPRING,10,2026-03-01T00:00:00Z,2026-04-01T00:00:00+00:00"])


def test_a_coupon_takes_its_percentage_off():
    assert reduced(1_999, "spring ", COUPONS, datetime(2026, 3, 15, tzinfo=UTC)) == 1_800


def test_a_coupon_is_valid_from_its_start_until_before_its_end():
    assert reduced(100, "SPRING", COUPONS, datetime(2026, 3, 1, tzinfo=UTC)) == 90
    assert reduced(100, "SPRING", COUPONS, datetime(2026, 3, 31, 23, 59, tzinfo=UTC)) == 90
    with pytest.raises(NotRedeemed, match="expired"):
        reduced(100, "SPRING", COUPONS, datetime(2026, 4, 1, tzinfo=UTC))
    with pytest.raises(NotRedeemed, match="not valid yet"):
        reduced(100, "SPRING", COUPONS, datetime(2026, 2, 28, tzinfo=UTC))


def test_a_code_that_is_none_is_told():
    with pytest.raises(NotRedeemed, match="no such coupon"):
        reduced(100, "AUTUMN", COUPONS, datetime(2026, 3, 15, tzinfo=UTC))
