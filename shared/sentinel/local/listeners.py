"""The connections of the local gateway: their TLS, their number, and how long they may take over anything.

Nobody who is slow keeps others waiting: a handshake has `HANDSHAKE_SECONDS`, a head and an idle connection
`HEADER_SECONDS`, a body what the gateway gives it, and where too many connections are open, the one that has
been idle for longest is closed for a new one, or where none is idle, the one whose body is on its way for
longest.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import socket
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http import RawRequestMessage

from sentinel.errors import Unavailable
from sentinel.local.gateway import BROKEN
from sentinel.local.gateway_socket import BACKLOG
from sentinel.local.peer import Peer, peer_of
from sentinel.local.refusals import SERVER, Refusal
from sentinel.local.tls import Files

HANDSHAKE_SECONDS = 5.0
SHUTDOWN_SECONDS = 2.0  # for a peer to say goodbye
HEADER_SECONDS = 30.0  # also how long an idle connection is kept
MAX_CONNECTIONS = 1000  # a listener's
RELOAD_SECONDS = 0.5

log = logging.getLogger("sentinel.gateway")


class Answering(Protocol):
    """What stands behind a listener: the gateway, or a witness."""

    @property
    def pool(self) -> Executor:
        """The threads that requests are worked on in."""

    async def answer(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        """Answer one request; never raises for what a client can do."""

    async def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, for so many seconds at most."""


class _Protocol(web.RequestHandler):
    """aiohttp's protocol, but for what it says of bytes that are no HTTP: it quotes them, in its log, too."""

    __slots__ = ("peer",)

    def __init__(self, manager: _Server, **options: Any) -> None:
        super().__init__(manager, **options)
        self.peer: Peer | None = None

    def who(self) -> Peer:
        """Return who is at the other end; found out once."""
        if self.peer is None:
            transport = self.transport
            self.peer = peer_of(transport.get_extra_info("ssl_object") if transport is not None else None)
        return self.peer

    def data_received(self, data: bytes) -> None:
        """Take bytes in. Where they are no HTTP any more, a body that has begun ends there and then.

        aiohttp would say so once the request before is answered, and that waits for the rest of its body.
        """
        super().data_received(data)
        request = self._current_request
        broken = bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)
        if broken and request is not None and not request.content.is_eof():
            request[BROKEN] = True
            request.content.feed_eof()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer in the shape of the API's errors, without what was sent."""
        if status >= 500:
            failed = super().handle_error(request, status, exc, message)
            failed.headers["Server"] = SERVER
            return failed
        log.warning("a request was not understood: %s", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun; another one cannot be sent")
        answer = Refusal(status, "Malformed", "this is no HTTP request, or its head is over 8 KB a line")
        response = answer.response()
        response.force_close()
        return response


class _Server(web.Server):
    """aiohttp's server with our protocol and a bound on connections.

    `idle` are those without a request, `busy` the requests of the others, both oldest first.
    """

    def __init__(self, gateway: Answering, most: int, **options: Any) -> None:
        super().__init__(self._answer)
        self._gateway = gateway
        self._most = most
        self._options = options
        self._open: set[web.RequestHandler] = set()
        self._idle: dict[web.RequestHandler, None] = {}
        self._busy: dict[web.RequestHandler, web.BaseRequest] = {}

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of one connection."""
        return _Protocol(self, loop=asyncio.get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        """Take a connection in, and close another one where there are too many."""
        super().connection_made(handler, transport)
        if len(self._open) >= self._most:
            oldest = self._slowest() or handler
            self._idle.pop(oldest, None)
            self._busy.pop(oldest, None)
            oldest.force_close()
        self._open.add(handler)
        self._idle[handler] = None

    def _slowest(self) -> web.RequestHandler | None:
        """Return the connection that may go: never one whose request is whole and being answered."""
        sending = (each for each, request in self._busy.items() if not request.content.is_eof())
        return next(iter(self._idle), None) or next(sending, None)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        self._open.discard(handler)
        self._idle.pop(handler, None)
        self._busy.pop(handler, None)
        super().connection_lost(handler, exc)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = request.protocol
        assert isinstance(handler, _Protocol)  # noqa: S101 - for the type checker
        self._idle.pop(handler, None)
        self._busy[handler] = request
        try:
            return await self._gateway.answer(request, handler.who())
        finally:
            self._busy.pop(handler, None)
            if handler in self._open:
                self._idle[handler] = None


class _Site(web.SockSite):
    """aiohttp's site with a bound on the time of a handshake."""

    async def start(self) -> None:
        """Begin to accept."""
        await web.BaseSite.start(self)
        server = self._runner.server
        assert server is not None  # noqa: S101 - for the type checker
        tls = self._ssl_context is not None  # without it, its times are refused
        self._server = await asyncio.get_running_loop().create_server(
            server,
            sock=self._sock,
            ssl=self._ssl_context,
            backlog=self._backlog,
            ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=SHUTDOWN_SECONDS if tls else None,
        )

    async def stop(self) -> None:
        """Accept no more, and lose nobody who was accepted.

        asyncio accepts a connection in one step of its loop and makes its transport in the next, which fails
        where the server was closed in between.
        """
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        await asyncio.sleep(0)
        await super().stop()


@dataclass(slots=True)
class Front:
    """One listening socket and the API behind it. Without `files` it speaks plain HTTP."""

    listener: socket.socket
    gateway: Answering
    files: Files | None = None
    most: int = MAX_CONNECTIONS
    _runner: web.ServerRunner | None = None
    _site: _Site | None = None
    _state: object = None

    async def open(self) -> None:
        """Begin to serve. Raises `Unavailable` where the files of TLS cannot be used."""
        server = _Server(
            self.gateway,
            self.most,
            access_log=None,
            auto_decompress=False,  # decompressing bodies, within bounds, is the handler's part
            keepalive_timeout=HEADER_SECONDS,
            lingering_time=2.0,
            read_bufsize=1 << 18,
        )
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        self._site = await self._accept()

    async def _accept(self) -> _Site:
        assert self._runner is not None  # noqa: S101 - for the type checker
        context = None
        if self.files is not None:
            state = self.files.state()
            context = self.files.context()
            self._state = state
        # A duplicate, which its asyncio server closes: the socket itself outlives a change of context.
        site = _Site(self._runner, self.listener.dup(), ssl_context=context, backlog=BACKLOG)
        await site.start()
        return site

    async def renew(self) -> bool:
        """Take new connections by the files as they are now, if they changed. Open ones are not touched.

        Where they cannot be used, as half of a change cannot, what was in force stays.
        """
        if self.files is None or self._site is None:
            return False
        with suppress(OSError, Unavailable):
            if self.files.state() == self._state:
                return False
            fresh = await self._accept()
            await self._site.stop()
            self._site = fresh
            return True
        return False

    async def close(self, grace: float) -> None:
        """Take no new connections, and finish the requests that have begun, for `grace` seconds at most."""
        if self._site is not None:
            await self._site.stop()
        self.listener.close()
        await self.gateway.finish(grace)
        if self._runner is not None:
            await self._runner.cleanup()
        self.gateway.pool.shutdown(wait=True, cancel_futures=True)


async def serve(fronts: Sequence[Front], stopped: asyncio.Event, grace: float = 10.0) -> None:
    """Serve until `stopped` is set."""
    _allow_files()
    for front in fronts:
        await front.open()
    gc.freeze()  # what is loaded stays: no collection needs to look at it again
    while not stopped.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stopped.wait(), RELOAD_SECONDS)
        for front in fronts:
            if not stopped.is_set():
                await front.renew()
    await asyncio.gather(*(front.close(grace) for front in fronts))


def _allow_files() -> None:
    """Raise the number of files that may be open as far as this user may: connections are files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(8192, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
