"""Certificates and requests as strangers may write them: every part of the profile can be changed."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.core.access import Root

NOW = 1_800_000_000
DAY = 86_400
DOMAIN = "sentinel.local"
SPIFFE = f"spiffe://{DOMAIN}/service/checkout"
USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
Key = Any


def name(text: str) -> x509.Name:
    """Return a name with one part."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def p256() -> ec.EllipticCurvePrivateKey:
    """Make a key."""
    return ec.generate_private_key(ec.SECP256R1())


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """Make an RSA key; slow, so once a size."""
    return rsa.generate_private_key(65_537, bits)


def usage(*allowed: str) -> x509.KeyUsage:
    """Return a key usage extension."""
    return x509.KeyUsage(**{each: each in allowed for each in USAGES})


def uri(text: str) -> x509.UniformResourceIdentifier:
    """Return a URI name, unchecked."""
    return x509.UniformResourceIdentifier._init_without_validation(text)


def names(*found: x509.GeneralName) -> x509.SubjectAlternativeName:
    """Return an extension with alternative names."""
    return x509.SubjectAlternativeName(found)


def client_extensions() -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions of a good client certificate, with whether each is critical."""
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (names(uri(SPIFFE)), False),
    ]


def changed(
    kind: type[x509.ExtensionType], to: x509.ExtensionType | None, critical: bool = False
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return a good certificate's extensions with one of them replaced, or left out."""
    kept = [each for each in client_extensions() if not isinstance(each[0], kind)]
    return kept if to is None else [*kept, (to, critical)]


def moment(seconds: int) -> datetime.datetime:
    """Return epoch seconds as the builder takes them."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def build(
    subject: x509.Name,
    issuer: x509.Name,
    public: Key,
    signer: Key,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    *,
    since: int = NOW - DAY,
    until: int = NOW + 89 * DAY,
    serial: int = 0xABCDEF,
    algorithm: Any = None,
    **options: Any,
) -> x509.Certificate:
    """Sign a certificate of any shape."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(moment(since))
        .not_valid_after(moment(until))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    if not isinstance(signer, ed25519.Ed25519PrivateKey):
        algorithm = algorithm or hashes.SHA256()
    made: x509.Certificate = builder.sign(signer, algorithm, **options)
    return made


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def der(certificate: x509.Certificate) -> bytes:
    """Return a certificate as DER."""
    return certificate.public_bytes(serialization.Encoding.DER)


def as_pem(data: bytes, label: str = "CERTIFICATE") -> str:
    """Wrap DER in PEM."""
    from base64 import encodebytes

    return f"-----BEGIN {label}-----\n{encodebytes(data).decode()}-----END {label}-----\n"


@dataclass
class Ca:
    """A CA of tests, of another's deployment unless `own` names its key."""

    domain: str = DOMAIN
    title: str = "a CA"
    own: str = ""
    since: int = NOW - DAY
    until: int = NOW + 3_650 * DAY
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (
        (x509.BasicConstraints(ca=True, path_length=0), True),
        (usage("key_cert_sign", "crl_sign"), True),
    )
    key: Key = field(default_factory=p256)

    def __post_init__(self) -> None:
        self.name = name(self.title)
        self.certificate = build(
            self.name,
            self.name,
            self.key.public_key(),
            self.key,
            self.extensions,
            since=self.since,
            until=self.until,
        )

    def root(self, **changes: Any) -> Root:
        """Return its record."""
        told = {"id": self.title, "domain": self.domain, "pem": pem(self.certificate), "key": self.own}
        return Root(**(told | changes))

    def leaf(
        self,
        extensions: Sequence[tuple[x509.ExtensionType, bool]] | None = None,
        *,
        key: Key = None,
        subject: x509.Name | None = None,
        **options: Any,
    ) -> x509.Certificate:
        """Issue a client's certificate, good but for what is changed."""
        public = (key or p256()).public_key()
        told = client_extensions() if extensions is None else extensions
        return build(subject or name("checkout"), self.name, public, self.key, told, **options)


def request(
    key: Key, shape: Callable[[Any], Any] = lambda builder: builder, subject: str = "anybody"
) -> bytes:
    """Return a certificate request of a key as PEM."""
    builder = shape(x509.CertificateSigningRequestBuilder().subject_name(name(subject)))
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made: bytes = builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)
    return made
