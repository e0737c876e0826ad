import json

from orders.intake import receive

ORDER = {
    "number": "R-1001",
    "customer": {"email": "Kim@Example.com", "phone": "+49 30 1234"},
    "lines": [{"sku": "mug", "quantity": 2, "unit_cents": 950}],
    "shipping": {"carrier": "post", "cents": 490},
}


def sent(**changed: object) -> bytes:
    return json.dumps({**ORDER, **changed}).encode()


def test_an_order_is_accepted_with_its_total():
    assert receive(sent()) == (202, {"number": "R-1001", "total_cents": 2390})


def test_an_order_without_a_number_is_refused():
    assert receive(sent(number=None)) == (400, {"error": "number is missing or no str"})


def test_an_order_without_lines_is_refused():
    assert receive(sent(lines=[])) == (400, {"error": "lines is empty"})


def test_what_is_no_json_is_refused():
    assert receive(b"{")[0] == 400
    assert receive(b"[]")[0] == 400
