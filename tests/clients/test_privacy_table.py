"""The detector table: its rows find what they say, nothing else, in linear time; its copies are equal."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from clients.copies import SOURCE, copies
from sentinel_client.privacy._scan import LEAST_DIGITS, LEAST_RUN, Scanner
from sentinel_client.privacy._table import Detector, table
from tests.data import need
from tests.sampling import taken

ROWS: list[dict[str, Any]] = json.loads(SOURCE.read_text())["detectors"]
DETECTORS = {each.id: each for each in table().detectors}
ON = Scanner([each for each in table().detectors if not each.off])
HOSTILE = 65_536


def example(text: str) -> str:
    """Return an example as it is meant: `¦` keeps scanners for secrets from taking the file for one."""
    return text.replace("¦", "")


MATCH = [(row["id"], example(text)) for row in ROWS for text in row["match"]]
NO_MATCH = [(row["id"], example(text)) for row in ROWS for text in row["no_match"]]


@pytest.mark.parametrize(("name", "text"), MATCH)
def test_a_row_finds_its_examples(name: str, text: str) -> None:
    """Alone, and within a line; and so the gates of a row let its examples through."""
    scanner = Scanner([DETECTORS[name]])
    assert scanner.find(text)
    assert scanner.find(f"at 12:00 x {text} y")


@pytest.mark.parametrize(("name", "text"), NO_MATCH)
def test_a_row_leaves_what_is_like_it(name: str, text: str) -> None:
    """What looks alike and is none is left alone."""
    assert not Scanner([DETECTORS[name]]).find(text)


def test_each_row_has_examples_of_both() -> None:
    """No row without what it finds and what it does not, and no id twice."""
    assert all(row["match"] and row["no_match"] for row in ROWS)
    assert len({row["id"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_row_is_written_so_that_all_languages_read_it_alike(row: dict[str, Any]) -> None:
    """Without classes that languages see differently; with small letters where case is ignored; gates too."""
    pattern = row["pattern"]
    assert not re.search(r"\\[sSwWBAZzpP]|\(\?P|\(\?[a-zA-Z]|\(\?#|[*+?}]\+", pattern)
    assert not re.search(r"(?<!\\)\.", re.sub(r"\[[^\]]*\]", "", pattern)), (
        "a dot is another thing in JavaScript"
    )
    if row.get("ignore_case"):
        assert not re.search(r"[A-Z]", re.sub(r"\\u[0-9a-f]{4}|\[(?:\\.|[^\]])*\]", "", pattern))
    assert all(gate == gate.lower() for gate in row["gates"])
    assert row.get("run", LEAST_RUN) >= LEAST_RUN
    assert row.get("digits", LEAST_DIGITS) >= LEAST_DIGITS


PIECES = [
    "a", "A", "0", " ", "-", "_", ".", ":", "=", "@", "/", "+", "\"", "'", "\\", "<", "(", "%40", "a@",
    "a.", "1 ", "1-", "://", "://a:", "password=", "token ", "secret ", "key:",
    "-----BEGIN PRIVATE KEY-----", "eyJ", "sk-", "phone ", "DE89", "+1", "a1B", "Cookie: ", "<password ",
    "identified by ", "a@b.", "AKIA", "auth a", "0000 ", "password=\"", "token:\\\"", "aB3-",
    "--password ", "é", "😀",
]  # fmt: skip


@pytest.mark.parametrize("piece", taken(PIECES, 7))
def test_no_text_makes_an_expression_run_away(piece: str) -> None:
    """Every expression is over hostile text in linear time: eight times the text takes so much longer."""
    for detector in table().detectors:
        eighth, whole = (_best(detector, (piece * size)[:size]) for size in (HOSTILE // 8, HOSTILE))
        assert whole < 0.05 or whole < 8 * 3 * eighth, detector.id


def _best(detector: Detector, text: str) -> float:
    """Return the processor seconds of one search, the least of two."""
    took = []
    for _ in range(2):
        started = time.thread_time()
        for _ in detector.find(text, text.lower()):
            pass
        took.append(time.thread_time() - started)
        if took[-1] < 0.02:
            break
    return min(took)


@pytest.mark.parametrize("path", copies(), ids=lambda path: path.parent.name)
def test_the_copies_are_equal(path: Path) -> None:
    """Both clients and the server look for the same: `python clients/copies.py` writes the copies."""
    assert path.read_text() == copies()[path]


def test_real_secrets_are_found_and_real_lines_are_left() -> None:
    """Of other people's samples 95 % of the secrets are gone, and no line without any is touched."""
    rows = [json.loads(each) for each in need("redaction", "labelled.jsonl").read_text().splitlines()]
    secrets = gone = 0
    for row in rows:
        if row["kind"] == "secret" and row["should_flag"]:
            line = base64.b64decode(row["line_b64"]).decode()
            shown = ON.replace(line, lambda detector, _: f"[[{detector.kind}]]")
            secrets += 1
            gone += all(line[start:end] not in shown for start, end, _ in row["spans"])
    benign = [json.loads(each)["line"] for each in need("redaction", "benign.jsonl").read_text().splitlines()]
    assert secrets >= 50
    assert gone / secrets >= 0.95
    assert len(benign) == 400
    assert not [line for line in benign if ON.find(line)]


def test_the_table_is_read_when_it_is_needed_only() -> None:
    """Importing the package compiles nothing and reads nothing."""
    import subprocess

    code = (
        "import sys, sentinel_client.privacy as p; "
        "print('cryptography' in sys.modules, p.table.cache_info().misses)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["False", "0"]
