"""The two forms of an ECDSA signature, (r, s) and (r, n - s): both verify, so there are two certificates.

Anybody can turn one into the other without the key (SEC 1, 4.1.4), and the certificate's thumbprint changes
with it. What a deny list or a binding holds on to has to know that. The form with the smaller s is the
canonical one here.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

# The orders of the curves' groups (NIST SP 800-186, 3.2.1).
P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P384 = int("F" * 48 + "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973", 16)


def canonical(signature: bytes, order: int = P256) -> bytes:
    """Return the form of a DER signature that has the smaller s. Raises `ValueError` where it is none."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, order - s))


def twins(certificate: x509.Certificate, der: bytes) -> list[bytes]:
    """Return the DER forms of the certificates that `certificate` can be turned into; none without ECDSA.

    The curve is the issuer's, which the certificate does not tell: there is one twin for each it may be.
    """
    if not isinstance(certificate.signature_algorithm_parameters, ec.ECDSA):
        return []
    r, s = decode_dss_signature(certificate.signature)
    signed = certificate.tbs_certificate_bytes
    start = der.index(signed) + len(signed)
    algorithm = der[start : -len(bit_string(certificate.signature))]
    found = (encode_dss_signature(r, order - s) for order in (P256, P384) if 0 < s < order)
    return [_tlv(0x30, signed + algorithm + bit_string(each)) for each in found]


def bit_string(signature: bytes) -> bytes:
    """Write a signature as a certificate ends with it: a BIT STRING without unused bits.

    >>> bit_string(b"abc").hex()
    '030400616263'
    """
    return _tlv(0x03, b"\0" + signature)


def _tlv(tag: int, value: bytes) -> bytes:
    """Write one DER element (X.690, 8.1)."""
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    told = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(told))) + told + value
