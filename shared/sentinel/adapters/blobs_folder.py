"""Blobs as files of one folder that only its owner can read: `ports_patches.Blobs` for one machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sentinel.adapters.whole_files import create, flush, read_private, tidy
from sentinel.core.trees import digest_of
from sentinel.errors import Conflict, Missing, Tampered, Unavailable

MOST: Final = 150_000_000  # bytes of one blob
NAME: Final = re.compile(r"[0-9a-f]{64}")


class FolderBlobs:
    """One file a blob, named as its digest. The folder is made when it is first written to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes) -> str:
        """Keep bytes; see `ports_patches.Blobs`."""
        digest = digest_of(data)
        path = self._folder / digest
        try:
            if path.exists():
                flush(self._folder)  # whoever made it may not have come that far
                return digest
        except OSError as error:
            raise Unavailable(f"{self._folder} cannot be looked at: {error.strerror}", 30.0) from None
        try:
            create(path, data)
        except Conflict:
            return self.put(data)
        return digest

    def get(self, digest: str) -> bytes:
        """Return what is kept; see `ports_patches.Blobs`."""
        if not NAME.fullmatch(digest):
            raise Missing("what is kept is named by the 64 digits of its SHA-256")
        try:
            data = read_private(self._folder / digest, MOST)
        except Missing:
            raise Missing(f"nothing is kept under {digest[:12]}, or no more") from None
        return checked(digest, data)

    def drop(self, digest: str) -> None:
        """Take away what is kept; see `ports_erasure.ErasableBlobs`."""
        if NAME.fullmatch(digest):
            try:
                (self._folder / digest).unlink(missing_ok=True)
            except OSError as error:
                raise Unavailable(f"{self._folder} cannot be written: {error.strerror}", 30.0) from None
            tidy(self._folder / digest)  # a worker that was killed over it has left it under another name


def checked(digest: str, data: bytes) -> bytes:
    """Return bytes that are those of a digest. Raises `Tampered`."""
    if digest_of(data) != digest:
        raise Tampered("blobs", 0, "digest", f"what is kept under {digest[:12]} is something else")
    return data
