"""What the doors of a machine of one's own are made of: its CA, its server certificate, its signing keys.

`prepare` makes what is missing, `tend` renews what is old, both in the supervisor's process: the gateway
itself, which strangers talk to, never needs the CA's key.
"""

from __future__ import annotations

import functools
import http.client
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sentinel.errors import Malformed, SentinelError
from sentinel.settings import Settings

if TYPE_CHECKING:
    from sentinel.bootstrap import App

SECURE, INSECURE = "secure", "insecure"  # the gateway's modes
DECISION_SECONDS = 1  # how long the gateway uses an authorizer's answer again
LOOK_SECONDS = 60.0  # how often what may be old is looked at


def directory_seconds(door_seconds: int) -> int:
    """Return how long the functions may use what they read of the registry.

    The gateway uses their answers for `DECISION_SECONDS` more: both together are `door_seconds`, so a
    revocation counts after that time here, too.
    """
    return max(0, door_seconds - DECISION_SECONDS)


def check(settings: Settings) -> None:
    """Read the lists among the settings before anything starts. Raises `Malformed` that names the setting.

    Functions read them at their first request, and whoever sent that would be told in our place.
    """
    if settings.oidc_issuers:
        from sentinel.core.issuers import parse_issuers

        parse_issuers(settings.oidc_issuers)
    if settings.proxy:
        from sentinel.core.upstreams import parse_upstreams

        parse_upstreams(settings.proxy)
    if settings.usage_plans:
        from sentinel.adapters.usage_plans import parse_plans

        parse_plans(settings.usage_plans)
    approve = urlsplit(settings.approve_url)
    if settings.approve_url and (approve.scheme not in {"https", "http"} or not approve.hostname):
        raise Malformed(
            "SENTINEL_APPROVE_URL is the webhook API's address: https://HOST, with a port where needed"
        )
    issuer = urlsplit(settings.issuer)
    if issuer.scheme != "https" or not issuer.hostname or issuer.path not in {"", "/"} or issuer.query:
        raise Malformed("SENTINEL_ISSUER is https://NAME, with no path but /: it stands in every token")


def server_files(home: Path) -> tuple[Path, Path, Path]:
    """Return the server's certificate and key, and the roots that certificates are accepted of."""
    return home / "tls" / "server.pem", home / "tls" / "server.key", home / "ca" / "roots.pem"


def server_roots(home: Path) -> Path:
    """Return the roots that the gateway's own certificate is of."""
    return home / "tls" / "roots.pem"


def prepare(settings: Settings) -> None:
    """Make what is missing: the CA, what is trusted, the server's certificate, the keys of tokens."""
    _make(_app(settings))


@functools.cache
def _app(settings: Settings) -> App:
    """Return the application that looks after a home: one a process, since it holds stores open."""
    from sentinel.bootstrap import App

    return App(settings)


def _make(app: App) -> None:
    from sentinel.local import certificates

    certificates.server_certificate(app)
    _write_server_roots(app)
    app.rotation.ensure_signing_keys()


def _write_server_roots(app: App) -> None:
    """Write down what clients accept servers of: our own roots, not those that others' clients are of."""
    from sentinel.adapters import whole_files

    ours = [root.pem.strip() for root in app.authority.roots() if root.key]
    data = ("\n".join(ours) + "\n").encode()
    path = server_roots(app.home)
    if not path.exists() or path.read_bytes() != data:
        whole_files.replace(path, data, whole_files.PUBLIC)


def tend(settings: Settings, tell: Callable[[str], None]) -> None:
    """Renew and rotate what is old; what goes wrong is told, and tried again the next time."""
    from sentinel.local import clients

    try:
        app = _app(settings)
        _make(app)
        for name in app.rotation.upkeep():
            tell(f"{name} was rotated")
        clients.refresh(app, tell)
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

        context = client_context(server_roots(home))
        plain = http.client.HTTPSConnection(host, port, timeout=0.5, context=context)
    with closing(plain) as connection:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
