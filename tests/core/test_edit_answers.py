"""What a model answers: read whole or refused with a reason that repeats nothing of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sentinel.core.edit_answers import (
    MAX_ANSWER,
    MAX_CAUSE,
    MAX_EDITS,
    MAX_REPLACE,
    MAX_SEARCH,
    MAX_TEXT,
    load,
    schema,
)
from sentinel.core.edit_refusals import AnswerRefused
from sentinel.core.edits import Edit, NewFile

EDIT = {"path": "a", "search": "b", "replace": "c"}
NEW = {"path": "n", "text": "t"}


def answer(**changed: Any) -> bytes:
    """Return an answer, with some of its properties changed."""
    return json.dumps({"cause": "it", "edits": [EDIT], "new_files": [NEW], **changed}).encode()


def test_an_answer_is_read() -> None:
    """Edits come before new files, in their order."""
    assert load(answer()).proposed() == [Edit("a", "b", "c"), NewFile("n", "t")]


STRICT = {
    "$defs",
    "$ref",
    "additionalProperties",
    "description",
    "items",
    "properties",
    "required",
    "title",
    "type",
}


def objects(part: Any) -> Any:
    """Yield each schema within a schema, with itself."""
    if isinstance(part, dict):
        yield part
        for name, each in part.items():
            inner = each.values() if name in {"$defs", "properties"} else [each]
            for one in inner:
                yield from objects(one)


def test_the_schema_is_one_of_strict_modes() -> None:
    """Every property is required, no other is allowed, and no keyword is there that a strict mode refuses."""
    found = list(objects(schema()))
    assert sum(each.get("type") == "object" for each in found) == 3
    for each in found:
        assert set(each) <= STRICT
        if each.get("type") == "object":
            assert each["additionalProperties"] is False
            assert each["required"] == list(each["properties"])
    assert schema()["type"] == "object"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "json invalid"),
        (b"Here is the patch: {}", "json invalid"),
        (answer()[:-5], "json invalid"),
        (b"[" * 100_000, "json invalid"),
        (b"{}", "cause: missing; edits: missing; new_files: missing"),
        (answer(tool="hunter2"), "(another key): extra forbidden"),
        (answer(edits=[{**EDIT, "hunter2": 1}]), "edits.0.(another key): extra forbidden"),
        (answer(edits=[{**EDIT, "path": 1}]), "edits.0.path: string type"),
        (answer(edits=None), "edits: list type"),
        (answer(edits=[], new_files=[]), f"1 to {MAX_EDITS}"),
        (answer(edits=[EDIT] * MAX_EDITS), f"1 to {MAX_EDITS}"),
        (answer(cause="x" * (MAX_CAUSE + 1)), "cause has more"),
        (answer(edits=[{**EDIT, "search": "x" * (MAX_SEARCH + 1)}]), "edits.0.search has more"),
        (answer(edits=[{**EDIT, "replace": "x" * (MAX_REPLACE + 1)}]), "edits.0.replace has more"),
        (answer(new_files=[{**NEW, "text": "x" * (MAX_TEXT + 1)}]), "new_files.0.text has more"),
        (b" " * (MAX_ANSWER + 1), f"more than {MAX_ANSWER} bytes"),
        (answer().replace(b'"b"', b'"\\ud800"'), "json invalid"),
        (b"\xff", "json invalid"),
    ],
    ids=lambda each: "" if isinstance(each, bytes) else each,
)
def test_other_answers_are_refused(data: bytes, reason: str) -> None:
    """What is not of the form, or over a bound, is refused with the place and without a word of it."""
    with pytest.raises(AnswerRefused) as error:
        load(data)
    assert reason in str(error.value)
    assert "hunter2" not in str(error.value)
    assert len(str(error.value)) < 500


def test_both_sides_of_the_bounds() -> None:
    """An answer that is just as large as it may be is read."""
    edits = [{**EDIT, "search": "x" * MAX_SEARCH, "replace": "x" * MAX_REPLACE}, *[EDIT] * (MAX_EDITS - 2)]
    found = load(answer(cause="x" * MAX_CAUSE, edits=edits, new_files=[{**NEW, "text": "x" * MAX_TEXT}]))
    assert len(found.proposed()) == MAX_EDITS
