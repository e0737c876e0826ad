"""Every way of tampering is found, with its place, by whoever can find it: docs/verify.md has the table."""

from __future__ import annotations

from functools import partial

import pytest

from sentinel.errors import Tampered
from sentinel.usecases.verify_chain import check_run
from tests.sampling import taken
from tests.verify import tampering, vectors
from tests.verify.javascript import needs_node, verdicts
from tests.verify.tampering import ANEW, Operation, outcome
from tests.verify.world import CHAIN, World, folder, found

CASES = tampering.cases()
# A segment without a tree looks like one of a version before trees, where no tree stands before it.
OLD = ("take `tree` away", "first")
DERIVED = ("tree", "window")  # what follows from the rest, and is in no bundle


def _name(case: tuple[Operation, str]) -> str:
    return f"{case[0].what}, {case[0].how}, {case[1]}"


def _check(case: tuple[Operation, str]) -> None:
    """Hold what finds an operation against what has to."""
    operation, place = case
    seen = outcome(operation, place)
    assert seen.caught, "nothing finds it"
    if operation.unsealed and operation.how == ANEW:
        assert not seen.verify, "a tail that is not sealed has nothing but its links"
        assert seen.feed - {"INSERT"}, "the tripwire is what finds it"
    elif (operation.what, place) != OLD and not operation.what.endswith("cut the tail"):
        assert seen.verify
        kind = seen.verify.split()[0]
        assert kind in DERIVED or seen.bundle.split()[0] == kind, "both find the same kind"


@pytest.mark.parametrize("case", taken(CASES, 9), ids=_name)
def test_what_is_done_is_found(case: tuple[Operation, str]) -> None:
    """With write access to the table, and without the key, nothing stays unseen."""
    _check(case)


@pytest.mark.parametrize("case", taken(CASES, 9, 4), ids=_name)
def test_runs_find_what_one_pass_finds(case: tuple[Operation, str]) -> None:
    """Checked in runs side by side, a damaged chain has the same finding at the same place."""
    operation, place = case
    with folder() as home:
        world = World(home, operation.unsealed)
        operation.act(world, place)
        expected = found(world)
        for run in (1, 3, 11):
            by = world.verification(spread=lambda jobs: map(partial(check_run, world.ledger), jobs), run=run)
            if expected:
                with pytest.raises(Tampered) as damage:
                    by.verify(CHAIN)
                assert f"{damage.value.kind} {damage.value.seq}" == expected
            else:
                assert by.verify(CHAIN) == world.verify()


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_the_place_is_the_first_entry_that_differs(place: str) -> None:
    """Whoever writes all behind an entry anew is found at that entry: tiles tell where the chain was left."""
    seq = tampering._entry(place)
    named = [each for each in tampering.operations() if each.what == "change an entry"]
    assert outcome(named[1], place).verify == f"rewritten {seq}"


@needs_node
def test_javascript_finds_the_same_in_the_bundles() -> None:
    """The second verifier has the verdicts of the first on bundles of tampered chains."""
    files = [outcome(*case).file for case in taken(CASES, 15, 7)]
    files = [each for each in files if each]
    assert verdicts(files)[: len(files)] == [vectors.verdict(each) for each in files]
