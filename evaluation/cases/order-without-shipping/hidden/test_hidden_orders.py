import json

import pytest

from orders.intake import receive
from orders.parsing import order_of

DOWNLOAD = {
    "number": "R-1042",
    "customer": {"email": "ana@example.com"},
    "lines": [{"sku": "ebook-114", "quantity": 1, "unit_cents": 1290}],
}


def test_an_order_without_shipping_is_accepted():
    assert receive(json.dumps(DOWNLOAD).encode()) == (202, {"number": "R-1042", "total_cents": 1290})


def test_an_order_whose_shipping_is_null_is_accepted():
    sent = json.dumps({**DOWNLOAD, "shipping": None}).encode()
    assert receive(sent) == (202, {"number": "R-1042", "total_cents": 1290})


def test_nothing_is_charged_for_shipping_that_is_not_there():
    assert order_of(DOWNLOAD).shipping_cents == 0


@pytest.mark.parametrize("cents", [0, 1, 490])
def test_shipping_that_is_told_is_charged(cents):
    order = order_of({**DOWNLOAD, "shipping": {"cents": cents}})
    assert (order.shipping_cents, order.total_cents) == (cents, 1290 + cents)


def test_what_every_order_has_is_still_demanded():
    for name in ("number", "customer", "lines"):
        sent = {key: value for key, value in DOWNLOAD.items() if key != name}
        assert receive(json.dumps(sent).encode())[0] == 400
