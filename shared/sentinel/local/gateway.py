"""The local gateway: HTTP on loopback in the place of API Gateway, calling the handlers that are deployed.

It builds its paths from `sentinel.routes`, turns each request into a REST proxy event (payload 1.0) and each
reply back, as AWS's "Set up Lambda proxy integrations" says. It plays the door, too: who calls is what the
header `Sentinel-Service` says, which is only sound because nobody but this machine's own users can reach a
loopback address. Since any web page in a browser can send requests there as well, it refuses hosts that are
not loopback names (DNS rebinding) and foreign origins.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import json
import logging
import re
import socket
import uuid
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from aiohttp import web
from multidict import CIMultiDict

from sentinel.local import functions
from sentinel.local.fair import Crowded, Fair
from sentinel.local.gateway_socket import BACKLOG
from sentinel.local.proxy_events import DEFAULT_SERVICE, event_of, response_of
from sentinel.routes import ROUTES, Route

MAX_BODY = 10_000_000  # what API Gateway takes, in bytes as sent
BODY_SECONDS = 30.0
HEADER_SECONDS = 30.0  # also how long an idle connection is kept
HANDLER_SECONDS = 29.0  # API Gateway's own limit
THREADS = 4  # two keep two cores busy while others sync; more only contend for the interpreter
BUSY = 64  # requests that may hold a body in memory at one time
WAITING = 256  # requests of one service that may wait for that, and four times as many in all

log = logging.getLogger("sentinel.gateway")


class _Answer(Exception):
    """A refusal of the gateway's own, in the shape of the API's errors."""

    def __init__(self, status: int, error: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.body = json.dumps({"error": error, "message": message}).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Paths:
    """The routes as patterns."""

    patterns: tuple[tuple[re.Pattern[str], Route], ...]

    @staticmethod
    def of(routes: Sequence[Route]) -> Paths:
        """Compile routes: `{name}` is one segment of the path."""
        return Paths(
            tuple(
                (re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(route.path))), route)
                for route in routes
            )
        )

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route of a request with its path parameters, decoded. Raises the 404 and the 405."""
        allowed = []
        for pattern, route in self.patterns:
            found = pattern.fullmatch(path)
            if found and route.method == method:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
            if found:
                allowed.append(route.method)
        if allowed:
            told = ", ".join(sorted(allowed))
            raise _Answer(405, "NotAllowed", f"this path takes {told}", Allow=told)
        raise _Answer(404, "Missing", "there is nothing at this path; see docs/wire.md for the routes")


def check_sender(headers: CIMultiDict[str] | Any) -> None:
    """Refuse what a web page made a browser send. Raises the refusal.

    A page that had its name point here sends that name as `Host`; one that posts across origins sends
    its own as `Origin`.
    """
    host = headers.get("Host", "")
    if not _is_loopback(host):
        raise _Answer(421, "Misdirected", "Host must be a loopback name: localhost, 127.0.0.1 or [::1]")
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        raise _Answer(403, "Forbidden", "requests of other origins are not taken")


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@dataclass(slots=True)
class Gateway:
    """Answers requests. `handler_seconds` and `body_seconds` bound a request's two halves."""

    handler_seconds: float = HANDLER_SECONDS
    body_seconds: float = BODY_SECONDS
    paths: Paths = field(default_factory=lambda: Paths.of(ROUTES))
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS, "handler"))
    bodies: Fair = field(default_factory=lambda: Fair(BUSY, BUSY * 3 // 4, WAITING, 4 * WAITING))
    calls: Fair = field(default_factory=lambda: Fair(THREADS, THREADS - 1, BUSY, BUSY))
    leaving: bool = False
    _active: int = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; never raises for what a client can do."""
        self._active += 1
        try:
            response = await self._answer(request)
        finally:
            self._active -= 1
        if self.leaving:
            response.force_close()
        return response

    async def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, for so many seconds at most.

        aiohttp's own shutdown would throw away what still arrives of their bodies.
        """
        self.leaving = True
        end = asyncio.get_running_loop().time() + seconds
        while self._active and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        request_id = uuid.uuid4().hex
        try:
            check_sender(request.headers)
            if request.path == "/healthz" and request.method in {"GET", "HEAD"}:
                return web.json_response({"status": "ok"})
            route, params = self.paths.find(request.method, request.raw_path.partition("?")[0])
            caller = request.headers.get("Sentinel-Service", DEFAULT_SERVICE)
            async with self.bodies.turn(caller):
                body = await self._body(request)
                event = event_of(request, route, params, body, request_id)
                async with self.calls.turn(caller):
                    return response_of(await self._call(route.function, event, request_id), request_id)
        except (_Answer, Crowded) as refused:
            refusal = refused if isinstance(refused, _Answer) else _crowded()
            headers = {**refusal.headers, "Sentinel-Request-Id": request_id}
            answer = web.Response(
                status=refusal.status, body=refusal.body, headers=headers, content_type="application/json"
            )
            if not request.content.is_eof():
                answer.force_close()  # the rest of the body is not worth reading
            return answer

    async def _body(self, request: web.BaseRequest) -> bytes:
        if (request.content_length or 0) > MAX_BODY:
            raise _too_large()
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        found = bytearray()
        try:
            async with asyncio.timeout(self.body_seconds):
                async for chunk in request.content.iter_any():
                    found += chunk
                    if len(found) > MAX_BODY:
                        raise _too_large()
        except TimeoutError:
            raise _Answer(408, "TimedOut", "the request's body did not arrive in time") from None
        except OSError:
            raise _Answer(400, "Malformed", "the connection was lost before the body was whole") from None
        return bytes(found)

    async def _call(self, function: str, event: dict[str, Any], request_id: str) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        context = functions.Context(function, request_id, self.handler_seconds)
        handler = functions.load(function)
        # The call goes on when its time is up, as it may have stored what it was given; only nobody waits.
        call = asyncio.shield(loop.run_in_executor(self.pool, handler, event, context))
        try:
            return await asyncio.wait_for(call, self.handler_seconds)
        except TimeoutError:
            log.warning("%s took over %s s", function, self.handler_seconds)
            raise _Answer(
                504, "TimedOut", "the answer took too long; sending the batch again is safe"
            ) from None
        except Exception:
            log.exception("%s failed outside of its own handling of errors", function)
            raise _Answer(502, "Internal", "the function failed; it was logged") from None


def _crowded() -> _Answer:
    return _Answer(429, "Limited", f"{WAITING} requests of this service wait already", Retry_After="1")


def _too_large() -> _Answer:
    return _Answer(413, "TooLarge", f"the request is over {MAX_BODY} bytes; send it in parts")


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, but for what it says of bytes that are no HTTP: it quotes them, in its log, too."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in the shape of the API's errors, without what was sent."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        log.warning("a request was not understood: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; another one cannot be sent")
        refusal = _Answer(status, "Malformed", "this is no HTTP request, or its head is over 8 KB a line")
        answer = web.Response(status=status, body=refusal.body, content_type="application/json")
        answer.force_close()
        return answer


class _Server(web.Server):
    """aiohttp's server with our protocol."""

    def __init__(
        self, answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]], **options: Any
    ) -> None:
        super().__init__(answer)
        self._options = options

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of one connection."""
        return _Protocol(self, loop=asyncio.get_running_loop(), **self._options)


async def serve(listener: socket.socket, stopped: asyncio.Event, grace: float = 10.0) -> None:
    """Serve until `stopped` is set, then finish the requests that have begun, for `grace` seconds at most.

    Bodies are handed on as they came: decompressing them, within bounds, is the handler's part.
    """
    gateway = Gateway()
    for function in sorted({route.function for route in ROUTES}):
        functions.load(function)
    server = _Server(
        gateway.answer,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=HEADER_SECONDS,
        lingering_time=2.0,
        read_bufsize=1 << 18,
    )
    runner = web.ServerRunner(server, shutdown_timeout=1.0)
    await runner.setup()
    site = web.SockSite(runner, listener, backlog=BACKLOG)
    await site.start()
    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    await stopped.wait()
    await site.stop()
    await gateway.finish(grace)
    await runner.cleanup()
    gateway.pool.shutdown(wait=True, cancel_futures=True)
