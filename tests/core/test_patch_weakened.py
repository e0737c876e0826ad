"""Weakened tests: each way to make a test pass without making the program right is found by its rule."""

from __future__ import annotations

from textwrap import dedent

import pytest

from sentinel.core.edits import patch_of
from sentinel.core.patch_findings import RULES, Verdict
from sentinel.core.patch_policy import Policy, judge

BEFORE = """
import math
import unittest

import pytest

from shop import f, g

TOLERANCE = 1e-6
CASES = [1, 2]


@pytest.fixture
def shop():
    return f(CASES)


def check(x):
    assert x == 3


def test_a():
    x = f()
    assert x == 5
    assert x is not None


@pytest.mark.parametrize("x", [1, 2, 3])
def test_cases(x):
    assert f(x) == pytest.approx(x, rel=1e-6)


def test_raises():
    with pytest.raises(ValueError, match="no"):
        f()
    assert g() < 5


class TestIt(unittest.TestCase):
    def test_b(self):
        self.assertEqual(f(), 1)
        self.assertAlmostEqual(g(), 1.5, places=5)
"""


def rules(before: str, after: str, path: str = "tests/test_it.py") -> set[str]:
    """Return the rules that speak against the change of one file."""
    patch = patch_of({path: before.encode()}, {path: after.encode()})
    return {each.rule for each in judge(patch, Policy(max_changed_lines=1_000)).findings}


WEAKER = [
    ("test-removed", "def test_a():", "def helper_a():"),
    ("test-removed", "def test_a():", "def test_other():"),
    ("test-removed", "def test_a():\n    x = f()\n    assert x == 5\n    assert x is not None\n", ""),
    (
        "test-removed",
        "def test_raises",
        "def test_a():\n    assert f() == 5\n    assert f()\n\n\ndef test_raises",
    ),
    ("test-removed", "[1, 2, 3]", "[1, 2]"),
    ("test-removed", "class TestIt", "class It"),
    ("test-removed", "def test_a():", "@pytest.fixture\ndef test_a():"),
    ("assert-removed", "    assert x == 5\n", ""),
    ("assert-removed", "    assert x == 5\n", "    x == 5\n"),
    ("assert-removed", "    assert x == 5\n", "    # assert x == 5\n"),
    ("assert-removed", "    assert x == 3\n", "    return x == 3\n"),
    ("assert-removed", '    with pytest.raises(ValueError, match="no"):\n        f()\n', ""),
    ("assert-removed", "        self.assertEqual(f(), 1)\n", ""),
    ("test-skipped", "def test_a", "@pytest.mark.skip\ndef test_a"),
    ("test-skipped", "def test_a", "@pytest.mark.skipif(True, reason='')\ndef test_a"),
    ("test-skipped", "def test_a", "@pytest.mark.xfail\ndef test_a"),
    ("test-skipped", "    x = f()\n", "    pytest.skip('later')\n    x = f()\n"),
    ("test-skipped", "    x = f()\n", "    pytest.importorskip('no')\n    x = f()\n"),
    ("test-skipped", "import math", "from pytest import skip as later"),
    ("test-skipped", "    def test_b", "    @unittest.skip('')\n    def test_b"),
    ("test-skipped", "    def test_b", "    @unittest.expectedFailure\n    def test_b"),
    ("test-skipped", "    def test_b", "    __test__ = False\n\n    def test_b"),
    ("test-skipped", "    def test_b", "    def __init__(self):\n        pass\n\n    def test_b"),
    ("test-skipped", "        self.assertEqual", "        self.skipTest('')\n        self.assertEqual"),
    ("test-skipped", "        self.assertEqual", "        raise unittest.SkipTest\n        self.assertEqual"),
    ("test-skipped", "TOLERANCE", "pytestmark = pytest.mark.slow\nTOLERANCE"),
    ("test-skipped", "def test_raises", "test_a = None\n\n\ndef test_raises"),
    ("test-skipped", "def test_raises", "del test_a\n\n\ndef test_raises"),
    ("test-skipped", "    x = f()\n", "    x = yield f()\n"),
    ("assert-trivial", "assert x == 5", "assert True"),
    ("assert-trivial", "assert x == 5", "assert (x == 5, 'words')"),
    ("assert-trivial", "assert x == 5", "assert x == 5 or True"),
    ("assert-trivial", "assert x == 5", "assert x == x"),
    ("assert-trivial", "assert x == 5", "assert 5 == 5"),
    ("assert-trivial", "assert x == 5", "assert not False"),
    ("assert-trivial", "self.assertEqual(f(), 1)", "self.assertEqual(1, 1)"),
    ("assert-trivial", "self.assertEqual(f(), 1)", "self.assertTrue(True)"),
    ("assert-loosened", "assert x == 5", "assert x >= 5"),
    ("assert-loosened", "assert x == 5", "assert x in (5, 6)"),
    ("assert-loosened", "assert x == 5", "assert x"),
    ("assert-loosened", "assert x == 5", "assert x != 4"),
    ("assert-loosened", "assert x == 5", "assert x == 5 or x == 6"),
    ("assert-loosened", "assert x == 5", "assert isinstance(x, int)"),
    ("assert-loosened", "assert x == 5", "assert x == pytest.approx(5)"),
    ("assert-loosened", "assert x == 5", "assert round(x) == 5"),
    ("assert-loosened", "assert x == 5", "assert math.isclose(x, 5)"),
    ("assert-loosened", "rel=1e-6", "rel=1e-2"),
    ("assert-loosened", "rel=1e-6", "abs=1"),
    ("assert-loosened", "rel=1e-6", "rel=1e-6, abs=10"),
    ("assert-loosened", "approx(x, rel=1e-6)", "approx(x, 0.5)"),
    ("assert-loosened", "places=5", "places=1"),
    ("assert-loosened", "places=5", "delta=1"),
    ("assert-loosened", "TOLERANCE = 1e-6", "TOLERANCE = 1e-1"),
    ("assert-loosened", "g() < 5", "g() < 50"),
    ("assert-loosened", 'ValueError, match="no"', "ValueError"),
    ("assert-loosened", 'ValueError, match="no"', 'Exception, match="no"'),
    ("assert-loosened", "self.assertEqual(f(), 1)", "self.assertTrue(f())"),
    ("assert-loosened", "self.assertEqual(f(), 1)", "self.assertIn(f(), [1, 2])"),
    ("assert-loosened", "self.assertEqual(f(), 1)", "self.assertGreaterEqual(f(), 1)"),
    ("assert-loosened", "self.assertEqual(f(), 1)", "self.assertIsNotNone(f())"),
    ("assert-loosened", "self.assertEqual(f(), 1)", "self.assertAlmostEqual(f(), 1)"),
    (
        "assert-swallowed",
        "    assert x == 5\n",
        "    try:\n        assert x == 5\n    except AssertionError:\n        pass\n",
    ),
    (
        "assert-swallowed",
        "    assert x == 5\n",
        "    try:\n        assert x == 5\n    except:\n        pass\n",
    ),
    (
        "assert-swallowed",
        "    assert x == 5\n",
        "    try:\n        assert x == 5\n    finally:\n        return\n",
    ),
    (
        "assert-swallowed",
        "    assert x == 5\n",
        "    with contextlib.suppress(Exception):\n        assert x == 5\n",
    ),
    (
        "assert-swallowed",
        "    assert x == 5\n",
        "    with pytest.raises(AssertionError):\n        assert x == 5\n",
    ),
    ("assert-unreached", "    assert x == 5\n", "    return\n    assert x == 5\n"),
    ("assert-unreached", "    assert x == 5\n", "    if not x:\n        return\n    assert x == 5\n"),
    ("assert-unreached", "    assert x == 5\n", "    if x == 5:\n        assert x == 5\n"),
    ("assert-unreached", "    assert x == 5\n", "    for x in []:\n        assert x == 5\n"),
    ("assert-unreached", "    assert x == 5\n", "    assert f\n    if x:\n        assert x == 5\n"),
    ("assert-unreached", "    assert x == 5\n", "    if False:\n        assert x == 5\n"),
]


@pytest.mark.parametrize(("rule", "old", "new"), WEAKER)
def test_python_tests_are_not_weakened(rule: str, old: str, new: str) -> None:
    """A test that is gone, skipped, or demands less is refused by the rule that names how."""
    assert BEFORE.count(old) == 1
    assert rule in rules(BEFORE, BEFORE.replace(old, new))
    assert RULES[rule].verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("TOLERANCE", "# a word\nTOLERANCE"),
        ("def test_raises", "def test_new():\n    assert h(1) == 2\n\n\ndef test_raises"),
        ("def check", "def helper(x):\n    return x\n\n\ndef check"),
        ("class TestIt", "class TestNew:\n    def test_c(self):\n        assert h() == 1\n\n\nclass TestIt"),
        ("    assert x == 5\n", "    assert x == 5  # as in the ticket\n"),
        ("import math", "import math\nimport os"),
        ("from shop import f, g", "from shop import f, g, h"),
        ("import math\n", ""),
        ("TOLERANCE =", "MORE: int = 5\nTOLERANCE ="),
        ("import math\n", "if __name__ == '__main__':\n    unittest.main()\n"),
        ("TOLERANCE =", "@pytest.fixture\ndef other():\n    return 5\n\n\nTOLERANCE ="),
    ],
)
def test_more_tests_are_welcome(old: str, new: str) -> None:
    """New tests, helpers, imports and words beside the tests that were there have nothing against them."""
    assert rules(BEFORE, BEFORE.replace(old, new)) == set()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("assert x == 5", "assert x == 6"),
        ("    x = f()\n", "    x = f(2)\n"),
        ("    assert x == 5\n", "    assert x == 5\n    assert x < 9\n"),
        ("assert x is not None", "assert x is None"),
        ("    assert x == 5\n", "    assert x == 5\n    if x:\n        assert x < 9\n"),
        ("[1, 2, 3]", "[1, 2, 3, 'fixture']"),
        ("[1, 2, 3]", "[1, 2, 3, 4]"),
        ("rel=1e-6", "rel=1e-9"),
        ("places=5", "places=7"),
        ("g() < 5", "g() < 4"),
        ('match="no"', 'match="not"'),
        ("CASES = [1, 2]", "CASES = [1]"),
        ("return f(CASES)", "return 5"),
        ("from shop import f, g", "from fakes import f\nfrom shop import g"),
        ("import math", "from fakes import *"),
        ("TOLERANCE =", "def f():\n    return 5\n\n\nTOLERANCE ="),
        ("TOLERANCE =", "f = lambda: 5\nTOLERANCE ="),
        ("TOLERANCE =", "@pytest.fixture(autouse=True)\ndef quiet(monkeypatch):\n    pass\n\n\nTOLERANCE ="),
        ("TOLERANCE =", "def x():\n    return 5\n\n\nTOLERANCE ="),
        ("    def test_b", "    def setUp(self):\n        pass\n\n    def test_b"),
        ("class TestIt(unittest.TestCase)", "class TestIt(Other)"),
        ("TOLERANCE =", "import shop\n\nshop.f = lambda: 5\nTOLERANCE ="),
        ("TOLERANCE =", "globals()['test_a'] = None\nTOLERANCE ="),
        ("TOLERANCE =", "globals().pop('test_a')\nTOLERANCE ="),
        ("TOLERANCE =", "raise SystemExit\nTOLERANCE ="),
        ("self.assertEqual(f(), 1)", "self.assertEqual(f(), 2)"),
    ],
)
def test_other_changes_of_a_test_need_a_person(old: str, new: str) -> None:
    """A test that demands something else, or more, is not refused: whether it is right, a person says."""
    assert rules(BEFORE, BEFORE.replace(old, new)) == {"test-changed"}
    assert RULES["test-changed"].verdict is Verdict.APPROVAL


def test_a_file_of_tests_that_is_emptied_or_gone() -> None:
    """Emptying or taking away a file of tests is refused; so is a new test that is skipped or swallows."""
    assert "test-removed" in rules(BEFORE, "")
    assert "test-removed" in rules(BEFORE, "# nothing\n")
    gone = judge(patch_of({"tests/test_it.py": BEFORE.encode()}, {}), Policy()).findings
    assert {"deletion", "test-removed"} <= {each.rule for each in gone}
    for text in (
        "import pytest\n@pytest.mark.skip\ndef test_n():\n    assert f() == 1\n",
        "def test_n():\n    try:\n        assert f() == 1\n    except Exception:\n        pass\n",
        "def test_n():\n    assert True\n",
    ):
        found = judge(patch_of({}, {"tests/test_n.py": text.encode()}), Policy()).findings
        assert [each.verdict for each in found] == [Verdict.REFUSED], text


def test_tests_are_found_wherever_they_stand() -> None:
    """Tests in a file whose name does not tell are looked at as well; other code asserts as it likes."""
    assert "test-removed" in rules(BEFORE, "", "src/module.py")
    assert rules("def f(x):\n    assert x\n", "def f(x):\n    return x\n", "src/module.py") == set()
    client = "TRIES = 1\n\n\nclass Client:\n    def test_connection(self):\n        assert self.up\n"
    assert rules(client, client.replace("TRIES = 1", "TRIES = 2"), "src/client.py") == set()


def test_a_file_that_does_not_parse_is_looked_at_by_lines() -> None:
    """Where Python cannot be read before or after, tests, assertions and skips are counted in its lines."""
    broken = "def f(:\n" + BEFORE
    assert {"test-removed", "assert-removed"} <= rules(broken, "def f(:\n")
    assert "test-skipped" in rules(broken, broken.replace("def test_a", "@pytest.mark.skip\ndef test_a"))


SCRIPT = """
    describe("cart", () => {
      it("adds", () => {
        expect(add(1, 2)).toBe(3);
        expect(list).toEqual([1]);
      });
      it("fails", () => {
        expect(() => add()).toThrow("no");
      });
    });
    """
JAVA = """
    class CartTest {
        @Test
        void adds() {
            assertEquals(3, add(1, 2));
            assertThrows(No.class, () -> add());
        }
    }
    """
GO = """
    func TestAdd(t *testing.T) {
        if got := Add(1, 2); got != 3 {
            t.Errorf("got %d", got)
        }
        require.Equal(t, 3, Add(1, 2))
    }
    """
RUBY = """
    RSpec.describe Cart do
      it "adds" do
        expect(add(1, 2)).to eq(3)
      end
    end
    """


@pytest.mark.parametrize(
    ("path", "before", "old", "new", "rule"),
    [
        ("a.test.ts", SCRIPT, 'it("adds"', 'it.skip("adds"', "test-skipped"),
        ("a.test.ts", SCRIPT, 'it("adds"', 'xit("adds"', "test-skipped"),
        ("a.test.ts", SCRIPT, 'it("fails"', 'it.only("fails"', "test-skipped"),
        ("a.spec.js", SCRIPT, "describe(", "describe.skip(", "test-skipped"),
        ("a.test.ts", SCRIPT, "    expect(list).toEqual([1]);\n", "", "assert-removed"),
        ("a.test.ts", SCRIPT, "expect(list)", "// expect(list)", "assert-removed"),
        (
            "a.test.ts",
            SCRIPT,
            "expect(list).toEqual([1])",
            "/*\nexpect(list).toEqual([1])\n*/",
            "assert-removed",
        ),
        ("a.test.ts", SCRIPT, ".toBe(3)", ".toBeTruthy()", "assert-loosened"),
        ("a.test.ts", SCRIPT, ".toEqual([1])", ".toBeDefined()", "assert-loosened"),
        ("a.test.ts", SCRIPT, "expect(add(1, 2)).toBe(3)", "expect(true).toBe(true)", "assert-trivial"),
        ("a.test.ts", SCRIPT, 'it("fails"', 'helper("fails"', "test-removed"),
        ("CartTest.java", JAVA, "@Test", "@Test @Disabled", "test-skipped"),
        ("CartTest.java", JAVA, "@Test", "@Ignore @Test", "test-skipped"),
        ("CartTest.java", JAVA, "@Test", "", "test-removed"),
        ("CartTest.java", JAVA, "assertEquals(3, add(1, 2))", "assertTrue(true)", "assert-trivial"),
        ("CartTest.java", JAVA, "assertEquals(3, add(1, 2))", "assertNotNull(add(1, 2))", "assert-loosened"),
        ("CartTest.java", JAVA, "assertThrows(No.class, () -> add());", "", "assert-removed"),
        ("cart_test.go", GO, "if got", "t.Skip()\n\tif got", "test-skipped"),
        ("cart_test.go", GO, "func TestAdd", "//go:build never\n\nfunc TestAdd", "test-skipped"),
        ("cart_test.go", GO, "func TestAdd", "func testAdd", "test-removed"),
        ("cart_test.go", GO, 't.Errorf("got %d", got)', "_ = got", "assert-removed"),
        (
            "cart_test.go",
            GO,
            "require.Equal(t, 3, Add(1, 2))",
            "require.NotNil(t, Add(1, 2))",
            "assert-loosened",
        ),
        ("cart_spec.rb", RUBY, 'it "adds"', 'xit "adds"', "test-skipped"),
        ("cart_spec.rb", RUBY, "expect(add", "skip\n    expect(add", "test-skipped"),
        ("cart_spec.rb", RUBY, "expect(add(1, 2)).to eq(3)", "add(1, 2)", "assert-removed"),
        ("cart_spec.rb", RUBY, "to eq(3)", "to be_truthy", "assert-loosened"),
        ("cart_spec.rb", RUBY, "expect(add(1, 2)).to eq(3)", "expect(true).to be(true)", "assert-trivial"),
        ("cart_spec.rb", RUBY, 'it "adds"', 'helper "adds"', "test-removed"),
    ],
)
def test_tests_of_other_languages(path: str, before: str, old: str, new: str, rule: str) -> None:
    """Skips, fewer tests and assertions, lax and empty assertions are found by lines; more tests are free."""
    text = dedent(before)
    assert old in text
    changed = text.replace(old, new)
    assert rule in rules(text, changed, f"web/{path}")
    assert "test-skipped" not in rules(changed, text, f"web/{path}")
    more = {"a": '\nit("more", () => { expect(f()).toBe(1) })\n', "C": "\n// @Test\n", "c": "\n\n"}[path[0]]
    assert rules(text, text + more, f"web/{path}") == set()


def test_a_changed_line_of_another_language_needs_a_person() -> None:
    """An assertion that expects something else is for a person to judge."""
    assert rules(SCRIPT, SCRIPT.replace("toBe(3)", "toBe(4)"), "a.test.ts") == {"test-changed"}


@pytest.mark.parametrize(
    "line",
    [
        'if "PYTEST_CURRENT_TEST" in os.environ:',
        "import pytest",
        "from unittest import mock",
        'if "pytest" in sys.modules:',
        "if (process.env.JEST_WORKER_ID) return 3",
        'if (process.env.NODE_ENV === "test") return 3',
        "if testing.Testing() {",
        "os._exit(0)",
    ],
)
def test_code_does_not_know_that_it_is_tested(line: str) -> None:
    """Code outside of tests that asks for a test runner is refused; in tests it may."""
    assert rules("x\n", f"x\n{line}\n", "src/a.txt") == {"test-aware"}
    assert rules(f"x\n{line}\n", "x\n", "src/a.txt") == set()
    assert "test-aware" not in rules("", "import pytest\n", "tests/test_n.py")
