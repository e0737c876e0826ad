from datetime import UTC, datetime

import pytest

from coupons.reading import coupons_of, moment_of


def test_a_moment_in_utc_is_read():
    assert moment_of("2026-03-01T12:00:00Z") == datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("line", ["SPRING,10", "SPRING,ten,2026-03-01T00:00:00Z,2026-04-01T00:00:00Z", "S,1,soon,later"])
def test_a_line_of_another_form_is_an_error(line):
    with pytest.raises(ValueError):
        coupons_of([line])
