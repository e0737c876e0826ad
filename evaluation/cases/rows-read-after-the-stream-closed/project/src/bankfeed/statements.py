"""The two forms of a statement: positions and semicolons, or, since 2026, a first line with names."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

COLUMNS = ("date", "amount", "text")


class UnknownForm(Exception):
    """A statement is in neither form."""


def records(statement: str) -> Iterable[dict[str, str]]:
    """Return the rows of a statement by the names of their columns. Raises `UnknownForm`."""
    first, _, _ = statement.partition("\n")
    with io.StringIO(statement, newline="") as stream:
        if first.startswith("date,"):
            return csv.DictReader(stream)
        if not first or ";" in first:
            return [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(stream, delimiter=";")]
    raise UnknownForm("a statement begins with names of columns, or has semicolons")
