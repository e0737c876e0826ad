"""Mutants change one place of the changed lines and nothing that no test is expected to notice."""

from __future__ import annotations

import ast

import pytest

from sentinel.core.mutants import mutants
from sentinel.core.patch_lines import Source
from sentinel.core.proof_mutants import Noticed, reasons

MANY = 1_000


def told(text: str, *lines: int, most: int = MANY) -> list[tuple[str, str]]:
    """Return what is done and the line as it is then."""
    source = Source("src/a.py", text, frozenset(lines or range(1, text.count("\n") + 2)))
    return [
        (each.what, each.data.decode().split("\n")[each.line - 1].strip()) for each in mutants([source], most)
    ]


@pytest.mark.parametrize(
    ("line", "mutated"),
    [
        ("x = a < b", {"x = a <= b", "x = a >= b"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = a not  in b", {"x = a in b"}),
        ("x = (a) == (b)", {"x = (a) != (b)"}),
        (
            "x = a and b or c",
            {
                "x = a or b or c",
                "x = a and b and c",
                "x = True and b or c",
                "x = a and True or c",
                "x = False or c",
                "x = a and b or False",
            },
        ),
        ("x = not a", {"x =  a"}),
        ("x = a // b", {"x = a * b"}),
        ("x -= 2", {"x += 2", "x -= 3", "pass"}),
        ("x = 7", {"x = 8"}),
        ("x = True", {"x = False"}),
        ('x = "ä"', {'x = ""'}),
        ("return a", {"return None"}),
        ("return None", set()),
        ("x = a if b else c", {"x = a if True else c", "x = a if False else c"}),
        ("x = [a for a in b if a.c]", {"x = [a for a in b if True]"}),
        ("raise X(f'no {a}') from None", {"pass"}),
        ("f(a, b=c)", {"pass", "f(a)"}),
        ("x.y = a", {"pass"}),
        ("x = f(a)", {"x = None"}),
    ],
)
def test_operators(line: str, mutated: set[str]) -> None:
    """Each kind of place has its changes, and only these."""
    found = told(f"def f(a, b, c, x):\n    {line}\n", 2)
    assert {text for _, text in found} == mutated


@pytest.mark.parametrize(
    "line",
    [
        "import os",
        '"""What it does."""',
        "x: int",
        'log.warning("no %s", 1)',
        'self._logger.info(f"{x} of 3")',
        '__all__ = ["a"]',
        "if TYPE_CHECKING:\n    import os",
        "pass",
    ],
)
def test_what_no_test_is_expected_to_pin_is_left_out(line: str) -> None:
    """Imports, documentation, annotations and logs have no mutants."""
    assert told(line) == []


def test_annotations_of_a_signature_are_left_out() -> None:
    """A changed type has none; a changed default has."""
    assert told("def f(a: 'int | None' = 3) -> 'str':\n    pass\n", 1) == [
        ("a number is one more", "def f(a: 'int | None' = 4) -> 'str':")
    ]


def test_only_changed_lines_are_changed() -> None:
    """What stands on other lines stays, byte for byte, whatever ends the lines."""
    text = "def f(a):\r\n    b = a + 1\r\n    return b - 1\r\n"
    source = Source("a.py", text, frozenset({3}))
    found = mutants([source], MANY)
    assert len(found) == 3
    for each in found:
        assert each.data.startswith(b"def f(a):\r\n    b = a + 1\r\n    return ")
        assert each.data.endswith(b"\r\n")
        ast.parse(each.data)


def test_few_are_spread_over_the_lines_and_always_the_same() -> None:
    """Where there are more than are tried, each line has its share."""
    text = "def f(a, b):\n    x = a == b and b == 3\n    y = a + 2\n    return x or y\n"
    source = Source("a.py", text, frozenset({2, 3, 4}))
    chosen = mutants([source], 3)
    assert [each.line for each in chosen] == [2, 3, 4]
    assert chosen == mutants([source], 3)


def bounded(after: str, before: str = "") -> list[str]:
    """Return the mutants of boundaries."""
    lines = frozenset(range(1, after.count("\n") + 2))
    return [each.what for each in mutants([Source("a.py", after, lines, before)], MANY) if each.boundary]


def test_boundaries_of_new_comparisons_are_told() -> None:
    """Each is tried before all else, however few mutants are: to be in or out is decided by the patch."""
    text = "def f(a, b):\n    x = a + 1\n    return a < b\n"
    assert bounded(text) == ["< became <="]
    first = mutants([Source("a.py", text, frozenset({2, 3}))], 1)
    assert [each.boundary for each in first] == [True]


@pytest.mark.parametrize(
    "after",
    [
        "x = a if a > b else b\n",
        "if n < 0:\n    n = 0\n",
        "def f(a, b):\n    if a <= b:\n        return a\n    return b\n",
        "def f(a, b):\n    if a <= b:\n        return b\n    else:\n        return a\n",
        "x = a == b\n",
    ],
)
def test_a_boundary_that_comes_to_the_same_is_none(after: str) -> None:
    """What is chosen is one of the two that are equal there."""
    assert bounded(after) == []


def test_a_comparison_that_only_moves_is_not_new() -> None:
    """It was there before, though its line is another."""
    assert bounded("if y:\n    if a < b:\n        f()\n", "if a < b:\n    f()\n") == []
    assert bounded("if a < b + 1:\n    f()\n", "if a < b:\n    f()\n") == ["< became <="]


def test_a_boundary_that_no_test_notices_is_refused() -> None:
    """However many other mutants are noticed."""
    source = Source("a.py", "def f(a, b):\n    return a < b\n", frozenset({2}))
    tried = [(each, not each.boundary) for each in mutants([source], MANY)]
    assert [each.rule for each in reasons(Noticed(tried), 0.5)] == ["unnoticed"]
    assert list(reasons(Noticed([(each, True) for each, _ in tried]), 0.5)) == []


@pytest.mark.parametrize(("body", "found"), [("raise ValueError", ["unnoticed"]), ("a = 1", [])])
def test_a_check_that_no_test_sees_refuse_is_refused(body: str, found: list[str]) -> None:
    """A branch that does something else may come to the same without it."""
    text = f"def f(a):\n    if a == 3:\n        {body}\n    return a\n"
    tried = [
        (each, "False" not in each.what) for each in mutants([Source("a.py", text, frozenset({2}))], MANY)
    ]
    assert [each.rule for each in reasons(Noticed(tried), 0.5)] == found


def test_what_does_not_parse_has_none() -> None:
    """A file that Python cannot read is no reason to fail."""
    assert told("def f(:\n") == []
