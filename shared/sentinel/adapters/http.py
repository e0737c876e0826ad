"""HTTP for steps and sinks: the one place that opens a connection to somebody else's server.

It keeps `ports.Http`: TLS verified, no redirects, no proxies from the environment, one deadline over the
whole exchange however slowly it drips, answers cut at a limit, and only hosts and addresses that
`hosts.Hosts` allows. It is built on `http.client`: connecting to an address that was checked while
TLS and `Host` name the host, and a deadline over the body too, has to be done below urllib3's pool, which
would then add its import to a cold start and nothing else. A name's resolution is not bounded by the
deadline but by the system resolver's own time-outs.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult

from sentinel.adapters.http_wire import Clock, Wire, broken, unsent, why
from sentinel.core import urls
from sentinel.errors import BadAnswer, Cause, Malformed, TimedOut, Unavailable
from sentinel.ports import HttpRequest, HttpResponse

if TYPE_CHECKING:
    from sentinel.adapters.hosts import Hosts

MAX_ANSWER = 1_000_000
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 15.0
MAX_IDLE = 4
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110, 5.5
_OURS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"}
)


@dataclass(frozen=True, slots=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    authority: str
    ca: str = ""

    @property
    def server(self) -> tuple[str, str, int, str]:
        """What a kept connection is good for: the same server, trusted for the same reason."""
        return self.scheme, self.host, self.port, self.ca


class HttpClient:
    """Sends requests for one deployment; safe to share between threads.

    Connections are kept for `IDLE_SECONDS` and used again. A kept connection that the server closes at the
    very moment it is used gives `Unavailable`: nothing is ever sent twice here. `context` replaces the
    system's trust, for a server with a certificate of a private authority; answers are cut at `max_answer`
    bytes. `max_idle` connections to one server are kept.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        context: ssl.SSLContext | None = None,
        clock: Clock = time.monotonic,
        max_answer: int = MAX_ANSWER,
        max_idle: int = MAX_IDLE,
    ) -> None:
        self._hosts = hosts
        self._max_answer = max_answer
        self._max_idle = max_idle
        self._context = context
        self._trusting: dict[str, ssl.SSLContext] = {}
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: dict[tuple[str, str, int, str], list[tuple[float, _Connection]]] = {}

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request once; see `ports.Http`."""
        target = _target(request)
        headers = _headers(request.headers)
        self._learn(target.ca)
        deadline = self._clock() + request.timeout
        try:
            connection = self._take(target, deadline) or self._connect(target, deadline)
        except Unavailable as error:
            error.unsent = True
            raise
        try:
            answer, reusable = connection.exchange(
                request.method, target, headers, request.body, self._max_answer
            )
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            kind = TimedOut if isinstance(error, TimeoutError) else BadAnswer
            raise broken(f"{target.host} gave no answer: {why(error)}", kind) from None
        except BaseException:
            connection.close()
            raise
        self._keep(target, connection, reusable)
        return answer

    def close(self) -> None:
        """Close all kept connections."""
        with self._lock:
            kept = [connection for idle in self._idle.values() for _, connection in idle]
            self._idle.clear()
        for connection in kept:
            connection.close()

    def _take(self, target: _Target, deadline: float) -> _Connection | None:
        while True:
            with self._lock:
                idle = self._idle.get(target.server)
                if not idle:
                    return None
                since, connection = idle.pop()
            if self._clock() - since < IDLE_SECONDS and connection.renew(deadline):
                return connection
            connection.close()

    def _keep(self, target: _Target, connection: _Connection, reusable: bool) -> None:
        with self._lock:
            idle = self._idle.setdefault(target.server, [])
            if reusable and len(idle) < self._max_idle:
                idle.append((self._clock(), connection))
                return
        connection.close()

    def _connect(self, target: _Target, deadline: float) -> _Connection:
        addresses = self._hosts.addresses(target.host, target.port)
        last: Exception | None = None
        for address in addresses:
            left = min(CONNECT_SECONDS, deadline - self._clock())
            if left <= 0:
                break
            try:
                wire = Wire(socket.create_connection((address, target.port), left), deadline, self._clock)
            except OSError as error:
                last = error
                continue
            try:
                return _Connection(target, wire if target.scheme == "http" else self._secured(wire, target))
            except (OSError, ValueError) as error:
                wire.hang_up()
                told = f"{target.host} cannot be trusted or reached: {why(error)}"
                raise unsent(told, error, Cause.TLS) from None
        told = why(last) if last else "no time left"
        raise unsent(f"{target.host} cannot be reached: {told}", last)

    def _secured(self, wire: Wire, target: _Target) -> Wire:
        if target.ca:
            return wire.secured(self._trusting[target.ca], target.host)
        if self._context is None:
            self._context = ssl.create_default_context()
        return wire.secured(self._context, target.host)

    def _learn(self, ca: str) -> None:
        """Make the context that trusts an authority and no other. Raises `Malformed` where it is none."""
        if not ca or ca in self._trusting:
            return
        try:
            self._trusting[ca] = ssl.create_default_context(cadata=ca)
        except (ssl.SSLError, ValueError):
            raise Malformed("the authority of the server's certificate is not in PEM") from None


class _Connection:
    """One connection to one target, made already; it never connects by itself."""

    def __init__(self, target: _Target, wire: Wire) -> None:
        self._wire = wire
        self._http = http.client.HTTPConnection(target.host, target.port)
        self._http.auto_open = 0
        self._http.sock = wire

    def renew(self, deadline: float) -> bool:
        """Take a new deadline; False where the connection is of no more use."""
        self._wire.deadline = deadline
        return self._wire.quiet()

    def exchange(
        self, method: str, target: _Target, headers: Mapping[str, str], body: bytes, limit: int
    ) -> tuple[HttpResponse, bool]:
        chosen = any(name.lower() == "accept-encoding" for name in headers)
        self._http.putrequest(method, target.path, skip_host=True, skip_accept_encoding=chosen)
        self._http.putheader("Host", target.authority)
        for name, value in headers.items():
            self._http.putheader(name, value.encode("latin-1"))
        if body or method in {"PATCH", "POST", "PUT"}:
            self._http.putheader("Content-Length", str(len(body)))
        self._http.endheaders(body or None)
        answer = self._http.getresponse()
        found = answer.read(limit)
        if answer.length and len(found) < limit:
            raise http.client.HTTPException("the answer was cut off")
        whole = answer.isclosed()  # nothing more is waited for: at the limit the rest may never come
        if answer.status < 200:
            raise http.client.HTTPException("an interim answer only")
        named = _combined(answer.getheaders())
        reusable = whole and not answer.will_close
        answer.close()
        return HttpResponse(answer.status, named, found), reusable

    def close(self) -> None:
        self._http.close()
        self._wire.hang_up()


def _target(request: HttpRequest) -> _Target:
    """Take a URL apart. Raises `Malformed` without quoting it: a URL may hold a secret."""
    if request.method not in _METHODS:
        raise Malformed(f"the method is one of {', '.join(sorted(_METHODS))}")
    try:
        parts = urls.parse(request.url)
    except ValueError as error:
        raise Malformed(str(error)) from None
    return _Target(
        parts.scheme,
        parts.hostname or "",
        parts.port or _default(parts),
        _path(parts),
        parts.netloc,
        request.ca,
    )


def _default(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _path(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Check headers. Raises `Malformed` naming a header, never quoting its value."""
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise Malformed("a header's name has characters that no header may have")
        if name.lower() in _OURS:
            raise Malformed(f"the header {name} is set by the connection and cannot be given")
        if not _VALUE.fullmatch(value):
            raise Malformed(
                f"the header {name} has a line break or another character that no header may have"
            )
    return headers


def _combined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return headers by name in lower case: a name that comes again is one list (RFC 9110, 5.3).

    Cookies are no list (RFC 6265, 3): of them the last one is kept.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        low = name.lower()
        again = low in found and low != "set-cookie"
        found[low] = f"{found[low]}, {value}" if again else value
    return found
