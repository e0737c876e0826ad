"""What our own CA writes, its roots and the certificates of clients and servers, and what it reads for that.

Profile: RFC 5280 and X.509-SVID. A request (RFC 2986, PKCS #10) gives its public key and proves that its
sender has the private one; names and extensions in it are ignored, since the registry says who it is. A
certificate is signed by a `SignerKey`, whose private key may live where nobody can read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.core.ecdsa_forms import canonical
from sentinel.core.pem import MAX_PEM, unwrap
from sentinel.core.spiffe import of_service
from sentinel.core.x509_bounds import PublicKey, check_key, check_signature_algorithm, readable
from sentinel.errors import Malformed

DAY = 86_400
CLIENT_DAYS = 90
ROOT_DAYS = 3_650
_COMMON_NAME = 64  # RFC 5280, A.1: ub-common-name; the library counts bytes
_USAGES = (
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


class SignerKey(ec.EllipticCurvePrivateKey):
    """A P-256 key that signs elsewhere (`ports_doors.Signer`), in the form that certificate builders take.

    `public` is its SubjectPublicKeyInfo in DER form; `sign` gives the DER signature of SHA-256 of some data.
    """

    def __init__(self, public: bytes, sign: Callable[[bytes], bytes]) -> None:
        found = serialization.load_der_public_key(public)
        if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(found.curve, ec.SECP256R1):
            raise Malformed("the CA's key has to be ECDSA on P-256")
        self._public = found
        self._sign = sign

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public key."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """P-256."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Its size in bits."""
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign `data` with ECDSA and SHA-256, in the canonical one of its two forms (`ecdsa_forms`)."""
        if not isinstance(signature_algorithm.algorithm, hashes.SHA256):
            raise Malformed("the CA signs with SHA-256")
        return canonical(self._sign(bytes(data)))

    def exchange(self, *_: object) -> NoReturn:
        """Refuse: this key signs."""
        raise Malformed("the CA's key only signs")

    def private_numbers(self) -> NoReturn:
        """Refuse: nobody here has the private key."""
        raise Malformed("the CA's private key is not to be had")

    def private_bytes(self, *_: object) -> NoReturn:
        """Refuse: nobody here has the private key."""
        raise Malformed("the CA's private key is not to be had")

    def __copy__(self) -> SignerKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SignerKey:
        return self


@dataclass(frozen=True, slots=True)
class Terms:
    """What makes one certificate differ from the next: its serial number, and epoch seconds from and to."""

    serial: int
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Issuer:
    """A root with its key."""

    root: x509.Certificate
    key: SignerKey


def read_request(csr_pem: bytes) -> PublicKey:
    """Return the public key of a certificate request, if its sender has the private one.

    Raises `Malformed`, which quotes nothing of it. Replaying a request gives a certificate of the same key.
    """
    if len(csr_pem) > MAX_PEM:
        raise Malformed(f"a certificate request is at most {MAX_PEM:,} bytes of PEM")
    try:
        text = csr_pem.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed("a certificate request is PEM text") from None
    # Older tools, and RFC 7468 for reading, also say NEW.
    label = "NEW CERTIFICATE REQUEST" if "-----BEGIN NEW " in text else "CERTIFICATE REQUEST"
    der = unwrap(text, label)
    with readable("the certificate request"):
        request = x509.load_der_x509_csr(der)
        check_signature_algorithm(request)
        key = check_key(request.public_key())
        if not request.is_signature_valid:
            raise Malformed("the certificate request is not signed with the key that it names")
        return key


def public_key(spki: bytes) -> PublicKey:
    """Read a public key, SubjectPublicKeyInfo in DER form. Raises `Malformed`."""
    with readable("the public key"):
        return check_key(serialization.load_der_public_key(spki))


def build_root(domain: str, terms: Terms, key: SignerKey) -> str:
    """Return a new root of a trust domain, signed by itself, as PEM."""
    name = _name(_cut(f"Sentinel CA {domain}"), f"{terms.serial:x}")
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        _begun(name, name, key.public_key(), terms)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(_names(x509.UniformResourceIdentifier(f"spiffe://{domain}")), critical=False)
    )
    return _signed(made, key)


def build_client(service: str, domain: str, key: PublicKey, terms: Terms, issuer: Issuer) -> str:
    """Return a service's client certificate as PEM. Raises `Malformed` for what is no service id."""
    names = _names(x509.UniformResourceIdentifier(of_service(service, domain)))
    made = _leaf(_name(_cut(service)), key, terms, issuer, names)
    return _signed(_for(made, ExtendedKeyUsageOID.CLIENT_AUTH), issuer.key)


def build_server(key: PublicKey, terms: Terms, issuer: Issuer) -> str:
    """Return the certificate of the gateway on this machine, as PEM: localhost, 127.0.0.1 and ::1."""
    addresses = (x509.IPAddress(ip_address(each)) for each in ("127.0.0.1", "::1"))
    made = _leaf(_name("localhost"), key, terms, issuer, _names(x509.DNSName("localhost"), *addresses))
    return _signed(_for(made, ExtendedKeyUsageOID.SERVER_AUTH), issuer.key)


def _leaf(
    subject: x509.Name,
    key: PublicKey,
    terms: Terms,
    issuer: Issuer,
    names: x509.SubjectAlternativeName,
) -> x509.CertificateBuilder:
    root = issuer.root.public_key()
    if not isinstance(root, ec.EllipticCurvePublicKey) or root != issuer.key.public_key():
        raise Malformed("the CA's key is not the one of its root")
    if _spki(key) == _spki(root):
        raise Malformed("the key of a CA is for nothing else")
    if terms.until > issuer.root.not_valid_after_utc.timestamp():
        raise Malformed("the CA's root runs out before that: roll it over (`sentinel ca rollover`)")
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(root)
    return (
        _begun(subject, issuer.root.subject, key, terms)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(authority, critical=False)
    )


def _begun(subject: x509.Name, issuer: x509.Name, key: PublicKey, terms: Terms) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(terms.serial)
        .not_valid_before(datetime.fromtimestamp(terms.since, UTC))
        .not_valid_after(datetime.fromtimestamp(terms.until, UTC))
    )


def _for(made: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.CertificateBuilder:
    return made.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)


def _signed(made: x509.CertificateBuilder, key: SignerKey) -> str:
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _name(common: str, serial: str = "") -> x509.Name:
    # Two roots of one domain differ in name too, so that who looks an issuer up by name finds one.
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common)]
    return x509.Name(parts + ([x509.NameAttribute(NameOID.SERIAL_NUMBER, serial)] if serial else []))


def _cut(text: str) -> str:
    return text.encode()[:_COMMON_NAME].decode(errors="ignore")


def _names(*names: x509.GeneralName) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName(names)


def _usage(*allowed: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{each: each in allowed for each in _USAGES})


def _spki(key: PublicKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.DER, form)
