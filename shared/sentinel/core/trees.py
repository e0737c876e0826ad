"""Trees: the files of a repository at one commit, and the bytes under which they are kept.

A tree is packed as zstd of a JSON list of `[path, mode, size]`, its length before it as u32, big-endian, and
the files behind it in that order, by path: the same tree always has the same bytes, and so the same digest.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson
import zstandard

from sentinel.core.edit_paths import problem
from sentinel.errors import Malformed, TooLarge

if TYPE_CHECKING:  # trees are read by processes that never judge a patch
    from sentinel.core.patch_policy import Modes

MOST_FILES: Final = 20_000
MOST_BYTES: Final = 100_000_000  # of all files together
PLAIN, EXECUTABLE, LINK, SUBMODULE = "100644", "100755", "120000", "160000"
MODES: Final = frozenset({PLAIN, EXECUTABLE, LINK, SUBMODULE})
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LENGTH = 4  # bytes of the header's length


@dataclass(frozen=True, slots=True)
class Held:
    """One file: its mode as git writes it, and its bytes; of a link where it leads, of a submodule none."""

    mode: str
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tree:
    """All files of a repository at a commit, by path. Raises `Malformed` for what no repository has.

    >>> tree = Tree("a" * 40, {"src/a.py": Held(PLAIN, b"x = 1")})
    >>> Tree.unpacked(tree.packed()) == tree
    True
    """

    commit: str
    files: Mapping[str, Held] = field(repr=False)

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise Malformed("a commit is named by all of its 40 or 64 hexadecimal digits")
        if len(self.files) > MOST_FILES:
            raise TooLarge(f"the repository has more than {MOST_FILES:,} files")
        if sum(len(each.data) for each in self.files.values()) > MOST_BYTES:
            raise TooLarge(f"the repository's files have more than {MOST_BYTES:,} bytes")
        if unknown := {each.mode for each in self.files.values()} - MODES:
            raise Malformed(f"the repository has a file of mode {min(unknown)[:12]!r}, which git does not")

    @property
    def modes(self) -> Modes:
        """What the gate asks for."""
        from sentinel.core.patch_policy import Modes

        return Modes(before={path: each.mode for path, each in self.files.items()})

    def plain(self) -> dict[str, bytes]:
        """Return the files that are files, with a path that is safe."""
        return {
            path: each.data
            for path, each in self.files.items()
            if each.mode in {PLAIN, EXECUTABLE} and not problem(path)
        }

    def packed(self) -> bytes:
        """Return it as it is kept."""
        paths = sorted(self.files)
        listed = [[path, self.files[path].mode, len(self.files[path].data)] for path in paths]
        header = orjson.dumps([self.commit, listed])
        parts = [len(header).to_bytes(_LENGTH, "big"), header, *(self.files[path].data for path in paths)]
        return zstandard.ZstdCompressor(level=3).compress(b"".join(parts))

    @staticmethod
    def unpacked(data: bytes) -> Tree:
        """Read what `packed` made. Raises `Malformed`."""
        try:
            most = MOST_BYTES + 20_000_000
            whole = zstandard.ZstdDecompressor().decompress(data, max_output_size=most)
            at = _LENGTH + int.from_bytes(whole[:_LENGTH], "big")
            commit, listed = orjson.loads(whole[_LENGTH:at])
            files = {}
            for path, mode, size in listed:
                files[path] = Held(mode, whole[at : at + size])
                at += size
        except (zstandard.ZstdError, ValueError, TypeError):
            raise Malformed("what is kept of the repository cannot be read") from None
        return Tree(commit, files)


def digest_of(data: bytes) -> str:
    """Return under which name bytes are kept: SHA-256, hex."""
    return sha256(data).hexdigest()
