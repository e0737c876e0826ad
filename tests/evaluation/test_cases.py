"""The cases of evaluation are of the form that is promised. Nothing of them is run."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evaluation.tracing import APP
from sentinel.core import edit_answers, edits
from sentinel.core.edit_answers import Answer
from sentinel.core.edit_refusals import EditRefused
from sentinel.core.patch_findings import Verdict
from sentinel.core.patch_policy import PLAIN, Modes, Policy, judge

CASES = sorted((Path(__file__).resolve().parents[2] / "evaluation" / "cases").iterdir())
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def files_of(case: Path) -> dict[str, bytes]:
    """Return a project's files by their paths."""
    project = case / "project"
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and ".pytest_cache" not in path.parts
    }


def modules_of(case: Path) -> dict[str, str]:
    """Return the text of the modules of a project's package, by their paths."""
    return {path: data.decode() for path, data in files_of(case).items() if path.startswith("src/")}


def answer_of(case: Path, kind: str) -> Answer:
    """Return a scripted answer."""
    return edit_answers.load((case / "answers" / f"{kind}.json").read_bytes())


def names_of_tests(texts: Iterator[str]) -> list[str]:
    """Return the names of the tests of Python files."""
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    return [
        node.name for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def imported(text: str) -> Iterator[str]:
    """Yield the names of packages and modules that a file imports, without what is below them."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield str(node.module).partition(".")[0]


def event_of(case: Path) -> dict[str, Any]:
    """Return the event of a case's failure."""
    event: dict[str, Any] = json.loads((case / "trace.json").read_text())
    return event


def test_there_are_cases() -> None:
    """A dozen or more, each in a folder of a name in lower case with hyphens."""
    assert len(CASES) >= 12
    assert all(case.name.replace("-", "").isalnum() and case.name.islower() for case in CASES)


@each_case
def test_a_case_is_described(case: Path) -> None:
    """Its description has four keys, each with one line."""
    told = yaml.safe_load((case / "case.yaml").read_text())
    assert list(told) == ["title", "kind", "wrong", "malicious"]
    assert all(isinstance(words, str) and words.strip() == words != "" for words in told.values())
    assert not any("\n" in words for words in told.values())


@each_case
def test_a_project_is_small_and_of_the_standard_library(case: Path) -> None:
    """One package of two to five modules, with tests of its own, that imports nothing to be installed."""
    modules = modules_of(case)
    (package,) = {path.split("/")[1] for path in modules}
    parts = [text for path, text in modules.items() if not path.endswith("__init__.py")]
    assert 2 <= len(parts) <= 5
    assert 50 <= sum(text.count("\n") for text in parts) <= 220
    known = {*sys.stdlib_module_names, package}
    assert {name for text in parts for name in imported(text)} <= known
    tests = [data.decode() for path, data in files_of(case).items() if path.startswith("tests/")]
    assert names_of_tests(iter(tests))
    assert {name for text in tests for name in imported(text)} <= {*known, "pytest"}
    assert 'testpaths = ["tests"]' in (case / "project" / "pyproject.toml").read_text()


@each_case
def test_hidden_tests_are_of_the_package_and_shown_to_nobody(case: Path) -> None:
    """There are four or more, and the project has none of them, and no file of their folder."""
    hidden = [path.read_text() for path in sorted((case / "hidden").glob("test_hidden_*.py"))]
    names = names_of_tests(iter(hidden))
    assert len(names) >= 4
    assert len(set(names)) == len(names)
    (package,) = {path.split("/")[1] for path in modules_of(case)}
    assert all(package in imported(text) for text in hidden)
    assert not any("hidden" in path for path in files_of(case))
    seen = names_of_tests(data.decode() for path, data in files_of(case).items() if path.endswith(".py"))
    assert not set(names) & set(seen)


@each_case
def test_a_trace_is_the_event_of_a_failure_in_the_project(case: Path) -> None:
    """Its last frame is a line of the project as it stands, in Sentry's form."""
    event = event_of(case)
    assert (event["platform"], event["level"]) == ("python", "error")
    (failure,) = event["exception"]["values"]
    assert failure["type"]
    frames = failure["stacktrace"]["frames"]
    for frame in frames:
        assert frame["in_app"] is True
        path = frame["abs_path"].removeprefix(f"{APP}/")
        lines = files_of(case)[path].decode().splitlines()
        assert lines[frame["lineno"] - 1] == frame["context_line"]
    assert frames[-1]["abs_path"].startswith(f"{APP}/src/")
    assert frames[-1]["vars"]


@each_case
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_an_answer_becomes_a_patch(case: Path, kind: str) -> None:
    """Its anchors are found, and it gives a cause."""
    answer = answer_of(case, kind)
    assert answer.cause
    patch = edits.apply(files_of(case), answer.proposed())
    assert any(path.startswith("src/") for path in patch.after)


@each_case
def test_the_right_answer_is_let_past_the_gate_and_brings_a_test(case: Path) -> None:
    """What a developer would write is not refused, and has more tests than before."""
    files = files_of(case)
    patch = edits.apply(files, answer_of(case, "right").proposed())
    found = judge(patch, Policy(paths=("src/**", "tests/**")), Modes(before=dict.fromkeys(files, PLAIN)))
    assert not [each for each in found.findings if each.verdict is not Verdict.NOTE]
    tests = {path: data.decode() for path, data in {**files, **patch.after}.items() if "tests/" in path}
    before = {path: data.decode() for path, data in files.items() if "tests/" in path}
    assert len(names_of_tests(iter(tests.values()))) > len(names_of_tests(iter(before.values())))


@each_case
def test_the_malicious_answer_is_another_one(case: Path) -> None:
    """It loads, and it either makes other files than the right one or is refused as edits already."""
    files = files_of(case)
    right = edits.apply(files, answer_of(case, "right").proposed())
    try:
        patch = edits.apply(files, answer_of(case, "malicious").proposed())
    except EditRefused:
        return
    assert {**right.before, **patch.after} != {**right.before, **right.after}
