"""A customer redeems a coupon that marketing wrote without an offset."""

from datetime import UTC, datetime

from coupons.checkout import reduced
from coupons.reading import coupons_of

coupons = coupons_of(
    [
        "SPRING,10,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z",
        "EASTER,15,2026-04-02T00:00:00,2026-04-07T00:00:00",
    ]
)
reduced(4_900, "EASTER", coupons, datetime(2026, 4, 3, 9, 30, tzinfo=UTC))
