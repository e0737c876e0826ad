"""The roots that the TLS layer of this machine trusts: `ports_doors.TrustStore` as one PEM file."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from sentinel.adapters import whole_files


class FileTrustStore:
    """Keeps the certificates in `path`, one after the other; readers see the old file or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def publish(self, roots: Sequence[str]) -> str:
        """Make these the ones in force; see `ports_doors.TrustStore`. The version is the file's SHA-256."""
        data = "".join(f"{root.strip()}\n" for root in roots).encode()
        if not self._path.exists() or self._path.read_bytes() != data:
            whole_files.replace(self._path, data, whole_files.PUBLIC)
        return sha256(data).hexdigest()
