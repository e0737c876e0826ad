"""What a patch leaves behind or leaves out, though nothing fails any more."""

from __future__ import annotations

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.failures import Failure
from sentinel.core.known_mistakes import remains
from sentinel.core.patch_lines import sources
from sentinel.core.silent_losses import left_out

SHARED = "class Basket:\n    def __init__(self, lines{}):\n        self.lines = {}\n"


@pytest.mark.parametrize(
    ("default", "kept", "found"),
    [
        ("=[]", "lines", True),
        (": list[int] = []", "lines", True),
        ("=dict()", "lines", True),
        ("=[]", "list(lines)", False),
        ("=()", "lines", False),
        ("", "lines", False),
    ],
)
def test_a_default_that_objects_share_is_a_cause(default: str, kept: str, found: bool) -> None:
    """It is looked for in classes that a file of the trace names, and in no others."""
    files = {"src/shop.py": SHARED.format(default, kept), "src/main.py": "def f():\n    return Basket()\n"}
    told = [each.words for each in remains(files, {"src/main.py"})]
    assert [each.startswith("src/shop.py:2 ") for each in told] == [True] * found
    assert list(remains({**files, "src/main.py": "def f():\n    return 1\n"}, {"src/main.py"})) == []


@pytest.mark.parametrize(
    ("body", "found"),
    [("seen.append(x)", True), ("seen[x] = 1", True), ("return seen", False), ("return x in seen", False)],
)
def test_a_default_that_is_changed_in_place_is_one(body: str, found: bool) -> None:
    """One that is only read does no harm."""
    files = {"src/a.py": f"def f(x, *, seen={{}}):\n    {body}\n", "src/b.py": "def (:\n"}
    assert len(list(remains(files, {"src/a.py"}))) == found


def losses(loop: str, exception: str = "ValueError", before: str = "") -> list[str]:
    """Return the rules that speak against a loop in a new file, or one that was another."""
    text = f"def f(rows):\n    total = 0\n    {loop}\n    return total\n"
    files = {"src/a.py": before.encode()} if before else {}
    patch = patch_of(files, {"src/a.py": text.encode()})
    return [each.rule for each in left_out(sources(patch), Failure(exception, "", ()))]


FOR = "for row in rows:\n        "


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("if len(row) < 4:\n            continue", True),
        ("if not row.isdigit() and row:\n            continue", True),
        ("if not row.isdigit():\n            continue", True),
        ("if not row or len(row) < 4:\n            continue", True),
        ("if not row and len(row) < 4:\n            continue", False),
        ("if not row:\n            continue", False),
        ("if not row.strip() or row is None:\n            continue", False),
        ("if row == '':\n            continue", False),
        ("if len(row) < 4:\n            bad.append(row)\n            continue", False),
        ("if len(row) < 4:\n            raise ValueError", False),
    ],
)
def test_what_is_not_empty_is_not_passed_over_silently(body: str, found: bool) -> None:
    """To tell of it somehow, or to pass over what holds nothing, is no loss."""
    assert losses(FOR + body) == ["lossy"] * found


def test_what_was_passed_over_before_is_no_matter_of_the_patch() -> None:
    """Its condition stood there."""
    assert losses(f"{FOR}if len(row) < 4:\n            continue", before="if len(row) < 4:\n    x\n") == []


@pytest.mark.parametrize(
    ("handler", "exception", "found"),
    [
        ("except ValueError:\n            return total", "ValueError", True),
        ("except (StopIteration, ValueError):\n            break", "ValueError", True),
        ("except Exception:\n            break", "KeyError", True),
        ("except StopIteration:\n            break", "ValueError", False),
        ("except EOFError:\n            return total", "EOFError", False),
        ("except ValueError:\n            raise", "ValueError", False),
        ("except ValueError:\n            log(row)\n            break", "ValueError", False),
    ],
)
def test_a_loop_does_not_end_at_the_failure(handler: str, exception: str, found: bool) -> None:
    """What was made so far is not the result, but for exceptions that say that there is no more."""
    assert (
        losses(f"{FOR}try:\n            total += g(row)\n        {handler}", exception) == ["lossy"] * found
    )
