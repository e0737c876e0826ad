"""Runs of a repository's tests and calls in a sandbox: each in a fresh copy, none of which outlives it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sentinel.core.canaries import Canary
from sentinel.core.junit import PASSED, Results, results_of
from sentinel.core.proof_states import Files, tests_of
from sentinel.core.proof_tests import SuiteRun
from sentinel.core.proving import HowToTest, Limits, Ran
from sentinel.core.trees import PLAIN, Held
from sentinel.errors import Unavailable
from sentinel.ports_patches import Sandbox
from sentinel.usecases import probe_program

_FOLDER: Final = ".sentinel-proof"  # of files that are ours, in the copy that is tried
REPORT: Final = f"{_FOLDER}/report.xml"
_PROBE, _CALLS, _RESULTS = (f"{_FOLDER}/{name}" for name in ("probe.py", "calls.json", "results.json"))


class Runs:
    """What is run of one repository. `stopped` is asked now and then, and ends the proof."""

    def __init__(self, sandbox: Sandbox, test: HowToTest, stopped: Callable[[], bool]) -> None:
        self._sandbox = sandbox
        self._test = test
        self._stopped = stopped
        self.count = 0
        self.seconds = 0.0

    def suite(self, files: Files, canary: Canary, seed: int = 0) -> tuple[SuiteRun, bool]:
        """Run the whole suite, and say also whether it changed its own files. `seed` is that of hashes."""
        given = {**files, **({canary.path: Held(PLAIN, canary.data)} if canary.path else {})}
        kept = [*tests_of(given), canary.path] if canary.path else tests_of(given)
        command = self._command(REPORT)
        ran = self._run(given, command, self._test.limits, bring=[REPORT, *kept], seed=seed)
        changed = any(path in ran.files and ran.files[path] != given[path].data for path in kept)
        return SuiteRun(ran, results_of(ran.files.get(REPORT, b""))), changed

    def some(self, files: Files, paths: Sequence[str], cpu: float) -> Results | None:
        """Run the tests of some files, or all where the command is not pytest's; None for no report."""
        command = [*self._command(REPORT), *(paths if self._is_pytest else [])]
        return results_of(self._run(files, command, self._within(cpu), bring=[REPORT]).files.get(REPORT, b""))

    def noticed(self, files: Files, order: Sequence[str], cpu: float, usual: Collection[str]) -> bool:
        """Return whether the tests of files, in this order, notice something: one of them fails or hangs.

        `usual` are the tests that pass otherwise, where some do not; without any all do.
        """
        more = ([] if usual else ["-x"]) + list(order)
        command = [*self._command(REPORT), *(more if self._is_pytest else [])]
        ran = self._run(files, command, self._within(cpu), bring=[REPORT] if usual else [])
        if not usual:
            return bool(ran.code or ran.ended)
        results = results_of(ran.files.get(REPORT, b""))
        return bool(ran.ended) or results is None or not set(usual) <= results.named(PASSED)

    def calls(
        self, files: Files, calls: Sequence[Mapping[str, object]], seed: int
    ) -> list[dict[str, object]]:
        """Make calls and return what each did; {"lost": true} of what was not told."""
        program = Path(probe_program.__file__).read_bytes()
        ours = {_PROBE: Held(PLAIN, program), _CALLS: Held(PLAIN, json.dumps(calls).encode())}
        command = ["python", _PROBE, _CALLS, _RESULTS]
        ran = self._run({**files, **ours}, command, self._test.limits, bring=[_RESULTS], seed=seed)
        try:
            told = json.loads(ran.files.get(_RESULTS, b"[]"))
        except ValueError:
            told = []
        whole = (
            isinstance(told, list)
            and len(told) == len(calls)
            and all(isinstance(each, dict) for each in told)
        )
        return told if whole else [{"lost": True} for _ in calls]

    def types(self, files: Files, paths: Sequence[str]) -> Ran:
        """Run the type checker mypy over paths, or over what the project configures."""
        command = [
            "python",
            "-m",
            "mypy",
            "--no-incremental",
            "--cache-dir=/dev/null",
            "--no-color-output",
            *paths,
        ]
        return self._run(files, command, self._test.limits)

    @property
    def _is_pytest(self) -> bool:
        return any("pytest" in each for each in self._test.command)

    def _within(self, cpu: float) -> Limits:
        own = self._test.limits
        return replace(own, cpu=min(cpu, own.cpu), seconds=min(10 * cpu, own.seconds))

    def _command(self, report: str) -> list[str]:
        return [each.replace("{report}", report) for each in self._test.command]

    def _run(
        self, files: Files, command: Sequence[str], limits: Limits, bring: Sequence[str] = (), seed: int = 0
    ) -> Ran:
        given = [(path, each.mode, each.data) for path, each in sorted(files.items())]
        ran = self._sandbox.run(
            given,
            command,
            limits,
            environment=self._test.environment or sys.prefix,
            variables=self._variables(seed),
            bring=bring,
            stopped=self._stopped,
        )
        self.count += 1
        self.seconds += ran.seconds
        if ran.ended == "stopped":
            raise Unavailable("the proof was stopped; it begins anew with the next try")
        return ran

    def _variables(self, seed: int) -> list[tuple[str, str]]:
        variables = [
            ("PYTHONPATH", ":".join(self._test.roots)),
            ("PYTHONHASHSEED", str(seed)),
            ("PYTHONDONTWRITEBYTECODE", "1"),
        ]
        if not self._test.environment:  # Sentinel's own plugins are no part of anybody's project
            variables.append(("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1"))
        return variables
