"""Rows of an export: a first line with the names of columns, then a contact a row, as in RFC 4180.

Spreadsheets leave out empty cells at the end of a row, and put quotes around cells with commas or line breaks.
"""

from __future__ import annotations

import csv

COLUMNS = ("name", "email", "phone", "address")


def rows(text: str) -> list[dict[str, str]]:
    """Return the contacts of an export by the names of `COLUMNS`; what a row does not have is empty."""
    found = []
    for line in text.splitlines()[1:]:
        cells = next(csv.reader([line]), [])
        if not cells:
            continue
        found.append({"name": cells[0], "email": cells[1], "phone": cells[2], "address": cells[3]})
    return found
