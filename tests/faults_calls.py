"""Ports whose calls fail on demand: the k-th of all, unsent or with its answer lost, or deadly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sentinel.errors import Unavailable


class Killed(BaseException):
    """The process is gone: nothing of ours that would catch an error runs."""


@dataclass
class Faults:
    """Counts the calls of all ports; `fails(n)` says whether call n fails, `applied` whether it was done."""

    error: type[BaseException] = Unavailable

    fails: Callable[[int], bool] = lambda _: False
    applied: bool = False
    calls: int = 0
    log: list[str] = field(default_factory=list)

    def wrap(self, name: str, port: Any) -> Any:
        return _Faulty(self, name, port)


class _Faulty:
    def __init__(self, faults: Faults, name: str, port: Any) -> None:
        self._faults, self._name, self._port = faults, name, port

    def __getattr__(self, method: str) -> Any:
        real = getattr(self._port, method)

        def call(*args: Any, **named: Any) -> Any:
            faults = self._faults
            faults.calls += 1
            faults.log.append(f"{self._name}.{method}")
            if not faults.fails(faults.calls):
                return real(*args, **named)
            if faults.applied:
                real(*args, **named)
            raise faults.error(f"injected at call {faults.calls}")

        return call
