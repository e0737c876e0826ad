"""What files of other languages than Python belong together, told by patterns of their lines.

JavaScript and TypeScript: relative imports. Java and Kotlin: imports by package, and classes of the same
folder that are named. Go: the files of a package that is imported or the same, where they define what is
used. Coarser than `python_sources`, and nothing here is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

_SCRIPTS: Final = (".ts", ".tsx", ".js", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_RELATIVE = re.compile(rb"""(?:\bfrom|\bimport|\brequire\(|\bimport\()\s*["'](\.{1,2}/[^"'\n]{1,200})["']""")
_PACKAGE = re.compile(rb"^[ \t]*import[ \t]+(?:static[ \t]+)?([\w.]{3,200})", re.MULTILINE)
_CLASS = re.compile(rb"\b([A-Z]\w{1,100})\b")
_GO_IMPORT = re.compile(rb'^[ \t]*(?:import[ \t]+)?(?:\w{1,100}[ \t]+)?"([\w./-]{1,200})"', re.MULTILINE)
_GO_FUNC = re.compile(rb"^func[ \t]+(?:\([^)\n]{1,100}\)[ \t]*)?(\w{1,100})", re.MULTILINE)
_WORD = re.compile(rb"\w{2,100}")
_MOST = 200_000  # bytes of a file that are looked at


def imported(path: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the files of the repository that a file imports or uses of its own package.

    >>> files = {"a/x.ts": b'import { y } from "./y"', "a/y.ts": b"export const y = 1"}
    >>> list(imported("a/x.ts", files))
    ['a/y.ts']
    """
    data = files[path][:_MOST]
    folder = path.rpartition("/")[0]
    if path.endswith(_SCRIPTS):
        yield from _scripts(folder, data, files)
    elif path.endswith((".java", ".kt")):
        yield from _java(path, folder, data, files)
    elif path.endswith(".go"):
        yield from _go(path, folder, data, files)


def _scripts(folder: str, data: bytes, files: Collection[str]) -> Iterator[str]:
    for each in dict.fromkeys(_RELATIVE.findall(data)):
        names = folder.split("/") if folder else []
        for part in each.decode(errors="replace").split("/"):
            if part == "..":
                names = names[:-1]
            elif part != ".":
                names = [*names, part]
        base = "/".join(names)
        stem = re.sub(r"\.[mc]?jsx?$", "", base)  # TypeScript names what its sources become
        tried = [base, *(f"{one}{end}" for one in (base, stem) for end in _SCRIPTS)]
        tried += [f"{base}/index{end}" for end in _SCRIPTS]
        yield from [one for one in tried if one in files][:1]


def _java(path: str, folder: str, data: bytes, files: Collection[str]) -> Iterator[str]:
    wanted = [each.decode().replace(".", "/") for each in dict.fromkeys(_PACKAGE.findall(data))]
    ends = {f"/{each}{end}" for each in wanted for end in (".java", ".kt")}
    for each in sorted(files):
        if each.endswith((".java", ".kt")) and any(f"/{each}".endswith(end) for end in ends):
            yield each
    for name in dict.fromkeys(_CLASS.findall(data)):
        for end in (".java", ".kt"):
            beside = f"{folder}/{name.decode()}{end}".removeprefix("/")
            if beside in files and beside != path:
                yield beside


def _go(path: str, folder: str, data: bytes, files: Mapping[str, bytes]) -> Iterator[str]:
    uses = set(_WORD.findall(data)) - set(_GO_FUNC.findall(data))
    packages = [each.decode() for each in dict.fromkeys(_GO_IMPORT.findall(data))]
    for each in sorted(files):
        beside = each.rpartition("/")[0]
        if each == path or not each.endswith(".go") or each.endswith("_test.go"):
            continue
        near = beside == folder or (beside and any(f"/{one}".endswith(f"/{beside}") for one in packages))
        if near and uses & set(_GO_FUNC.findall(files[each][:_MOST])):
            yield each
