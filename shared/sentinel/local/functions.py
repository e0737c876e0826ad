"""The functions as they are deployed: each handler file below `functions/`, loaded once, called as by Lambda.

Nothing here knows what a function does. What runs locally is the very file that is deployed.
"""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentinel
from sentinel.errors import Missing

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]


def folder() -> Path:
    """Return the folder of the functions: beside `shared/`, two levels above the package.

    Raises `Missing` where it is not there: the local runner works from a checkout, not from a wheel.
    """
    found = Path(sentinel.__file__).resolve().parents[2] / "functions"
    if not found.is_dir():
        raise Missing(
            f"there is no folder {found}: run from a checkout in which the package is installed with "
            "pip install -e ./shared"
        )
    return found


@functools.cache
def load(name: str) -> Handler:
    """Return the handler of a function, importing its file on the first call. Raises `Missing`."""
    path = folder() / name / "handler.py"
    spec = importlib.util.spec_from_file_location(f"sentinel_function_{name}", path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise Missing(f"there is no function {name}: {path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Handler = module.handler
    return handler


class Context:
    """What Lambda hands to a handler beside the event: a request id and the time that is left.

    `seconds` is the time-out of the call. `cut` ends it early: once it says True, no time is left, so that
    a function which works until its time is up stops after what it has begun.
    """

    def __init__(
        self,
        function: str,
        request_id: str,
        seconds: float,
        cut: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.function_name = function
        self.aws_request_id = request_id
        self._cut = cut
        self._clock = clock
        self._end = clock() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds that are left; 0 when the time is up or the process is to stop."""
        return 0 if self._cut() else max(0, int((self._end - self._clock()) * 1000))
