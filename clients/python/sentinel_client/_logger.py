"""The native loggers: `log.info("paid", order=7)`. What a call costs stands in docs/clients.md.

A logger belongs to a client, or to whatever client the process has installed. Before one is, calls go to the
logger of Python's `logging` that has the same name.
"""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Mapping
from typing import Any, Final, Protocol

from . import _levels
from ._context import bound
from ._entry import ExcInfo, exc_info, formatted

_clock = time.time


class Home(Protocol):
    """What loggers need of a client."""

    def level_of(self, logger: str) -> int:
        """Return the level from which on a logger's entries are made."""

    def record(
        self,
        now: float,
        level: int,
        name: str,
        logger: str,
        message: str,
        fields: Mapping[str, Any],
        error: ExcInfo | None = None,
        template: str | None = None,
    ) -> None:
        """Make an entry and keep it."""


class _Logging:
    """Where calls go while no client is there: to Python's `logging`, with the fields as `extra`."""

    _TAKEN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}

    def level_of(self, logger: str) -> int:  # noqa: ARG002
        return 0  # `logging` has levels of its own

    def record(
        self,
        now: float,  # noqa: ARG002 - `logging` has a clock of its own
        level: int,
        name: str,  # noqa: ARG002
        logger: str,
        message: str,
        fields: Mapping[str, Any],
        error: ExcInfo | None = None,
        template: str | None = None,  # noqa: ARG002
    ) -> None:
        extra = {f"{each}_" if each in self._TAKEN else each: value for each, value in fields.items()}
        logging.getLogger(logger).log(level, "%s", message, exc_info=error, extra=extra, stacklevel=4)


class Logger:
    """Logs under a name, with fields of its own. Methods take a message, `%` arguments for it, and fields.

    `exc_info` (true, an exception, or what `sys.exc_info` returns) adds an exception. None raises.
    """

    __slots__ = ("__weakref__", "_fields", "_home", "_own_level", "_threshold", "name")

    def __init__(self, name: str, home: Home, fields: Mapping[str, Any] | None = None) -> None:
        self.name = name
        self._fields = dict(fields or {})
        self._home = home
        self._own_level: int | None = None
        self._threshold = home.level_of(name)

    def trace(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at TRACE, the level below DEBUG."""
        if self._threshold <= 5:
            self._log(5, "TRACE", message, args, fields)

    def debug(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at DEBUG."""
        if self._threshold <= 10:
            self._log(10, "DEBUG", message, args, fields)

    def info(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at INFO."""
        if self._threshold <= 20:
            self._log(20, "INFO", message, args, fields)

    def warning(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at WARNING."""
        if self._threshold <= 30:
            self._log(30, "WARNING", message, args, fields)

    def error(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at ERROR."""
        if self._threshold <= 40:
            self._log(40, "ERROR", message, args, fields)

    def critical(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at CRITICAL."""
        if self._threshold <= 50:
            self._log(50, "CRITICAL", message, args, fields)

    def exception(self, message: str, /, *args: object, **fields: Any) -> None:
        """Log at ERROR, with the exception that is being handled."""
        if self._threshold <= 40:
            fields.setdefault("exc_info", True)
            self._log(40, "ERROR", message, args, fields)

    def log(self, level: int | str, message: str, /, *args: object, **fields: Any) -> None:
        """Log at any level, by name or number. A name that is none counts as INFO."""
        try:
            number = _levels.number_of(level)
        except ValueError:
            number = _levels.INFO
        if self._threshold <= number:
            self._log(number, _levels.name_of(number), message, args, fields)

    def is_enabled_for(self, level: int | str) -> bool:
        """Whether entries of a level are made. Raises `ValueError` for a name that is none."""
        return self._threshold <= _levels.number_of(level)

    def set_level(self, level: int | str) -> None:
        """Make this logger's entries from a level on. Raises `ValueError` for a name that is none."""
        self._threshold = self._own_level = _levels.number_of(level)

    def bind(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields to its entries."""
        made = type(self)(self.name, self._home, {**self._fields, **bound(fields)})
        made._threshold, made._own_level = self._threshold, self._own_level
        if self in _FOLLOWING:
            _FOLLOWING.add(made)
        return made

    def __repr__(self) -> str:
        return f"<Logger {self.name}>"

    def _log(self, level: int, name: str, template: Any, args: Any, fields: dict[str, Any]) -> None:
        error = None
        if "exc_info" in fields:
            error = exc_info(fields.pop("exc_info"))
        if self._fields:
            fields = {**self._fields, **fields}
        if args or type(template) is not str:
            message, odd = formatted(template, args)
            fields = {**fields, **odd} if odd else fields
            self._home.record(_clock(), level, name, self.name, message, fields, error, str_of(template))
        else:
            self._home.record(_clock(), level, name, self.name, template, fields, error)


def str_of(template: object) -> str:
    """Return a template as policy counts by it."""
    return template if isinstance(template, str) else type(template).__name__


_NOWHERE: Final = _Logging()
_FOLLOWING: Final[weakref.WeakSet[Logger]] = weakref.WeakSet()  # the loggers of whatever client is installed
_current: Home = _NOWHERE


def get_logger(name: str = "root", home: Home | None = None, **fields: Any) -> Logger:
    """Return a logger of a name, with fields that all its entries have.

    Without `home` it logs to the client that the process has installed, also when that comes later.
    """
    made = Logger(name, home or _current, bound(fields))
    if home is None:
        _FOLLOWING.add(made)
    return made


def follow(home: Home | None) -> None:
    """Have the loggers without a client of their own log to this one; None: to `logging`."""
    global _current  # noqa: PLW0603 - one a process
    _current = home or _NOWHERE
    for each in list(_FOLLOWING):
        each._home = _current
        each._threshold = _current.level_of(each.name) if each._own_level is None else each._own_level
