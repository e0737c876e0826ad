"""The program of builds: a job comes as bytes, is tried in the sandbox, and its report goes back as bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sentinel.adapters.sandbox_bwrap import here
from sentinel.core.proof_json import evidence_of, job_bytes
from sentinel.core.trees import Tree
from sentinel.entrypoints.build import prove
from sentinel.errors import Malformed, Unavailable
from tests.usecases.test_prove_patch import FILES, REPAIR, job

WANTED = job(REPAIR)
SOURCES = {path: WANTED.tree.files[path] for path in FILES if path.startswith("src/")}


@pytest.fixture(autouse=True)
def sandbox() -> None:
    """Skip where there is none: nothing is run without one."""
    try:
        here()
    except Unavailable as error:
        pytest.skip(str(error))


def test_a_right_patch_is_proven_by_a_build() -> None:
    """By its tests, the trace's call and the mutants, as on one machine."""
    evidence = evidence_of(prove(job_bytes(WANTED)))
    assert evidence.reasons == ()
    assert evidence.json()["proven"] is True


def test_tests_that_cannot_be_run_are_told_in_the_report() -> None:
    """What is to be changed comes back to whoever began the build."""
    untested = replace(WANTED, tree=Tree("a" * 40, SOURCES))
    with pytest.raises(Malformed, match="no tests that their command finds"):
        evidence_of(prove(job_bytes(untested)))
