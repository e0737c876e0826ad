"""What commands print: nothing that strangers wrote reaches a terminal as anything but text."""

from __future__ import annotations

import json

import pytest

from sentinel.cli.output import emit, plain, table

HOSTILE = "\x1b[2J\x9b2J\u202egnp.exe\u200b\x7f\r\n"


def test_json_controls_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """C1 controls and turns of direction are in no JSON as they are; what is read back is the same."""
    emit({"reason": HOSTILE})
    text = capsys.readouterr().out
    assert text.endswith("}\n")
    assert text[:-1].isprintable()
    assert json.loads(text) == {"reason": HOSTILE}


def test_tables_control_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A cell is one line of printable characters."""
    table([(HOSTILE, 1)], ("A", "B"))
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))
    assert plain(HOSTILE).isprintable()
