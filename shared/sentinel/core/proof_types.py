"""Whether a project's type checker finds more errors with a patch: mypy, where the project configures it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from sentinel.core.proving import Ran

_ERROR: Final = re.compile(r"^([^:\n]+):\d+(?::\d+)?: error: (.*)$", re.MULTILINE)
_CODE: Final = re.compile(r"\[([a-z-]+)\]$")
_SECTIONS: Final = (
    ("pyproject.toml", "[tool.mypy]"),
    ("setup.cfg", "[mypy]"),
    ("mypy.ini", "[mypy]"),
    (".mypy.ini", "[mypy]"),
)


def configured(files: Mapping[str, str]) -> bool:
    """Whether a project says how it is checked."""
    return any(section in files.get(path, "") for path, section in _SECTIONS)


def paths_of(files: Mapping[str, str], roots: Sequence[str]) -> list[str]:
    """Return what is checked: nothing where the project names it, else the folder of its sources."""
    texts = [files.get(path, "") for path, _ in _SECTIONS]
    if any(re.search(r"^(files|packages|modules)\s*=", each, re.MULTILINE) for each in texts):
        return []
    named = [each for each in roots if each != "." and any(path.startswith(f"{each}/") for path in files)]
    return named[:1] or ["."]


def errors_of(ran: Ran) -> Counter[str] | None:
    r"""Return errors by path and kind, or None where the checker did not run.

    >>> errors_of(Ran(1, b"a.py:3: error: No  [arg-type]\n", b""))
    Counter({'a.py arg-type': 1})
    """
    if ran.code not in {0, 1} or ran.ended or b"No module named" in ran.err:
        return None
    found: Counter[str] = Counter()
    for path, words in _ERROR.findall(ran.out.decode(errors="replace")):
        code = _CODE.search(words.strip())
        found[f"{path} {code.group(1) if code else 'error'}"[:200]] += 1
    return found


def worse(old: Counter[str], new: Counter[str]) -> list[str]:
    """Return the errors that are new, each as often as it is."""
    return sorted((new - old).elements())
