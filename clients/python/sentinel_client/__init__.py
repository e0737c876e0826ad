"""The client library of Sentinel: logs are on disk before the call returns, and are sent exactly once.

    import sentinel_client

    sentinel_client.install()

What is named here is imported when it is first used: importing the package costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._client import Client
    from ._context import (
        bind_context,
        context,
        current_context,
        parse_traceparent,
        unbind_context,
    )
    from ._install import install, installed, uninstall
    from ._logger import Logger, get_logger
    from ._options import Options, OptionsError
    from .handler import SentinelHandler

__version__ = "0.1.0"
__all__ = [
    "Client",
    "Logger",
    "Options",
    "OptionsError",
    "SentinelHandler",
    "bind_context",
    "context",
    "current_context",
    "flush",
    "get_logger",
    "install",
    "installed",
    "parse_traceparent",
    "unbind_context",
    "uninstall",
]
_WHERE = {
    "Client": "_client",
    "Logger": "_logger",
    "Options": "_options",
    "OptionsError": "_options",
    "SentinelHandler": "handler",
    "bind_context": "_context",
    "context": "_context",
    "current_context": "_context",
    "get_logger": "_logger",
    "install": "_install",
    "installed": "_install",
    "parse_traceparent": "_context",
    "unbind_context": "_context",
    "uninstall": "_install",
}


def flush(seconds: float = 10.0) -> bool:
    """Send what the process has logged until now, within so many seconds; whether all of it is sent."""
    from ._install import installed

    return installed().flush(seconds)


if not TYPE_CHECKING:  # a checker is to find names that are not there

    def __getattr__(name: str) -> Any:
        module = _WHERE.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f".{module}", __name__), name)
        globals()[name] = found
        return found
