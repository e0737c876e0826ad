import pytest

from orders.fields import BadPayload
from orders.order import Line
from orders.parsing import line_of, order_of


def test_a_quantity_that_is_not_told_is_one():
    assert line_of({"sku": "mug", "unit_cents": 950}) == Line("mug", 1, 950)
    assert line_of({"sku": "mug", "quantity": None, "unit_cents": 950}) == Line("mug", 1, 950)


def test_no_less_than_one_is_bought():
    with pytest.raises(BadPayload, match="less than 1"):
        line_of({"sku": "mug", "quantity": 0, "unit_cents": 950})


def test_addresses_are_kept_in_lower_case_and_a_phone_is_optional():
    order = order_of(
        {
            "number": "R-1",
            "customer": {"email": "Kim@Example.com"},
            "lines": [{"sku": "mug", "unit_cents": 950}],
            "shipping": {"cents": 0},
        }
    )
    assert (order.email, order.phone) == ("kim@example.com", "")
