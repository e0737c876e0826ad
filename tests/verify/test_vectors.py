"""The two offline verifiers over the same vectors, and the vectors as the code makes them."""

from __future__ import annotations

import pytest

import sentinel_verify
from tests.sampling import taken
from tests.verify import broken, vectors
from tests.verify.javascript import needs_node, verdicts
from tests.verify.world import offline

INDEX = vectors.index()
ANOTHER_LOG = {"kind": "key", "entry": 0, "line": 1}


def _plain(case: dict[str, object]) -> dict[str, object]:
    return {name: case[name] for name in ("kind", "entry", "line")}


def _good() -> list[bytes]:
    return [(vectors.FOLDER / each["file"]).read_bytes() for each in INDEX["good"]]


def test_python_has_the_verdicts_of_the_vectors() -> None:
    """The Python verifier takes the good bundles and says of each bad one what, where and in which line."""
    for each, raw in zip(INDEX["good"], _good(), strict=True):
        assert {"file": each["file"], **vectors.verdict(raw)} == each
    assert len(INDEX["bad"]) > 150
    assert vectors.verdict(_good()[0], INDEX["other_key"]) == ANOTHER_LOG
    for name, key in INDEX["bad_keys"].items():
        with pytest.raises(ValueError, match=r"\w"):
            pytest.fail(f"{name}: {sentinel_verify.Key.read(key)}")
    for case in INDEX["bad"]:
        assert vectors.verdict(vectors.stored(case)) == _plain(case), case["name"]


@needs_node
def test_javascript_has_the_verdicts_of_the_vectors() -> None:
    """The JavaScript verifier, written by itself, says the same of all of them."""
    found = verdicts([*_good(), *map(vectors.stored, INDEX["bad"])])
    good, bad = found[: len(INDEX["good"])], found[len(INDEX["good"]) :]
    bad, keys = bad[: len(INDEX["bad"])], bad[len(INDEX["bad"]) :]
    assert keys == [ANOTHER_LOG, *[False] * len(INDEX["bad_keys"])]
    assert [{"file": each["file"], **told} for each, told in zip(INDEX["good"], good, strict=True)] == INDEX[
        "good"
    ]
    differ = [
        (case["name"], told, _plain(case))
        for case, told in zip(INDEX["bad"], bad, strict=True)
        if told != _plain(case)
    ]
    assert not differ


def test_what_is_found_is_what_was_broken() -> None:
    """The kind that a verifier finds is the one that whoever broke the bundle expected, not just any."""
    known = {case["name"]: case["kind"] for case in INDEX["bad"]}
    for name, kind in broken.kinds().items():
        assert known.get(name, kind) == kind, name


def test_a_note_has_a_limit() -> None:
    """A note over 100,000 bytes is refused before its signatures are looked at."""
    raw, kind = broken.one("checkpoint-too-long")
    assert len(raw) > vectors.LARGE
    assert offline(raw) == f"{kind} 0"


@pytest.mark.nightly
def test_the_vectors_are_as_the_code_makes_them() -> None:
    """Whoever changes the format sees it here: the stored files are those that the code makes."""
    for name, raw in vectors.made().items():
        assert (vectors.FOLDER / name).read_bytes() == raw, name


def test_some_vectors_are_as_the_code_makes_them() -> None:
    """The same for the good bundles and some of the bad ones."""
    for name, raw in broken.good().items():
        assert (vectors.FOLDER / f"{name}.ndjson").read_bytes() == raw
    for case in taken([each for each in INDEX["bad"] if each["name"] in broken.EDITS], 12):
        assert vectors.stored(case) == broken.one(case["name"])[0]
