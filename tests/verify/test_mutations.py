"""Each check of the verifiers is needed: without it a bundle, or a chain, is not refused as it has to be."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

import sentinel_verify
from sentinel.core import erasure, erasure_check, payload, segment, verify
from sentinel.core.notes import ED25519
from sentinel.usecases import course, seal, verify_chain
from tests.sampling import taken, thorough
from tests.verify import broken, tampering, vectors
from tests.verify.javascript import NODE, PROGRAM, needs_node, verdicts
from tests.verify.mutations import Mutant, applied, mutants
from tests.verify.world import KEYS, WITNESS_KEY, World, folder, found

INDEX = vectors.index()
# Checks whose lack nobody can see, by a part of their text, each with the reason.
PYTHON_TWICE = {
    "if last == 0:": "RFC 9162 wants it; a proof that is too long leads to no signed root either",
}
CHAIN_TWICE = {
    "not heads and not known.roots": "no such chain, which is no damage: tests/usecases/test_inspect.py",
    "if left:": "heads that were written down: tests/usecases/test_inspect.py",
    "segment.chain != self.chain": "no store hands out another chain's: tests/core/test_segment.py",
    "if segment.opener is None:": "encryption has tests of its own",
}
JAVASCRIPT_TWICE = {
    "line !== undefined": "what is no line is no JSON either",
    "LINE_LIMIT": "takes a line of 128 MB",
    'value.endsWith("\\n") && gap': "a signature whose last character is cut off is none",
}

PYTHON = mutants(sentinel_verify)
CHAIN = [
    *(each for each in mutants(verify) if each.function != "Verifier.check_all"),
    *mutants(verify_chain),
    *mutants(course),
    *mutants(erasure_check, ("candidates", "unrecorded")),
    *mutants(erasure, ("read",)),
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
    large = [(broken.one(name)[0], {"kind": kind, "entry": 0, "line": line}) for name, kind, line in LARGE]
    return [*good, *bad, *large]


LARGE = (("checkpoint-too-long", "checkpoint", 3), ("nested-deep", "format", 2))
ANOTHER_LOG = {"kind": "key", "entry": 0, "line": 1}


def _commands(folder: Path) -> list[tuple[list[str], int]]:
    """Return command lines with their exit codes."""
    file = str(vectors.FOLDER / "chain.ndjson")
    good = [file, "--key", INDEX["key"], "--witness", INDEX["witness"]]
    return [
        (good, 0),
        ([*good, "--max-age", "9999999999"], 0),
        ([*good, "--max-age", "60"], 1),
        ([*good, "--quorum", "0"], 0),
        ([*good, "--quorum", "2"], 2),
        ([file, "--key", INDEX["key"], "--witness", replace(WITNESS_KEY, type=ED25519).vkey], 2),
        ([*good, "--quorum", "1", "--witness", replace(WITNESS_KEY, name="other.example").vkey], 2),
        ([*good, "--quorum", "1", "--witness", KEYS.timed.vkey], 2),
        ([file, "--key", INDEX["other_key"]], 1),
        ([str(folder / "none"), "--key", INDEX["key"]], 2),
        *(([file, "--key", each], 2) for each in INDEX["bad_keys"].values()),
    ]


def _code(arguments: list[str]) -> object:
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return sentinel_verify.main(arguments)
    except SystemExit as error:
        return error.code
    except Exception as error:  # noqa: BLE001 - a check less may break anything
        return repr(error)


def test_the_command_says_how_it_went(tmp_path: Path) -> None:
    """0 verified, 1 not, 2 for a command line that is wrong; both verifiers alike."""
    for arguments, code in _commands(tmp_path):
        assert _code(arguments) == code, arguments


@needs_node
def test_the_second_command_says_how_it_went(tmp_path: Path) -> None:
    """The same by the JavaScript verifier's own command line."""
    for arguments, code in _commands(tmp_path)[: None if thorough() else 11]:
        done = subprocess.run(
            [str(NODE), str(PROGRAM), *arguments], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == code, (arguments, done.stderr)


def _verdict(raw: bytes) -> object:
    try:
        return vectors.verdict(raw)
    except Exception as error:  # noqa: BLE001 - a check less may break anything
        return repr(error)


@pytest.mark.parametrize("mutant", taken(_needed(PYTHON, PYTHON_TWICE), 6), ids=str)
def test_each_check_of_the_offline_verifier_is_needed(
    mutant: Mutant, bundles: list[tuple[bytes, object]], tmp_path: Path
) -> None:
    """Without it a vector has another verdict, or a command line another exit code."""
    with applied(mutant):
        seen = any(_verdict(raw) != known for raw, known in bundles)
        seen = seen or vectors.verdict(bundles[0][0], INDEX["other_key"]) != ANOTHER_LOG
        assert seen or any(_code(words) != code for words, code in _commands(tmp_path)), mutant


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
        for entry, endpoint in broken.RECORDS.values():
            segments = broken.rebuilt(entry, endpoint)
            some.append(
                (World(stack.enter_context(folder()), False, segments, broken.SEALED_AFTER), "erasure 3")
            )
        some.append((World(stack.enter_context(folder()), False, broken.SEGMENTS, (0, 2)), ""))
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
REFUSAL = r"^ *(?:need\((?:[^;]|;(?!\n))*?\);|if \([^\n]*\) this\.refuse\([^\n]*\);)$"
CHECKS = [
    each
    for each in re.finditer(REFUSAL, SOURCE, re.MULTILINE)
    if not any(text in each[0] for text in JAVASCRIPT_TWICE)
]


@needs_node
@pytest.mark.parametrize("check", taken(CHECKS, 18), ids=lambda each: each[0].strip()[:60])
def test_each_check_of_the_second_verifier_is_needed(
    check: re.Match[str], bundles: list[tuple[bytes, object]], tmp_path: Path
) -> None:
    """The same for the verifier in JavaScript, by its text."""
    text = PROGRAM.read_text()
    program = tmp_path / "mutant.mjs"
    program.write_text(text[: check.start()] + text[check.end() :])
    expected = [*(known for _, known in bundles), ANOTHER_LOG, *[False] * len(INDEX["bad_keys"])]
    assert verdicts([raw for raw, _ in bundles], program) != expected, check[0]
