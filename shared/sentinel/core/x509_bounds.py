"""What is taken for an X.509 document at all: sizes before anything is parsed, then versions and algorithms.

DER is X.690 (`pem` unwraps it), certificates are RFC 5280, requests RFC 2986. Whatever is refused raises
`Malformed` with a message that names the rule and never quotes the input: names in a certificate are written
by strangers and end in logs and terminals.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import SignatureAlgorithmOID

from sentinel.core.ecdsa_forms import bit_string
from sentinel.core.pem import MAX_DER
from sentinel.errors import Malformed, Rejected

MAX_EXTENSIONS = 20
MAX_NAME_PARTS = 16
MAX_NAME = 1_024
MAX_SERIAL_BITS = 159  # RFC 5280, 4.1.2.2: at most 20 octets, and positive
RSA_BITS = (2_048, 8_192)

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

_SIGNED_BY = frozenset(
    {
        SignatureAlgorithmOID.ECDSA_WITH_SHA256,
        SignatureAlgorithmOID.ECDSA_WITH_SHA384,
        SignatureAlgorithmOID.ECDSA_WITH_SHA512,
        SignatureAlgorithmOID.RSA_WITH_SHA256,
        SignatureAlgorithmOID.RSA_WITH_SHA384,
        SignatureAlgorithmOID.RSA_WITH_SHA512,
        SignatureAlgorithmOID.RSASSA_PSS,
        SignatureAlgorithmOID.ED25519,
    }
)
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
# What the library raises for input that is not as it should be. Its warnings about odd certificates are
# errors where the process makes them so, and then they are refusals too.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,
)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise `Malformed` for what the library cannot read; our own errors go through."""
    try:
        yield
    except Rejected:
        raise
    except _UNREADABLE:
        raise Malformed(f"{what} is not one that can be read") from None


def load(der: bytes) -> x509.Certificate:
    """Read a certificate within the bounds of this module, everything but its purpose."""
    if len(der) > MAX_DER:
        raise Malformed(f"a certificate has at most {MAX_DER:,} bytes in DER form")
    with readable("the certificate"):
        found = x509.load_der_x509_certificate(der)
        if found.version is not x509.Version.v3:
            raise Malformed("the certificate is not of version 3")
        if not 0 < found.serial_number.bit_length() <= MAX_SERIAL_BITS or found.serial_number < 0:
            raise Malformed("the certificate's serial number is not a positive one of 20 bytes at most")
        check_signature_algorithm(found)
        if not der.endswith(bit_string(found.signature)):
            # Unused bits at its end change the certificate's thumbprint, and nothing that is verified.
            raise Malformed("the certificate's signature is not written in whole bytes")
        check_key(found.public_key())
        for name in (found.subject, found.issuer):
            check_name(name)
        if len(found.extensions) > MAX_EXTENSIONS:
            raise Malformed(f"the certificate has more than {MAX_EXTENSIONS} extensions")
        _ = found.not_valid_before_utc, found.not_valid_after_utc
        return found


def check_signature_algorithm(signed: x509.Certificate | x509.CertificateSigningRequest) -> None:
    """Refuse what is signed with anything weaker than SHA-256, or in a way that nobody needs."""
    if signed.signature_algorithm_oid not in _SIGNED_BY:
        raise Malformed("it is to be signed with ECDSA, RSA or Ed25519, and SHA-256 or better")
    if signed.signature_algorithm_oid != SignatureAlgorithmOID.ED25519 and not isinstance(
        signed.signature_hash_algorithm, _HASHES
    ):
        raise Malformed("it is to be signed with SHA-256, SHA-384 or SHA-512")


def check_key(key: object) -> PublicKey:
    """Return a public key if it is P-256, P-384, Ed25519 or RSA of 2,048 to 8,192 bits."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, rsa.RSAPublicKey) and RSA_BITS[0] <= key.key_size <= RSA_BITS[1]:
        return key
    raise Malformed("its key is to be P-256, P-384, Ed25519, or RSA of 2,048 to 8,192 bits")


def check_name(name: x509.Name) -> str:
    """Return a distinguished name as RFC 4514 writes it, if it is no longer than we keep."""
    if len(list(name)) > MAX_NAME_PARTS:
        raise Malformed(f"a name has at most {MAX_NAME_PARTS} parts")
    text = name.rfc4514_string()
    if len(text) > MAX_NAME:
        raise Malformed(f"a name has at most {MAX_NAME:,} characters")
    return text
