from decimal import Decimal

from fx.errors import Timeout
from fx.invoices import convert
from fx.rates import rate


class Service:
    """Answers with rates, after so many time-outs."""

    def __init__(self, timeouts: int = 0, **rates: str) -> None:
        self.timeouts, self.rates = timeouts, rates
        self.asked: list[str] = []

    def __call__(self, pair: str) -> dict[str, str]:
        self.asked.append(pair)
        if len(self.asked) <= self.timeouts:
            raise Timeout("no answer within 2 s")
        return {"pair": pair, "rate": self.rates[pair]}


def test_a_rate_is_exact() -> None:
    assert rate(Service(USDEUR="0.9217"), "USDEUR") == Decimal("0.9217")


def test_one_answer_is_enough() -> None:
    service = Service(USDEUR="0.9")
    rate(service, "USDEUR")
    assert service.asked == ["USDEUR"]


def test_a_try_that_times_out_is_followed_by_another() -> None:
    service = Service(timeouts=1, USDEUR="0.9")
    assert rate(service, "USDEUR") == Decimal("0.9")
    assert len(service.asked) == 2


def test_invoices_are_converted_and_rounded() -> None:
    invoices = [
        {"id": "I-1", "currency": "USD", "amount": "10.05"},
        {"id": "I-2", "currency": "GBP", "amount": "100.00"},
    ]
    batch = convert(invoices, Service(USDEUR="0.9", GBPEUR="1.15"))
    assert batch.euros == {"I-1": Decimal("9.05"), "I-2": Decimal("115.00")}
    assert (batch.waiting, batch.refused) == ([], [])


def test_no_invoices_are_no_questions() -> None:
    service = Service()
    convert([], service)
    assert service.asked == []
