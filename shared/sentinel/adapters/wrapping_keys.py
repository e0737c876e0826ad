"""The keys of one machine that wrap data keys: a file with mode 0600, the newest first.

The first line is `sentinel-wrapping-keys/v1`, each other one an id (16 hex digits), a space and 32 bytes in
base64. There is one key but while it is rotated. Who loses the file loses what is encrypted; who can read it
and `keys.db` can read that.
"""

from __future__ import annotations

import contextlib
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from pathlib import Path

from sentinel.adapters import whole_files
from sentinel.errors import Conflict, Forbidden, Missing

HEADER = "sentinel-wrapping-keys/v1"
_MOST = 4_096


class WrappingKeys:
    """The keys in `path`, which is made where `create` says so and nothing is there.

    Raises `Forbidden` for a file that is gone, that others can read or that holds no such keys,
    `Unavailable`.
    """

    def __init__(self, path: Path, entropy: Callable[[int], bytes], *, create: bool = False) -> None:
        self._path = path
        self._entropy = entropy
        if create and not path.exists():
            with contextlib.suppress(Conflict):  # another process made it meanwhile: its key is the one
                whole_files.create(path, _text({self._fresh(): entropy(32)}))

    def read(self) -> dict[str, bytes]:
        """Return the keys by their ids, the newest first."""
        try:
            raw = whole_files.read_private(self._path, _MOST)
        except Missing:
            raise Forbidden(f"the wrapping key {self._path} is not there: restore it") from None
        try:
            header, *lines = raw.decode().splitlines()
            found = {line[:16]: b64decode(line[17:], validate=True) for line in lines}
        except (UnicodeDecodeError, NotBase64, ValueError):
            header, found = "", {}
        if header != HEADER or not found or any(len(key) != 32 for key in found.values()):
            raise Forbidden(f"{self._path.name} does not hold wrapping keys")
        return found

    def add(self) -> dict[str, bytes]:
        """Put a new key in front of the others; return all."""
        keys = {self._fresh(): self._entropy(32), **self.read()}
        whole_files.replace(self._path, _text(keys))
        return keys

    def keep(self, key: str) -> None:
        """Drop all keys but one, also from what a rotation that was killed left beside the file.

        One at a time may change the file.
        """
        whole_files.replace(self._path, _text({key: self.read()[key]}))
        whole_files.tidy(self._path)

    def _fresh(self) -> str:
        return self._entropy(8).hex()


def _text(keys: Mapping[str, bytes]) -> bytes:
    lines = [HEADER, *(f"{name} {b64encode(key).decode()}" for name, key in keys.items())]
    return ("\n".join(lines) + "\n").encode()
