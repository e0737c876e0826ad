r"""Tests that a patch weakens in other languages, told by lines: what is counted is what people write.

It is coarse: it sees that there are fewer tests or assertions, more skips, or laxer matchers than before, and
asks a person where lines change otherwise. Comments count for nothing, so what is commented out is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding

_LOOKED_AT = 2_000  # characters of a line


@dataclass(frozen=True, slots=True)
class Language:
    """How a language's tests are told: patterns for one line each."""

    comment: str
    tests: str
    asserts: str
    skips: str
    exact: str
    lax: str
    trivial: str


_SCRIPT = Language(
    comment=r"\s*(?://|\*)",
    tests=r"(?<![\w.])(?:it|test|specify)(?:\.each\b.*?|\.concurrent)?\s*\(",
    asserts=r"(?<!\w)(?:expect(?:\.\w+)?\s*\(|assert(?:\.\w+)*\s*\(|\.should\b)",
    skips=r"(?<!\w)(?:it|test|describe|context|suite|t)\.(?:skip|todo|only|failing|fixme|skipIf|runIf)\b"
    r"|(?<![\w.])(?:xit|xtest|xdescribe|xcontext|fit|fdescribe|pending)\s*\(|\bthis\.skip\s*\(",
    exact=r"\.(?:toBe|toEqual|toStrictEqual|toHaveBeenCalledWith|toThrow\w*|toMatchSnapshot|equals?|eql|deepEqual"
    r"|strictEqual|deepStrictEqual|toHaveLength|toBeNull|toBeUndefined|toHaveBeenCalledTimes)\s*\(",
    lax=r"\.(?:toBeTruthy|toBeFalsy|toBeDefined|toContain\w*|toMatchObject|toBeCloseTo|toBe(?:Greater|Less)\w+|ok"
    r"|toHaveBeenCalled|exist|toBeInstanceOf|notEqual|not\.\w+)\s*\(|\bassert\s*\(|expect\.(?:any|anything)\b",
    trivial=r"expect\(\s*(true|false|\d+)\s*\)\.(?:toBe|toEqual|toStrictEqual)\(\s*\1\s*\)"
    r"|expect\(\s*true\s*\)\.(?:toBeTruthy|toBeDefined)|assert(?:\.ok)?\(\s*(?:true|1)\s*[,)]",
)
_JVM = Language(
    comment=r"\s*(?://|\*)",
    tests=r"@(?:Test|ParameterizedTest|RepeatedTest|TestFactory|Property|TestTemplate)\b",
    asserts=r"(?<!\w)(?:assert\w*|verify\w*|fail|expectThrows)\s*\(|@Test\s*\(\s*expected",
    skips=r"@(?:Ignore|Disabled\w*|EnabledIf\w*|EnabledOn\w*)\b|\bassum(?:e|ing)\w*\s*\(|\bSkipException\b",
    exact=r"(?<!\w)assert(?:Equals|Same|ArrayEquals|IterableEquals|LinesMatch|Null)\s*\("
    r"|\.(?:isEqualTo|isSameAs|containsExactly)\w*\(",
    lax=r"(?<!\w)assert(?:True|False|NotNull|NotEquals|NotSame|DoesNotThrow)\s*\("
    r"|\.(?:isNotNull|isNotEqualTo|isCloseTo|contains"
    r"|isInstanceOf|is(?:Greater|Less)Than\w*|isTrue|isNotEmpty)\(|\bany(?:String|Int|Long|\(\)|\()",
    trivial=r"assertTrue\(\s*true\s*[,)]|assertFalse\(\s*false\s*[,)]|assertEquals\(\s*(\w+)\s*,\s*\1\s*[,)]",
)
_GO = Language(
    comment=r"\s*//",
    tests=r"^func\s+(?:Test|Fuzz|Benchmark|Example)\w*\s*\(|\bt\.Run\s*\(",
    asserts=r"\b(?:t|b|f|tb)\.(?:Error|Errorf|Fatal|Fatalf|Fail|FailNow)\s*\("
    r"|\b(?:assert|require|is)\.\w+\s*\(|\bcmp\.Diff\(",
    skips=r"\b(?:t|b|f|tb)\.(?:Skip|Skipf|SkipNow)\s*\(|//go:build\b|//\s*\+build\b|\btesting\.Short\(",
    exact=r"\b(?:assert|require)\.(?:Equal|Exactly|JSONEq|EqualError|ErrorIs|Nil|Len)\w*\(|!=",
    lax=r"\b(?:assert|require)\.(?:True|False|NotNil|NotEqual|Contains|InDelta"
    r"|InEpsilon|Error|NotEmpty|Greater|Less|Subset)\w*\(",
    trivial=r"\.True\(\s*t\s*,\s*true\b|\.Equal\(\s*t\s*,\s*(\w+)\s*,\s*\1\s*[,)]|\bif\s+false\b",
)
_RUBY = Language(
    comment=r"\s*#",
    tests=r"^\s*(?:it|specify|example|test|should|scenario)\b\s*[('\"{]|^\s*def\s+test_|^\s*it\s*(?:do|\{)",
    asserts=r"(?<!\w)(?:expect\s*[({]|assert\w*\b|refute\w*\b|is_expected\b|must_\w+|wont_\w+)|\.should\b",
    skips=r"^\s*(?:skip|pending|xit|xdescribe|xcontext|xspecify|fit|fdescribe|omit)\b"
    r"|\b(?:skip|pending|focus):|,\s*:(?:skip|focus|pending)\b",
    exact=r"\bto\s+(?:eq|eql|equal|be|match_array|contain_exactly|raise_error)\b"
    r"|\bassert_(?:equal|same|nil|raises)\b|must_equal",
    lax=r"\b(?:be_truthy|be_falsey|be_present|be_within|include|not_to|to_not|be_a|anything)\b"
    r"|\bassert(?:_in_delta|_includes|_match|_not_nil)?\b[ (]",
    trivial=r"expect\(\s*true\s*\)\.to\b|\bassert\s*\(?\s*true\b",
)
_PYTHON = Language(
    comment=r"\s*#",
    tests=r"^\s*(?:async\s+)?def\s+test",
    asserts=r"^\s*assert\b|\bassert\w*\s*\(|\braises\s*\(",
    skips=r"\b(?:skip\w*|xfail|SkipTest|expectedFailure)\b",
    exact=r"==|assertEqual|\bis\b",
    lax=r"assert(?:True|False|In|IsNotNone)\b|>=|<=|\bapprox\(",
    trivial=r"\bassert\s+(?:True|1)\b",
)
_ENDS: Final[Mapping[Sequence[str], Language]] = {
    (".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte"): _SCRIPT,
    (".java", ".kt", ".kts", ".groovy", ".scala"): _JVM,
    (".go",): _GO,
    (".rb",): _RUBY,
    (".py",): _PYTHON,
}
# (what is counted, whether more of it is worse, the rule, in words)
_COUNTED: Final = (
    ("tests", False, "test-removed", "there are fewer tests than before"),
    ("asserts", False, "assert-removed", "there are fewer assertions than before"),
    ("skips", True, "test-skipped", "more is skipped, or left out for others, than before"),
    ("trivial", True, "assert-trivial", "an assertion cannot fail"),
)


def language_of(path: str) -> Language | None:
    """Return how the tests of a file are told, or None where they are not."""
    return next((each for ends, each in _ENDS.items() if path.lower().endswith(tuple(ends))), None)


def findings(file: Changed) -> Iterator[Finding]:
    """Yield how a file's tests are weakened, as far as its lines tell."""
    language = language_of(file.path)
    if language is None:
        return
    before, after = _lines(language, file.before), _lines(language, file.after)
    found = []
    for what, more_is_worse, rule, words in _COUNTED:
        old, new = (_count(getattr(language, what), lines) for lines in (before, after))
        if (new > old) if more_is_worse else (new < old):
            found.append(Finding(rule, file.path, 0, words))
    exact = _count(language.exact, after) < _count(language.exact, before)
    if exact and _count(language.lax, after) > _count(language.lax, before):
        found.append(Finding("assert-loosened", file.path, 0, "an exact comparison became a lax one"))
    yield from found
    if not found and file.before is not None and file.removed:
        yield Finding("test-changed", file.path, file.removed[0][0], "lines of the tests are changed")


def _lines(language: Language, text: str | None) -> list[str]:
    """Return a text's lines without comments, each cut to what is looked at."""
    comment = re.compile(language.comment)
    build = re.compile(r"//\s*(?:go:build|\+build)\b")
    hashes = language.comment == r"\s*#"
    lines, inside = [], False
    for line in (text or "").split("\n"):
        cut = line[:_LOOKED_AT]
        opens = cut.startswith("=begin") if hashes else cut.lstrip().startswith("/*")
        if not inside and not opens and (not comment.match(cut) or build.match(cut)):
            lines.append(cut)
        inside = (inside or opens) and ("=end" if hashes else "*/") not in cut
    return lines


def _count(pattern: str, lines: Sequence[str]) -> int:
    shape = re.compile(pattern)
    return sum(len(shape.findall(line)) for line in lines)
