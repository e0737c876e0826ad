"""Which files matter to a failure: by frames, imports, names, tests and callers, in this order, bounded."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.failures import Call, Failure
from sentinel.core.frame_places import Places
from sentinel.core.relevance import (
    CALLER,
    DEFINED,
    FRAME,
    IMPORTED,
    MOST,
    NEAR,
    TEST,
    USED,
    WHY,
    Selection,
    select,
)
from sentinel.core.trees import EXECUTABLE, LINK, PLAIN, SUBMODULE, Held, Tree

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "a" * 40
SHOP = {
    "src/shop/__init__.py": "from .cart import total\nfrom .prices import *\n",
    "src/shop/cart.py": (
        "from shop import price_of\nfrom . import tax\nimport shop.stock\n\n\n"
        "def total(cart):\n    return sum(price_of(x) * tax.rate(x) for x in cart) - discount(cart)\n"
    ),
    "src/shop/prices.py": "def price_of(item):\n    return item['price']\n",
    "src/shop/tax.py": "LOW = 0.07\n\n\ndef rate(item):\n    return LOW\n",
    "src/shop/stock.py": "def reserve(item): ...\n",
    "src/rules/discounts.py": "async def discount(cart):\n    return 0\n",
    "src/web/api.py": "from shop.cart import total\n\n\ndef post(cart):\n    return total(cart)\n",
    "src/web/other.py": "x = 1\n",
    "tests/test_cart.py": "from shop.cart import total\n\n\ndef test_total():\n    assert total([]) == 0\n",
    "tests/test_api.py": "from web import api\n",
    "tests/test_other.py": "y = 2\n",
    "poetry.lock": "x",
    "README.md": "# Shop\n",
}
FAILED = Failure("KeyError", "'price'", (Call("/srv/app/src/shop/cart.py", "total", 7),))


def _data(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def tree(files: Mapping[str, str | bytes | Held]) -> Tree:
    """Return a tree of texts."""
    held = {
        path: each
        if isinstance(each, Held)
        else Held(PLAIN, each.encode() if isinstance(each, str) else each)
        for path, each in files.items()
    }
    return Tree(COMMIT, held)


def selected(failure: Failure = FAILED) -> Selection:
    """Select from the shop."""
    return select(tree({**SHOP}), failure, ("src", "."), 20_000)


def why(selection: Selection) -> dict[str, str]:
    """Return the reason by path, in order."""
    return {each.path: each.why for each in selection.chosen}


def test_each_file_is_chosen_for_its_reason() -> None:
    """The stack trace, a test, what is used through packages and stars, by name, callers, and the rest."""
    found = selected()
    assert list(why(found).items()) == [
        ("src/shop/cart.py", FRAME),
        ("tests/test_cart.py", TEST),
        ("src/shop/prices.py", USED),
        ("src/shop/tax.py", USED),
        ("src/rules/discounts.py", DEFINED),
        ("src/web/api.py", CALLER),
        ("src/shop/stock.py", IMPORTED),
        ("src/shop/__init__.py", NEAR),
    ]
    lines = {each.path: each.lines for each in found.chosen}
    assert lines["src/shop/cart.py"] == (7,)
    assert lines["src/shop/tax.py"] == (4,)
    assert lines["src/shop/prices.py"] == (1,)
    assert lines["tests/test_cart.py"] == (1, 5)
    assert [each.path for each in found.files] == [each.path for each in found.chosen]
    assert set(why(found).values()) <= set(WHY) == set(MOST)


def test_nothing_is_chosen_without_a_call_in_the_repository() -> None:
    """A failure that tells no place of the repository selects nothing."""
    for calls in ((), (Call("/usr/lib/python3.11/json/__init__.py", "loads", 1),), (Call("", "", 0),)):
        assert selected(Failure("KeyError", "", calls)).chosen == ()


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("/srv/app/src/shop/cart.py", "src/shop/cart.py"),
        ("shop/cart.py", "src/shop/cart.py"),
        ("cart.py", "src/shop/cart.py"),
        ("C:\\srv\\src\\shop\\cart.py", "src/shop/cart.py"),
        ("file:///srv/src/shop/cart.py", "src/shop/cart.py"),
        ("app:///shop/cart.py?x=1", "src/shop/cart.py"),
        ("/opt/other/cart.py", None),
        ("/v/site-packages/shop/cart.py", None),
        ("/usr/lib/python3.11/shop/cart.py", None),
        ("<string>", None),
        ("../../shop/cart.py", "src/shop/cart.py"),
        ("/srv/src/shop/cart.py/x", None),
    ],
)
def test_a_frame_is_located_by_its_longest_end(file: str, found: str | None) -> None:
    """By all of the path in the repository, all that is told, or a file with its folder."""
    places = Places({path: text.encode() for path, text in SHOP.items()}, ("src", "."))
    assert places.of(Call(file, "total", 7)) == found


def test_of_several_files_that_one_is_meant_where_the_function_stands() -> None:
    """With the same end the function and the line decide; where they do not, no file is meant."""
    files = {
        "a/x/m.py": b"def f():\n    pass\n",
        "b/x/m.py": b"def g():\n    pass\n",
        "c/x/m.py": b"\n\ndef f(): ...",
    }
    places = Places(files, (".",))
    assert places.of(Call("/srv/x/m.py", "f", 2)) == "a/x/m.py"
    assert places.of(Call("/srv/x/m.py", "f", 9)) is None
    assert places.of(Call("/srv/x/m.py", "g", 1)) == "b/x/m.py"
    assert places.of(Call("/srv/b/x/m.py", "f", 1)) == "b/x/m.py"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "poetry.lock",
            "src/.env",
            "src/keys/id_rsa",
            "src/node_modules/x/a.py",
            ".venv/x/a.py",
            "src/dist/a.py",
        ),
        *(
            "src/a_pb2.py",
            "src/a b.py",
            "src/shop/link.py",
            "src/sub",
            "src/image.py",
            "src/latin.py",
            "src/big.py",
        ),
    ],
)
def test_some_files_are_never_chosen(path: str) -> None:
    """Lockfiles, secrets, others' work, made files, links, binaries, and what is too large: frame or not."""
    special: dict[str, str | bytes | Held] = {
        "src/shop/link.py": Held(LINK, b"cart.py"),
        "src/sub": Held(SUBMODULE, b""),
        "src/image.py": b"\x00\x01",
        "src/latin.py": b"x = '\xe9'",
        "src/big.py": b"x = 1\n" * 100_000,
    }
    more = {path: special.get(path, "def total(): ...\n")}
    failure = Failure("E", "", (Call(f"/srv/app/{path}", "total", 1), *FAILED.calls))
    assert path not in why(select(tree({**SHOP, **more}), failure, ("src", "."), 20_000))


def test_what_does_not_parse_is_taken_by_frames() -> None:
    """A file that is no Python of this version has no imports to follow, and is there all the same."""
    broken = {**SHOP, "src/shop/cart.py": "from shop import price_of\ndef total(:\n", "deep.py": "(" * 5_000}
    found = select(tree(broken), FAILED, ("src", "."), 20_000)
    assert why(found)["src/shop/cart.py"] == FRAME
    assert why(found)["tests/test_cart.py"] == TEST


def test_a_long_file_is_only_shown_around_its_lines() -> None:
    """What is over a third of the budget leaves room for the others."""
    long = SHOP["src/shop/cart.py"] + "x = 1\n" * 10_000
    files = {
        each.path: each
        for each in select(tree({**SHOP, "src/shop/cart.py": long}), FAILED, ("src",), 4_000).files
    }
    assert not files["src/shop/cart.py"].whole
    assert files["src/shop/cart.py"].around == (7,)
    assert files["src/shop/tax.py"].whole


def test_what_is_chosen_is_bounded() -> None:
    """So many of each kind, and of all what twice the budget holds; the rest is told."""
    many = {f"tests/test_cart_{n:03}.py": "from shop.cart import total\n" for n in range(50)}
    found = select(tree({**SHOP, **many}), FAILED, ("src", "."), 20_000)
    assert list(why(found).values()).count(TEST) == MOST[TEST]
    assert len(found.left_out) >= 40
    small = select(tree({**SHOP}), FAILED, ("src", "."), 20)
    assert len(small.chosen) < len(selected().chosen)
    assert {each.reason for each in small.left_out} == {"over the budget"}


def test_names_that_say_nothing_are_not_looked_up() -> None:
    """A name that many files define, or that every value has, is no definition to show."""
    more = {f"src/m{n}.py": "def discount(x): ...\ndef get(x): ...\n" for n in range(5)}
    assert DEFINED not in why(select(tree({**SHOP, **more}), FAILED, ("src", "."), 20_000)).values()


@pytest.mark.parametrize(
    ("files", "call", "imports"),
    [
        (
            {
                "web/src/cart.ts": 'import { price } from "./lib/price.js";\nconst x = require("../up")\n',
                "web/src/lib/price.ts": "export const price = 1",
                "web/up/index.js": "",
                "web/src/cart.test.ts": 'import { total } from "./cart"',
            },
            Call("webpack:///./src/cart.ts", "total", 1),
            {"web/src/lib/price.ts": IMPORTED, "web/up/index.js": IMPORTED, "web/src/cart.test.ts": TEST},
        ),
        (
            {
                "app/src/main/java/com/acme/Cart.java": "import com.acme.tax.Rate;\nclass Cart { Price p; }",
                "app/src/main/java/com/acme/tax/Rate.java": "class Rate {}",
                "app/src/main/java/com/acme/Price.java": "class Price {}",
                "app/src/test/java/com/acme/CartTest.java": "import com.acme.Cart;",
            },
            Call("com/acme/Cart.java", "total", 1),
            {
                "app/src/main/java/com/acme/tax/Rate.java": IMPORTED,
                "app/src/main/java/com/acme/Price.java": IMPORTED,
                "app/src/test/java/com/acme/CartTest.java": TEST,
            },
        ),
        (
            {
                "cart/cart.go": 'import (\n\t"acme.com/shop/tax"\n)\nfunc Total() { tax.Rate(); price() }\n',
                "cart/price.go": "func price() {}\n",
                "tax/rate.go": "func Rate() {}\n",
                "tax/other.go": "func Other() {}\n",
                "cart/cart_test.go": "func TestTotal() { Total() }\n",
            },
            Call("/build/cart/cart.go", "Total", 4),
            {"cart/price.go": IMPORTED, "tax/rate.go": IMPORTED, "cart/cart_test.go": TEST},
        ),
    ],
    ids=["typescript", "java", "go"],
)
def test_other_languages_are_told_by_patterns(
    files: dict[str, str], call: Call, imports: dict[str, str]
) -> None:
    """Frames, relative imports, imports by package, functions of the same package, and their tests."""
    found = why(select(tree({**files}), Failure("E", "", (call,)), (".",), 20_000))
    assert next(iter(found.values())) == FRAME
    assert {path: found.get(path) for path in imports} == imports
    assert "tax/other.go" not in found


PIECES = st.sampled_from(
    [*SHOP, *SHOP.values(), "from . import *\n", "import a.b.c\n", "x" * 500, "\n" * 50, "..", "/"]
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(PIECES, st.one_of(PIECES, st.text(max_size=40)), max_size=8), st.lists(PIECES, max_size=4)
)
def test_any_tree_and_any_frames_are_selected_from(files: dict[str, str], frames: list[str]) -> None:
    """Whatever the repository holds and the trace tells: what is chosen is in the tree, once, in bounds."""
    made = tree({**{path: text.encode(errors="replace") for path, text in files.items()}})
    failure = Failure("E", "", tuple(Call(each, each[:20], number) for number, each in enumerate(frames)))
    found = select(made, failure, ("src", "."), 2_000)
    paths = [each.path for each in found.chosen]
    assert len(set(paths)) == len(paths)
    assert set(paths) <= made.plain().keys()
    assert found == select(made, failure, ("src", "."), 2_000)
    assert len(found.calls) == len(frames)


@pytest.mark.parametrize(
    "text",
    [
        "\n" * 300_000,
        "import " * 50_000,
        "from " + "a" * 300_000,
        "import\t" + " " * 300_000 + "x",
        "\n".join(f"from .m{n} import *" for n in range(5_000)),
        "total total( " * 25_000,
        "func (" * 50_000,
    ],
    ids=["blank", "words", "name", "spaces", "stars", "calls", "receivers"],
)
@pytest.mark.parametrize("name", ["cart.py", "cart.ts", "cart.go", "Cart.java"])
def test_a_hostile_file_costs_little(name: str, text: str) -> None:
    """Patterns take time in proportion to a file: a second is far more than any of these needs."""
    files = {f"src/{name}": text, f"tests/test_{name}": text, "src/m1.py": text, "src/__init__.py": text}
    start = time.process_time()
    select(tree({**files}), Failure("E", "", (Call(f"src/{name}", "total", 1),)), ("src",), 20_000)
    assert time.process_time() - start < 3


def test_a_repository_of_this_size_is_quick() -> None:
    """Sentinel's own files, read as a tree: selecting from them takes less than two seconds of CPU."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    paths = [each for each in listed.stdout.decode().split("\0") if each and (ROOT / each).is_file()]
    if not paths:
        pytest.skip("needs git and a checkout")
    held = {each: Held(EXECUTABLE, (ROOT / each).read_bytes()) for each in paths}
    failure = Failure("E", "", (Call("/srv/shared/sentinel/core/edits.py", "_edited", 113),))
    start = time.process_time()
    found = select(Tree(COMMIT, held), failure, ("shared", "."), 24_000)
    assert time.process_time() - start < 2
    assert list(why(found))[:2] == ["shared/sentinel/core/edits.py", "tests/core/test_edits.py"]
    assert why(found)["shared/sentinel/core/edit_anchors.py"] == USED
