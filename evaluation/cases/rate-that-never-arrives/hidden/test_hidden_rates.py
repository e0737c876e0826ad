from decimal import Decimal

import pytest

from fx.errors import RateUnavailable, Refused, Timeout
from fx.invoices import convert
from fx.rates import rate

INVOICES = [
    {"id": "a", "currency": "CHF", "amount": "20.00"},
    {"id": "b", "currency": "USD", "amount": "10.00"},
    {"id": "c", "currency": "XXX", "amount": "1.00"},
]


class Service:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, pair: str) -> dict[str, str]:
        self.asked.append(pair)
        if pair == "CHFEUR":
            raise Timeout("no answer")
        if pair == "XXXEUR":
            raise Refused("no such currency")
        return {"rate": "0.9"}


def test_a_silent_service_is_asked_so_many_times() -> None:
    service = Service()
    with pytest.raises(RateUnavailable):
        rate(service, "CHFEUR")
    assert service.asked == ["CHFEUR"] * 3


@pytest.mark.parametrize("tries", [1, 2, 5])
def test_the_number_of_tries_is_kept(tries: int) -> None:
    service = Service()
    with pytest.raises(RateUnavailable):
        rate(service, "CHFEUR", tries)
    assert len(service.asked) == tries


def test_a_refusal_is_not_asked_again() -> None:
    service = Service()
    with pytest.raises(Refused):
        rate(service, "XXXEUR")
    assert service.asked == ["XXXEUR"]


def test_each_invoice_of_a_batch_has_its_place() -> None:
    batch = convert(INVOICES, Service())
    assert batch.euros == {"b": Decimal("9.00")}
    assert [each["id"] for each in batch.waiting] == ["a"]
    assert [each["id"] for each in batch.refused] == ["c"]


def test_the_last_try_counts() -> None:
    answers = iter([Timeout("1"), Timeout("2"), {"rate": "2"}])

    def ask(pair: str) -> dict[str, str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert rate(ask, "GBPEUR") == 2


def test_a_fault_of_the_caller_is_not_hidden() -> None:
    def broken(pair: str) -> dict[str, str]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rate(broken, "USDEUR")
