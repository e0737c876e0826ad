"""The TLS of the local gateway: 1.3 alone, and on the service API no connection without a client certificate.

The roots that client certificates are accepted of, and the server's own certificate, are files that change
while the gateway runs. OpenSSL cannot take a root out of a context again, so a change makes a new context
for the connections to come; those that are open stay, and the authorizer looks at their certificates anyway.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Files:
    """Where a listener's TLS comes from. Without `roots` no client certificate is asked for."""

    certificate: Path
    key: Path
    roots: Path | None = None

    def state(self) -> tuple[tuple[int, int, int], ...]:
        """Return what changes when one of the files does."""
        found = []
        for path in (self.certificate, self.key, self.roots):
            if path is not None:
                about = path.stat()
                found.append((about.st_ino, about.st_mtime_ns, about.st_size))
        return tuple(found)

    def context(self) -> ssl.SSLContext:
        """Make the context. Raises `Unavailable` where the files are not there or do not fit together."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.set_alpn_protocols(["http/1.1"])
        try:
            made.load_cert_chain(self.certificate, self.key)
            if self.roots is not None:
                made.verify_mode = ssl.CERT_REQUIRED
                made.load_verify_locations(self.roots)
        except OSError as error:  # ssl.SSLError is one
            raise Unavailable(f"the files of TLS cannot be used: {error.strerror or error}") from None
        return made


def client_context(roots: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return a client's context: TLS 1.3, servers of `roots` alone. Raises `Unavailable` as above."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        made.load_verify_locations(roots)
        if certificate is not None:
            made.load_cert_chain(certificate, key)
    except OSError as error:
        raise Unavailable(f"the files of TLS cannot be used: {error.strerror or error}") from None
    return made
