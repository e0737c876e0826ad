"""Records of the scanners' protocol, version 2.

A record is the article's number in four bytes, the quantity in two, and a checksum of these in one, all big
endian. A quantity of 0xFFFF is none: it says that the quantity follows, before the checksum, in four bytes.
Scanners have read that since their firmware 3.
"""

from __future__ import annotations

import struct

from stocktake.checksums import checksum

LONG = 0xFFFF


class BadRecord(ValueError):
    """Bytes are not a record."""


def encode(sku: int, quantity: int) -> bytes:
    """Return the record of an article. Raises `ValueError` for a quantity below zero."""
    if quantity < 0:
        raise ValueError("a quantity is not below zero")
    body = struct.pack(">IH", sku, quantity)
    return body + bytes([checksum(body)])


def decode(record: bytes) -> tuple[int, int]:
    """Return the number and quantity of a record. Raises `BadRecord`."""
    body, end = record[:-1], record[-1:]
    if end != bytes([checksum(body)]):
        raise BadRecord("the checksum is another")
    try:
        sku, quantity = struct.unpack_from(">IH", body)
        if quantity == LONG:
            (quantity,) = struct.unpack_from(">I", body, 6)
    except struct.error:
        raise BadRecord("the record is cut short") from None
    return sku, quantity
