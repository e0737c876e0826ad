from datetime import UTC, datetime, timedelta, timezone

import pytest

from coupons.checkout import reduced
from coupons.coupon import NotRedeemed
from coupons.reading import coupons_of

COUPONS = coupons_of(
    [
        "EASTER,15,2026-04-02T00:00:00,2026-04-07T00:00:00",
        "MIXED,20,2026-04-02T00:00:00,2026-04-07T00:00:00Z",
        "TOKYO,50,2026-04-02T00:00:00+09:00,2026-04-07T00:00:00+09:00",
        "LIMA,50,2026-04-02T00:00:00-05:00,2026-04-07T00:00:00-05:00",
    ]
)


def redeemed(code: str, *when: int) -> bool:
    try:
        return reduced(100, code, COUPONS, datetime(*when, tzinfo=UTC)) < 100
    except NotRedeemed:
        return False


def test_the_coupon_of_the_trace_is_redeemed():
    assert reduced(4_900, "EASTER", COUPONS, datetime(2026, 4, 3, 9, 30, tzinfo=UTC)) == 4_165


@pytest.mark.parametrize("code", ["EASTER", "MIXED"])
def test_without_an_offset_a_moment_is_in_utc(code):
    assert not redeemed(code, 2026, 4, 1, 23, 59)
    assert redeemed(code, 2026, 4, 2)
    assert redeemed(code, 2026, 4, 6, 23, 59)
    assert not redeemed(code, 2026, 4, 7)


def test_an_offset_to_the_east_ends_sooner():
    assert redeemed("TOKYO", 2026, 4, 1, 15)
    assert not redeemed("TOKYO", 2026, 4, 6, 15)


def test_an_offset_to_the_west_ends_later():
    assert not redeemed("LIMA", 2026, 4, 2, 4, 59)
    assert redeemed("LIMA", 2026, 4, 7, 4, 59)


def test_the_moment_of_the_request_may_have_any_offset():
    at = datetime(2026, 4, 7, 1, tzinfo=timezone(timedelta(hours=2)))
    assert reduced(100, "EASTER", COUPONS, at) == 85
