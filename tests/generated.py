"""What of the documentation is made from code: `make docs` writes it, `tests/test_docs.py` compares it.

A part stands between two comments, `<!-- NAME -->` and `<!-- /NAME -->`, each on a line of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sentinel.core import states

ROOT = Path(__file__).resolve().parents[1]


def matrix() -> str:
    """Return the tamper matrix, from a run of all of it."""
    from tests.verify import matrix

    return matrix.markdown()


PARTS: Mapping[tuple[str, str], Callable[[], str]] = {
    ("tasks.md", "states"): states.markdown,
    ("verify.md", "matrix"): matrix,
}


def placed(name: str, text: str) -> str:
    """Return the text of a file of docs/ with its generated parts as the code has them now."""
    for (file, part), make in PARTS.items():
        if file == name:
            before, begin, rest = text.partition(f"<!-- {part} -->\n")
            _, end, after = rest.partition(f"<!-- /{part} -->\n")
            assert begin, f"docs/{name} has no part {part}"
            assert end, f"docs/{name}: the part {part} does not end"
            text = f"{before}{begin}{make()}{end}{after}"
    return text


if __name__ == "__main__":
    for name in {file for file, _ in PARTS}:
        path = ROOT / "docs" / name
        path.write_text(placed(name, path.read_text()))
