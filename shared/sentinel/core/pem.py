"""PEM documents (RFC 7468) within bounds, and the thumbprints of certificates.

Nothing here needs the library that reads certificates, which takes a cold start some 70 ms: the functions
behind the authorizer only compare thumbprints.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import sha256

from sentinel.errors import Malformed, Unauthenticated

MAX_PEM = 16_384
MAX_DER = 8_192


def unwrap(text: str, label: str) -> bytes:
    r"""Return the DER form of the one PEM document that `text` is. White space around it is left out.

    >>> unwrap("-----BEGIN X-----\nAAEC\n-----END X-----\n", "X").hex()
    '000102'
    """
    begin, end = f"-----BEGIN {label}-----", f"-----END {label}-----"
    if len(text) > MAX_PEM:
        raise Malformed(f"a PEM document is at most {MAX_PEM:,} characters")
    text = text.strip(" \t\r\n")
    if not text.isascii() or not text.startswith(begin) or not text.endswith(end):
        raise Malformed(f"expected one PEM document, from '{begin}' to '{end}', and nothing around it")
    body = text[len(begin) : -len(end)]
    if "-----" in body:
        raise Malformed(f"expected one PEM document {label}, found several")
    try:
        der = binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except binascii.Error:
        raise Malformed("the PEM document is not base64 inside") from None
    if not der or len(der) > MAX_DER:
        raise Malformed(f"a certificate or request has 1 to {MAX_DER:,} bytes in DER form")
    return der


def digest(der: bytes) -> str:
    """Return a certificate's thumbprint: SHA-256 in base64url without padding (`x5t#S256`, RFC 8705)."""
    return base64.urlsafe_b64encode(sha256(der).digest()).decode().rstrip("=")


def thumbprint(pem: str) -> str:
    """Return the thumbprint of a certificate without parsing it. Raises `Unauthenticated` for no PEM."""
    try:
        return digest(unwrap(pem, "CERTIFICATE"))
    except Malformed as error:
        raise Unauthenticated(f"the client certificate is refused: {error}") from None
