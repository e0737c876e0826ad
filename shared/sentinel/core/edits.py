r"""Edits: what a model proposes, as text to find and text to put in its place; the diff is derived here.

An edit's `search` stands exactly once in its file. The edits of one file all mean the file as it was, and
none replaces what another does; so their order does not matter. What they do not replace stays byte for
byte, and what they put in has the line ends that most lines of the file have. A byte order mark stays, and
so does the end of the file: it ends with a line end after the edits if it did before. An edit takes no file
away; a new file is only where none is, or where one is that is empty.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sentinel.core.diffs import unified
from sentinel.core.edit_anchors import MAX_FILE, Read, locate, plain, read
from sentinel.core.edit_paths import check, check_free
from sentinel.core.edit_refusals import EditsOverlap, FileRefused, NothingChanged, PathRefused, shown


@dataclass(frozen=True, slots=True)
class Edit:
    """In the file at `path`, `replace` stands instead of `search`."""

    path: str
    search: str
    replace: str


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file at `path` that was not there, or was empty."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Patch:
    """Files before and after, only those that differ, and the diff from the one to the other.

    A file that is new is not in `before`; one that is gone is not in `after`.
    """

    before: Mapping[str, bytes]
    after: Mapping[str, bytes]
    diff: str


def patch_of(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Patch:
    """Return the patch between two states of some files."""
    old = {path: data for path, data in before.items() if after.get(path) != data}
    new = {path: data for path, data in after.items() if before.get(path) != data}
    return Patch(old, new, unified(old, new))


def apply(
    files: Mapping[str, bytes], proposed: Sequence[Edit | NewFile], others: Collection[str] = ()
) -> Patch:
    r"""Return what a proposal makes of files. Raises `EditRefused` with the reason.

    `others` are paths that the repository has besides `files`: they cannot be edited, and are taken.

    >>> patch = apply({"a.py": b"x = 1\r\n"}, [Edit("a.py", "1", "2")])
    >>> patch.after
    {'a.py': b'x = 2\r\n'}
    """
    if not proposed:
        raise NothingChanged("there is no edit and no new file")
    edits: dict[str, list[Edit]] = {}
    after: dict[str, bytes] = {}
    for each in proposed:
        check(each.path)
        if isinstance(each, NewFile):
            after[each.path] = _new(files, each, {*files, *others, *after})
        else:
            edits.setdefault(each.path, []).append(each)
    for path, group in edits.items():
        if path in after:
            raise PathRefused(f"{shown(path)} is a new file, so it cannot be edited as well")
        if path not in files:
            raise PathRefused(f"{shown(path)} is not among the files that were shown")
        after[path] = _edited(path, files[path], group)
    return patch_of({path: files[path] for path in after if path in files}, after)


def _new(files: Mapping[str, bytes], new: NewFile, present: set[str]) -> bytes:
    if files.get(new.path) == b"" and new.text:
        present = present - {new.path}
    check_free(new.path, present)
    return _data(new.path, plain(new.text))


def _data(path: str, text: str) -> bytes:
    if "\0" in text:
        raise FileRefused(f"{shown(path)} would have NUL bytes")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise FileRefused(f"{shown(path)} would have characters that UTF-8 does not have") from None
    if len(data) > MAX_FILE:
        raise FileRefused(f"{shown(path)} would have more than {MAX_FILE} bytes")
    return data


def _edited(path: str, data: bytes, edits: Sequence[Edit]) -> bytes:
    file = read(path, data)
    spans = sorted(_span(path, file, edit) for edit in edits)
    for (_, stop, _), (start, _, _) in pairwise(spans):
        if start < stop:
            line = file.text.count("\n", 0, start) + 1
            raise EditsOverlap(f"two edits of {shown(path)} replace the same text, at line {line}")
    parts, at = [], 0
    for start, stop, put in spans:
        parts += [file.written(at, start), file.fitted(put)]
        at = stop
    text = _ended(file, "".join([*parts, file.written(at, len(file.text))]))
    if not text:
        raise NothingChanged(f"nothing would be left of {shown(path)}; an edit takes no file away")
    edited = _data(path, file.mark + text)
    if edited == data:
        raise NothingChanged(f"{shown(path)} would be the same as before")
    return edited


def _span(path: str, file: Read, edit: Edit) -> tuple[int, int, str]:
    search, put = plain(edit.search), plain(edit.replace)
    if not search:
        raise NothingChanged(f"an edit of {shown(path)} has nothing to search for")
    if search == put:
        raise NothingChanged(f"an edit of {shown(path)} puts in what it replaces")
    return (*locate(path, file.text, search), put)


def _ended(file: Read, text: str) -> str:
    if file.text.endswith("\n"):
        return text if text.endswith("\n") or not text else text + file.end
    return text.rstrip("\r\n") if text.endswith("\n") else text
