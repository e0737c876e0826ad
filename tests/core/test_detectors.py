"""The clients' table of keys and tokens, as the server reads it: it finds what the clients find."""

from __future__ import annotations

import json

import pytest

from clients.copies import SOURCE
from sentinel.core.detectors import KINDS, keys, rows

ROWS = [row for row in json.loads(SOURCE.read_text())["detectors"] if row["kind"] in KINDS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_finds_its_examples(row: dict[str, list[str]]) -> None:
    """Each example of a kind that is looked for here, within a line, and so its checks are known here."""
    for text in row["match"]:
        plain = text.replace("¦", "")
        assert list(keys(f"at 12:00 x {plain} y"))


def test_every_row_of_these_kinds_is_read() -> None:
    """None is left out, and a row without gates would be tried on every text."""
    assert len(rows()) == len(ROWS)
    assert all(row.gates for row in rows())
