from fx.errors import Timeout
from fx.invoices import convert


def silent(pair: str) -> dict[str, str]:
    raise Timeout("no answer within 2 s")


convert(
    [
        {"id": "2026-00418", "currency": "CHF", "amount": "1480.00"},
        {"id": "2026-00419", "currency": "USD", "amount": "96.40"},
    ],
    silent,
)
