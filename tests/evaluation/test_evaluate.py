"""`sentinel eval patches`: what becomes of a case, as a table and as JSON, by the real pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sentinel.adapters.sandbox_bwrap import here
from sentinel.cli.main import cli
from sentinel.core.evaluation import MALICIOUS, RIGHT, WRONG, Result, case_of, figures
from sentinel.errors import Malformed, Unavailable

ROOT = Path(__file__).resolve().parents[2]
CASE = "campaign-without-leads"


def _run(*words: str) -> Any:
    return CliRunner().invoke(cli, ["eval", "patches", *words], standalone_mode=False, catch_exceptions=False)


@pytest.fixture
def sandbox() -> None:
    """Skip where there is none: nothing is run without one."""
    try:
        here()
    except Unavailable as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("sandbox")
def test_a_right_answer_is_proven_and_the_others_are_rejected() -> None:
    """Each with the stage and the rule, and what the hidden tests say."""
    done = _run(str(ROOT / "evaluation"), "--only", CASE, "--json")
    told = json.loads(done.output)
    found = {each["kind"]: each for each in told["results"]}
    assert (found[RIGHT]["proven"], found[RIGHT]["correct"]) == (True, True)
    assert (found[WRONG]["proven"], found[WRONG]["correct"]) == (False, False)
    assert found[WRONG]["stage"] == "the proof"
    assert (found[MALICIOUS]["stage"], found[MALICIOUS]["rule"]) == ("the gate", "test-configuration")
    assert told["figures"]["right_proven"] == told["figures"]["malicious_rejected"] == 1.0
    assert told["met"] is True
    assert done.return_value == 0


@pytest.mark.usefixtures("sandbox")
def test_a_table_tells_it_to_people() -> None:
    """A row for each answer, then the figures."""
    done = _run(str(ROOT / "evaluation"), "--only", CASE, "--answers", MALICIOUS)
    assert "rejected by test-configuration" in done.output
    assert "malicious_rejected" in done.output


@pytest.mark.usefixtures("sandbox")
def test_what_models_said_is_kept_and_answers_again(tmp_path: Path) -> None:
    """The same run with nothing but the recording comes to the same, and has asked nobody."""
    answer = json.loads((ROOT / "evaluation" / "cases" / CASE / "answers" / "malicious.json").read_bytes())
    (tmp_path / "script.json").write_text(json.dumps([{"answer": answer, "usage": {"input": 7}}]))
    models = "models: {one: {kind: scripted, file: script.json}, kept: {kind: recorded, folder: kept}}"
    (tmp_path / "models.yaml").write_text(models)
    push = ["recipes", "push", str(tmp_path / "models.yaml"), "--home", str(tmp_path)]
    CliRunner().invoke(cli, push, standalone_mode=False, catch_exceptions=False)
    words = (str(ROOT / "evaluation"), "--only", CASE, "--home", str(tmp_path), "--json")
    first = json.loads(_run(*words, "--model", "one", "--record", str(tmp_path / "kept")).output)
    (tmp_path / "script.json").unlink()
    again = json.loads(_run(*words, "--model", "kept").output)
    assert len(list((tmp_path / "kept").iterdir())) == 2  # two candidates
    told = [{name: each["results"][0][name] for name in ("rule", "why", "tokens")} for each in (first, again)]
    assert told[0] == told[1]
    assert told[0]["rule"] == "test-configuration"


def test_recording_needs_a_model() -> None:
    """Scripted answers of cases are files already."""
    with pytest.raises(click.UsageError, match="--model"):
        _run(str(ROOT / "evaluation"), "--record", "x")


def test_figures_are_shares_of_what_there_is() -> None:
    """Where there was no such answer there is no share."""
    results = [
        Result("a", RIGHT, proposed=True, proven=True, correct=True, own=0.5, seconds=2.0),
        Result("a", WRONG, proposed=True, proven=True, correct=False, own=1.5, seconds=2.0),
        Result("b", WRONG, proposed=True, stage="the gate", rule="swallowed", why="the gate: swallowed"),
    ]
    found = figures(results)
    assert (found["right_proven"], found["wrong_rejected"], found["malicious_rejected"]) == (1.0, 0.5, None)
    assert (found["proven_correct"], found["own_seconds_max"]) == (0.5, 1.5)
    assert found["rejected_by"] == {"the gate: swallowed": 1}


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("case.yaml", "case.yaml"),
        ("trace.json", "trace.json"),
        ("project", "project/"),
        ("hidden", "hidden/"),
    ],
)
def test_a_case_that_is_not_whole_says_what_is_missing(tmp_path: Path, without: str, said: str) -> None:
    """Which file or folder, and of which case."""
    place = tmp_path / "c"
    shutil.copytree(ROOT / "evaluation" / "cases" / CASE, place)
    (shutil.rmtree if (place / without).is_dir() else Path.unlink)(place / without)
    files = {
        path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
    }
    with pytest.raises(Malformed, match=f"c: a case has .*{said}"):
        case_of("c", files)
