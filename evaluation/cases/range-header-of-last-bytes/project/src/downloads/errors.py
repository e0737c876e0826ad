"""What keeps a file from being served."""

from __future__ import annotations


class NotSatisfiable(Exception):
    """No byte of the range is in the file. A client is told the size."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the file has {size} bytes")
        self.size = size
