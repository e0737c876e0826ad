"""Splits an amount of cents by weights."""

from __future__ import annotations

from ledger.errors import Unbalanced


def allocate(amount: int, weights: list[int]) -> list[int]:
    """Return a share of an amount in cents for each weight; together they are the amount.

    Each share is its exact part or less than a cent off. Cents that are left over go to the parts with the
    largest rests, of equal ones to the first. A negative amount is split as the positive one is, so that a
    refund takes back exactly what was given. Raises `ValueError` where there is nothing to split by.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights are not below zero, and one is above")
    shares = [round(amount * weight / total) for weight in weights]
    if sum(shares) != amount:
        raise Unbalanced(f"{amount} was split into {sum(shares)}")
    return shares
