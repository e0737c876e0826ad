"""A handler for Python's `logging`: what loggers are given is kept as fields, and no formatter is needed.

    logging.getLogger().addHandler(SentinelHandler())

It takes no lock, since the log on disk has its own; so a thread never waits for another's entry to be made,
and a forked child never for a lock that its parent held. It raises nothing.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from ._client import Client
from ._entry import exc_info, formatted
from ._logger import str_of
from ._plain import text

_STANDARD: Final = tuple(logging.makeLogRecord({}).__dict__)  # what every record has, in the order it has it
_COUNT: Final = len(_STANDARD)
_PLAIN: Final = frozenset(_STANDARD) | {"message", "asctime", "taskName"}
_RECORD: Final = logging.LogRecord
_NONE: Final[Mapping[str, Any]] = {}


class SentinelHandler(logging.Handler):
    """Hands records to a client: that given, one of its own where options are given, or the installed.

    In `logging.config.dictConfig` options stand beside `class`. A formatter that is set is not used.
    """

    def __init__(
        self, level: int | str = logging.NOTSET, client: Client | None = None, **options: Any
    ) -> None:
        """`options` are those of docs/clients.md. Raises `OptionsError`."""
        super().__init__(level)
        self._own = Client(**options) if options and client is None else None
        self._client = client or self._own
        self._told = False
        self._source = bool(self._client and self._client.options.source)

    @property
    def client(self) -> Client:
        """The client that records go to. Raises `OptionsError` where none is installed and none can be."""
        if self._client is None:
            from ._install import installed

            self._client = installed()
            self._source = self._client.options.source
        return self._client

    def createLock(self) -> None:  # noqa: N802 - the base class's name
        """Have no lock."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Keep a record that passes the filters."""
        if self.filters:
            passed: Any = self.filter(record)
            if not passed:
                return False
            if isinstance(passed, logging.LogRecord):  # a filter may give another one, from Python 3.12 on
                record = passed
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record. What cannot be kept is counted."""
        try:
            client = self._client or self.client
            least = client.level_of(record.name) if client.levels else client.threshold
            if record.levelno < least or record.threadName in client.own_threads:
                return
            told = record.__dict__
            fields: Mapping[str, Any] = _NONE
            if len(told) > _COUNT:  # what `extra` brought comes behind what every record has
                fields = dict(islice(told.items(), _COUNT, None))
            message = record.msg
            if (
                record.args
                or record.exc_info
                or record.exc_text
                or record.stack_info
                or type(message) is not str
                or self._source
                or type(record) is not _RECORD
                or not _PLAIN.isdisjoint(fields)
            ):  # it needs a closer look, or is of another class, or was changed on its way here
                self._emit(client, record)
            else:
                client.record(record.created, record.levelno, record.levelname, record.name, message, fields)
        except Exception as error:  # noqa: BLE001 - logging must not break what logs
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        """Count it. Where there is no client to count with, say so, once; records of it are not printed."""
        if self._client is not None:
            self._client.counts.add("broken")
        elif not self._told and sys.stderr is not None:
            self._told = True
            print(f"sentinel_client: nothing is kept: {error}", file=sys.stderr)  # noqa: T201

    def _emit(self, client: Client, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in record.__dict__.items() if name not in _PLAIN}
        message, odd = formatted(record.msg, record.args)
        fields.update(odd)
        if record.stack_info:
            fields.setdefault("stack", text(record.stack_info))
        error = exc_info(record.exc_info) if record.exc_info else None
        if error is None and record.exc_text:  # of a record that came from another process or a queue
            fields.setdefault("exception", text(record.exc_text))
        if self._source:
            told = {"file": record.pathname, "line": record.lineno, "function": record.funcName}
            fields = {**told, **fields}
        name, template = record.levelname, str_of(record.msg)
        client.record(record.created, record.levelno, name, record.name, message, fields, error, template)

    def flush(self) -> None:
        """Send what is there, within `exit_seconds`: `logging.shutdown` calls it when the process ends."""
        if self._client is not None and not self._client.closed:
            self._client.flush(self._client.options.exit_seconds)

    def close(self) -> None:
        """Close the client, if it is the handler's own."""
        if self._own is not None:
            self._own.close()
        super().close()
