"""What an integration does with a call that it could not hand on: the program that logs goes on."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._client import Client

_told: list[bool] = []


def unkept(client: Client | None, error: Exception) -> None:
    """Count it. Where there is no client to count with, say so on standard error, once a process."""
    if client is not None:
        client.counts.add("broken")
    elif not _told and sys.stderr is not None:
        _told.append(True)
        print(f"sentinel_client: nothing is kept: {error}", file=sys.stderr)  # noqa: T201
