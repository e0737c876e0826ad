"""The folder of a chain right below another, and the chains that have one there.

A folder's name is the chain id, percent-encoded, the slash too. One that would be longer than file systems
take keeps its characters, but for those that no name may have. What is called otherwise is nobody's of ours.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from sentinel.errors import Tampered, Unavailable

_LONGEST = 240  # a file's name ends at 255 bytes, and percent-encoding makes three of one


def folder_of(root: Path, chain: str) -> Path:
    """Return the folder of a chain, which is one right below `root` whatever the chain is called."""
    name = quote(chain, safe="")
    if len(name) > _LONGEST:
        name = chain.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    if name.startswith("."):
        name = "%2E" + name[1:]
    if not name:
        raise Tampered("", 0, "place", "a chain without a name")
    return root / name


def chains_below(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield (chain, folder) of the chains that have a folder, passing over what else lies there."""
    for name in names_in(root):
        try:
            chain = unquote(name, errors="strict")
            if folder_of(root, chain).name == name:
                yield chain, root / name
        except (UnicodeError, Tampered):  # a name that is no text, which no chain has
            continue


def names_in(folder: Path) -> list[str]:
    """Return the names in a folder, sorted; none where it is none. Raises `Unavailable`."""
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are wanted, not paths
    except (FileNotFoundError, NotADirectoryError):  # something else lies there: it is nothing of ours
        return []
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:  # no door takes such a chain: nothing can be there
            return []
        raise Unavailable(f"{folder} cannot be read: {error.strerror}") from None
