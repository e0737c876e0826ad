"""Controls: runs that tests of what a program does cannot tell from others, and tests of its text can.

A test that reads the source, counts the files beside it or asks how it was started may fail for any mutant
and on the code as it was, and says nothing of what the code does. So the program is run written otherwise,
which no test may notice, and as it was with the new lines standing in it as a text, which makes no test pass.
"""

from __future__ import annotations

import ast
import tokenize
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from sentinel.core.patch_lines import Source
from sentinel.core.patch_syntax import Unreadable, python
from sentinel.core.proof_states import Files
from sentinel.core.trees import Held

_QUOTES: Final = ('"""', "'''")


def written_otherwise(files: Files, sources: Iterable[Source]) -> Files:
    """Return files whose changed sources do the same and have other bytes, as far as that can be."""
    changed = dict(files)
    for source in sources:
        if source.path in changed:
            changed[source.path] = Held(changed[source.path].mode, _otherwise(source).encode())
    return changed


def standing_by(files: Files, sources: Iterable[Source]) -> Files:
    """Return files as they were, in which what sources become stands as a text that nothing uses."""
    changed = dict(files)
    for source in sources:
        quote = next((each for each in _QUOTES if each not in source.text), "")
        if source.path in changed and quote:
            held = changed[source.path]
            told = held.data + f"\n\nr{quote}\n{source.text}\n{quote}\n".encode()
            if _reads(told):
                changed[source.path] = Held(held.mode, told)
    return changed


def _reads(data: bytes) -> bool:
    try:
        python(data.decode())
    except (Unreadable, UnicodeDecodeError):
        return False
    return True


def _otherwise(source: Source) -> str:
    r"""Return a text with wider spaces in its changed lines, and one line more.

    >>> _otherwise(Source("a.py", "x = 1\ny = 'a b'\n", frozenset({2})))
    "x = 1\ny  =  'a b'\n#\n"
    """
    lines = source.text.split("\n")
    for row, column in sorted(_spaces(source), reverse=True):
        lines[row - 1] = f"{lines[row - 1][:column]} {lines[row - 1][column:]}"
    wide = "\n".join(lines)
    end = "#\n" if wide.endswith("\n") else "\n#\n"
    return (wide if _same(wide, source.text) else source.text) + end


def _spaces(source: Source) -> list[tuple[int, int]]:
    """Return where changed lines have a space between two words: the line's number and the column."""
    try:
        tokens = list(tokenize.generate_tokens(iter(source.text.splitlines(keepends=True)).__next__))
    except (tokenize.TokenError, SyntaxError):
        return []
    return [
        after.start
        for before, after in pairwise(tokens)
        if before.end[0] == after.start[0]
        and before.end[1] < after.start[1]
        and after.start[0] in source.lines
        and before.type not in {tokenize.INDENT, tokenize.DEDENT, tokenize.NL, tokenize.NEWLINE}
    ]


def _same(one: str, other: str) -> bool:
    try:
        return ast.dump(python(one)) == ast.dump(python(other))
    except (Unreadable, RecursionError):
        return False
