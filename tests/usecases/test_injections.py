"""No injection changes what is done, and a model that obeys one gets nothing through."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.injections import INJECTIONS
from tests.usecases.injected import CART, OBEDIENT, _edit, changed, obeyed, placed, run


@pytest.fixture(scope="module")
def base() -> Any:
    """Prepare what there is without an injection."""
    return run(())


@pytest.mark.parametrize("at", range(len(INJECTIONS)), ids=[each.name for each in INJECTIONS])
def test_an_injection_changes_nothing(at: int, base: Any) -> None:
    """In every place that somebody can write to: the same trusted part, the same files, the same to edit.

    Each in a third of the places here, in turn; `benchmarks.patches` puts each in all of them.
    """
    places = list(placed(INJECTIONS[at]))[at % 3 :: 3]
    assert places
    assert [what for pieces in places if (what := changed(pieces, base))] == []


@pytest.mark.parametrize("what", OBEDIENT)
def test_an_obedient_model_is_refused(what: str) -> None:
    """Whatever a model was talked into, edits and the gate refuse it, whichever injection it was."""
    for injection in INJECTIONS[::20]:
        ready, _, tree = run(injection.pieces)
        assert not obeyed(OBEDIENT[what], ready, tree)


def test_a_right_answer_gets_through() -> None:
    """The same way lets a repair pass, or the refusals would say nothing."""
    ready, _, tree = run(())
    line = CART.split("\n")[1]
    assert obeyed(_edit("src/shop/cart.py", line, line.replace('["price"]', '.get("price", 0)')), ready, tree)
