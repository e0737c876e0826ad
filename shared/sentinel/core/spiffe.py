"""SPIFFE ids: which service a certificate speaks for.

The form is that of "The SPIFFE Identity and Verifiable Identity Document" (spiffe.io, SPIFFE-ID section 2):
`spiffe://<trust domain>/<path>`. No user, port, query, fragment or escapes; a trust domain in lower case and
of at most 255 characters; path segments of letters, digits and `._-`, none of them empty, `.` or `..`; 2,048
bytes at most. An id is compared byte for byte and never normalized.

Our own CA writes `/service/<service id>`. A service id that has characters which no path may have (a Japanese
name, `team:checkout`) is written as `/service-hex/<its UTF-8 in hex>`: one service has one id either way.
"""

from __future__ import annotations

import re

from sentinel.core.chain import check_service
from sentinel.errors import Malformed

MAX_BYTES = 2_048
_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")
_SCHEME = "spiffe://"


def domain_of(spiffe: str) -> str:
    """Return the trust domain of a workload's SPIFFE id. Raises `Malformed`, without quoting it.

    >>> domain_of("spiffe://cluster.local/ns/shop/sa/checkout")
    'cluster.local'
    """
    domain, slash, path = spiffe.removeprefix(_SCHEME).partition("/")
    if (
        not spiffe.startswith(_SCHEME)
        or len(spiffe) > MAX_BYTES
        or not _DOMAIN.fullmatch(domain)
        or not slash
        or not all(_SEGMENT.fullmatch(part) and part not in {".", ".."} for part in path.split("/"))
    ):
        raise Malformed("a SPIFFE id is spiffe://trust-domain/path, lower case up to the path")
    return domain


def check_domain(domain: str) -> str:
    """Return `domain` if it can be a trust domain, else raise `Malformed`."""
    if not _DOMAIN.fullmatch(domain):
        raise Malformed("a trust domain is 1 to 255 of a-z, 0-9 and ._-")
    return domain


def of_service(service: str, trust_domain: str) -> str:
    """Return the SPIFFE id of a service of ours. Raises `Malformed` for what is no service id.

    >>> of_service("checkout", "sentinel.local"), of_service("決済", "sentinel.local")
    ('spiffe://sentinel.local/service/checkout', 'spiffe://sentinel.local/service-hex/e6b1bae6b888')
    """
    check_service(service)
    if _SEGMENT.fullmatch(service):
        return f"{_SCHEME}{trust_domain}/service/{service}"
    return f"{_SCHEME}{trust_domain}/service-hex/{service.encode().hex()}"


def service_of(spiffe: str, trust_domain: str) -> str | None:
    """Return the service that a SPIFFE id of our own CA names; None for any other id.

    >>> service_of("spiffe://sentinel.local/service/checkout", "sentinel.local")
    'checkout'
    >>> service_of("spiffe://cluster.local/ns/shop/sa/checkout", "sentinel.local") is None
    True
    """
    kind, _, name = spiffe.removeprefix(f"{_SCHEME}{trust_domain}/").partition("/")
    try:
        service = bytes.fromhex(name).decode() if kind == "service-hex" else name
        # Written again it must be the same: one service has one id, and nothing else is taken for it.
        return service if of_service(service, trust_domain) == spiffe else None
    except (ValueError, Malformed):
        return None
