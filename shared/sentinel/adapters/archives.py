"""Archives of repositories as hosts make them with `git archive`: read in memory, bounded, and not believed.

Attributes of a repository leave files out of its archive, or change them (`export-ignore`, `export-subst`),
and so does a host that puts large files in (LFS). So an archive only saves requests: each file counts as
its name in the listing of the commit says, and what the archive has otherwise is fetched by itself.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from sentinel.core.git_objects import Entry, blob_id
from sentinel.core.trees import EXECUTABLE, LINK, MOST_BYTES, MOST_FILES, PLAIN, SUBMODULE, Held
from sentinel.errors import BadAnswer, TooLarge

MOST_APART: Final = 200  # files that are fetched by themselves
_MOST: Final = MOST_BYTES + MOST_FILES * 2_048  # bytes of an archive, unpacked, with its headers
_GZIP: Final = 31  # zlib's window bits for gzip


def unpacked(data: bytes) -> tuple[str, dict[str, Held]]:
    """Return an archive's commit ("" where it tells none) and its files. Raises `TooLarge`, `BadAnswer`."""
    engine = zlib.decompressobj(_GZIP)
    try:
        whole = engine.decompress(data, _MOST + 1)
        if len(whole) > _MOST:
            raise TooLarge(f"the repository's archive has more than {_MOST:,} bytes")
        if not engine.eof:
            raise BadAnswer("the repository's archive was cut off")
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:", encoding="utf-8") as archive:
            return _read(archive)
    except (zlib.error, tarfile.TarError, ValueError):
        raise BadAnswer("the repository's archive cannot be read") from None


def _read(archive: tarfile.TarFile) -> tuple[str, dict[str, Held]]:
    files = {}
    for member in archive:
        path = member.name.partition("/")[2]  # below one folder that the host names
        if member.issym():
            files[path] = Held(LINK, member.linkname.encode(errors="surrogateescape"))
        elif member.isreg():
            found = archive.extractfile(member)
            mode = EXECUTABLE if member.mode & 0o100 else PLAIN
            files[path] = Held(mode, found.read() if found else b"")
        elif not member.isdir():
            raise BadAnswer("the repository's archive has what no repository has")
        if len(files) > MOST_FILES:
            raise TooLarge(f"the repository has more than {MOST_FILES:,} files")
    return str(archive.pax_headers.get("comment", "")), files


def named(files: Mapping[str, Held], digits: int) -> dict[str, Entry]:
    """Return the names that git gives to files."""
    return {path: Entry(each.mode, blob_id(each.data, digits)) for path, each in files.items()}


def completed(
    files: Mapping[str, Held], listed: Mapping[str, Entry], digits: int, fetch: Callable[[str], bytes]
) -> dict[str, Held]:
    """Return the files of a listing: from an archive, and where that has others by `fetch` of their names.

    Raises `TooLarge` where these are too many, `BadAnswer` where what is fetched has another name.
    """
    has = {entry.id: files[path].data for path, entry in named(files, digits).items()}
    apart = {each.id for each in listed.values() if each.mode != SUBMODULE and each.id not in has}
    if len(apart) > MOST_APART:
        raise TooLarge(f"the repository leaves more than {MOST_APART} files out of its archives")
    for it in sorted(apart):
        has[it] = fetch(it)
        if blob_id(has[it], digits) != it:
            raise BadAnswer("a file of the repository is not the one that it is named as")
    return {
        path: Held(each.mode, b"" if each.mode == SUBMODULE else has[each.id])
        for path, each in listed.items()
    }
