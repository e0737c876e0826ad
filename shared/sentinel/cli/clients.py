"""What a service proves itself with: the files that were named, or its folder below `home/clients/`.

At the gateway of a home of one's own, a service that nobody knows yet is added on the spot: whoever owns the
home could do so by hand. Its certificate is renewed in the same way when it is old enough.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from sentinel.cli.door import Credentials
from sentinel.cli.output import Failure, echo
from sentinel.local import home as homes


@dataclass(frozen=True, slots=True)
class Files:
    """The files that a command line named."""

    certificate: Path | None = None
    key: Path | None = None
    api_key: Path | None = None
    roots: Path | None = None

    @property
    def any(self) -> bool:
        """Whether any was named."""
        return any((self.certificate, self.key, self.api_key, self.roots))


def credentials(files: Files, home: Path, url: str, service: str) -> Credentials | None:
    """Return what to prove `service` with at `url`; None for a gateway without doors."""
    if not files.any:
        return local_credentials(home, url, service)
    if not (files.certificate and files.key and files.api_key):
        raise Failure(
            "Usage",
            "a service proves itself with three files",
            "give --cert, --key and --api-key-file (and --ca where the gateway's CA is not the system's)",
            2,
        )
    return Credentials(files.certificate, files.key, files.api_key, files.roots)


def _told(text: str) -> None:
    echo(text, file=sys.stderr)


def local_credentials(
    home: Path, url: str, service: str, tell: Callable[[str], None] = _told
) -> Credentials | None:
    """Return what `service` proves itself with at the gateway of `home`, made where the service is new."""
    if not url.lower().startswith("https:"):
        return None  # plain HTTP; or no address at all, which the connection will say
    published = homes.published(home)
    if published is None or published.insecure or not _same(published.url, url):
        raise _elsewhere(home, url)
    from sentinel.bootstrap import application
    from sentinel.local import clients
    from sentinel.local.doors import server_roots

    folder = clients.enrol(application(str(home)), service, tell)
    api_key = folder / clients.API_KEY
    return Credentials(folder / "certificate.pem", folder / "key.pem", api_key, server_roots(home))


def _same(one: str, other: str) -> bool:
    """Whether two addresses are the same port of this machine."""
    try:
        parts = urlsplit(one), urlsplit(other)
        loopback = all(each.hostname in {"localhost", "127.0.0.1", "::1"} for each in parts)
        return loopback and parts[0].port == parts[1].port
    except ValueError:
        return False


def _elsewhere(home: Path, url: str) -> Failure:
    return Failure(
        "Unavailable",
        f"{url} is not the gateway of {home}, or none runs there",
        "start it with `sentinel up`; for another gateway give --cert, --key and --api-key-file",
        3,
    )


def ends(found: Credentials) -> datetime:
    """Return when a client certificate runs out."""
    from sentinel.core.certificates import read

    return datetime.fromtimestamp(read(found.certificate.read_text()).not_after, UTC)
