"""What sinks ask for beside HTTP and files: an object in a bucket, and lines on a stream over TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectPut:
    """One object to put into an S3 bucket where there is none of this key yet; one that is there stays.

    `media` is its Content-Type, `encoding` its Content-Encoding. `timeout` in seconds.
    """

    bucket: str
    key: str
    data: bytes = field(repr=False)
    media: str = "application/octet-stream"
    encoding: str = ""
    timeout: float = 20.0


@dataclass(frozen=True, slots=True)
class StreamSend:
    """Bytes to send over one TLS connection of their own, which is closed afterwards. `timeout` in seconds.

    `ca` is the authority that signs the server's certificate, PEM; empty: those that the system trusts.
    """

    host: str
    port: int
    data: bytes = field(repr=False)
    timeout: float = 10.0
    ca: str = field(default="", repr=False)


class Streams(Protocol):
    """Sends to streams: TLS verified, hosts allowed as for HTTP, time bounded."""

    def send(self, request: StreamSend) -> None:
        """Send all bytes once and end the connection in order.

        Nobody answers on such a stream: to return says that the other side's machine has taken all of them
        and has not cut the connection, no more. Raises `Unavailable` where it has; unless the error is
        `unsent`, any part of the bytes may have arrived. Raises `Forbidden` for a target that the deployment
        does not allow, `Malformed` for a `ca` that is none.
        """
