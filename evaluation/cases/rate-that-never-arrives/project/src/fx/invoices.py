"""Converts a batch of invoices. Those without a rate wait for the next run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from fx.errors import RateUnavailable, Refused
from fx.rates import Ask, rate

Invoice = dict[str, str]
CENT = Decimal("0.01")


@dataclass
class Batch:
    """What came of a batch: amounts in euros by id, what waits, and what a person has to look at."""

    euros: dict[str, Decimal] = field(default_factory=dict)
    waiting: list[Invoice] = field(default_factory=list)
    refused: list[Invoice] = field(default_factory=list)


def convert(invoices: Iterable[Invoice], ask: Ask) -> Batch:
    """Convert invoices, each by the rate of its currency."""
    batch = Batch()
    for invoice in invoices:
        try:
            one = rate(ask, f"{invoice['currency']}EUR")
        except RateUnavailable:
            batch.waiting.append(invoice)
        except Refused:
            batch.refused.append(invoice)
        else:
            euros = Decimal(invoice["amount"]) * one
            batch.euros[invoice["id"]] = euros.quantize(CENT, ROUND_HALF_UP)
    return batch
