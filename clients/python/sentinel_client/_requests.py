"""What integrations of web frameworks share: a request's id and trace as context, and an entry at its end.

The id is what `X-Request-ID` says where that is a plain word, else drawn; the trace is that of `traceparent`.
Query strings, headers, bodies and addresses are not told: others' secrets are in them.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from typing import Any, Final

from ._context import context, parse_traceparent
from ._logger import Logger, get_logger

HEADER: Final = "X-Request-ID"
_WORD = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Request:
    """One request. `context` is entered for as long as it is worked on; `ended` is called at its end."""

    __slots__ = ("_began", "_log", "context", "id", "method", "path")

    def __init__(
        self, log: Logger, method: str, path: str, header: Callable[[str], str | None], ids: bool = True
    ) -> None:
        given = header(HEADER) or ""
        self.id = given if ids and _WORD.fullmatch(given) else os.urandom(16).hex()
        self.method, self.path = method, path
        self.context = context(request_id=self.id, **parse_traceparent(header("traceparent")))
        self._log = log
        self._began = time.perf_counter()

    def ended(self, status: int | None, route: str | None = None, error: BaseException | None = None) -> None:
        """Log the request: at ERROR where it failed, else at INFO."""
        told: dict[str, Any] = {"method": self.method, "path": self.path}
        if route:
            told["route"] = route
        if status is not None:
            told["status"] = status
        told["duration_ms"] = round((time.perf_counter() - self._began) * 1000, 3)
        failed = error is not None or (status is not None and status >= 500)
        message = f"{self.method} {route or self.path}"
        if error is not None:
            told["exc_info"] = error
        (self._log.error if failed else self._log.info)(message, **told)


def request_logger(name: str) -> Logger:
    """Return the logger of requests."""
    return get_logger(name)
