r"""Diffs as git writes them, derived from two states of a file. Nobody's arithmetic is trusted but this.

The work is bounded whatever the files are: lines that both have once are matched first, and what lies
between them is compared line by line where that is little, and replaced as a whole otherwise.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

_CONTEXT = 3
_MOST_PAIRS = 50_000  # of equal lines, between which the longest runs are looked for

Change = tuple[int, int, int, int]  # lines i1..i2 of the one file became j1..j2 of the other


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text with their ends, as git counts them: only `\n` ends a line.

    >>> lines_of("a\r\nb\x0cc")
    ['a\r\n', 'b\x0cc']
    """
    *whole, last = text.split("\n")
    return [f"{line}\n" for line in whole] + ([last] if last else [])


def changes(before: Sequence[str], after: Sequence[str]) -> list[Change]:
    """Return the runs of lines that differ, in order."""
    found: list[Change] = []
    i1 = j1 = 0
    for i, j in [*_anchors(before, after), (len(before), len(after))]:
        found.extend((i1 + a, i1 + b, j1 + c, j1 + d) for a, b, c, d in _between(before[i1:i], after[j1:j]))
        i1, j1 = i + 1, j + 1
    return _joined(found)


def _anchors(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that both have once, in an order that both have: the longest such run (patience)."""
    once, there = Counter(before), Counter(after)
    place = {line: j for j, line in enumerate(after) if there[line] == 1 and once[line] == 1}
    ends: list[int] = []
    tops: list[int] = []
    pairs: list[tuple[int, int, int]] = []
    for i, line in enumerate(before):
        if line in place:
            j = place[line]
            at = bisect_left(ends, j)
            pairs.append((i, j, tops[at - 1] if at else -1))
            ends[at : at + 1] = [j]
            tops[at : at + 1] = [len(pairs) - 1]
    chosen, back = [], tops[-1] if tops else -1
    while back >= 0:
        i, j, back = pairs[back]
        chosen.append((i, j))
    return chosen[::-1]


def _between(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    top = 0
    while top < min(len(before), len(after)) and before[top] == after[top]:
        top += 1
    end = 0
    while end < min(len(before), len(after)) - top and before[-1 - end] == after[-1 - end]:
        end += 1
    one, other = before[top : len(before) - end], after[top : len(after) - end]
    if not one and not other:
        return
    counted = Counter(other)
    if sum(counted[line] for line in one) > _MOST_PAIRS:
        yield (top, top + len(one), top, top + len(other))
        return
    for tag, a, b, c, d in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        if tag != "equal":
            yield (top + a, top + b, top + c, top + d)


def _joined(found: Sequence[Change]) -> list[Change]:
    joined: list[Change] = []
    for each in found:
        if joined and joined[-1][1] == each[0] and joined[-1][3] == each[2]:
            joined[-1] = (joined[-1][0], each[1], joined[-1][2], each[3])
        else:
            joined.append(each)
    return joined


def unified(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> str:
    r"""Return the diff from some files to others, of those that differ; a file that is not text has no hunks.

    >>> print(unified({"a": b"x\n"}, {"a": b"y"}), end="")
    diff --git a/a b/a
    --- a/a
    +++ b/a
    @@ -1 +1 @@
    -x
    +y
    \ No newline at end of file
    """
    paths = sorted({*before, *after})
    return "".join(_file(path, before.get(path), after.get(path)) for path in paths)


def _file(path: str, before: bytes | None, after: bytes | None) -> str:
    if before == after:
        return ""
    head = f"diff --git a/{path} b/{path}\n"
    if before is None:
        head += "new file mode 100644\n"
    elif after is None:
        head += "deleted file mode 100644\n"
    old = lines_of((before or b"").decode(errors="surrogateescape"))
    new = lines_of((after or b"").decode(errors="surrogateescape"))
    hunks = "".join(_hunks(old, new))
    tab = "\t" if " " in path else ""
    one = "/dev/null" if before is None else f"a/{path}{tab}"
    other = "/dev/null" if after is None else f"b/{path}{tab}"
    return f"{head}--- {one}\n+++ {other}\n{hunks}" if hunks else head


def _hunks(old: Sequence[str], new: Sequence[str]) -> Iterator[str]:
    group: list[Change] = []
    for change in changes(old, new):
        if group and change[0] - group[-1][1] > 2 * _CONTEXT:
            yield _hunk(old, new, group)
            group = []
        group.append(change)
    if group:
        yield _hunk(old, new, group)


def _hunk(old: Sequence[str], new: Sequence[str], group: Sequence[Change]) -> str:
    lead = min(_CONTEXT, group[0][0])
    i, j = group[0][0] - lead, group[0][2] - lead
    tail = min(_CONTEXT, len(old) - group[-1][1])
    told, at = [], i
    for i1, i2, j1, j2 in group:
        told += [_line(" ", line) for line in old[at:i1]]
        told += [_line("-", line) for line in old[i1:i2]] + [_line("+", line) for line in new[j1:j2]]
        at = i2
    told += [_line(" ", line) for line in old[at : at + tail]]
    counts = _range(i, at + tail - i), _range(j, group[-1][3] + tail - j)
    return f"@@ -{counts[0]} +{counts[1]} @@\n{''.join(told)}"


def _line(sign: str, line: str) -> str:
    return f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n\\ No newline at end of file\n"


def _range(start: int, count: int) -> str:
    begin = start + 1 if count else start
    return f"{begin}" if count == 1 else f"{begin},{count}"
