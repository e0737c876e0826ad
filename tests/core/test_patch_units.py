"""A patch is taken back unit by unit, and what is mended without one did not need it."""

from __future__ import annotations

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.failures import Failure
from sentinel.core.junit import Results
from sentinel.core.patch_units import MOST_UNITS, Unit, units
from sentinel.core.proof_calls import After, Did
from sentinel.core.proof_units import Wanted, mended, reasons

BEFORE = """import os

RATE = 1


def one(x):
    \"\"\"Do one.\"\"\"
    return x


class Shop:
    def two(self, x: int) -> int:
        return x + 1
"""


def of(*put: tuple[str, str], **others: str) -> list[Unit]:
    """Return the units of a patch that puts texts in place of others, and brings files."""
    after = BEFORE
    for old, new in put:
        assert old in after
        after = after.replace(old, new)
    new_files = {f"src/{name}.py": text.encode() for name, text in others.items()}
    before = {"src/a.py": BEFORE.encode()}
    return units(patch_of(before, {"src/a.py": after.encode(), **new_files}))


ONE = ("return x\n", "return x or 0\n")
TWO = ("return x + 1", "return x + RATE")


def test_functions_methods_and_what_stands_in_none_are_units() -> None:
    """Each is taken back alone, and the others stay as the patch has them."""
    found = of(ONE, TWO, ("RATE = 1", "RATE = 2"))
    assert [each.told for each in found] == ["src/a.py:3", "src/a.py:8", "src/a.py:13"]
    texts = [(each.without or b"").decode() for each in found]
    assert ["RATE = 2" in each for each in texts] == [False, True, True]
    assert ["x or 0" in each for each in texts] == [True, False, True]
    assert ["x + RATE" in each for each in texts] == [True, True, False]


def test_two_places_of_a_function_are_one_unit() -> None:
    """One unit alone is the repair itself, so there is none to take back."""
    assert (
        of(ONE, ("    return x or 0", "    x = x\n    return x or 0"), ("def one(x)", "def one(x=1)")) == []
    )


@pytest.mark.parametrize(
    "put",
    [
        ("import os", "import os\nimport re"),
        ("Do one.", "Do it."),
        ("x: int) -> int", "x: int | None) -> str"),
        ("def two", "# often\n    def two"),
        ("        return x + 1", "        log.info('two')\n        return x + 1"),
    ],
)
def test_what_tells_people_something_is_no_unit(put: tuple[str, str]) -> None:
    """Documentation, annotations, imports and logs do nothing that a repair could need."""
    assert of(ONE, put) == []


def test_a_new_file_is_a_unit() -> None:
    """It is not there without it. One that only documents is none."""
    assert [(each.path, each.without is None) for each in of(ONE, b="X = 1\n")] == [
        ("src/a.py", False),
        ("src/b.py", True),
    ]
    assert of(ONE, b='"""Nothing."""\n') == []


def test_at_most_so_many_are_tried() -> None:
    """A patch of many units is bounded by the gate; a proof is bounded here."""
    assert len(of(ONE, **{f"b{each}": "X = 1\n" for each in range(20)})) == MOST_UNITS


FAILURE = Failure("KeyError", "'a'", ())
PASSES, FAILS = Results({"t": "passed"}), Results({"t": "failed"}, {"t": "KeyError: 'a'"})
ENDS: Did = {"returned": "int 1", "given": ""}


def is_mended(
    results: Results | None, *did: Did, tests: tuple[str, ...] = ("t",), traced: str = "src/a.py"
) -> bool:
    """Return whether the failure is mended without a unit."""
    wanted = Wanted(FAILURE, tests, {"Refused"}, {traced}, After({}))
    return mended(wanted, Unit("src/a.py", 8, b""), results, did)


def test_tests_that_pass_and_calls_that_end_do_not_need_a_unit() -> None:
    """Both have to be so, where both are there."""
    assert is_mended(PASSES)
    assert is_mended(PASSES, ENDS)
    assert is_mended(None, ENDS, tests=())
    assert not is_mended(FAILS, ENDS)
    assert not is_mended(PASSES, {"raised": "TypeError"})


def test_what_is_not_certain_needs_it() -> None:
    """A run without a report, and a call that is not told, say nothing."""
    assert not is_mended(None)
    assert not is_mended(PASSES, {"lost": True})
    assert not is_mended(None, tests=())


@pytest.mark.parametrize(
    ("message", "traced", "found"),
    [
        ("shop.Refused: no", "src/a.py", True),
        ("assert 1 == 2", "src/a.py", False),
        ("assert 1 == 2", "src/b.py", True),
        ("TypeError: None", "src/b.py", False),
        ("KeyError: 'a'", "src/b.py", False),
    ],
)
def test_some_tests_show_nothing_of_the_failure(message: str, traced: str, found: bool) -> None:
    """An accident does, and where the trace passes through, an assertion; a refusal does not."""
    failing = Results({"t": "failed"}, {"t": message})
    assert is_mended(failing, ENDS, traced=traced) is found
    assert not is_mended(failing, traced=traced)


def test_a_needless_unit_is_told_by_its_place() -> None:
    """Its words hold nothing of the file."""
    assert [each.words for each in reasons([Unit("src/a.py", 8, b"")])] == [
        "the failure is mended without 1 changed places: src/a.py:8"
    ]
    assert list(reasons([])) == []
