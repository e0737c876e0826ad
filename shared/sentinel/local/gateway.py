"""The local gateway: HTTP on loopback in the place of API Gateway, calling the handlers that are deployed.

It builds its paths from `sentinel.routes`, turns each request into a REST proxy event (payload 1.0) and each
reply back, as AWS's "Set up Lambda proxy integrations" says. Who may call what is decided by the head
(`heads`) and at the `door`, before a body is read.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sentinel.local import functions, heads
from sentinel.local.callers import Callers
from sentinel.local.door import Admission
from sentinel.local.fair import Crowded, Fair
from sentinel.local.paths import Paths
from sentinel.local.peer import Peer
from sentinel.local.proxy_events import Call, event_of, response_of
from sentinel.local.refusals import SERVER, Refusal

MAX_BODY = 10_000_000  # what API Gateway takes, in bytes as sent
BODY_SECONDS = 30.0
HANDLER_SECONDS = 29.0  # API Gateway's own limit
THREADS = 4  # two keep two cores busy while others sync; more only contend for the interpreter
BUSY = 64  # requests that may hold a whole body in memory at one time
WAITING = 256  # requests of one caller that may wait for that, and four times as many in all
# How long the answer "too many requests" is held back: whoever asks again without waiting is slowed down by
# it, and so is what their refusals cost this process. Whoever waits as they were told loses nothing by it.
BRAKE_SECONDS = 0.5
SMALL = 1 << 16  # bytes of a body that are read without a place among those
HUGE = 16  # bodies over what an API usually takes that may be on their way, where a route takes larger ones
BROKEN = web.RequestKey("broken", bool)  # of a request whose body ended in something that is no HTTP

log = logging.getLogger("sentinel.gateway")


@dataclass(slots=True)
class Gateway:
    """Answers the requests of one API. `handler_seconds` and `body_seconds` bound a request's two halves.

    `scheme` is what a browser's `Origin` begins with; "" where senders are no business of ours: webhooks come
    under whatever name they were forwarded from, and prove themselves. `max_body` is in bytes as sent, and
    `large` is how many bodies over `SMALL` may be on their way at one time. A route may take larger ones
    (`Route.body`); few of those may be on their way, and somebody unknown leaves places to who is known.
    """

    paths: Paths
    door: Admission
    scheme: str = "http"
    handler_seconds: float = HANDLER_SECONDS
    body_seconds: float = BODY_SECONDS
    max_body: int = MAX_BODY
    large: int = BUSY
    threads: int = THREADS
    brake: float = BRAKE_SECONDS
    load: Callable[[str], functions.Handler] = functions.load
    leaving: bool = False
    pool: ThreadPoolExecutor = field(init=False)
    arriving: Fair = field(init=False)
    huge: Fair = field(init=False)
    bodies: Fair = field(init=False)
    calls: Fair = field(init=False)
    callers: Callers = field(default_factory=Callers)
    _active: int = 0

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(self.threads, "handler")
        self.arriving = Fair(self.large, self.large * 3 // 4, WAITING, 4 * WAITING)
        self.huge = Fair(HUGE, HUGE * 3 // 4, WAITING, 4 * WAITING)
        self.bodies = Fair(BUSY, BUSY * 3 // 4, WAITING, 4 * WAITING)
        self.calls = Fair(self.threads, self.threads - 1, BUSY, BUSY)

    async def answer(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:
        """Answer one request; never raises for what a client can do."""
        self._active += 1
        try:
            response = await self._answer(request, peer)
            if response.status == 429 and not self.leaving:
                await asyncio.sleep(self.brake)
        finally:
            self._active -= 1
        if self.leaving:
            response.force_close()
        response.headers["Server"] = SERVER
        return response

    async def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, for so many seconds at most.

        aiohttp's own shutdown would throw away what still arrives of their bodies.
        """
        self.leaving = True
        end = asyncio.get_running_loop().time() + seconds
        while self._active and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def _answer(self, request: web.BaseRequest, peer: Peer) -> web.Response:
        request_id = uuid.uuid4().hex
        try:
            heads.check(request, self.scheme)
            if request.path == "/healthz" and request.method in {"GET", "HEAD"}:
                return web.json_response({"status": "ok"})
            route, params = self.paths.find(request.method, request.raw_path.partition("?")[0])
            call = Call(request, route, params, peer, request_id)
            context = await self.door.admit(call)
            caller = self.callers.line(call, context)
            async with AsyncExitStack() as held:
                body = await self._body(request, held, caller, route.body or self.max_body)
                event = event_of(call, context, body)
                await held.enter_async_context(self.calls.turn(caller))
                answer = response_of(await self._call(route.function, event, request_id), request_id)
                self.callers.answered(call, answer.status)
                return answer
        except (Refusal, Crowded) as refused:
            refusal = refused if isinstance(refused, Refusal) else _crowded()
            answer = refusal.response(request_id)
            if answer.status == 400 or not request.content.is_eof():
                answer.force_close()  # what follows is in doubt, or not worth reading
            return answer

    async def _body(self, request: web.BaseRequest, held: AsyncExitStack, caller: str, most: int) -> bytes:
        """Read the body, and take a place for it in `held`, which it keeps until it is answered.

        What is still on its way takes none of the places of what is whole, so that nobody waits for the slow.
        Up to `SMALL` is read of each; what is larger needs a place of another kind to go on.
        """
        if (request.content_length or 0) > most:
            raise _too_large(most)
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        found = bytearray()
        try:
            async with asyncio.timeout(self.body_seconds):
                await _read(request, found, SMALL, most)
            for enough, places in ((self.max_body, self.arriving), (most, self.huge)):
                if not request.content.at_eof():
                    await held.enter_async_context(places.turn(caller))
                    async with asyncio.timeout(self.body_seconds):
                        await _read(request, found, enough, most)
        except TimeoutError:
            raise Refusal(408, "TimedOut", "the request's body did not arrive in time") from None
        except OSError:
            raise Refusal(400, "Malformed", "the connection was lost before the body was whole") from None
        if BROKEN in request:
            raise Refusal(400, "Malformed", "the body is not in the form that the head says")
        await held.enter_async_context(self.bodies.turn(caller))
        return bytes(found)

    async def _call(self, function: str, event: dict[str, Any], request_id: str) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        context = functions.Context(function, request_id, self.handler_seconds)
        handler = self.load(function)
        # The call goes on when its time is up, as it may have stored what it was given; only nobody waits.
        call = asyncio.shield(loop.run_in_executor(self.pool, handler, event, context))
        try:
            return await asyncio.wait_for(call, self.handler_seconds)
        except TimeoutError:
            log.warning("%s took over %s s", function, self.handler_seconds)
            raise Refusal(
                504, "TimedOut", "the answer took too long; sending the batch again is safe"
            ) from None
        except Exception:
            log.exception("%s failed outside of its own handling of errors", function)
            raise Refusal(502, "Internal", "the function failed; it was logged") from None


async def _read(request: web.BaseRequest, found: bytearray, enough: int, most: int) -> None:
    """Read on until the end, or until more than `enough` is there; over `most` is refused."""
    while len(found) <= enough:
        chunk = await request.content.readany()
        if not chunk:
            return
        found += chunk
        if len(found) > most:
            raise _too_large(most)


def _too_large(most: int) -> Refusal:
    return Refusal(413, "TooLarge", f"the request is over {most} bytes; send it in parts")


def _crowded() -> Refusal:
    return Refusal(429, "Limited", f"{WAITING} requests of this service wait already", Retry_After="1")
