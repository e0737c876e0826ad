"""What a patch without one of its units proves: that the repair needs this unit, or that it does not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sentinel.core.failures import Failure
from sentinel.core.junit import PASSED, Results
from sentinel.core.patch_units import Unit
from sentinel.core.proof_calls import After, Did, fails
from sentinel.core.proof_tests import asserted, type_of
from sentinel.core.proven import reason
from sentinel.core.proving import Reason


@dataclass(frozen=True, slots=True)
class Wanted:
    """How it is seen that the failure is mended: tests that failed by it, and what of calls is judged by.

    `refusals` are the types of exceptions that the project itself had, `traced` the files of the trace.
    """

    failure: Failure
    tests: Collection[str]
    refusals: Collection[str]
    traced: Collection[str]
    after: After = field(repr=False)


def mended(wanted: Wanted, unit: Unit, results: Results | None, did: Sequence[Did]) -> bool:
    """Whether the failure is mended without a unit: tests that failed by it pass, and all calls end.

    A test that then meets a refusal of the project shows nothing of the failure: the unit admits what was
    refused. Nor does an assertion, where no call of the trace passes through the unit's file: a test of the
    failure can assert anything besides. At least one test has to pass, or a call to end. What is not
    certain, as where nothing could be run, is not mended.
    """
    told = results or Results({})
    passed = {each for each in wanted.tests if told.tests.get(each) == PASSED}
    rest = [told.messages.get(each, "") for each in set(wanted.tests) - passed]
    if not (passed or did) or not all(_shows_nothing(each, wanted, unit) for each in rest):
        return False
    return not any(
        "lost" in each or "unbuilt" in each or fails(each, wanted.failure, wanted.after) for each in did
    )


def _shows_nothing(message: str, wanted: Wanted, unit: Unit) -> bool:
    kind = type_of(message)
    if kind == type_of(wanted.failure.exception):
        return False
    return kind in wanted.refusals or (unit.path not in wanted.traced and asserted(message))


def reasons(needless: Sequence[Unit]) -> Iterator[Reason]:
    """Yield what speaks against a patch: units without which the failure is mended all the same."""
    if needless:
        some = ", ".join(each.told for each in needless[:5])
        yield reason("beside", f"the failure is mended without {len(needless)} changed places: {some}")
