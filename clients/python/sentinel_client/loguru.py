"""loguru: a sink. `logger.add(SentinelSink(), level=0, format="{message}")`.

What was bound (`logger.bind`, `logger.contextualize`, keyword arguments) are fields, and what was caught is a
structured exception.
"""

from __future__ import annotations

from typing import Any

from ._client import Client
from ._entry import exc_info
from ._install import installed
from ._unkept import unkept


class SentinelSink:
    """Logs loguru's messages. `client` is by default the one that is installed."""

    def __init__(self, client: Client | None = None) -> None:
        self._client = client

    def __call__(self, message: Any) -> None:
        """Log one message of loguru."""
        client = self._client
        try:
            client = client or installed()
            _log(client, message.record)
        except Exception as error:  # noqa: BLE001 - loguru would print the record, which is not masked
            unkept(client, error)


def _log(client: Client, record: Any) -> None:
    level, name = record["level"], record["name"] or "root"
    if level.no < client.level_of(name):
        return
    fields = dict(record["extra"])
    caught = record["exception"]
    error = exc_info(tuple(caught)) if caught is not None else None
    if client.options.source:
        place = {"file": record["file"].path, "line": record["line"], "function": record["function"]}
        fields = {**place, **fields}
    when = record["time"].timestamp()
    client.record(when, level.no, level.name, name, record["message"], fields, error)
