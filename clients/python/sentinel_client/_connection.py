"""One kept HTTP/1.1 connection whose every exchange has a total deadline.

`http.client` bounds each read and write; a server that sends a byte a minute would hold a thread for ever.
So the socket that it gets here counts down. Only the resolution of a name has the system's own time-out. An
answer is bounded in size. A proxy that the environment names for https is used by CONNECT.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sentinel_client._sockets import Timed, Unusable, connected, left

if TYPE_CHECKING:
    import http.client
    import ssl

MAX_ANSWER = 1 << 20  # bytes of a body that are read
MAX_HEAD = 16_384  # bytes of a proxy's answer to CONNECT
IDLE = 30.0  # seconds after which a connection is made anew: others give idle ones up, and not all say so
# What a server that refuses our certificate says (RFC 8446, 6.2), in OpenSSL's words.
_ALERTS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED", "HANDSHAKE_FAILURE", "DECRYPT_ERROR")


class Unreachable(Exception):
    """No answer, or none that can be used. The message is for people: no body, no secret."""


class Shut(Exception):
    """The other side, or we, do not accept a proof. It will not get better by itself soon."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; `headers` in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def told(self) -> dict[str, Any]:
        """The body as a JSON object, empty where it is none."""
        import json

        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def after(self, most: float) -> float:
        """Return the seconds of `Retry-After` (RFC 9110, 10.2.3), at most so many; 0 where it says none."""
        try:
            return max(0.0, min(most, float(int(self.headers.get("retry-after", "").strip()))))
        except ValueError:
            return 0.0


class Connection:
    """A connection to one origin, opened when it is first used. For one thread; a forked child opens its own.

    `context` makes the TLS of an https connection. `clock` is monotonic.
    """

    def __init__(
        self,
        url: str,
        context: Callable[[], ssl.SSLContext] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from urllib.parse import urlsplit

        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the address is no URL, or its port no port") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("the address begins with http:// or https://")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise ValueError("the address has characters that no URL has")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("the address has a user, a query or a fragment, which it may not")
        self.secure = parts.scheme == "https"
        self.host, self.port = parts.hostname, port or (443 if self.secure else 80)
        self.base = parts.path.rstrip("/")
        self.shown = f"{parts.scheme}://{parts.netloc}"
        self._context = context or _default_context
        self._clock = clock
        self._http: http.client.HTTPConnection | None = None
        self._timed: Timed | None = None
        self._pid = 0
        self._used = 0.0

    def exchange(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str | bytes], seconds: float
    ) -> Answer:
        """Send a request and return its answer, whatever its status, within so many seconds.

        Raises `Unreachable` where there is none by then, `Shut` where TLS is refused, by either side.
        """
        import http.client

        end = self._clock() + seconds
        try:
            self._ready(end)
            assert self._http is not None  # noqa: S101 - for the type checker
            self._http.request(method, self.base + path, body, dict(headers))
            answer = self._read(self._http.getresponse())
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise self._of(error) from None
        except BaseException:
            self.close()  # what was sent has no answer: nobody may take the next one for it
            raise
        self._used = self._clock()
        return answer

    def close(self) -> None:
        """Close the connection, if there is one."""
        made, self._http, self._timed = self._http, None, None
        if made is not None:
            made.close()

    def _read(self, response: http.client.HTTPResponse) -> Answer:
        body = response.read(MAX_ANSWER + 1)
        if len(body) > MAX_ANSWER:
            raise Unusable(f"answers with over {MAX_ANSWER} bytes")
        told = {name.lower(): value for name, value in response.getheaders()}
        if response.will_close:
            self.close()
        return Answer(response.status, told, body)

    def _ready(self, end: float) -> None:
        if self._timed is not None and (
            self._pid != os.getpid() or self._clock() - self._used > IDLE or self._timed.ended()
        ):
            self.close()
        if self._http is None:
            import http.client

            self._timed = Timed(self._open(end), self._clock)
            self._pid = os.getpid()
            self._http = http.client.HTTPConnection(self.host, self.port)
            self._http.sock = self._timed
        assert self._timed is not None  # noqa: S101 - for the type checker
        self._timed.end = end

    def _open(self, end: float) -> socket.socket:
        proxy = _proxy(self.host) if self.secure else None
        host, port = (proxy[0], proxy[1]) if proxy else (self.host, self.port)
        made = connected(host, port, end, self._clock)
        try:
            if proxy:
                _tunnel(Timed(made, self._clock, end), self.host, self.port, proxy[2])
            if not self.secure:
                return made
            made.settimeout(left(end, self._clock))
            return self._context().wrap_socket(made, server_hostname=self.host)
        except BaseException:
            made.close()
            raise

    def _of(self, error: Exception) -> Unreachable | Shut:
        import ssl

        if isinstance(error, ssl.SSLCertVerificationError):
            return Shut(f"the certificate of {self.shown} is not to be trusted: {error.verify_message}")
        if isinstance(error, ssl.SSLError):
            reason = error.reason or ""
            if "ALERT" in reason and any(each in reason for each in _ALERTS):
                return Shut(f"{self.shown} refuses the client certificate")
            if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}:
                return Unreachable(f"{self.shown} speaks no TLS")
        if isinstance(error, Unusable):
            return Unreachable(f"{self.shown} {error}")
        if isinstance(error, socket.gaierror):
            return Unreachable(f"there is no address of {self.host}")
        why = (error.strerror or "") if isinstance(error, OSError) else ""
        if isinstance(error, TimeoutError):
            why = "in time"
        return Unreachable(f"{self.shown} does not answer {f'({why})' if why else ''}".strip())


def _proxy(host: str) -> tuple[str, int, str] | None:
    """Return host, port and credentials of the proxy for https, as `HTTPS_PROXY` and `NO_PROXY` say it."""
    import urllib.request
    from urllib.parse import unquote, urlsplit

    url = urllib.request.getproxies_environment().get("https", "")
    bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined] # typeshed has it not
    if not url or bypass(host):
        return None
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port or 80
    except ValueError:  # what it says may be a part of the password
        raise Unusable("is behind a proxy whose address is none") from None
    if parts.scheme != "http" or not parts.hostname:
        raise Unusable("is behind a proxy that is none by HTTP")
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
    return parts.hostname, port, user


def _tunnel(timed: Timed, host: str, port: int, user: str) -> None:
    """Ask a proxy for a way through (RFC 9110, 9.3.6). Raises `OSError`."""
    from base64 import b64encode

    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n"
    if user:
        head += f"Proxy-Authorization: Basic {b64encode(user.encode()).decode()}\r\n"
    timed.sendall(f"{head}\r\n".encode("latin-1"))
    found, room = b"", bytearray(1)
    while not found.endswith(b"\r\n\r\n"):
        if len(found) >= MAX_HEAD or not timed.receive(room):
            raise Unusable("is behind a proxy that answers with no HTTP")
        found += room
    status = found.split(b" ", 2)[1:2]
    if status != [b"200"]:
        raise Unusable(f"is behind a proxy that answers {status[0][:3].decode('latin-1') if status else ''}")


def _default_context() -> ssl.SSLContext:
    import ssl

    return ssl.create_default_context()
