"""What is asked of who signs for erased events: fields, each held against what it may be."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import Any

import orjson
import pytest

from sentinel.core import erased_events
from sentinel.core.erased_events import BLANK_NONCE
from sentinel.core.lineage_notes import AskedEvent
from sentinel.errors import Forbidden, Malformed
from tests.core.test_erased_events import OTHER, SEED, key_of, lineage

EVENT = lineage()[1][1]
ASKED = AskedEvent.of(EVENT, "shop/0", 17)
LINEAGE = key_of("task/t1")


def test_it_is_read_as_it_is_sent_and_answered_with_what_is_stored() -> None:
    """By JSON; what comes back verifies, and says where the erasure is recorded."""
    asked = AskedEvent.read(orjson.loads(orjson.dumps(ASKED.fields)))
    assert asked == ASKED
    said = asked.at(1_790_000_000, key_of)
    assert (said.origin, said.record) == ("log.test/task/t1", ("log.test/shop/0", 17))
    stored = asked.answered(erased_events.signed(said, LINEAGE, SEED.sign), key_of)
    leaf = erased_events.verified_leaf(1, stored, BLANK_NONCE, LINEAGE)
    assert leaf == erased_events.leaf_of(EVENT.entry, EVENT.nonce)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task", "../shop"),
        ("task", ""),
        ("task", 7),
        ("chain", "shop"),
        ("chain", "task/t1"),
        ("chain", "a b/0"),
        ("chain", None),
        ("seq", -1),
        ("seq", 1 << 63),
        ("seq", True),
        ("record", "17"),
        ("nonce", b64encode(bytes(31)).decode()),
        ("nonce", 5),
        ("entry", ""),
        ("entry", "\u00e9"),
        ("entry", b64encode(b"sentinel-erasure/v1\n").decode()),
        ("entry", b64encode(b"!" + b"0" * 64).decode()),
        ("entry", b64encode(b"[" + b"0," * 200_000 + b"0]").decode()),
        ("more", 1),
    ],
)
def test_what_is_not_of_its_form_is_refused(name: str, value: Any) -> None:
    """Each field by itself, and none beside them."""
    with pytest.raises(Malformed):
        AskedEvent.read({**ASKED.fields, name: value})


@pytest.mark.parametrize("told", [None, [], {}, "x"])
def test_what_is_no_question_is_refused(told: object) -> None:
    """All fields have to be there."""
    with pytest.raises(Malformed):
        AskedEvent.read(told)


def test_an_answer_that_is_not_what_was_asked_is_not_stored() -> None:
    """Of another event or key, or none: nothing is erased by it."""
    said = ASKED.at(1, key_of)
    for note in (
        erased_events.signed(said, LINEAGE, OTHER.sign),
        erased_events.signed(replace(said, seq=2), LINEAGE, SEED.sign),
        erased_events.signed(replace(said, facts=bytes(32)), LINEAGE, SEED.sign),
        b"",
        b"no note",
    ):
        with pytest.raises(Forbidden, match="not signed as asked"):
            ASKED.answered(note, key_of)
