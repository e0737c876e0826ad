"""Names that git gives to files and folders: hashes of their bytes, worked out here to check what hosts say.

SHA-1 in most repositories, SHA-256 in those whose names have 64 digits (git's hash-function-transition).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1, sha256

from sentinel.core.edits import Patch
from sentinel.core.trees import EXECUTABLE, PLAIN
from sentinel.errors import Conflict

_FOLDER = "40000"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a commit: its mode as git writes it, and the name of its blob (of a submodule the commit)."""

    mode: str
    id: str


def blob_id(data: bytes, digits: int = 40) -> str:
    r"""Return the name of a file's bytes, of 40 or 64 digits.

    >>> blob_id(b"hello\n")
    'ce013625030ba8dba906f756967f9e9ca394464a'
    """
    return _named("blob", data, digits)


def tree_id(files: Mapping[str, Entry], digits: int = 40) -> str:
    r"""Return the name of a folder with all that is below it, by paths.

    >>> tree_id({})
    '4b825dc642cb6eb9a060e54bf8d69288fbee4904'
    """
    here: list[tuple[bytes, bytes]] = []
    below: dict[str, dict[str, Entry]] = {}
    for path, entry in files.items():
        name, slash, rest = path.partition("/")
        if slash:
            below.setdefault(name, {})[rest] = entry
        else:
            here.append((_bytes(name), _line(entry.mode, name, entry.id)))
    # A folder is sorted as if its name ended in a slash.
    here += [
        (_bytes(f"{name}/"), _line(_FOLDER, name, tree_id(each, digits))) for name, each in below.items()
    ]
    return _named("tree", b"".join(line for _, line in sorted(here)), digits)


def patched(files: Mapping[str, Entry], patch: Patch, digits: int = 40) -> dict[str, Entry]:
    """Return the files of a commit after a patch; modes stay, and a new file is a plain one.

    Raises `Conflict` where the patch is of other files than these.
    """
    after = dict(files)
    for path in {*patch.before, *patch.after}:
        old, new, there = patch.before.get(path), patch.after.get(path), files.get(path)
        known = there is not None and there.mode in {PLAIN, EXECUTABLE}
        if old is None and there is not None and not _empty(there, digits):
            raise Conflict("the patch makes a file that the commit has already")
        if old is not None and (there is None or not known or there.id != blob_id(old, digits)):
            raise Conflict("the patch changes a file that is another one in the commit")
        if new is None:
            after.pop(path, None)
        else:
            after[path] = Entry(there.mode if there else PLAIN, blob_id(new, digits))
    return after


def told_path(path: str) -> str:
    r"""Return a path that is UTF-8: what is not has backslashes, and no proposal may name it.

    >>> told_path("caf\udce9")
    'caf\\xe9'
    """
    return path.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _empty(entry: Entry, digits: int) -> bool:
    return entry.mode in {PLAIN, EXECUTABLE} and entry.id == blob_id(b"", digits)


def _line(mode: str, name: str, it: str) -> bytes:
    return _bytes(f"{mode} {name}\0") + bytes.fromhex(it)


def _bytes(name: str) -> bytes:
    return name.encode(errors="surrogateescape")


def _named(kind: str, data: bytes, digits: int) -> str:
    whole = f"{kind} {len(data)}\0".encode() + data
    return sha256(whole).hexdigest() if digits == 64 else sha1(whole, usedforsecurity=False).hexdigest()
