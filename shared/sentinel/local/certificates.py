"""What a machine's own CA gives out by itself: the CA, clients' certificates and the gateway's, kept fresh.

Each function makes what is missing and renews what is due, and else does nothing: it may run at any time, and
in several processes at once.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel.errors import Conflict, Malformed, Missing, Rejected
from sentinel.local.key_pair import KeyPair, spki_of

if TYPE_CHECKING:
    from sentinel.bootstrap import App


def ensure_ca(app: App) -> None:
    """Make the CA where there is none, and publish its root; on one machine see that roots are published.

    Raises `Malformed` for a deployment in AWS whose settings name no KMS key.
    """
    made = False
    try:
        app.authority.signing()
    except Missing:
        with contextlib.suppress(Conflict):  # another process made it in the meantime
            app.authority.create_root(new_key(app))
        made = True
    if made or app.local:  # in AWS who issues a certificate need not be somebody who may change domains
        app.trust_store.publish(app.authority.published())


def new_key(app: App) -> str:
    """Return the name of the CA key that the next root is made with: KMS's, or that of a new sealed file."""
    to = app.settings
    if to.ca_key:
        return to.ca_key
    if not app.local:
        raise Malformed("SENTINEL_CA_KEY is not set: in AWS the CA's key is one of KMS")
    with contextlib.suppress(Conflict):
        app.door_secrets.create(to.ca_secret, secrets.token_urlsafe(32))
    return app.authority.next_key()


def enrol(app: App, service: str) -> Path:
    """Return the folder with a service's `certificate.pem` and `key.pem`, which are good for a month or more.

    Issued anew from day 60 on, when they do not fit together, and when they are revoked. Raises `Missing` for
    an unknown service, `Forbidden` for a disabled one.
    """
    ensure_ca(app)
    pair = clients_pair(app.home, service)
    with pair.locked():
        if not _good(app, pair.pem(), service):
            pair.finish(app.authority.issue(service, pair.begin()))
    return pair.folder


def clients_pair(home: Path, service: str) -> KeyPair:
    """Return where a service's key and certificate are. Raises `Malformed` for what is no service id."""
    from sentinel.core.chain import check_service

    return KeyPair(home / "clients" / check_service(service))


def server_certificate(app: App) -> tuple[Path, Path]:
    """Return the files of the gateway's own certificate and key, for localhost, 127.0.0.1 and ::1."""
    ensure_ca(app)
    pair = KeyPair(app.home / "tls", "server.pem", "server.key")
    with pair.locked():
        if not _serves(app, pair.pem()):
            pair.finish(app.authority.server(spki_of(pair.begin())))
    return pair.certificate, pair.key


def _good(app: App, pem: str, service: str) -> bool:
    from sentinel.core.certificates import check, read, service_of

    try:
        found, now = read(pem), int(time.time())
        check(found, app.authority.roots(), now)
    except Rejected:
        return False
    ours = service_of(found.spiffe, app.settings.trust_domain) == service
    return ours and now < found.renewable_from() and not app.authority.is_revoked(found.thumbprint)


def _serves(app: App, pem: str) -> bool:
    """Whether the server's certificate is of a root in force and has a third of its life before it."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature

    from sentinel.core.certificates import root_certificate

    if not pem:
        return False
    found = x509.load_pem_x509_certificate(pem.encode())
    start, end = found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()
    if not start <= time.time() < start + (end - start) * 2 / 3:
        return False
    for root in app.authority.roots():
        with contextlib.suppress(ValueError, TypeError, InvalidSignature):
            found.verify_directly_issued_by(root_certificate(root.pem))
            return bool(root.key)
    return False
