"""What the doors of a machine of one's own are made of: its CA, its server certificate, its signing keys.

`prepare` makes what is missing, `tend` renews what is old, both in the supervisor's process: the gateway
itself, which strangers talk to, never needs the CA's key.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sentinel.errors import SentinelError
from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.bootstrap import App

SECURE, INSECURE = "secure", "insecure"  # the gateway's modes
DECISION_SECONDS = 1  # how long the gateway uses an authorizer's answer again
LOOK_SECONDS = 3600.0  # how often what may be old is looked at


def directory_seconds(door_seconds: int) -> int:
    """Return how long the functions may use what they read of the registry.

    The gateway uses their answers for `DECISION_SECONDS` more: both together are `door_seconds`, so a
    revocation counts after that time here, too.
    """
    return max(0, door_seconds - DECISION_SECONDS)


def server_files(home: Path) -> tuple[Path, Path, Path]:
    """Return the server's certificate and key, and the roots that certificates are accepted of."""
    return home / "tls" / "server.pem", home / "tls" / "server.key", home / "ca" / "roots.pem"


def prepare(settings: Settings) -> None:
    """Make what is missing."""
    from sentinel.bootstrap import App

    _make(App(settings))


def _make(app: App) -> None:
    raise NotImplementedError


def tend(settings: Settings, tell: Callable[[str], None]) -> None:
    """Renew what is old; what goes wrong is told, and tried again the next time."""
    try:
        prepare(settings)
    except (SentinelError, OSError) as error:
        tell(f"the doors could not be looked after: {error}")


def healthy(url: str, home: Path) -> bool:
    """Whether the webhook API at `url` answers. Raises `OSError` where nobody does."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        plain = http.client.HTTPConnection(host, port, timeout=0.5)
    else:
        from sentinel.local.tls import client_context

        context = client_context(server_files(home)[2])
        plain = http.client.HTTPSConnection(host, port, timeout=0.5, context=context)
    with closing(plain) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
