"""A witness on a socket: `usecases.witness` by the HTTP of C2SP tlog-witness.

`POST /add-checkpoint` is the specification's. Beside it `GET /` tells the witness's verifier key, and
`GET /checkpoint/ORIGIN` (percent-encoded) what it cosigned last of a log, with its cosignature: whoever holds
another checkpoint of that log can compare. Bodies are bounded in size and time; what a stranger sent is in no
log line and in no answer.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote

from aiohttp import web

from sentinel.core import witnessing
from sentinel.core.notes import COSIGNATURE, Key
from sentinel.errors import (
    Conflict,
    Forbidden,
    Malformed,
    Missing,
    SentinelError,
    TimedOut,
    TooLarge,
    Unavailable,
)
from sentinel.local import listeners
from sentinel.local.gateway import BROKEN
from sentinel.local.gateway_socket import BACKLOG
from sentinel.local.peer import Peer
from sentinel.local.tls import Files
from sentinel.usecases.witness import Witness

BODY_SECONDS = 10.0
THREADS = 4
CONNECTIONS = 256  # each may hold a body; where there are more, the one that is slowest gives way
SERVER = "Sentinel"
STATUS: dict[type[Exception], int] = {
    TooLarge: 413,
    TimedOut: 408,
    Malformed: 400,
    Forbidden: 403,
    Missing: 404,
    Conflict: 409,
    witnessing.Unproven: 422,
    Unavailable: 503,
}

T = TypeVar("T")

log = logging.getLogger("sentinel.witness")


def listen(host: str, port: int) -> socket.socket:
    """Open the socket; port 0 takes a free one. Raises `Unavailable` where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        code = error.errno or 0
        reason = os.strerror(code) if code > 0 else "it is no address of this machine"
        raise Unavailable(
            f"port {port} of {host} cannot be had ({reason}); `sentinel witness --port` takes another one"
        ) from None


@dataclass(slots=True)
class WitnessDoor:
    """Answers the requests to one witness."""

    witness: Witness
    body_seconds: float = BODY_SECONDS
    leaving: bool = False
    pool: ThreadPoolExecutor = field(init=False)
    _active: int = 0

    def __post_init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS, "witness")

    async def answer(self, request: web.BaseRequest, peer: Peer) -> web.StreamResponse:  # noqa: ARG002 - callers prove nothing
        """Answer one request; never raises for what a client can do."""
        self._active += 1
        try:
            response = await self._answer(request)
        finally:
            self._active -= 1
        if self.leaving or not request.content.is_eof():
            response.force_close()
        response.headers["Server"] = SERVER
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def finish(self, seconds: float) -> None:
        """Wait until the requests that have begun are answered, for so many seconds at most."""
        self.leaving = True
        end = asyncio.get_running_loop().time() + seconds
        while self._active and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        path = request.raw_path.partition("?")[0]
        allowed = {"/add-checkpoint": "POST"}.get(path, "GET")
        if request.method != allowed:
            told = f"only {allowed} is answered here\n"
            return web.Response(status=405, text=told, headers={"Allow": allowed})
        try:
            if path == "/add-checkpoint":
                body = await self._body(request)
                return _text(200, await self._in_pool(partial(self.witness.add, body)))
            return await self._shown(path)
        except SentinelError as error:
            return _refused(error)
        except Exception:
            log.exception("a request could not be worked on")
            return _text(500, "this witness failed; it was logged\n")

    async def _shown(self, path: str) -> web.Response:
        if path == "/":
            return _text(200, self.witness.key.vkey + "\n")
        if not path.startswith("/checkpoint/"):
            raise Missing("a witness has /add-checkpoint, /checkpoint/ORIGIN and /")
        origin = unquote(path.removeprefix("/checkpoint/"), errors="replace")
        found = await self._in_pool(partial(self.witness.newest, origin))
        return web.Response(body=found, content_type="text/plain", charset="utf-8")

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Read a body. Raises `TooLarge`, `TimedOut`, and `Malformed` where it does not end as it should."""
        found = bytearray()
        try:
            async with asyncio.timeout(self.body_seconds):
                while chunk := await request.content.readany():
                    found += chunk
                    if len(found) > witnessing.MOST_BYTES:
                        raise TooLarge(f"a submission has at most {witnessing.MOST_BYTES} bytes")
        except TimeoutError:
            raise TimedOut("the body did not arrive in time") from None
        except (OSError, web.RequestPayloadError):
            raise Malformed("the body did not arrive whole") from None
        if BROKEN in request:
            raise Malformed("the body is not in the form that the head says")
        return bytes(found)

    async def _in_pool(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)


def _refused(error: SentinelError) -> web.Response:
    """Return the answer that the specification has for an error; the conflict's is the size alone."""
    if isinstance(error, witnessing.OtherSize):
        log.info("refused with 409: %s", error)
        return web.Response(
            status=409, body=f"{error.size}\n".encode(), headers={"Content-Type": witnessing.SIZE_TYPE}
        )
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)
    # Somebody who is a log's key holder and cannot prove growth is what a witness is there to notice.
    log.log(
        logging.WARNING if status in {422, 500, 503} else logging.INFO, "refused with %d: %s", status, error
    )
    return _text(status, f"{error}\n")


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text)


def made(home: Path, name: str, vkeys: list[str]) -> Witness:
    """Make a witness whose key and state are below `home`; both are made where neither is there.

    Raises `Malformed` for a name or a log's key that is none, `Forbidden` for a key file that others can
    read, and `Conflict` where the key is there and the state is not: it would cosign a second history.
    """
    from sentinel.adapters.log_key_file import FileLogKey
    from sentinel.adapters.sqlite_witness import SqliteWitnessed

    logs = witnessing.Logs.read(vkeys)
    key, state = home / "witness.key", home / "witness.db"
    if key.exists() and not state.exists():
        raise Conflict(
            f"{key} is there and {state.name} is not: a witness that has forgotten what it cosigned must not "
            "use its key again. Restore the database, or begin as a new witness in another folder"
        )
    witnessed = SqliteWitnessed(state)  # before the key, so that no key is ever without its state
    signer = FileLogKey(key, create=True)
    Key.read(Key(name, COSIGNATURE, signer.public_key()).vkey)  # a name that fits no key fits no witness
    return Witness(name, logs, witnessed, signer, time.time_ns)


async def serve(
    door: WitnessDoor, listener: socket.socket, files: Files | None, stopped: asyncio.Event
) -> None:
    """Serve until `stopped` is set; TLS by `files`, which may change meanwhile."""
    await listeners.serve([listeners.Front(listener, door, files, CONNECTIONS)], stopped)
