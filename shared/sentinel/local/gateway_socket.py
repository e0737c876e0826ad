"""The gateway's listening sockets. The supervisor holds them, so that they outlive a gateway that dies.

Connections that come while a gateway starts wait in the socket's queue in the place of being refused.
"""

from __future__ import annotations

import errno
import os
import socket

from sentinel.errors import Unavailable

BACKLOG = 512


def listen(port: int) -> socket.socket:
    """Open the socket on 127.0.0.1; port 0 takes a free one. Raises `Unavailable` where it is taken."""
    try:
        return socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            raise Unavailable(
                f"port {port} of 127.0.0.1 cannot be had ({os.strerror(error.errno)}); `sentinel up --port` "
                "takes another one, and the one after it for webhooks; 0 is two free ones"
            ) from None
        raise
