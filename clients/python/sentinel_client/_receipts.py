"""Receipts: whether what a server says it stored is what was sent, and what is kept of it.

A receipt names, for each segment that a batch became, what its head is made of (docs/wire.md, "The chain")::

    leaf_n = SHA256("SL1" ‖ salt ‖ L_n)
    H_n    = SHA256("SC1" ‖ leaf_n ‖ H_{n-1} ‖ u64(t) ‖ service_id)

`fault` computes it from the bytes that went out. A server that altered, left out, added or re-ordered an
entry cannot name a salt under which the heads come out alike.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256

_HASH = 32


class Unfit(Exception):
    """A receipt is none of the batch; the message says why, without a byte of the batch."""


def fault(receipt: Mapping[str, object], sent: Sequence[bytes], batch_id: bytes, service: str = "") -> str:
    """Say in what a receipt does not fit the entries that were sent under a batch id; "" where it fits.

    `service` is the sender's own id; "" where the gateway chooses it, which is then that of the chain.
    """
    try:
        _check(receipt, sent, batch_id, service)
    except Unfit as unfit:
        return str(unfit)
    return ""


def refused_lines(receipt: Mapping[str, object], sent: int) -> list[int]:
    """Return the indices of the entries that the server says it did not take. Raises `Unfit`."""
    lines = receipt.get("lines", [])
    number = receipt.get("rejected", 0)
    if not isinstance(lines, list) or not all(type(each) is int and 1 <= each <= sent for each in lines):
        raise Unfit("it names lines that were not sent")
    if number != len(lines) or lines != sorted(set(lines)):
        raise Unfit("it does not say which entries were refused")
    return [each - 1 for each in lines]


def _check(receipt: Mapping[str, object], sent: Sequence[bytes], batch_id: bytes, service: str) -> None:
    refused = set(refused_lines(receipt, len(sent)))
    stored = [entry for at, entry in enumerate(sent) if at not in refused]
    if not hmac.compare_digest(_hex(receipt, "batch_id", 16), batch_id):
        raise Unfit("it is of another batch")
    chain = receipt.get("chain")
    if not isinstance(chain, str) or "/" not in chain or not chain.isprintable():
        raise Unfit("it names no chain")
    owner = chain.rpartition("/")[0]
    if service and owner != service:
        raise Unfit("it is of another service's chain")
    if _number(receipt, "count") != len(stored):
        raise Unfit(f"it is of {receipt['count']} entries where {len(stored)} were sent")
    head, t = _follow(receipt, stored, chain, owner)
    if not hmac.compare_digest(_hex(receipt, "head", _HASH), head) or _number(receipt, "t") != t:
        raise Unfit("its head is not that of its last segment")


def _follow(
    receipt: Mapping[str, object], stored: Sequence[bytes], chain: str, owner: str
) -> tuple[bytes, int]:
    """Compute the heads of all segments; return the last one and its time."""
    segments = receipt.get("segments")
    if not isinstance(segments, list) or not segments:
        raise Unfit("it does not say what its head is made of")
    at, end, head, t = 0, _number(receipt, "first"), b"", 0
    for segment in segments:
        if not isinstance(segment, dict):
            raise Unfit("it does not say what its head is made of")
        first, count, prev = (
            _number(segment, "first"),
            _number(segment, "count"),
            _hex(segment, "prev", _HASH),
        )
        if count < 1 or at + count > len(stored):
            raise Unfit("its segments hold another number of entries")
        _follows(chain, first, prev, end, head)
        earlier, t = t, _number(segment, "t")
        if t < earlier:
            raise Unfit("its time runs backwards")
        entries = stored[at : at + count]
        head = _head(prev, _hex(segment, "salt", _HASH), entries, t, owner)
        if not hmac.compare_digest(_hex(segment, "head", _HASH), head):
            raise Unfit("a head is not that of the entries that were sent")
        at, end = at + count, first + count
    if at != len(stored):
        raise Unfit("its segments hold another number of entries")
    return head, t


def _follows(chain: str, first: int, prev: bytes, end: int, head: bytes) -> None:
    """Check where a segment stands: behind the one before, which `end` and `head` are of."""
    if first < end or (not head and first != end):
        raise Unfit("its segments are not in order")
    expected = sha256(b"SG1" + chain.encode()).digest() if first == 0 else head if first == end else b""
    if expected and not hmac.compare_digest(prev, expected):
        raise Unfit("a segment is not linked to what is before it")


def _head(prev: bytes, salt: bytes, entries: Sequence[bytes], t: int, service: str) -> bytes:
    prefix, tail = b"SL1" + salt, t.to_bytes(8, "big") + service.encode()
    hashed = sha256
    for entry in entries:
        prev = hashed(b"SC1" + hashed(prefix + entry).digest() + prev + tail).digest()
    return prev


def _number(told: Mapping[str, object], name: str) -> int:
    found = told.get(name)
    if type(found) is not int or not 0 <= found < 1 << 64:
        raise Unfit(f"its {name} is no number")
    return found


def _hex(told: Mapping[str, object], name: str, size: int) -> bytes:
    """Return a field of exactly `size` bytes: a shorter salt would move bytes between salt and entry."""
    found = told.get(name)
    raw = b""
    if isinstance(found, str) and len(found) == 2 * size:
        with contextlib.suppress(ValueError):
            raw = bytes.fromhex(found)
    if len(raw) != size:
        raise Unfit(f"its {name} is no hash")
    return raw
