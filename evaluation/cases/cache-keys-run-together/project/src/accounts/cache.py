"""What was loaded before, by a key that is a text, as the shared cache wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def key(*parts: str) -> str:
    """Return the key of what the parts name: the kind, the tenant, the user."""
    return ":".join(parts)


class Cache:
    """Keeps values until they are forgotten."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}

    def get(self, name: str, load: Callable[[], Value]) -> Value:
        """Return the value of a key, which is loaded if it is not there."""
        if name not in self._values:
            self._values[name] = load()
        return self._values[name]  # type: ignore[return-value]

    def forget(self, name: str) -> None:
        """Have a key loaded anew the next time."""
        self._values.pop(name, None)
