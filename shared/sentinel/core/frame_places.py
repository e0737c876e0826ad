"""Where in a repository the frames of a stack trace are: by the longest path that both have at the end.

A program runs from another folder than that of its repository, so of a frame's path only the end is known.
It has to be all of the path in the repository, or all below a root of modules, or all that the frame has, or
at least a file with its folder. Of several files with the same end that one is meant in which the function
stands at the line; if that still leaves several, none is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from sentinel.core.failure_parts import is_own
from sentinel.core.failures import Call

_SCHEMES = re.compile(r"^(?:file|webpack|app|webpack-internal)://[^/]*/")
_ALIKE = 200  # files of one name that are looked at
_AROUND = 400  # lines before a frame's, in which its function may begin


class Places:
    """The files of a repository by the ends of their paths. `roots` are its folders of modules.

    >>> places = Places({"src/shop/cart.py": b"def total(): ..."}, ("src", "."))
    >>> places.of(Call("/srv/app/src/shop/cart.py", "total", 1)), places.of(Call("shop/cart.py", "total", 1))
    ('src/shop/cart.py', 'src/shop/cart.py')
    >>> places.of(Call("/usr/lib/python3.11/shop/cart.py", "total", 1))
    """

    def __init__(self, files: Mapping[str, bytes], roots: Sequence[str]) -> None:
        self._files = files
        self._roots = [f"{each}/" for each in roots if each != "."]
        self._named: dict[str, list[str]] = {}
        for path in sorted(files):
            self._named.setdefault(path.rpartition("/")[2], []).append(path)

    def of(self, call: Call) -> str | None:
        """Return the path of a call's file in the repository, or None."""
        if not is_own(call.file):
            return None
        names = _names(call.file)
        if not names:
            return None
        scored = [(self._score(names, path), path) for path in self._named.get(names[-1], ())[:_ALIKE]]
        best = max((score for score, _ in scored), default=0)
        found = [path for score, path in scored if score == best] if best else []
        if len(found) > 1:
            found = [path for path in found if _stands(self._files[path], call)]
        return found[0] if len(found) == 1 else None

    def _score(self, names: Sequence[str], path: str) -> int:
        """Return how many names at their ends are the same, 0 where that says too little."""
        parts = path.split("/")
        common = 0
        for mine, told in zip(reversed(parts), reversed(names), strict=False):
            if mine != told:
                break
            common += 1
        whole = {len(parts), *(len(parts) - root.count("/") for root in self._roots if path.startswith(root))}
        return common if common >= 2 or common in whole or common == len(names) else 0


def _names(file: str) -> list[str]:
    """Return the names of a frame's path, without what says from where it was loaded."""
    path = _SCHEMES.sub("", file.replace("\\", "/").partition("?")[0])
    return [each for each in path.split("/") if each not in {"", ".", ".."}]


def _stands(data: bytes, call: Call) -> bool:
    """Whether a file has the line, and the function's name not far above it."""
    lines = data.split(b"\n")
    name = call.function.rpartition(".")[2].encode()
    if not name or not 0 < call.line <= len(lines):
        return False
    near = lines[max(0, call.line - _AROUND) : call.line]
    return name == b"<module>" or any(re.search(rb"\b" + re.escape(name) + rb"\b", each) for each in near)


def placed(calls: Iterable[Call], places: Places) -> tuple[Call, ...]:
    """Return calls with the repository's paths; the file of one that is in none is ""."""
    return tuple(Call(places.of(each) or "", each.function, each.line, each.values) for each in calls)
