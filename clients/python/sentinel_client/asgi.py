"""ASGI (FastAPI, Starlette, Quart, …): a middleware that knows nothing of frameworks.

    app.add_middleware(SentinelMiddleware)

Everything that is logged while a request is worked on has its `request_id` and trace; at its end it is an
entry itself, with the exception that it failed with.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ._requests import HEADER, Request, request_logger

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class SentinelMiddleware:
    """Wraps an application. `logger` names the logger of requests; `request_ids` accepts callers' ids."""

    def __init__(self, app: App, logger: str = "http", request_ids: bool = True) -> None:
        self._app = app
        self._log = request_logger(logger)
        self._ids = request_ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope.get("headers", ())}

        def header(name: str) -> str | None:
            value = headers.get(name.lower().encode())
            return value.decode("latin-1") if value is not None else None

        method = scope.get("method") or "WEBSOCKET"
        request = Request(self._log, method, scope.get("path", ""), header, self._ids)
        status: int | None = None

        async def noting(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                named = (HEADER.lower().encode(), request.id.encode())
                message = {**message, "headers": [*message.get("headers", ()), named]}
            await send(message)

        with request.context:
            try:
                await self._app(scope, receive, noting)
            except Exception as error:
                request.ended(status or 500, _route(scope), error)
                raise
            request.ended(status, _route(scope))


def _route(scope: Scope) -> str | None:
    """Return the pattern that the path fitted, where the framework leaves it in the scope."""
    path = getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None
