"""Requests as bytes over TLS: what no client library would send, and what comes back."""

from __future__ import annotations

import contextlib
import http.client
import io
import itertools
import socket
import ssl
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.attacks.record import NOTHING, Answer

SECONDS = 10.0  # for what may get no answer
LONG = 60.0  # for what gets one: the machine may be busy
_LOST = (ssl.SSLError, ConnectionError, TimeoutError, EOFError)


def tls(roots: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """Return a client's TLS. Nothing is too weak for it: who refuses is the server."""
    made = ssl.create_default_context(cafile=roots)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        made.minimum_version = ssl.TLSVersion.TLSv1
    if certificate is not None:
        made.load_cert_chain(certificate)
    return made


@dataclass
class Client:
    """Somebody with a certificate, or with none. Keeps one connection for `ask`."""

    port: int
    context: ssl.SSLContext
    _kept: http.client.HTTPSConnection | None = field(default=None, repr=False)

    def connect(self, seconds: float = SECONDS) -> ssl.SSLSocket:
        """Open a connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=seconds)
        try:
            return self.context.wrap_socket(plain, server_hostname="localhost")
        except BaseException:
            plain.close()
            raise

    def raw(
        self, data: bytes, *, half: bool = False, seconds: float = SECONDS, most: int = 10
    ) -> list[Answer]:
        """Send bytes on a connection of their own; return the answers that come until it is closed or quiet.

        `half` closes our side behind the bytes; `most` is how many answers are waited for.
        """
        try:
            with contextlib.closing(self.connect(seconds)) as connection:
                connection.sendall(data)
                if half:
                    connection.unwrap()  # says that nothing more comes, and waits for the other side's word
                    return []
                return list(itertools.islice(_answers(connection), most))
        except _LOST:
            return []

    def one(self, data: bytes, *, half: bool = False, seconds: float = SECONDS) -> Answer:
        """Send bytes; return the first answer, or none."""
        return next(iter(self.raw(data, half=half, seconds=seconds, most=1)), NOTHING)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        again: bool = True,
    ) -> Answer:
        """Send one well-formed request."""
        try:
            if self._kept is None:
                self._kept = http.client.HTTPSConnection(
                    "127.0.0.1", self.port, timeout=LONG, context=self.context
                )
            self._kept.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self._kept.putheader(name, value.encode("utf-8", "surrogateescape"))
            self._kept.endheaders(body)
            found = self._kept.getresponse()
            told = tuple((name.lower(), value) for name, value in found.getheaders())
            return Answer(found.status, told, found.read())
        except (*_LOST, http.client.HTTPException):
            known = self._kept is not None and again
            self.close()
            # A kept connection may have been closed meanwhile; on a new one the answer is an answer.
            return self.ask(method, path, body, headers, again=False) if known else NOTHING

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _answers(connection: ssl.SSLSocket) -> Iterator[Answer]:
    """Yield answers until the connection is closed, or silent after the first one."""
    reader = connection.makefile("rb")
    while True:
        try:
            found = _answer(reader)
        except _LOST:
            return
        if found is None:
            return
        yield found
        connection.settimeout(0.3)


def _answer(reader: io.BufferedReader) -> Answer | None:
    line = reader.readline(65_536)
    if not line.startswith(b"HTTP/"):
        return None
    status = int(line.split()[1])
    headers = http.client.parse_headers(reader)
    told = tuple((name.lower(), value) for name, value in headers.items())
    if status < 200:
        return _answer(reader)
    length = headers.get("Content-Length")
    body = reader.read(int(length)) if length else b""
    return Answer(status, told, body)


def request(method: str, target: str, *headers: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """Write a request with the given header lines and no others."""
    lines = [f"{method} {target} {version}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
