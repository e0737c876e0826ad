"""Timestamps of checkpoints (RFC 3161): the question to an authority, and what its answer has to be.

What is stamped is a checkpoint's note as it is stored: the text and the log's own signatures. So the answer
proves that the signatures, too, were there at that time, whatever becomes of the log's key later; and
``openssl ts -verify -data CHECKPOINT -in TIMESTAMP -CAfile ROOTS`` needs nothing but the two files.

The answer is checked as far as it can be without knowing whom to trust: status, imprint, nonce, and that the
token is signed (CMS, RFC 5652) by the certificate that it names (RFC 5035), whose one purpose is timestamps.
Who issued that certificate is for the reader to judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha1, sha256, sha384, sha512
from typing import TYPE_CHECKING, Any

from sentinel.core import der
from sentinel.core.der import INTEGER, OCTETS, OID, SEQUENCE, SET, TIME, Element
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

QUERY_TYPE, REPLY_TYPE = "application/timestamp-query", "application/timestamp-reply"
MOST = 65_536  # bytes of an answer
NONCE_BYTES = 16
_VERSION = der.integer(1)
_GRANTED = {0, 1}  # granted, and granted with changes: what was changed is looked at like all else
_SIGNED_DATA = der.oid("1.2.840.113549.1.7.2")
_TST_INFO = der.oid("1.2.840.113549.1.9.16.1.4")
_CONTENT_TYPE = der.oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST = der.oid("1.2.840.113549.1.9.4")
_SIGNING_CERTIFICATE = der.oid("1.2.840.113549.1.9.16.2.12")
_SIGNING_CERTIFICATE_V2 = der.oid("1.2.840.113549.1.9.16.2.47")
_SHA256 = der.oid("2.16.840.1.101.3.4.2.1")
_HASHES = {
    _SHA256: sha256,
    der.oid("2.16.840.1.101.3.4.2.2"): sha384,
    der.oid("2.16.840.1.101.3.4.2.3"): sha512,
}
_RSA = {der.oid(f"1.2.840.113549.1.1.{last}") for last in (1, 11, 12, 13)}
_ECDSA = {der.oid(f"1.2.840.10045.4.3.{last}") for last in (2, 3, 4)}
_ED25519 = {der.oid("1.3.101.112")}
_REFUSED = "the timestamp authority's answer is refused: "


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a verified answer says: when (epoch seconds, whole ones), and the authority's certificate."""

    seconds: int
    certificate: Certificate


@dataclass(frozen=True, slots=True)
class _Signer:
    """The parts of a CMS SignerInfo."""

    identifier: Element
    digest: Any
    attributes: Element
    algorithm: bytes
    signature: bytes


def query(digest: bytes, nonce: int) -> bytes:
    """Write a TimeStampReq for a SHA-256 digest, which asks for the authority's certificate, too."""
    return der.write(
        SEQUENCE, _VERSION, _imprint(digest), der.integer(nonce), der.write(der.BOOLEAN, b"\xff")
    )


def _imprint(digest: bytes) -> bytes:
    algorithm = der.write(SEQUENCE, _SHA256, der.write(der.NULL))
    return der.write(SEQUENCE, algorithm, der.write(OCTETS, digest))


def check(answer: bytes, digest: bytes, nonce: int) -> Stamp:
    """Check a TimeStampResp against what was asked. Raises `Malformed` with what is wrong."""
    if len(answer) > MOST:
        raise Malformed(f"{_REFUSED}it has over {MOST} bytes")
    try:
        return _checked(answer, digest, nonce)
    except Malformed as error:
        raise Malformed(f"{_REFUSED}{error}") from None


def _checked(answer: bytes, digest: bytes, nonce: int) -> Stamp:
    reply = der.read(answer).parts(SEQUENCE)
    status = der.number_of(reply.take(SEQUENCE).parts(SEQUENCE).take(INTEGER))
    if status not in _GRANTED:
        raise Malformed(f"its status is {status}")
    content = reply.take(SEQUENCE).parts(SEQUENCE)
    if content.take(OID).whole != _SIGNED_DATA:
        raise Malformed("it holds no signed data")
    signed = _inside(content.take(0xA0)).parts(SEQUENCE)
    signed.take(INTEGER)
    signed.take(SET)
    encapsulated = signed.take(SEQUENCE).parts(SEQUENCE)
    if encapsulated.take(OID).whole != _TST_INFO:
        raise Malformed("what is signed is no timestamp")
    info = _inside(encapsulated.take(0xA0))
    certificates = signed.maybe(0xA0)
    signed.maybe(0xA1)
    signers = list(signed.take(SET))
    if info.tag != OCTETS or certificates is None or len(signers) != 1:
        raise Malformed("it has not one signer and its certificate")
    seconds = _told(info.value, digest, nonce)
    return Stamp(seconds, _verified(_signer(signers[0]), info.value, [each.whole for each in certificates]))


def _inside(element: Element) -> Element:
    """Return the one element inside of an explicit tag."""
    return der.read(element.value)


def _told(info: bytes, digest: bytes, nonce: int) -> int:
    """Check a TSTInfo; return its time."""
    parts = der.read(info).parts(SEQUENCE)
    parts.take(INTEGER)
    parts.take(OID)
    imprint = parts.take(SEQUENCE).parts(SEQUENCE)
    algorithm = imprint.take(SEQUENCE).parts(SEQUENCE).take(OID).whole
    if (algorithm, imprint.take(OCTETS).value) != (_SHA256, digest):
        raise Malformed("it stamps something else")
    parts.take(INTEGER)
    time = parts.take(TIME).value
    parts.maybe(SEQUENCE)
    parts.maybe(der.BOOLEAN)
    echoed = parts.maybe(INTEGER)
    if echoed is None or der.number_of(echoed) != nonce:
        raise Malformed("its nonce is not the one that was sent")
    return _seconds(time)


def _seconds(time: bytes) -> int:
    """Return a GeneralizedTime as RFC 3161 has it, `YYYYMMDDhhmmss[.s...]Z`, as epoch seconds."""
    whole, _, rest = time.decode("latin-1").removesuffix("Z").partition(".")
    if not time.endswith(b"Z") or len(whole) != 14 or not (whole + rest).isdecimal() or not time.isascii():
        raise Malformed("its time is not in the form that RFC 3161 has")
    try:
        return int(datetime.strptime(whole, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise Malformed("its time is none") from None


def _signer(info: Element) -> _Signer:
    parts = info.parts(SEQUENCE)
    parts.take(INTEGER)
    identifier = parts.maybe(0x80) or parts.take(SEQUENCE)
    digest = _hash(parts.take(SEQUENCE))
    attributes = parts.take(0xA0)
    algorithm = parts.take(SEQUENCE).parts(SEQUENCE).take(OID).whole
    return _Signer(identifier, digest, attributes, algorithm, parts.take(OCTETS).value)


def _hash(algorithm: Element) -> Any:
    found = _HASHES.get(algorithm.parts(SEQUENCE).take(OID).whole)
    if found is None:
        raise Malformed("its hash is none of SHA-256, SHA-384, SHA-512")
    return found


def _verified(signer: _Signer, info: bytes, certificates: list[bytes]) -> Certificate:
    """Return the certificate whose key signed a TSTInfo."""
    attributes = _attributes(signer.attributes)
    if attributes.get(_CONTENT_TYPE) != _TST_INFO:
        raise Malformed("its signature is over another type of content")
    if attributes.get(_MESSAGE_DIGEST) != der.write(OCTETS, signer.digest(info).digest()):
        raise Malformed("its signature is over another timestamp")
    raw = _named(attributes, certificates)
    from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

    from sentinel.core import x509_bounds

    certificate = x509_bounds.load(raw)
    with x509_bounds.readable("the timestamp authority's certificate"):
        uses = certificate.extensions.get_extension_for_oid(ExtensionOID.EXTENDED_KEY_USAGE)
        purposes: Any = uses.value
        if not uses.critical or list(purposes) != [ExtendedKeyUsageOID.TIME_STAMPING]:
            raise Malformed("its certificate is not one for timestamps alone")
    if signer.identifier.tag == SEQUENCE:
        _same(signer.identifier, certificate)
    # CMS: what is signed is the attributes as a SET, which they are but for their tag.
    _verify(certificate, signer, bytes((SET,)) + signer.attributes.whole[1:])
    return certificate


def _same(identifier: Element, certificate: Certificate) -> None:
    """See that a certificate is the one of an IssuerAndSerialNumber, byte for byte."""
    named = identifier.parts(SEQUENCE)
    issuer, serial = named.take(SEQUENCE).whole, named.take(INTEGER).whole
    body = der.read(certificate.tbs_certificate_bytes).parts(SEQUENCE)
    body.maybe(0xA0)
    own = body.take(INTEGER).whole
    body.take(SEQUENCE)
    if (issuer, serial) != (body.take(SEQUENCE).whole, own):
        raise Malformed("its signer is not the certificate that it names")


def _attributes(element: Element) -> dict[bytes, bytes]:
    """Return the signed attributes: their one value by their type."""
    found: dict[bytes, bytes] = {}
    for each in element:
        parts = each.parts(SEQUENCE)
        found.setdefault(parts.take(OID).whole, der.read(parts.take(SET).value).whole)
    return found


def _named(attributes: dict[bytes, bytes], certificates: list[bytes]) -> bytes:
    """Return the certificate that the signature is bound to (ESSCertID, or ESSCertIDv2)."""
    newer = attributes.get(_SIGNING_CERTIFICATE_V2)
    told = newer or attributes.get(_SIGNING_CERTIFICATE)
    if told is None:
        raise Malformed("its signature is bound to no certificate")
    first = der.read(told).parts(SEQUENCE).take(SEQUENCE).parts(SEQUENCE).take(SEQUENCE).parts(SEQUENCE)
    if newer:
        other = first.maybe(SEQUENCE)
        digest = _hash(other) if other else sha256
    else:
        digest = sha1  # RFC 2634's only one; it binds what the signature covers, nobody chooses it freely
    wanted = first.take(OCTETS).value
    for each in certificates:
        if digest(each).digest() == wanted:
            return each
    raise Malformed("the certificate that its signature is bound to is not with it")


def _verify(certificate: Certificate, signer: _Signer, message: bytes) -> None:
    """Verify a signature. Raises `Malformed` where it is wrong, or of a kind that is not known here."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    algorithms = {sha256: hashes.SHA256(), sha384: hashes.SHA384(), sha512: hashes.SHA512()}
    algorithm = algorithms[signer.digest]
    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey) and signer.algorithm in _RSA:
            key.verify(signer.signature, message, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey) and signer.algorithm in _ECDSA:
            key.verify(signer.signature, message, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey) and signer.algorithm in _ED25519:
            key.verify(signer.signature, message)
        else:
            raise Malformed("its kind of signature is not one that is known here")
    except InvalidSignature:
        raise Malformed("its signature is wrong") from None
