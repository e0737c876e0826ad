"""The services of a machine of one's own: added, certified and given their API key without a hand.

Whoever owns a home could do all of it by `sentinel services` and `sentinel certs`, so nothing is given away
here that its owner does not have. What was taken away stays so: a revoked certificate is not replaced, and a
disabled service gets nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.errors import Conflict, Forbidden, Missing, Rejected

if TYPE_CHECKING:
    from sentinel.bootstrap import App

TIER = "high"  # of a service that is added by being used
API_KEY = "api-key"

Tell = Callable[[str], None]


def folder_of(home: Path, service: str) -> Path:
    """Return where a service's files are. Raises `Malformed` for what is no service id."""
    from sentinel.core.chain import check_service

    return home / "clients" / check_service(service)


def enrol(app: App, service: str, tell: Tell) -> Path:
    """Return the folder with what a service proves itself with, all of it made where it is missing.

    Raises `Forbidden` for a disabled service, `Unauthenticated` for one whose certificate was revoked.
    """
    from sentinel.core.access import Service

    folder = folder_of(app.home, service)
    try:
        if app.services.show(service).disabled:
            raise Forbidden(f"the service {service} is disabled; `sentinel services enable` lets it in again")
    except Missing:
        with contextlib.suppress(Conflict):  # another process was faster
            app.services.add(Service(service, TIER))
            tell(f"added the service {service} in tier {TIER}; its certificate and API key are in {folder}")
    bring_up_to_date(app, service)
    return folder


def refresh(app: App, tell: Tell) -> None:
    """Renew the certificates that are due, and write down the API keys that were rotated, of all folders."""
    for folder in sorted((app.home / "clients").glob("*/")):
        try:
            bring_up_to_date(app, folder.name)
        except Rejected as error:
            tell(f"{folder.name}: {error}")


def bring_up_to_date(app: App, service: str) -> None:
    """Renew a service's certificate where it is due, and write down its API key where it is another.

    Raises `Forbidden` for a disabled service that needs a certificate, `Unauthenticated` where its own was
    revoked.
    """
    from sentinel.adapters import whole_files
    from sentinel.core.certificates import read
    from sentinel.errors import Unauthenticated
    from sentinel.local import certificates

    folder = folder_of(app.home, service)
    with contextlib.suppress(FileNotFoundError):
        found = read((folder / "certificate.pem").read_text())
        if app.authority.is_revoked(found.thumbprint):
            raise Unauthenticated(
                f"its certificate was revoked; `sentinel certs issue {service}` gives a new one"
            )
    certificates.enrol(app, service)
    api_key = app.door_secrets.value(app.services.secret_of(service)).encode()
    path = folder / API_KEY
    if not path.exists() or path.read_bytes() != api_key:
        whole_files.replace(path, api_key)
