"""The client certificate of a connection, as API Gateway tells of it.

Format: `requestContext.identity.clientCert` in "Configuring mutual TLS authentication for a REST API" of the
API Gateway guide: `clientCertPem`, `subjectDN`, `issuerDN`, `serialNumber` (`a1:b2:...`), `validity`.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

_SHORT = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "userId": "UID",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end: made once a connection, since none of it changes while that lasts.

    `client` is the `clientCert` of events; None where the connection has no client certificate. `digest`
    is SHA-256 of its DER form, "" without one.
    """

    client: Mapping[str, Any] | None = None
    digest: str = ""


def peer_of(connection: ssl.SSLObject | None) -> Peer:
    """Return what the TLS layer verified of a connection; `None` is one without TLS."""
    der = connection.getpeercert(binary_form=True) if connection is not None else None
    about: Any = connection.getpeercert() if connection is not None else None
    if not der or not about:
        return Peer()
    serial = about["serialNumber"].lower()
    client = {
        "clientCertPem": ssl.DER_cert_to_PEM_cert(der),
        "subjectDN": distinguished(about["subject"]),
        "issuerDN": distinguished(about["issuer"]),
        "serialNumber": ":".join(serial[at : at + 2] for at in range(0, len(serial), 2)),
        "validity": {"notBefore": about["notBefore"], "notAfter": about["notAfter"]},
    }
    return Peer(client, sha256(der).hexdigest())


def distinguished(name: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    r"""Return a name of `ssl.SSLSocket.getpeercert` as text (RFC 4514): the last part first.

    >>> distinguished(((("countryName", "DE"),), (("commonName", "a, b"),)))
    'CN=a\\, b,C=DE'
    """
    return ",".join(
        "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in part)
        for part in reversed(name)
    )


def _escaped(value: str) -> str:
    text = "".join(f"\\{each}" if each in '",+;<>\\' else each for each in value).replace("\0", "\\00")
    if text[:1] in {"#", " "}:
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") and len(text) > 1 else text
