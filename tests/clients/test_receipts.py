"""Receipts: a server that stored something else than was sent is found out by its producer."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sentinel.core.chain import salt
from sentinel_client._door import Door
from sentinel_client._receipts import fault
from sentinel_client._types import Batch, Sent
from sentinel_client.transports.http import HttpTransport
from tests.clients.ledgers import SERVICE, Alter, Ledger

PRODUCER = "py-0011223344556677"
FIVE = [b'{"n":%d,"message":"paid"}' % number for number in range(5)]


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A gateway without doors."""
    made = Ledger()
    yield made
    made.stop()


def send(ledger: Ledger, entries: list[bytes], first: int = 0) -> Sent:
    """Send one batch; return what became of it."""
    transport = HttpTransport(Door(ledger.url, SERVICE))
    outcome = transport.send(Batch(PRODUCER, first, len(entries), entries), 20.0)
    transport.close()
    assert isinstance(outcome, Sent), outcome
    return outcome


def large() -> list[bytes]:
    """Return entries that take several segments."""
    rng = random.Random(7)
    return [b'{"n":%d,"m":"%s"}' % (number, rng.randbytes(9000).hex().encode()) for number in range(100)]


def test_what_was_stored_as_it_was_sent_fits(ledger: Ledger) -> None:
    """Receipts of honest servers fit: of the first batch, the next, one of several segments, a retry."""
    sent = ((0, FIVE), (5, FIVE[:1]), (6, large()), (6, large()))
    outcomes = [send(ledger, entries, first) for first, entries in sent]
    assert [(each.altered, each.refused) for each in outcomes] == [("", 0)] * 4
    assert outcomes[3] == outcomes[2]
    assert len(outcomes[3].receipt["segments"]) > 1  # type: ignore[arg-type]
    assert ledger.stored() == [*FIVE, FIVE[0], *large()]


ALTERATIONS: dict[str, Alter] = {
    "alters one": lambda sent: [sent[0], sent[1].replace(b"paid", b"owed"), *sent[2:]],
    "alters a blank": lambda sent: [*sent[:4], sent[4] + b" "],
    "leaves the first out": lambda sent: sent[1:],
    "leaves the last out": lambda sent: sent[:-1],
    "swaps two": lambda sent: [sent[1], sent[0], *sent[2:]],
    "turns them round": lambda sent: sent[::-1],
    "adds one before": lambda sent: [b'{"n":9}', *sent],
    "adds one behind": lambda sent: [*sent, b'{"n":9}'],
    "puts one in the place of another": lambda sent: [sent[0], sent[0], *sent[2:]],
    "joins two": lambda sent: [b'{"n":0,"message":"paid","x":1}', *sent[2:]],
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_server_that_stores_something_else_is_found_out(ledger: Ledger, name: str) -> None:
    """Each way to store other entries than were sent gives a receipt that does not fit."""
    ledger.alter = ALTERATIONS[name]
    ledger.rewrite = lambda receipt: (
        receipt | {"count": 5, "segments": [receipt["segments"][0] | {"count": 5}, *receipt["segments"][1:]]}
    )
    outcome = send(ledger, FIVE)
    assert outcome.altered
    assert "paid" not in outcome.altered
    assert ledger.stored() != FIVE


@pytest.mark.parametrize("name", ALTERATIONS)
def test_a_change_within_a_batch_of_many_segments_is_found(ledger: Ledger, name: str) -> None:
    """A segment in the middle is compared like the first."""
    ledger.alter = lambda sent: [*sent[:50], *ALTERATIONS[name](sent[50:55]), *sent[55:]]
    if name in {"alters one", "joins two"}:
        ledger.alter = lambda sent: [*sent[:50], b'{"n":50,"m":"0"}', *sent[51:]]
    assert send(ledger, large()).altered


def honest(ledger: Ledger) -> dict[str, Any]:
    """Return an honest receipt of a batch of several segments."""
    outcome = send(ledger, large())
    assert outcome.altered == ""
    return dict(outcome.receipt)


def segment(at: int, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Change fields of one segment."""
    return lambda receipt: receipt["segments"][at].update(changes)


def other(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Change a field of the receipt."""
    return lambda receipt: receipt.update({name: value})


LIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "no segments": lambda receipt: receipt.pop("segments"),
    "empty segments": other("segments", []),
    "segments of another kind": other("segments", [1, 2]),
    "a segment less": lambda receipt: receipt["segments"].pop(),
    "a segment twice": lambda receipt: receipt["segments"].append(receipt["segments"][-1]),
    "another order": lambda receipt: receipt["segments"].reverse(),
    "another batch": other("batch_id", "00" * 16),
    "no batch": lambda receipt: receipt.pop("batch_id"),
    "another service": other("chain", "billing/0"),
    "another lane": other("chain", f"{SERVICE}/1"),
    "no lane": other("chain", SERVICE),
    "another place": other("first", 1),
    "another head": other("head", "00" * 32),
    "another time": other("t", 1),
    "another count": other("count", 99),
    "a count that is no number": other("count", "100"),
    "a count that is true": other("count", True),
    "no entries in a segment": segment(0, count=0),
    "a negative place": segment(0, first=-1),
    "another prev": segment(1, prev="00" * 32),
    "another salt": segment(0, salt="00" * 32),
    "a salt with blanks": lambda receipt: segment(0, salt=" " + receipt["segments"][0]["salt"])(receipt),
    "an earlier time": segment(1, t=0),
    "a time beyond 64 bits": segment(0, t=1 << 64),
    "lines that were not sent": lambda receipt: receipt.update(rejected=1, lines=[101]),
    "lines in disorder": lambda receipt: receipt.update(rejected=2, lines=[2, 1]),
    "a line twice": lambda receipt: receipt.update(rejected=2, lines=[2, 2]),
    "a rejection that is not named": other("rejected", 3),
    "a rejection that was stored": lambda receipt: receipt.update(rejected=1, lines=[1]),
}


def test_a_receipt_that_lies_in_any_field_is_found(ledger: Ledger) -> None:
    """Each field of a receipt is checked or computed: no change of one fits."""
    good = honest(ledger)
    name = Batch(PRODUCER, 0, 100, large()).id
    assert fault(good, large(), name, SERVICE) == ""
    for what, change in LIES.items():
        told = copy.deepcopy(good)
        change(told)
        assert fault(told, large(), name, SERVICE), what


def test_a_salt_that_takes_a_byte_of_the_entry_is_none(ledger: Ledger) -> None:
    """Salt and entry are hashed one behind the other, so a salt that is not 32 bytes long is refused."""
    sent = [b'{"n":1}']
    outcome = send(ledger, sent)
    receipt = copy.deepcopy(dict(outcome.receipt))
    name = Batch(PRODUCER, 0, 1, sent).id
    piece = receipt["segments"][0]  # type: ignore[index]
    piece["salt"] += sent[0][:1].hex()
    assert "salt" in fault(receipt, [sent[0][1:]], name, SERVICE)


def test_partial_refusals_are_taken_out_before_comparing(ledger: Ledger) -> None:
    """Entries that the server names as refused are counted, the others compared; more than 20 as well."""
    bad = [b'{"n":' for _ in range(25)]
    sent = [FIVE[0], *bad, *FIVE[1:]]
    outcome = send(ledger, sent)
    assert (outcome.altered, outcome.refused, list(outcome.which)) == ("", 25, list(range(1, 26)))
    assert ledger.stored() == FIVE
    ledger.alter = lambda entries: [*entries[:-1], b'{"n":7}']
    assert send(ledger, sent, 100).altered


def test_the_salt_is_that_of_the_ledger(ledger: Ledger) -> None:
    """What the receipt says fits what auditors compute from an export: nonce and context give the salt."""
    outcome = send(ledger, FIVE)
    (stored,) = ledger.ledger.read(f"{SERVICE}/0")
    piece = outcome.receipt["segments"][0]  # type: ignore[index]
    assert piece["salt"] == salt(stored.opened.nonce, stored.opened.context).hex()
