"""A shop's webhook for an order that is downloaded."""

from orders.intake import receive

receive(
    b'{"number": "R-1042", "customer": {"email": "ana@example.com"},'
    b' "lines": [{"sku": "ebook-114", "quantity": 1, "unit_cents": 1290}]}'
)
