r"""Paths that a proposal may name: inside the repository on every system, and read by people as they are.

Checked are the text itself and what is already there, where names that differ only in case are one file on
some systems.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sentinel.core.edit_refusals import PathRefused, shown
from sentinel.core.legible import legible

MAX_PATH = 240  # bytes of UTF-8
MAX_NAME = 120  # bytes of one name in it
_FORBIDDEN = frozenset('\\:*?"<>|')  # mean something to some system, or to git's quoting
_DEVICES = {"con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))}


def check(path: str) -> None:
    """Raise `PathRefused` with the reason, where a path is not safe.

    >>> check("src/shop/[id].py")
    >>> check("../x")
    Traceback (most recent call last):
        ...
    sentinel.core.edit_refusals.PathRefused: path '../x' is refused: a name in it is empty, '.' or '..'
    """
    reason = problem(path)
    if reason:
        raise PathRefused(f"path {shown(path)} is refused: {reason}")


def problem(path: str) -> str | None:
    """Return why a path is not safe, or None."""
    if len(path) > MAX_PATH or len(path.encode(errors="replace")) > MAX_PATH:
        return f"it has more than {MAX_PATH} bytes"
    if _FORBIDDEN & set(path):
        return f"it has one of {' '.join(sorted(_FORBIDDEN))}"
    if legible(path) != f'"{path}"' or unicodedata.normalize("NFC", path) != path:
        return "it has characters that are not seen, or that are not in Unicode's form NFC"
    return next(filter(None, map(_of_name, path.split("/"))), None)


def _of_name(name: str) -> str | None:
    if name in {"", ".", ".."}:
        return "a name in it is empty, '.' or '..'"
    if name[0] in "- " or name[-1] in ". ":
        return "a name in it begins with a dash or a blank, or ends with a dot or a blank"
    if len(name.encode()) > MAX_NAME:
        return f"a name in it has more than {MAX_NAME} bytes"
    folded = fold(name)
    if folded == ".git" or folded.startswith("git~"):
        return "it leads into git's own folder"
    if folded.partition(".")[0] in _DEVICES:
        return "a name in it is a device of some systems"
    return None


def fold(path: str) -> str:
    """Return a path as a system sees it that does not tell case apart.

    >>> fold("Src/A.py") == fold("src/a.PY")
    True
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", path).casefold())


def check_free(path: str, present: Iterable[str]) -> None:
    """Raise `PathRefused` where a new file would be, or lead through, what is there under any case.

    >>> check_free("Src/b.py", ["src/a.py"])
    Traceback (most recent call last):
        ...
    sentinel.core.edit_refusals.PathRefused: path 'Src/b.py' is refused: 'src' is there already
    """
    files, folders = set(), {}
    for each in present:
        files.add(fold(each))
        folders.update({fold(folder): folder for folder in _above(each)})
    for folder in _above(path):
        if fold(folder) in files or folders.get(fold(folder), folder) != folder:
            raise PathRefused(_taken(path, folders.get(fold(folder), folder)))
    if fold(path) in files or fold(path) in folders:
        raise PathRefused(_taken(path, path))


def _above(path: str) -> list[str]:
    names = path.split("/")
    return ["/".join(names[:count]) for count in range(1, len(names))]


def _taken(path: str, by: str) -> str:
    return f"path {shown(path)} is refused: {shown(by)} is there already"
