"""Proves a patch here: runs its tests, the trace's calls and mutants of its lines, and says what was seen.

Whether it is right is decided by several kinds of evidence (docs/proof.md), none of which is enough. What is
costly is left out where something speaks against the patch already, and the evidence says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sentinel.core.canaries import NO_CANARY, Canary, canary_of
from sentinel.core.junit import PASSED, belongs
from sentinel.core.known_mistakes import remains
from sentinel.core.mutants import Mutant, mutants
from sentinel.core.patch_lines import changed_lines, sources
from sentinel.core.patch_units import Unit, units
from sentinel.core.proof_calls import After, Compared, compared, trials_of
from sentinel.core.proof_calls import reasons as of_calls
from sentinel.core.proof_controls import standing_by, written_otherwise
from sentinel.core.proof_mutants import Noticed, order_of
from sentinel.core.proof_mutants import reasons as of_mutants
from sentinel.core.proof_states import States, python_of, states_of, tests_of, without
from sentinel.core.proof_tests import (
    Brought,
    SuiteRun,
    Suites,
    at_nothing,
    brought,
    by_the_text,
    expected,
    rewritten,
    shapes,
    startable,
    steady,
    unsteady,
)
from sentinel.core.proof_tests import reasons as of_tests
from sentinel.core.proof_types import configured, errors_of, paths_of, worse
from sentinel.core.proof_units import Wanted, mended
from sentinel.core.proof_units import reasons as of_units
from sentinel.core.proven import ordered, rank, reason
from sentinel.core.proving import Evidence, Job, Reason
from sentinel.core.silent_losses import left_out
from sentinel.core.swallowed import lossy, swallowed
from sentinel.core.told_values import classes_in
from sentinel.core.traced_calls import calls_of, files_of
from sentinel.core.trees import Held
from sentinel.ports_patches import Sandbox
from sentinel.usecases.proof_runs import Runs

AT_ONCE: Final = 2  # sandboxes
MOST_NAMED: Final = 20  # tests or mutants that the evidence names
LEAST_CPU: Final = (
    5.0  # seconds that a mutant has, however quick the suite is; ten times as many by the clock
)


@dataclass(frozen=True, slots=True)
class ProveHere:
    """Proves patches in a sandbox of this machine; the port `Prover`. It never returns `Pending`."""

    sandbox: Sandbox

    def prove(  # one that runs here needs no name
        self,
        job: Job,
        key: str,  # noqa: ARG002
        handle: str,  # noqa: ARG002
        stopped: Callable[[], bool],
    ) -> Evidence:
        """Prove a patch. Raises `Malformed` where the tests cannot be run, and `Unavailable`."""
        return _Proof(job, Runs(self.sandbox, job.test, stopped)).evidence()


class _Proof:
    """One proof, in its steps."""

    def __init__(self, job: Job, runs: Runs) -> None:
        self._job = job
        self._runs = runs
        self._states: States = states_of(job.tree, job.patch)
        seed = job.tree.packed() + job.patch.diff.encode(errors="surrogateescape")
        self._canary: Canary = canary_of(
            tests_of(self._states.before), job.test.command, sha256(seed).digest()
        )
        self._sources = sources(job.patch)
        self._traced = files_of(job.failure, python_of(self._states.before), job.test.roots)
        self._reasons: list[Reason] = []

    def evidence(self) -> Evidence:
        """Take all steps and return what was seen."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            suites = self._suites(pool)
            calls = Compared() if suites.after.ran.ended else self._calls(pool)
            new = brought(suites, self._job.patch, self._canary, self._job.failure.exception)
            self._reasons += of_tests(suites, new, self._canary, reproduced=bool(calls.ended))
            self._reasons += of_calls(calls, declared=new.declares)
            self._reasons += swallowed(self._sources, self._job.failure)
            self._reasons += [*lossy(self._sources), *left_out(self._sources, self._job.failure)]
            self._reasons += remains(python_of(self._states.after), self._traced)
            self._reasons += self._rewritten(suites)
            self._reasons += self._read(new)
            types = self._types(pool)
            self._reasons += [] if self._reasons else self._beside(pool, suites, calls, new)
            noticed = None if self._reasons else self._mutants(pool, suites, new)
        return self._told(suites, calls, new, types, noticed)

    def _suites(self, pool: ThreadPoolExecutor) -> Suites:
        states, seeds = self._states, (0, 0, 0, 1)
        files = (states.before, states.mixed, states.after, states.after)
        ran = list(
            pool.map(
                lambda each: self._runs.suite(each[0], self._canary, each[1]), zip(files, seeds, strict=True)
            )
        )
        startable(ran[0][0])
        if any(changed for _, changed in ran[2:]) and not ran[0][1]:
            self._reasons.append(reason("tree-changed", "files of tests were written to while they ran"))
        return Suites(*(tested for tested, _ in ran))

    def _rewritten(self, suites: Suites) -> list[Reason]:
        """Run the tests as they were, where the patch changes some that were there."""
        states = self._states
        changes = [path for path in tests_of(states.before) if states.before[path] != states.after.get(path)]
        if not changes or suites.before.results is None:
            return []
        old = {**states.after, **{path: states.before[path] for path in changes}}
        tested, _ = self._runs.suite(old, self._canary)
        passed = suites.before.results.named(PASSED) - self._canary.names
        return list(rewritten(passed, tested))

    def _read(self, new: Brought) -> list[Reason]:
        """Run the code as it was with the new lines standing by: of the patch's tests none passes by that."""
        if self._reasons or not new.failed:
            return []
        tested, _ = self._runs.suite(standing_by(self._states.mixed, self._sources), NO_CANARY)
        return list(by_the_text(new, tested))

    def _calls(self, pool: ThreadPoolExecutor) -> Compared:
        files = python_of(self._states.before)
        calls = list(calls_of(self._job.failure, files, self._job.test.roots))
        trials = trials_of(calls, self._job.failure)
        if not trials:
            return Compared()
        given = [each.call.json() for each in trials]
        runs = ((self._states.before, 0), (self._states.before, 1), (self._states.after, 0))
        did = list(pool.map(lambda each: self._runs.calls(each[0], given, each[1]), runs))
        together = list(zip(*did, strict=True))
        lines = {(source.path, line) for source in self._sources for line in source.lines}
        patch = self._job.patch
        after = After(python_of(self._states.after), lines, expected(patch), shapes(patch))
        return compared(trials, together, self._job.failure, after)

    def _types(self, pool: ThreadPoolExecutor) -> int | None:
        """Return how many errors are new to the type checker, or None where none is configured or there."""
        texts = {path: each.data.decode(errors="replace") for path, each in self._states.before.items()}
        if not configured(texts):
            return None
        states = (self._states.before, self._states.after)
        ran = list(
            pool.map(lambda each: self._runs.types(each, paths_of(texts, self._job.test.roots)), states)
        )
        old, new = (errors_of(each) for each in ran)
        if old is None or new is None:
            return None
        found = worse(old, new)
        if found:
            self._reasons.append(reason("types-worse", f"{len(found)} errors: {', '.join(found[:3])}"))
        return len(found)

    def _beside(
        self, pool: ThreadPoolExecutor, suites: Suites, calls: Compared, new: Brought
    ) -> list[Reason]:
        """Take back each unit alone, and see whether the failure is mended all the same."""
        parts = units(self._job.patch) if new.by_it or calls.mended else []
        paths = [
            each for each in tests_of(self._states.after) if any(belongs(test, each) for test in new.by_it)
        ]
        given = [each.json() for each in calls.mended]
        refusals = classes_in(python_of(self._states.before).values())

        def needless(unit: Unit) -> bool:
            files = without(self._states, unit)
            ran = self._runs.some(files, paths, self._cpu(suites)) if paths else None
            did = self._runs.calls(files, given, 0) if given else []
            after = After(python_of(files), (), expected(self._job.patch))
            wanted = Wanted(self._job.failure, new.by_it, refusals, self._traced, after)
            return mended(wanted, unit, ran, did)

        tried = zip(parts, pool.map(needless, parts), strict=True)
        return list(of_units([unit for unit, unneeded in tried if unneeded]))

    def _cpu(self, suites: Suites) -> float:
        return max(LEAST_CPU, 2 * suites.after.ran.seconds)

    def _mutants(self, pool: ThreadPoolExecutor, suites: Suites, new: Brought) -> Noticed:
        made = mutants(self._sources, self._job.mutants)
        tests = {
            path: self._states.after[path].data.decode(errors="replace")
            for path in tests_of(self._states.after)
        }
        cpu = self._cpu(suites)
        usual = steady(suites) - self._canary.names
        control, _ = self._runs.suite(written_otherwise(self._states.after, self._sources), NO_CANARY)
        self._reasons += at_nothing(usual, control)
        usual = usual if control.ran.code else set()  # where all pass, the first that fails is enough

        def tried(mutant: Mutant) -> bool:
            held = self._states.after[mutant.path]
            files = {**self._states.after, mutant.path: Held(held.mode, mutant.data)}
            return self._runs.noticed(files, order_of(tests, mutant.path, new.tests), cpu, usual)

        noticed = Noticed(list(zip(made, pool.map(tried, made), strict=True)))
        self._reasons += of_mutants(noticed, self._job.share)
        return noticed

    def _told(
        self, suites: Suites, calls: Compared, new: Brought, types: int | None, noticed: Noticed | None
    ) -> Evidence:
        lines = changed_lines(self._job.patch)
        seen = {
            "before": _counts(suites.before, self._canary),
            "after": {**_counts(suites.after, self._canary), "unsteady": unsteady(suites)[:MOST_NAMED]},
            "new_tests": {
                "tests": sorted(new.tests)[:MOST_NAMED],
                "failed_before": len(new.failed),
                "not_run_before": len(new.unrun),
                "reproduces": new.reproduces,
                "declares": new.declares,
            },
            "calls": {
                "derived": [f"{each.path}:{each.line} {each.function}" for each in calls.derived],
                "ended": calls.ended,
                "remain": calls.remain,
                "inside": calls.inside,
            },
            "neighbours": {
                "alike_failed": calls.alike,
                "same": calls.same,
                "changed": calls.changed,
                "unsteady": calls.unsteady,
            },
            "mutants": _mutants_told(noticed),
            "types": {"checked": types is not None, "new_errors": types or 0},
            "changed_lines": lines,
            "runs": self._runs.count,
            "seconds": round(self._runs.seconds, 2),
        }
        share = noticed.share if noticed else 0.0
        ranked = rank(reproduces=new.reproduces, ended=calls.ended, same=calls.same, share=share, lines=lines)
        return Evidence(seen, ordered(self._reasons), ranked)


def _counts(tested: SuiteRun, canary: Canary) -> dict[str, object]:
    """Return how many tests there are without our own, and which do not pass."""
    results = tested.results
    if results is None:
        return {"tests": 0, "passed": 0, "failed": []}
    own = {name: each for name, each in results.tests.items() if name not in canary.names}
    failed: Iterable[str] = sorted(results.failed - canary.names)
    return {
        "tests": len(own),
        "passed": sum(each == PASSED for each in own.values()),
        "failed": _first(list(failed)),
        "canaries": canary.sings(results),
    }


def _mutants_told(noticed: Noticed | None) -> dict[str, object]:
    if noticed is None:
        return {"tried": False}
    return {
        "tried": True,
        "made": len(noticed.tried),
        "noticed": noticed.count,
        "share": round(noticed.share, 3),
        "survivors": _first([each.told for each in noticed.survivors]),
    }


def _first(names: Sequence[str]) -> list[str]:
    return [each[:200] for each in names[:MOST_NAMED]]
