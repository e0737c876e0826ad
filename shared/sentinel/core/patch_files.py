"""A changed file as the gate looks at it: text before and after, and which lines went and came."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sentinel.core.diffs import changes, lines_of
from sentinel.core.edits import Patch


@dataclass(frozen=True, slots=True)
class Changed:
    """A file that a patch changes. Lines are (number from 1, text without its end).

    `before` is None where the file is new, `after` where it is gone. `text` is whether both sides are text.
    """

    path: str
    before: str | None
    after: str | None
    text: bool
    removed: tuple[tuple[int, str], ...]
    added: tuple[tuple[int, str], ...]

    @property
    def size(self) -> int:
        """How many lines change."""
        return len(self.removed) + len(self.added)


def changed(patch: Patch) -> Iterator[Changed]:
    """Yield the files that a patch changes, by path."""
    for path in sorted({*patch.before, *patch.after}):
        old, new = patch.before.get(path), patch.after.get(path)
        if old != new:
            yield _changed(path, old, new)


def _changed(path: str, old: bytes | None, new: bytes | None) -> Changed:
    before, after = _text(old), _text(new)
    if before is None or after is None:
        return Changed(path, None, None, text=False, removed=(), added=())
    one, other = lines_of(before), lines_of(after)
    removed: list[tuple[int, str]] = []
    added: list[tuple[int, str]] = []
    for i1, i2, j1, j2 in changes(one, other):
        removed += [(number + 1, one[number].rstrip("\r\n")) for number in range(i1, i2)]
        added += [(number + 1, other[number].rstrip("\r\n")) for number in range(j1, j2)]
    return Changed(
        path,
        None if old is None else before,
        None if new is None else after,
        text=True,
        removed=tuple(removed),
        added=tuple(added),
    )


def _text(data: bytes | None) -> str | None:
    try:
        text = (data or b"").decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text
