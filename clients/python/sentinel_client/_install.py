"""One line to start: `install()` makes the process's client and has everything that is logged go to it.

It is undone by `uninstall()`. Hooks that were there before are called after ours, and left alone if somebody
else has put another one on top.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar

from ._client import Client
from ._entry import exc_info
from ._levels import CRITICAL
from ._logger import follow
from .handler import SentinelHandler

_LOCK = threading.RLock()
_UNCAUGHT = "uncaught exception"


class _Installation:
    """What `install` has put where, so that it can be taken away."""

    current: ClassVar[_Installation | None] = None

    def __init__(self, client: Client, capture: bool) -> None:
        self.client = client
        self.handler = SentinelHandler(client=client)
        self.capture = capture
        self._levels: dict[str, int] = {}  # of the loggers whose level is another now
        self._threads = threading.excepthook
        self._main = sys.excepthook

    def begin(self) -> None:
        """Put everything in its place."""
        type(self).current = self
        follow(self.client)
        if not self.capture:
            return
        root = logging.getLogger()
        if not root.handlers and logging.lastResort is not None:
            root.addHandler(logging.lastResort)  # what Python printed for want of a handler still is
        root.addHandler(self.handler)
        self._lower("", self.client.threshold)
        for name, level in self.client.levels:
            if level < logging.getLogger(name).getEffectiveLevel():
                self._lower(name, level)
        self._main, sys.excepthook = sys.excepthook, self.of_main
        self._threads, threading.excepthook = threading.excepthook, self.of_thread

    def end(self) -> None:
        """Take everything away again."""
        type(self).current = None
        follow(None)
        root = logging.getLogger()
        root.removeHandler(self.handler)
        if logging.lastResort is not None:
            root.removeHandler(logging.lastResort)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._levels.clear()
        if sys.excepthook == self.of_main:
            sys.excepthook = self._main
        if threading.excepthook == self.of_thread:
            threading.excepthook = self._threads

    def _lower(self, name: str, level: int) -> None:
        """Have a logger pass on what we want of it: its level may be lower already."""
        logger = logging.getLogger(name)
        if logger.level > level or (name and logger.level == logging.NOTSET):
            self._levels[name] = logger.level
            logger.setLevel(level)

    def of_main(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Log what ends the program, and let Python go on with it."""
        if issubclass(kind, Exception):
            self._log((kind, error, trace), {})
        self._main(kind, error, trace)

    def of_thread(self, told: Any) -> None:
        """Log what ends a thread, and let Python go on with it."""
        if told.exc_value is not None and issubclass(told.exc_type, Exception):
            name = told.thread.name if told.thread is not None else ""
            self._log((told.exc_type, told.exc_value, told.exc_traceback), {"thread": name})
        self._threads(told)

    def _log(self, error: Any, fields: dict[str, Any]) -> None:
        found = exc_info(error)
        self.client.record(time.time(), CRITICAL, "CRITICAL", "root", _UNCAUGHT, fields, found)


def install(*, capture: bool = True, client: Client | None = None, **options: Any) -> Client:
    """Start the process's client, and return it. `options` are those of docs/clients.md.

    With `capture` the root logger hands its records to it, and what ends the program or a thread is logged;
    without, only native loggers and handlers log. The root logger's level becomes `level` where it is higher,
    and so do those of loggers that `levels` names.
    At the end of the process the client is closed. Called again, it replaces what it did before. Raises
    `OptionsError`.
    """
    with _LOCK:
        made = client or Client(**options)
        uninstall()
        _Installation(made, capture).begin()
        return made


def uninstall() -> None:
    """Undo `install`: close the client, and leave logging and hooks as they were."""
    with _LOCK:
        ended = _Installation.current
        if ended is not None:
            ended.end()
            ended.client.close()


@contextmanager
def lent(client: Client, capture: bool) -> Iterator[None]:
    """Have another client be the installed one for a block, and then the one from before again."""
    with _LOCK:
        before = _Installation.current
        if before is not None:
            before.end()
        within = _Installation(client, capture)
        within.begin()
    try:
        yield
    finally:
        with _LOCK:
            within.end()
            if before is not None:
                before.begin()


def installed() -> Client:
    """Return the process's client, made of environment and file where `install` was not called.

    Raises `OptionsError` where these say too little.
    """
    found = _Installation.current  # without the lock: who closes a client holds it for so long
    if found is not None:
        return found.client
    with _LOCK:
        found = _Installation.current
        return found.client if found is not None else install(capture=False)


def _after_fork() -> None:
    """Have another lock in a forked child: another thread of the parent may have held it."""
    global _LOCK  # noqa: PLW0603 - one a process
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
