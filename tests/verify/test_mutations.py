"""Each check of the verifiers is needed: without it a bundle, or a chain, is not refused as it has to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sentinel.core import erasure_check, payload, segment, verify
from sentinel.usecases import checkpoints, seal, verify_chain
from tests.sampling import taken, thorough
from tests.verify import broken, tampering, vectors
from tests.verify.javascript import PROGRAM, needs_node, verdicts
from tests.verify.mutations import Mutant, applied, mutants
from tests.verify.world import World, folder, found, sentinel_verify

INDEX = vectors.index()
# What is checked here is checked again further on, or cannot be reached by a file: each with its reason.
PYTHON_TWICE: dict[str, str] = {}
CHAIN_TWICE: dict[str, str] = {}

PYTHON = mutants(sentinel_verify)
CHAIN = [
    *mutants(verify),
    *mutants(verify_chain),
    *mutants(checkpoints),
    *mutants(erasure_check, ("candidates", "read", "unrecorded")),
    *mutants(payload, ("unpack", "_erased")),
    *mutants(segment, ("Segment.peaks", "Segment.parts")),
    *mutants(seal, ("LogKeys.read",)),
]


def _needed(some: list[Mutant], twice: dict[str, str]) -> list[Mutant]:
    return [each for each in some if not any(text in each.source for text in twice)]


@pytest.fixture(scope="module")
def bundles() -> list[tuple[bytes, object]]:
    """All vectors with their verdicts."""
    good = [
        ((vectors.FOLDER / each["file"]).read_bytes(), {k: v for k, v in each.items() if k != "file"})
        for each in INDEX["good"]
    ]
    bad = [(vectors.stored(case), {k: case[k] for k in ("kind", "entry", "line")}) for case in INDEX["bad"]]
    large = broken.one("checkpoint-too-long")
    return [*good, *bad, (large[0], {"kind": large[1], "entry": 0, "line": 3})]


def _verdict(raw: bytes) -> object:
    try:
        return vectors.verdict(raw)
    except Exception as error:  # noqa: BLE001 - a check less may break anything
        return repr(error)


@pytest.mark.parametrize("mutant", taken(_needed(PYTHON, PYTHON_TWICE), 6), ids=str)
def test_each_check_of_the_offline_verifier_is_needed(
    mutant: Mutant, bundles: list[tuple[bytes, object]]
) -> None:
    """Without it a vector has another verdict."""
    with applied(mutant):
        assert any(_verdict(raw) != known for raw, known in bundles), mutant


@pytest.fixture(scope="module")
def worlds() -> Iterator[list[tuple[World, str]]]:
    """Tampered chains with what is found in them; where it has to be quick, one of each operation."""
    with ExitStack() as stack:
        some = []
        for operation in tampering.operations():
            for place in operation.places if thorough() else operation.places[:1]:
                world = World(stack.enter_context(folder()), operation.unsealed)
                operation.act(world, place)
                some.append((world, found(world)))
        yield some


def _found(world: World) -> str:
    try:
        return found(world)
    except Exception as error:  # noqa: BLE001
        return repr(error)


@pytest.mark.parametrize("mutant", taken(_needed(CHAIN, CHAIN_TWICE), 9), ids=str)
def test_each_check_of_a_chain_is_needed(mutant: Mutant, worlds: list[tuple[World, str]]) -> None:
    """Without it something in the tamper matrix is not found, or not as what it is."""
    with applied(mutant):
        assert any(_found(world) != known for world, known in worlds), mutant


SOURCE = PROGRAM.read_text().split("// --- The command.")[0]
CHECKS = [
    match
    for match in re.finditer(
        r"^ *(?:need\((?:[^;]|;(?!\n))*?\);|if \([^\n]*\) this\.refuse\([^\n]*\);)$", SOURCE, re.MULTILINE
    )
]


@needs_node
@pytest.mark.parametrize("check", taken(CHECKS, 12), ids=lambda each: each[0].strip()[:60])
def test_each_check_of_the_second_verifier_is_needed(
    check: re.Match[str], bundles: list[tuple[bytes, object]], tmp_path: Path
) -> None:
    """The same for the verifier in JavaScript, by its text."""
    text = PROGRAM.read_text()
    program = tmp_path / "mutant.mjs"
    program.write_text(text[: check.start()] + text[check.end() :])
    told = verdicts([raw for raw, _ in bundles], program)
    assert any(mine != known for mine, (_, known) in zip(told, bundles, strict=True)), check[0]
