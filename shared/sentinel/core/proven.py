"""By what rules a patch is proven or not, and how proven ones are ranked.

That tests pass is not enough: whoever writes a patch writes its tests, too. So there are several kinds of
evidence that do not depend on each other, and each of them can refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from sentinel.core.proving import Reason

RULES: Final[Mapping[str, str]] = {
    "no-new-test": "the patch brings no test, and the failing call could not be made again without one",
    "test-passes-before": "none of the patch's tests fails on the code as it was",
    "test-fails": "one of the patch's tests does not pass with the patch",
    "regression": "a test that passed before does not pass with the patch",
    "test-rewritten": "a test that the patch changes passed before, and as it was does not any more",
    "tests-vanished": "a test that was there before is not reported with the patch",
    "report-forged": "the run of the tests does not end as it reports, or tests that have to fail did not",
    "tree-changed": "a run of the tests changed the files that are tested",
    "hangs": "the tests did not end within their limits with the patch",
    "failure-remains": "the call of the trace, or one like it, still fails",
    "swallowed": "the failure is caught away from where it happens, and what is done instead says nothing",
    "lossy": "a changed line throws away what cannot be read, or leaves out what fails, and says nothing",
    "cause-remains": "a default that all calls share and change is left where the trace passes",
    "behaviour-changed": "a call near that of the trace did what it does not do now, and no test says why",
    "beside": "a place is changed that the repair does not need",
    "unnoticed": "no test notices enough mutants of the changed lines, any of a line, or a boundary or check",
    "types-worse": "the project's type checker finds errors that it did not find before",
}


def reason(rule: str, words: str) -> Reason:
    """Return why a patch is not proven. Raises `KeyError` for a rule that is none."""
    RULES[rule]
    return Reason(rule, words)


def ordered(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Return reasons in the order of the rules, each once."""
    names = list(RULES)
    return tuple(sorted(set(reasons), key=lambda each: (names.index(each.rule), each.words)))


def rank(*, reproduces: bool, ended: int, same: int, share: float, lines: int) -> tuple[float, ...]:
    """Return how good the evidence is; of two, the greater is better.

    First whether a test of the patch failed by the very exception of the trace, then whether calls of the
    trace that failed do not any more, the share of mutants that were noticed, the neighbours that do what
    they did, and how few lines change.

    >>> rank(reproduces=True, ended=1, same=9, share=1, lines=4) > rank(
    ...     reproduces=True, ended=1, same=9, share=1, lines=5)
    True
    """
    return (float(reproduces), float(ended > 0), round(share, 3), float(same), -float(lines))
