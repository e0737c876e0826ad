"""Django: a middleware, synchronous and asynchronous.

    MIDDLEWARE = ["sentinel_client.django.SentinelMiddleware", ...]

Everything that is logged while a request is worked on has its `request_id` and trace; at its end it is an
entry itself. What a view raises is logged by Django's own logger `django.request`, and so not told twice.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ._requests import HEADER, Request, request_logger


class SentinelMiddleware:
    """The middleware. It goes first, so that the others are within the request's context."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self._get_response = get_response
        self._log = request_logger("http")
        self._waits = inspect.iscoroutinefunction(get_response)
        if self._waits:
            from asgiref.sync import markcoroutinefunction  # Django brings it

            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Serve one request; where Django is asynchronous, return what is to be awaited."""
        if self._waits:
            return self._awaited(request)
        told = self._begun(request)
        with told.context:
            try:
                return _ended(told, request, self._get_response(request))
            except Exception as error:
                told.ended(500, _route(request), error)
                raise

    async def _awaited(self, request: Any) -> Any:
        told = self._begun(request)
        with told.context:
            try:
                return _ended(told, request, await self._get_response(request))
            except Exception as error:
                told.ended(500, _route(request), error)
                raise

    def _begun(self, request: Any) -> Request:
        return Request(self._log, request.method, request.path, request.headers.get)


def _ended(told: Request, request: Any, response: Any) -> Any:
    response.headers.setdefault(HEADER, told.id)
    told.ended(response.status_code, _route(request))
    return response


def _route(request: Any) -> str | None:
    """Return the pattern that the path fitted."""
    return getattr(getattr(request, "resolver_match", None), "route", None)
