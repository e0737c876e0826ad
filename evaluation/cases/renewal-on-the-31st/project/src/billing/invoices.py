"""Invoices to come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from billing.plans import plan
from billing.renewals import renewal

ACCOUNT = "DE02 1203 0000 0000 2020 51"


@dataclass(frozen=True)
class Invoice:
    """An amount in cents, when it is due, and where it is paid to."""

    due: date
    amount: int
    account: str = ACCOUNT


def upcoming(subscription: Mapping[str, str], count: int) -> list[Invoice]:
    """Return the next invoices of a subscription, which has `plan` and `started`.

    The first is due when the subscription starts. Raises `NoSuchPlan`.
    """
    chosen = plan(subscription["plan"])
    return [
        Invoice(renewal(subscription["started"], number * chosen.months), chosen.price)
        for number in range(count)
    ]
