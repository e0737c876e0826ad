"""How the secret of a service is named, so that every secret store takes the name, and the way back.

Services may have ids in any script and with `:@+`; secret stores take few characters, and a rotation is told
the name alone. An id that is plain stands as it is; any other becomes `=` and its base64url.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

_PLAIN = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
MAX_NAME = 200


def secret_name(prefix: str, service: str) -> str:
    """Return the name of a service's secret: at most 172 characters of A-Z a-z 0-9 _ . - = behind `prefix`.

    >>> secret_name("services.", "checkout"), secret_name("services.", "決済")
    ('services.checkout', 'services.=5rG65riI')
    """
    if _PLAIN.fullmatch(service):
        return prefix + service
    return f"{prefix}={urlsafe_b64encode(service.encode()).rstrip(b'=').decode()}"


def service_of(prefix: str, name: str) -> str | None:
    """Return the service whose secret has this name; None where it is no such name.

    >>> service_of("services.", "services.=5rG65riI"), service_of("services.", "hooks.a")
    ('決済', None)
    """
    rest = name.removeprefix(prefix)
    if not name.startswith(prefix) or not rest:
        return None
    if _PLAIN.fullmatch(rest):
        return rest
    try:
        service = urlsafe_b64decode(rest[1:] + "=" * (-len(rest[1:]) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    return service if service and secret_name(prefix, service) == name else None
