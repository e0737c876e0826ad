"""placeholder."""

from __future__ import annotations
import os
from typing import Any
from ._counts import Counts
from ._options import Options


class Stored:
    def __init__(self, options: Options, counts: Counts) -> None:
        folder = options.folder()
        folder.mkdir(parents=True, exist_ok=True)
        self.fd = os.open(folder / "x.ndjson", os.O_CREAT | os.O_WRONLY | os.O_APPEND)

    def append(self, line: bytes) -> int:
        os.write(self.fd, line + b"\n")
        return 0

    def mask(self, line: bytes, entry: dict[str, Any], encode: Any) -> bytes:
        return line

    def flush(self, seconds: float) -> bool:
        return True

    def close(self, seconds: float) -> bool:
        os.close(self.fd)
        return True

    def stats(self) -> dict[str, Any]:
        return {}
