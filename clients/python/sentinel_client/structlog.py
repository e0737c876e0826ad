"""structlog: a processor that hands events to the client, at the end of a chain or in the middle of one.

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, SentinelProcessor()])

The event is the message, `exc_info` becomes a structured exception, and everything else stays a field.
"""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from typing import Any

from ._client import Client
from ._entry import exc_info, formatted
from ._install import installed
from ._levels import ERROR, INFO, NUMBERS, name_of
from ._unkept import unkept

_ERRORS = frozenset(("exception", "err"))


class SentinelProcessor:
    """Logs events. With `pass_on` the chain goes on with the event as it was; else it ends here.

    `client` is by default the one that is installed.
    """

    def __init__(self, *, pass_on: bool = False, client: Client | None = None) -> None:
        self._pass_on = pass_on
        self._client = client

    def __call__(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Log one event. Raises `structlog.DropEvent` where the chain ends, and nothing else."""
        client = self._client
        try:
            client = client or installed()
            _log(client, logger, method, event)
        except Exception as error:  # noqa: BLE001 - logging must not break what logs
            unkept(client, error)
        if self._pass_on:
            return event
        import structlog

        raise structlog.DropEvent


def _log(client: Client, logger: Any, method: str, event: MutableMapping[str, Any]) -> None:
    fields = dict(event)
    message = fields.pop("event", "")
    number = _level(method, fields.pop("level", None))
    name = str(fields.pop("logger", None) or getattr(logger, "name", None) or "root")
    if number >= client.level_of(name):
        text = message if isinstance(message, str) else formatted(message, ())[0]
        given = fields.pop("exc_info", None)
        error = None if given is None else exc_info(given)
        client.record(time.time(), number, name_of(number), name, text, fields, error)


def _level(method: str, told: object) -> int:
    """Return the level that a processor before ours has told, or that of the method."""
    if isinstance(told, str) and told.upper() in NUMBERS:
        return NUMBERS[told.upper()]
    return ERROR if method in _ERRORS else NUMBERS.get(method.upper(), INFO)
