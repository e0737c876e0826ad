"""Client certificates: who stands behind a connection, and which CA says so.

`read` takes the PEM text that the TLS layer hands over and bounds it before it parses anything; `check` says
whether the certificate counts now. Profile: RFC 5280 and the SPIFFE X.509-SVID specification (one URI SAN,
no CA), narrowed to key usage digitalSignature and extended key usage clientAuth. A root vouches for the ids
of its own trust domain only: the trust store of a TLS layer mixes all roots, so its word is not enough.

The thumbprint (RFC 8705, `x5t#S256`) is what revocation and token bindings hold on to, so one certificate
must not have two. ECDSA signatures come in pairs, (r, s) and (r, n - s): of the own CA only the one with the
smaller s counts, and `thumbprints` names both for a certificate of another CA.

Every refusal is `Unauthenticated`, says what to do, and quotes nothing that the sender wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from sentinel.core.access import Root
from sentinel.core.ecdsa_forms import canonical, twins
from sentinel.core.pem import digest, thumbprint, unwrap
from sentinel.core.spiffe import domain_of, service_of
from sentinel.core.x509_bounds import check_name, load, readable
from sentinel.errors import Malformed, Unauthenticated

__all__ = [
    "CLOCK_SKEW",
    "ClientCertificate",
    "check",
    "domain_of",
    "read",
    "root_certificate",
    "service_of",
    "thumbprint",
    "thumbprints",
]

# A certificate counts this long before its first second, for clocks that are off; never after its last one.
CLOCK_SKEW = 60
MAX_ALTERNATIVE_NAMES = 32
MAX_ALTERNATIVE_NAME = 2_048
# Critical extensions that are understood here; RFC 5280 has any other one refused.
_UNDERSTOOD = frozenset(
    {
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    }
)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """One client certificate. `thumbprint` is base64url of SHA-256 of `der`, `serial` in hex.

    `not_before` and `not_after` are epoch seconds, `spiffe` the one URI among its names. `subject` is written
    by whoever asked for the certificate: it is for people to read and proves nothing.
    """

    thumbprint: str
    serial: str
    not_before: int
    not_after: int
    spiffe: str
    der: bytes = field(repr=False)
    subject: str = ""

    def renewable_from(self) -> int:
        """Return when it may be renewed: after two thirds of its life, day 60 of 90. Epoch seconds."""
        return self.not_before + (self.not_after - self.not_before) * 2 // 3


def read(pem: str) -> ClientCertificate:
    """Read a client certificate: bounds, version, algorithms and its one SPIFFE id; `check` does the rest."""
    with _refused():
        der = unwrap(pem, "CERTIFICATE")
        found = load(der)
        with readable("the certificate"):
            spiffe = _spiffe(found)
            domain_of(spiffe)
            return ClientCertificate(
                thumbprint=digest(der),
                serial=serial_text(found.serial_number),
                not_before=int(found.not_valid_before_utc.timestamp()),
                not_after=int(found.not_valid_after_utc.timestamp()),
                spiffe=spiffe,
                der=der,
                subject=check_name(found.subject),
            )


def check(certificate: ClientCertificate, roots: Sequence[Root], now: int) -> None:
    """Refuse a certificate that does not count at `now`, epoch seconds. `roots` may be of any domain."""
    if now < certificate.not_before - CLOCK_SKEW:
        raise Unauthenticated("the client certificate is not valid yet: set the clocks, or use an older one")
    if now > certificate.not_after:
        raise Unauthenticated("the client certificate has run out: have a new one issued")
    with _refused():
        found = load(certificate.der)
        with readable("the certificate"):
            _check_usage(found)
            if certificate.spiffe != _spiffe(found):
                raise Malformed("the id is not the certificate's own")
        _check_issuer(found, domain_of(certificate.spiffe), roots, now)


def serial_text(serial: int) -> str:
    """Write a serial number in hex, two digits a byte.

    >>> serial_text(0xABC)
    '0abc'
    """
    return serial.to_bytes((serial.bit_length() + 7) // 8 or 1, "big").hex()


def thumbprints(certificate: ClientCertificate) -> list[str]:
    """Return every thumbprint that this certificate can be made to have, its own first."""
    with _refused():
        found = load(certificate.der)
        with readable("the certificate"):
            return [certificate.thumbprint, *map(digest, twins(found, certificate.der))]


@lru_cache(maxsize=64)
def root_certificate(pem: str) -> x509.Certificate:
    """Read a root's certificate: a CA that may sign certificates. Raises `Malformed`."""
    found = load(unwrap(pem, "CERTIFICATE"))
    with readable("the root"):
        about = found.extensions
        if not about.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise Malformed("the root is no CA's certificate (basic constraints)")
        if not about.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            raise Malformed("the root's key usage does not allow it to sign certificates")
    return found


@contextmanager
def _refused() -> Iterator[None]:
    """Turn what is malformed into what a client is told: that it did not show who it is."""
    try:
        yield
    except Malformed as error:
        raise Unauthenticated(
            f"the client certificate is refused: {error}; use one as `sentinel certs issue` makes them"
        ) from None


def _spiffe(found: x509.Certificate) -> str:
    """Return the one URI among the alternative names; RFC 5280, 4.2.1.6."""
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise Malformed("it has no SPIFFE id: one URI among its alternative names is needed") from None
    if len(list(names)) > MAX_ALTERNATIVE_NAMES:
        raise Malformed(f"it has more than {MAX_ALTERNATIVE_NAMES} alternative names")
    if any(len(str(name.value)) > MAX_ALTERNATIVE_NAME for name in names):
        raise Malformed(f"an alternative name has at most {MAX_ALTERNATIVE_NAME:,} characters")
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1:
        raise Malformed("it has to have exactly one URI among its alternative names, its SPIFFE id")
    return uris[0]


def _check_usage(found: x509.Certificate) -> None:
    """Refuse what is no client's leaf certificate: RFC 5280, 4.2.1, and X.509-SVID, 4."""
    about = found.extensions
    for each in about:
        if each.critical and each.oid not in _UNDERSTOOD:
            raise Malformed("it has a critical extension that is not known here")
    held = {type(each.value): each.value for each in about}
    constraints, usage = held.get(x509.BasicConstraints), held.get(x509.KeyUsage)
    extended = held.get(x509.ExtendedKeyUsage)
    if isinstance(constraints, x509.BasicConstraints) and constraints.ca:
        raise Malformed("it is a CA's, and no CA is a client")
    if not isinstance(usage, x509.KeyUsage) or not usage.digital_signature:
        raise Malformed("its key usage has to be digitalSignature")
    if usage.key_cert_sign or usage.crl_sign:
        raise Malformed("its key usage is a CA's, and no CA is a client")
    if not isinstance(extended, x509.ExtendedKeyUsage) or ExtendedKeyUsageOID.CLIENT_AUTH not in extended:
        raise Malformed("its extended key usage has to be clientAuth")


def _check_issuer(found: x509.Certificate, domain: str, roots: Sequence[Root], now: int) -> None:
    """Refuse what no root of its own trust domain has signed, one that is in force."""
    if _signed(found, found):
        raise Malformed("it is signed by itself")
    own = [root for root in roots if root.domain == domain and (not root.until or now < root.until)]
    if not own:
        raise Malformed("no CA of its trust domain is in force here")
    for root in own:
        try:
            ca = root_certificate(root.pem)
        except Malformed:
            continue  # what was stored as a root is none, so it vouches for nobody
        if _in_time(ca, now) and _signed(found, ca) and (not root.key or _canonical(found)):
            return
    raise Malformed("no CA in force for its trust domain has signed it")


def _in_time(ca: x509.Certificate, now: int) -> bool:
    start, end = ca.not_valid_before_utc.timestamp(), ca.not_valid_after_utc.timestamp()
    return start - CLOCK_SKEW <= now <= end


def _signed(found: x509.Certificate, ca: x509.Certificate) -> bool:
    try:
        found.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _canonical(found: x509.Certificate) -> bool:
    return canonical(found.signature) == found.signature
