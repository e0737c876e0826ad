"""Calls of a trace and calls near them speak against a patch only where that is certain."""

from __future__ import annotations

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.failures import Call, Failure
from sentinel.core.patch_lines import sources
from sentinel.core.proof_calls import After, Did, Trial, compared, reasons
from sentinel.core.proof_tests import shapes
from sentinel.core.swallowed import lossy, swallowed
from sentinel.core.traced_calls import Invoked

FAILURE = Failure("KeyError", "'a'", (Call("a.py", "inner", 2, {}), Call("a.py", "outer", 9, {})))
OWN = Trial(Invoked("a.py", 8, "a", "outer", {"x": "1"}), own=True, alike=True, of=0)
NEAR = Trial(OWN.call, own=False, alike=True, of=0)
FAR = Trial(OWN.call, own=False, alike=False, of=0)
FAILS: Did = {"raised": "KeyError", "message": "'a'", "path": "a.py", "function": "inner", "line": 2}
OTHER: Did = {**FAILS, "message": "'b'"}
FINE: Did = {"returned": "int 1", "given": ""}
AFTER = After({"a.py": "def inner():\n    x\n    raise Refused\n"}, {("a.py", 2)})


def rules(*seen: tuple[Trial, Did, Did, Did], after: After = AFTER, declared: bool = False) -> list[str]:
    """Return what speaks against a patch after the trace's own call has ended."""
    all_seen = [(OWN, FAILS, FAILS, FINE), *seen]
    found = compared([each[0] for each in all_seen], [each[1:] for each in all_seen], FAILURE, after)
    return [each.rule for each in reasons(found, declared=declared)]


def test_a_call_that_ends_speaks_for_a_patch() -> None:
    """So does one near it that fails no more, or does what it did."""
    assert rules((NEAR, OTHER, OTHER, FINE), (FAR, FINE, FINE, FINE)) == []


def test_what_is_alike_has_to_end_as_well() -> None:
    """The same failure of another input is what a special case leaves; another class of input may fail."""
    assert rules((NEAR, OTHER, OTHER, OTHER)) == ["failure-remains"]
    assert rules((FAR, OTHER, OTHER, OTHER)) == []


def test_a_failure_that_tests_expect_is_meant() -> None:
    """A test of the patch that names the type says that it is raised on purpose."""
    assert rules((NEAR, OTHER, OTHER, OTHER), after=After({}, (), {"KeyError"})) == []


def test_another_failure_counts_where_the_patch_made_it_by_accident() -> None:
    """In a changed line, by no `raise`; what was always further on in the code is no fault of the patch."""
    accident = {**FAILS, "raised": "TypeError"}
    assert rules((NEAR, OTHER, OTHER, accident)) == ["failure-remains"]
    assert rules((NEAR, OTHER, OTHER, {**accident, "line": 3})) == []
    assert rules((NEAR, OTHER, OTHER, {**accident, "path": "b.py"})) == []


@pytest.mark.parametrize(
    "new", [{"returned": "int 2", "given": ""}, {"returned": "int 1", "given": "x"}, FAILS]
)
def test_what_did_not_fail_does_the_same(new: Did) -> None:
    """Another result, other arguments afterwards, or a failure: a test has to say so."""
    assert rules((FAR, FINE, FINE, new)) == ["behaviour-changed"]
    assert rules((FAR, FINE, FINE, new), declared=True) == []


@pytest.mark.parametrize(("text", "found"), [("9,8", []), ("9,80", ["behaviour-changed"])])
def test_a_test_says_only_of_texts_like_its_own_that_results_change(text: str, found: list[str]) -> None:
    """Other digits in the same places are the same case; more of them are another."""
    near = Trial(OWN.call.given({"x": repr(text)}), own=False, alike=False, of=0)
    changed: Did = {"returned": "int 2", "given": ""}
    after = After({}, (), (), shapes(patch_of({}, {"tests/test_a.py": b"assert f('1,2') == 3\n"})))
    assert rules((near, FINE, FINE, changed), after=after, declared=True) == found
    assert rules((near, FINE, FINE, FINE), after=after, declared=True) == []


def test_what_is_not_certain_is_left_out() -> None:
    """A call that does now this, now that, or was never told, says nothing."""
    assert rules((FAR, FINE, OTHER, OTHER), (FAR, FINE, FINE, {"lost": True})) == []


def test_the_call_of_the_trace_has_to_end() -> None:
    """It is made from outside with plain values, so it will be made again."""
    found = compared([OWN], [(FAILS, FAILS, FAILS)], FAILURE, AFTER)
    assert (found.remain, found.ended) == (1, 0)


def test_a_call_with_an_object_may_be_made_no_more() -> None:
    """Where the project makes the object, the repair may lie there."""
    own = Trial(
        Invoked("a.py", 8, "a", "outer", {"x": "X()"}, names={"X": ("a", "X")}), own=True, alike=True, of=0
    )
    found = compared([own], [(FAILS, FAILS, FAILS)], FAILURE, AFTER)
    assert (found.remain, found.inside) == (0, 1)


def test_a_call_that_did_not_fail_so_before_proves_nothing() -> None:
    """The variables of a trace may not be what was given."""
    found = compared([OWN, NEAR], [(FINE, FINE, FAILS), (OTHER, OTHER, OTHER)], FAILURE, AFTER)
    assert found.derived == []
    assert list(reasons(found, declared=False)) == []


def caught(body: str) -> tuple[list[str], list[str]]:
    """Return what is swallowed and lost by a new function."""
    files = sources(patch_of({}, {"src/a.py": f"def f(x):\n{body}".encode()}))
    one, other = swallowed(files, FAILURE), lossy(files)
    return [each.rule for each in one], [each.rule for each in other]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("    try:\n        outer(x)\n    except KeyError:\n        return None\n", True),
        ("    try:\n        y = x.inner()\n    except LookupError:\n        pass\n", True),
        ("    try:\n        y = 1\n        z = x['a']\n    except KeyError:\n        y = 0\n", True),
        ("    with suppress(KeyError):\n        inner(x)\n", True),
        ("    try:\n        return x['a']\n    except KeyError:\n        return None\n", False),
        ("    try:\n        outer(x)\n    except KeyError:\n        raise Refused from None\n", False),
        ("    try:\n        outer(x)\n    except ValueError:\n        return None\n", False),
        ("    try:\n        outer(x)\n    except KeyError:\n        return other(x)\n", False),
    ],
)
def test_a_failure_is_not_swallowed_from_afar(body: str, found: bool) -> None:
    """To catch it where it happens, to raise, or to do something else instead are no giving up."""
    assert caught(body)[0] == ["swallowed"] * found


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("x.decode('utf-8', errors='ignore')", True),
        ("x.decode('utf-8', 'replace')", True),
        ("open(x, errors='ignore')", True),
        ("x.replace(tzinfo=None)", True),
        ("x.astimezone(UTC).replace(tzinfo=None)", False),
        ("x.replace(tzinfo=UTC)", False),
        ("x.decode('latin-1')", False),
        ("x.replace('ignore', 'replace')", False),
    ],
)
def test_nothing_is_thrown_away_that_cannot_be_read(line: str, found: bool) -> None:
    """Letters of a name and the offset of a time are data."""
    assert caught(f"    return {line}\n")[1] == ["lossy"] * found
