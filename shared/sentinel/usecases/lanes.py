"""Lanes: a batch goes to its sender's lane, wherever that was when it was sent for the first time.

`core.lanes` says in which order and why; here it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

from sentinel.core.chain import chain_id
from sentinel.core.lanes import Term
from sentinel.core.payload import Cipher
from sentinel.core.segment import Batch
from sentinel.errors import Unavailable
from sentinel.usecases.append import Appender, Receipt


def append(
    appender: Appender,
    terms: Sequence[Term],
    service: str,
    batch: Batch,
    *,
    within: int | None = None,
    full: bool = False,
    since: str | None = None,
    cipher: Cipher | None = None,
) -> Receipt:
    """Store a batch of a sender once and return its receipt, from whichever lane; see `Appender.append`.

    `terms` are its sender's (`Lanes.terms`). `since` is what the header `Sentinel-Since` says: `N CHAIN`, of
    another chain nothing.
    """
    for term in terms:
        chain = chain_id(service, term.lane)
        back_to = None if since is None else _since(since, chain)
        receipt = appender.append_in(term, chain, batch, within, full, back_to, cipher)
        if receipt is not None:
            return receipt
    raise Unavailable("the lanes of this service have all ended", 1.0)  # the last one never does


def _since(text: str, chain: str) -> int:
    """Return from where on a batch may be stored: `N CHAIN`; 0 where it says nothing of this chain."""
    number, _, named = text.strip().partition(" ")
    return int(number) if named == chain and number.isdecimal() and len(number) < 20 else 0
