"""Calls of a trace are made again only of values that can be read without running anything."""

from __future__ import annotations

import ast

import pytest

from sentinel.core.failures import Call, Failure
from sentinel.core.neighbours import MOST, neighbours
from sentinel.core.told_values import MAX_VALUE, NoValue, value
from sentinel.core.traced_calls import Invoked, calls_of, located

CART = """
class Line:
    pass


class Cart:
    def total(self, rate, *more, cut=0, **rest):
        return rate

    @staticmethod
    def of(lines):
        def inner(lines):
            return lines
        return inner(lines)


async def load(name):
    return name
"""
FILES = {"src/shop/cart.py": CART, "src/shop/other.py": "class Rate:\n    pass\n"}
ROOTS = ("src", ".")


def made(function: str, line: int, **values: str) -> list[Invoked]:
    """Return the calls of a trace with one frame."""
    call = Call("/srv/app/src/shop/cart.py", function, line, values)
    return list(calls_of(Failure("KeyError", "", (call,)), FILES, ROOTS))


def test_a_method_is_called_of_an_object_that_is_built_again() -> None:
    """Of `self` the class and its arguments are read, and every parameter finds its place."""
    (call,) = made("total", 7, self="Cart()", rate="Rate(x=-1)", more="(1, 'b')", cut="2", rest="{'z': None}")
    assert call.json() == {
        "module": "shop.cart",
        "function": "Cart.total",
        "receiver": "Cart()",
        "args": ["Rate(x=-1)"],
        "star": "(1, 'b')",
        "kwargs": {"cut": "2"},
        "stars": "{'z': None}",
        "names": {"Cart": ["shop.cart", "Cart"], "Rate": ["shop.other", "Rate"]},
    }


def test_static_methods_and_coroutines_are_called_without_an_object() -> None:
    """Both are functions with parameters; what is defined within a function cannot be called."""
    assert [each.function for each in made("of", 12, lines="[]")] == ["Cart.of"]
    assert [each.function for each in made("load", 18, name="'a'")] == ["load"]
    assert made("inner", 12, lines="[]") == []


@pytest.mark.parametrize(
    "values",
    [{}, {"lines": "<list at 0x7f>"}, {"lines": "__import__('os').system('id')"}, {"lines": "[1, 2"}],
)
def test_what_is_not_told_as_a_value_makes_no_call(values: dict[str, str]) -> None:
    """A missing, cut or hostile text makes no call."""
    assert made("of", 12, **values) == []


@pytest.mark.parametrize(
    "text",
    [
        "os.system('id')",
        "eval('1')",
        "().__class__",
        "Line.__init__()",
        "Line().x",
        "datetime.__dict__",
        "[x for x in ()]",
        "lambda: 1",
        "(yield)",
        "1 + 1",
        "f'{1}'",
        "Line(**{})",
        "Line()()",
        "1; 2",
        "x = 1",
        "'" + "a" * MAX_VALUE + "'",
        "(" * 500,
    ],
)
def test_a_text_that_would_run_something_is_no_value(text: str) -> None:
    """Only literals and calls of known classes are values: a trace may be written by anybody."""
    with pytest.raises(NoValue):
        value(text, {"Line": ("shop.cart", "Line")})


@pytest.mark.parametrize(
    "text",
    [
        "-1.5",
        "b'\\xfc'",
        "{'a': [1, (None, True)], 2: {3}}",
        "datetime.datetime(2026, 1, 31, tzinfo=datetime.timezone.utc)",
        "Decimal('0.1')",
        "Line(kind=Line.A)",
    ],
)
def test_literals_and_plain_objects_are_values(text: str) -> None:
    """What dataclasses, dates and decimals are told as is read again as it was."""
    assert ast.unparse(value(text, {"Line": ("shop.cart", "Line")})[0]) == text


@pytest.mark.parametrize(
    "text",
    [
        "0x" + "f" * 3_900,
        "9" * 3_900,
        "-" * 1_500 + "1",
        "{1: " * 150 + "1" + "}" * 150,
        "[" * 150 + "]" * 150,
    ],
)
def test_values_that_cannot_be_written_again_are_none(text: str) -> None:
    """Anybody may write a trace: what parses and cannot be written down again ends no proof."""
    assert made("total", 8, self="Cart()", rate=text, more="()", rest="{}") == []


def test_a_file_is_found_only_where_that_is_certain() -> None:
    """A path that fits two files is none of them."""
    assert located("/app/shop/cart.py", sorted(FILES), ROOTS) == "src/shop/cart.py"
    assert located("cart.py", ["a/cart.py", "b/cart.py"], ROOTS) == ""
    assert located("cart.py", ["a/cart.py"], ROOTS) == "a/cart.py"


def test_neighbours_are_bounded_and_always_the_same() -> None:
    """However much a call is given, few neighbours are made, each other than the call, none twice."""
    given = {"a": repr({str(number): [number, "ab-1"] for number in range(30)}), "b": "3", "c": "3"}
    found = [tuple(each.arguments.values()) for each in neighbours(given, "key")]
    assert 0 < len(found) <= MOST
    assert len(set(found)) == len(found)
    assert tuple(given.values()) not in found
    assert found == [tuple(each.arguments.values()) for each in neighbours(given, "key")]


def test_values_that_were_equal_stay_equal_in_some_neighbours() -> None:
    """All leads were rejected: that is one way to fail, whatever their number."""
    found = [each.arguments for each in neighbours({"leads": "4", "rejected": "4"}) if each.alike]
    assert {"leads": "5", "rejected": "5"} in found


def test_a_text_keeps_its_form_in_what_is_alike() -> None:
    """Digits stay digits, and letters and marks what they are: another word may be the name of nothing."""
    alike = [
        ast.literal_eval(each.arguments["text"]) for each in neighbours({"text": "'1.234,50'"}) if each.alike
    ]
    assert len(alike) > 5
    assert all(set(each) - set("0123456789") == {".", ","} for each in alike)
    assert not any(each.alike for each in neighbours({"text": "'shipped'"}))


def test_an_absent_key_may_be_there_with_nothing() -> None:
    """Where a key was missing, null under it is alike."""
    found = [each.arguments["payload"] for each in neighbours({"payload": "{'a': 1}"}, "b") if each.alike]
    assert "{'a': 1, 'b': None}" in found


def test_marks_of_a_text_are_exchanged_and_it_ends_earlier() -> None:
    """Whoever reads one way of writing has to read the other as before; neither is alike."""
    found = {
        ast.literal_eval(each.arguments["text"])
        for each in neighbours({"text": "'1.234,50'"})
        if not each.alike
    }
    assert {"1,234.50", "1,234", "1.234"} <= found


def test_lists_lose_one_element_or_all_of_a_kind() -> None:
    """What failed because of one element works without it, and has to work the same."""
    near = {each.arguments["rows"]: each.alike for each in neighbours({"rows": "[1, None, 2, None]"})}
    assert near["[1, 2, None]"] is True
    assert near["[1, 2]"] is False
    assert near["[None, None]"] is False
