"""A sheet: all records that one scanner is loaded with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stocktake.records import encode

MAGIC = b"STK2"


def sheet(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a sheet of lines with `sku` and `quantity`, in the order of the numbers.

    Each record has its length in one byte before it.
    """
    records = [encode(line["sku"], line["quantity"]) for line in sorted(lines, key=lambda line: line["sku"])]
    return MAGIC + b"".join(bytes([len(record)]) + record for record in records)
