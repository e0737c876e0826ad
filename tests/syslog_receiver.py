"""A syslog receiver over TLS on this machine: it reads octet-counted messages as RFC 5425 has them.

It may also cut the connection in the middle, or never end its own side. Messages are taken apart by the
grammar of RFC 5424, so that what is not one fails loudly.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field

HEAD = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) "
    rb'\[([^\s=\]"]{1,32})((?: [^\s=\]"]{1,32}="(?:[^"\\\]]|\\["\\\]])*")*)\] \xef\xbb\xbf'
)
PARAM = re.compile(rb' ([^\s=\]"]+)="((?:[^"\\\]]|\\["\\\]])*)"')


@dataclass(frozen=True)
class Message:
    """One message: its priority, the names of its head, its structured data and its text."""

    priority: int
    head: tuple[str, ...]
    data: dict[str, str]
    text: str


def parse(message: bytes) -> Message:
    """Take a message apart. Raises `ValueError` for what is not one."""
    found = HEAD.match(message)
    if found is None:
        raise ValueError(f"not RFC 5424: {message[:80]!r}")
    data = {
        name.decode(): re.sub(rb"\\(.)", rb"\1", value).decode() for name, value in PARAM.findall(found[8])
    }
    head = tuple(found[number].decode() for number in range(2, 8))
    return Message(int(found[1]), head, data, message[found.end() :].decode())


def frames(stream: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole messages of a stream, and what is left over."""
    found = []
    while match := re.match(rb"([1-9]\d{0,9}) ", stream):
        end = match.end() + int(match[1])
        if end > len(stream):
            break
        found.append(stream[match.end() : end])
        stream = stream[end:]
    return found, stream


LONG = 60.0  # seconds


@dataclass
class Receiver:
    """`cut_after` bytes of the next connection it resets it; `silent` it never says goodbye."""

    context: ssl.SSLContext
    cut_after: int = 0
    silent: bool = False
    address: str = "127.0.0.1"
    messages: list[Message] = field(default_factory=list)
    torn: list[bytes] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        """Listen on a free port."""
        self._listener = socket.create_server((self.address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._done = threading.Condition()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more."""
        self._stop.set()
        with suppress(OSError):
            socket.create_connection((self.address, self.port), 1).close()
        self._thread.join(LONG)
        self._listener.close()

    def wait(self, connections: int) -> None:
        """Wait until so many connections have ended."""
        with self._done:
            assert self._done.wait_for(lambda: self.connections >= connections, LONG)

    def _serve(self) -> None:
        while not self._stop.is_set():
            raw, _ = self._listener.accept()
            with suppress(OSError), raw:
                raw.settimeout(LONG)
                with self.context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False) as tls:
                    self._read(tls)

    def _read(self, tls: ssl.SSLSocket) -> None:
        stream = b""
        cut, self.cut_after = self.cut_after, 0
        with suppress(ssl.SSLError):
            while data := tls.recv(65_536):
                stream += data
                if cut and len(stream) >= cut:
                    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
            if self.silent:
                self._stop.wait(LONG)
            elif not cut:
                tls.unwrap()
        whole, left = frames(stream)
        self.messages += map(parse, whole)
        self.torn += [left] if left else []
        with self._done:
            self.connections += 1
            self._done.notify_all()
