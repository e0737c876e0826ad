"""WSGI (Flask, Pyramid, …): a middleware that knows nothing of frameworks.

    app.wsgi_app = SentinelMiddleware(app.wsgi_app)

Everything that is logged while a request is worked on has its `request_id` and trace; when its answer is
closed, it is an entry itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ._requests import HEADER, Request, request_logger

Environ = dict[str, Any]
App = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class SentinelMiddleware:
    """Wraps an application. `logger` names the logger of requests; `request_ids` accepts callers' ids."""

    def __init__(self, app: App, logger: str = "http", request_ids: bool = True) -> None:
        self._app = app
        self._log = request_logger(logger)
        self._ids = request_ids

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""

        def header(name: str) -> str | None:
            value = environ.get(f"HTTP_{name.upper().replace('-', '_')}")
            return value if isinstance(value, str) else None

        path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
        answer = _Answer(Request(self._log, environ["REQUEST_METHOD"], path, header, self._ids))

        def starting(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            answer.status = int(status[:3])
            answer.route = _route(environ)  # Flask takes its request away before the answer is closed
            return start_response(status, [*headers, (HEADER, answer.request.id)], *more)

        answer.request.context.__enter__()
        try:
            answer.body = self._app(environ, starting)
        except BaseException as error:
            answer.end(error)
            raise
        return answer


class _Answer:
    """The body of an answer, which ends the request when the server closes it, as servers must (PEP 3333)."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.status: int | None = None
        self.route: str | None = None
        self.body: Iterable[bytes] = ()
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self.body
        except BaseException as error:
            self.end(error)
            raise

    def close(self) -> None:
        """Close the body, and end the request."""
        try:
            close = getattr(self.body, "close", None)
            if close is not None:
                close()
        finally:
            self.end(None)

    def end(self, error: BaseException | None) -> None:
        """Log the request, once."""
        if self._ended:
            return
        self._ended = True
        told = error if isinstance(error, Exception) else None
        try:
            self.request.ended(self.status or (500 if told else None), self.route, told)
        finally:
            self.request.context.__exit__(None, None, None)


def _route(environ: Environ) -> str | None:
    """Return the pattern that the path fitted, where Flask has left its request."""
    rule = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    return rule if isinstance(rule, str) else None
