"""Proposals: one form, read back as it was, and nothing else read."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.approvals import canonical
from sentinel.core.edits import Patch, patch_of
from sentinel.core.patch_blobs import MOST, Proposal, packed, unpacked
from sentinel.errors import Malformed, TooLarge

BEFORE = {"src/a.py": b"x = 1\r\n", "b.txt": "\ufeffé".encode()}
PROPOSAL = Proposal(
    "shop",
    "a" * 40,
    "main",
    patch_of(BEFORE, {"src/a.py": b"x = 2\r\n", "new.py": b"y"}),
    "Fix x",
    "x was 1",
    {"proven": True, "reasons": [], "seen": {"share": 0.5}, "rank": [1.0]},
    ("openai/one",),
    0.25,
    scripted=True,
)
_TEXTS = st.dictionaries(st.sampled_from(["a.py", "b.py", "c/d.py"]), st.text().map(str.encode), max_size=3)


def test_a_proposal_is_read_back_as_it_was() -> None:
    """Files that are changed, new and gone, with their line ends and marks, and all that is told of them."""
    assert set(PROPOSAL.patch.before) == {"src/a.py", "b.txt"}
    assert unpacked(packed(PROPOSAL)) == PROPOSAL
    assert packed(unpacked(packed(PROPOSAL))) == packed(PROPOSAL)


@given(_TEXTS, _TEXTS)
def test_any_patch_is_read_back(before: dict[str, bytes], after: dict[str, bytes]) -> None:
    """Whatever UTF-8 the files are."""
    proposal = Proposal("shop", "a" * 40, "main", patch_of(before, after))
    assert unpacked(packed(proposal)) == proposal


def test_a_file_that_is_not_text_is_not_packed() -> None:
    """A proposal is read by people: its files are UTF-8."""
    with pytest.raises(Malformed, match="UTF-8"):
        packed(Proposal("shop", "a" * 40, "main", patch_of({}, {"a": b"\xff"})))


def _changed(**changes: object) -> bytes:
    return canonical({**orjson.loads(packed(PROPOSAL)), **changes})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        packed(PROPOSAL) + b" ",
        _changed(version=2),
        _changed(diff="nothing"),
        _changed(repository=1),
        _changed(files=[]),
        _changed(files={"a": {}}),
        _changed(files={"a": {"before": 1, "after": None}}),
        _changed(models=[1]),
        _changed(evidence=None),
        _changed(more=1),
    ],
)
def test_nothing_else_is_read(data: bytes) -> None:
    """Bytes that `packed` did not make are refused, above all a diff that hides what the files become."""
    with pytest.raises(Malformed):
        unpacked(data)


def test_a_proposal_is_bounded() -> None:
    """The limit counts both ways."""
    with pytest.raises(TooLarge):
        unpacked(b"x" * (MOST + 1))
    with pytest.raises(TooLarge):
        packed(Proposal("shop", "a" * 40, "main", Patch({}, {"a": b"x" * MOST}, "")))
