"""The log's Ed25519 key in a file of one machine: `ports_log.LogSigner`.

PKCS #8 (RFC 5958) in PEM, not encrypted, with mode 0600: whoever may read it may sign, as whoever may run the
process. It is made once; a log that lost its key begins a new one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sentinel.adapters import whole_files
from sentinel.errors import Conflict, Forbidden, Missing

_MOST = 4_096


class FileLogKey:
    """Opens the key in `path`, or makes it where `create` says so and nothing is there.

    Raises `Missing`, `Forbidden` for a file that others can read or that holds no such key, `Unavailable`.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create and not path.exists():
            with contextlib.suppress(Conflict):  # another process made it in the meantime: its key is the one
                whole_files.create(path, _made())
        try:
            pem = whole_files.read_private(path, _MOST)
        except Missing:
            raise Missing(
                f"the log's key {path} is not there: restore it, or let `sentinel up` make one"
            ) from None
        try:
            key = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise Forbidden(f"the log's key {path.name} is no Ed25519 key in PEM")
        self._key = key

    def public_key(self) -> bytes:
        """See `ports_log.LogSigner`."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """See `ports_log.LogSigner`."""
        return self._key.sign(message)


def _made() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
