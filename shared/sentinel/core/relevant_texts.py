"""Files found by their text: tests of a file, definitions of names, callers of a function.

Text is searched before anything is parsed, so a large repository costs one pass over its bytes for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sentinel.core.patch_paths import is_test

MAX_NAMES: Final = 60  # names whose definitions are looked for
MAX_DEFINERS: Final = 2  # a name that more files define says nothing
MAX_CALLERS: Final = 8  # and so does one that more files call
_SOURCES = (".py", ".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".java", ".kt", ".go")
_LOOKED_AT = 200_000  # bytes of a test in which imports are looked for
_LONG_LINE = 1_000
_IMPORT = re.compile(rb"\b(?:from|import|require)\b")
_MENTIONED = 4  # lines of a file that mention a name
_COMMON: Final = frozenset(
    name for kind in (str, bytes, dict, list, set, int, float, tuple) for name in dir(kind)
) | {"close", "read", "write", "open", "name", "value", "run", "main", "send", "data", "type", "path", "id"}


def closest_tests(files: Mapping[str, bytes], paths: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield the tests of files, those first that are closest: named like them, importing them, using `names`.

    >>> files = {"tests/test_cart.py": b"from shop.cart import total", "tests/test_x.py": b"assert 1"}
    >>> list(closest_tests(files, ["src/shop/cart.py"], ["total"]))
    ['tests/test_cart.py']
    """
    stems = [each for each in dict.fromkeys(map(_stem, paths)) if each]
    if not stems:
        return
    words = [*stems, *names]
    found = []
    for path, data in files.items():
        if _may_test(path) and path not in paths and _has(data, words) and is_test(path):
            alike = next((at for at, stem in enumerate(stems) if stem in _stem(path)), len(stems))
            uses = sum(_has(data, [each]) for each in names)
            found.append((alike, not _imports(data, words), -uses, _apart(path, paths[0]), path))
    yield from (each[-1] for each in sorted(found) if each[0] < len(stems) or not each[1] or each[2])


def definitions(
    files: Mapping[str, bytes], names: Sequence[str], besides: Sequence[str]
) -> Iterator[tuple[str, int]]:
    """Yield (path, line) where Python files define names; not what many files define."""
    wanted = [each for each in names if each not in _COMMON and len(each) > 2][:MAX_NAMES]
    if not wanted:
        return
    words = b"(" + b"|".join(re.escape(each.encode()) for each in wanted) + rb")\b"
    pattern = re.compile(
        rb"^(?:[ \t]*(?:async[ \t]+def|def|class)[ \t]+" + words + rb"|" + words + rb"[ \t]*[:=][^=])",
        re.MULTILINE,
    )
    found: dict[bytes, dict[str, int]] = {}
    for path in sorted(files):
        if not path.endswith(".py") or path in besides or (_may_test(path) and is_test(path)):
            continue
        for each in pattern.finditer(files[path]):
            places = found.setdefault(each[1] or each[2], {})
            if path not in places:
                places[path] = files[path].count(b"\n", 0, each.start()) + 1
    for name in wanted:
        defined = found.get(name.encode(), {})
        if len(defined) <= MAX_DEFINERS:
            yield from defined.items()


def callers(files: Mapping[str, bytes], paths: Sequence[str], names: Sequence[str]) -> Iterator[str]:
    """Yield the files of the same language that call a function, those nearest to it first."""
    for name in names:
        end = paths[0].rpartition(".")[2]
        called = re.compile(rb"(?<!def )(?<!func )(?<!function )\b" + re.escape(name.encode()) + rb"\s?\(")
        found = [
            path
            for path, data in files.items()
            if path.endswith(f".{end}")
            and path not in paths
            and name.encode() in data
            and called.search(data)
            and not is_test(path)
        ]
        if len(found) <= MAX_CALLERS:
            yield from sorted(found, key=lambda each: (_apart(each, paths[0]), each))


def neighbours(files: Mapping[str, bytes], paths: Sequence[str]) -> Iterator[str]:
    """Yield the sources of the same folders, those first that name one of the files, as an import does.

    >>> files = {"a/x.py": b"", "a/b.py": b"y", "a/c.py": b"from a.x import f", "d.py": b"x"}
    >>> list(neighbours(files, ["a/x.py"]))
    ['a/c.py', 'a/b.py']
    """
    if not paths:
        return
    folders = {each.rpartition("/")[0] for each in paths}
    stems = [each for each in map(_stem, paths) if each]
    beside = [
        path
        for path in sorted(files)
        if path.endswith(_SOURCES) and path.rpartition("/")[0] in folders and path not in paths
    ]
    yield from sorted(
        (each for each in beside if files[each].strip()), key=lambda each: not _has(files[each], stems)
    )


def mentions(data: bytes, names: Sequence[str]) -> list[int]:
    r"""Return the first line and the first lines that mention one of the names.

    >>> mentions(b"import x\n\ndef test_total(): assert total([]) == 0\n", ["total"])
    [1, 3]
    """
    if not names:
        return [1]
    word, found = re.compile(_any_of(names)), [1]
    for number, line in enumerate(data[:1_000_000].split(b"\n"), 1):
        if len(found) > _MENTIONED:
            break
        if number > 1 and word.search(line):
            found.append(number)
    return found


def _imports(data: bytes, words: Sequence[str]) -> bool:
    """Whether one of the words stands in a line that imports something."""
    lines = (each for each in data[:_LOOKED_AT].split(b"\n") if len(each) < _LONG_LINE)
    return any(_IMPORT.search(each) and _has(each, words) for each in lines)


def _has(data: bytes, words: Sequence[str]) -> bool:
    """Whether one of the words stands in a text. A plain search is fast, so it goes first."""
    there = [each for each in words if each.encode() in data]
    return bool(there) and bool(re.search(_any_of(there), data))


def _any_of(words: Sequence[str]) -> bytes:
    return rb"\b(?:" + b"|".join(re.escape(each.encode()) for each in words) + rb")\b"


def _stem(path: str) -> str:
    """Return the name that a file's tests have, too: of a package that of its folder."""
    *folders, name = path.split("/")
    stem = name.partition(".")[0]
    return folders[-1] if stem in {"__init__", "index", "main"} and folders else stem


def _may_test(path: str) -> bool:
    """Whether it is worth asking if a file is a test: `is_test` has many patterns."""
    lower = path.lower()
    return path.endswith(_SOURCES) and ("test" in lower or "spec" in lower or "e2e" in lower)


def _apart(path: str, other: str) -> int:
    """Return how many folders lie between two files.

    >>> _apart("a/b/x.py", "a/c/y.py"), _apart("a/x.py", "a/y.py")
    (2, 0)
    """
    one, two = path.split("/")[:-1], other.split("/")[:-1]
    common = 0
    for mine, yours in zip(one, two, strict=False):
        if mine != yours:
            break
        common += 1
    return len(one) + len(two) - 2 * common
