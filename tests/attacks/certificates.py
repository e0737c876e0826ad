"""Client certificates that must not count, each good but for one thing: who forges them has our CA's key.

So what refuses them is the rule that they break and not, by accident, a signature. Each names the service
`victim`, whose data it would open.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.core.access import Issued, encode
from sentinel.core.ecdsa_forms import twins
from sentinel.core.issuing import SignerKey
from sentinel.core.pem import digest
from sentinel.ports_doors import Record, Registry
from tests import pki

DAY = 86_400
VICTIM = "victim"
Extensions = Sequence[tuple[x509.ExtensionType, bool]]


@dataclass(frozen=True)
class Held:
    """A certificate (with what else the client sends along, the leaf first) and its private key, PEM."""

    chain: str
    key: str = field(repr=False)

    @property
    def leaf(self) -> str:
        """The client's own certificate, PEM."""
        end = "-----END CERTIFICATE-----\n"
        return self.chain.partition(end)[0] + end

    @property
    def thumbprint(self) -> str:
        """Its `x5t#S256`."""
        return digest(ssl.PEM_cert_to_DER_cert(self.leaf))

    def files(self, folder: Path) -> Path:
        """Write certificate and key as the TLS layer reads them; return the file."""
        path = folder / f"{self.thumbprint}.pem"
        if not path.exists():
            path.write_text(self.chain + self.key)
        return path


@dataclass(frozen=True)
class Ca:
    """A CA whose key is at hand. `own` ones sign as ours does, in the one canonical form."""

    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    own: bool = False

    @property
    def signer(self) -> ec.EllipticCurvePrivateKey:
        """What signs."""
        if not self.own:
            return self.key
        public = self.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return SignerKey(public, lambda data: self.key.sign(data, ec.ECDSA(hashes.SHA256())))


def stranger(title: str, now: int, path_length: int | None = None) -> Ca:
    """Make a CA of somebody else's."""
    made = pki.Ca(
        title=title,
        since=now - DAY,
        until=now + 365 * DAY,
        extensions=(
            (x509.BasicConstraints(ca=True, path_length=path_length), True),
            (pki.usage("key_cert_sign", "crl_sign"), True),
        ),
    )
    return Ca(made.name, made.key, made.certificate)


def profile(uri: str, kind: type[x509.ExtensionType] | None = None, *to: x509.ExtensionType) -> Extensions:
    """Return a client's extensions for a SPIFFE id, the one of a kind replaced by `to`, or left out."""
    good: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (pki.usage("digital_signature"), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
        (pki.names(pki.uri(uri)), False),
    ]
    kept = [each for each in good if kind is None or not isinstance(each[0], kind)]
    return [*kept, *((each, isinstance(each, x509.BasicConstraints)) for each in to)]


def key_pem(key: Any) -> str:
    """Return a private key as PEM."""
    form = serialization.PrivateFormat.PKCS8
    text: bytes = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return text.decode()


@dataclass
class Forge:
    """Makes certificates; `record` puts one on record, which the doors ask about.

    `root` is the deployment's own CA, `mesh` one that it trusts for `mesh.example`.
    `ended` is a root of the own domain whose time is over, `foreign` one that nobody trusts.
    """

    now: int
    domain: str
    root: Ca
    mesh: Ca
    ended: Ca
    foreign: Ca
    record: Callable[[Held, str], None] = lambda held, service: None
    _serial: int = 1 << 64

    def service(self, name: str = VICTIM) -> str:
        """Return the SPIFFE id of a service of ours."""
        return f"spiffe://{self.domain}/service/{name}"

    def leaf(
        self,
        extensions: Extensions | None = None,
        ca: Ca | None = None,
        key: Any = None,
        subject: x509.Name | None = None,
        more: Sequence[x509.Certificate] = (),
        **options: Any,
    ) -> Held:
        """Issue a client's certificate, good but for what is said."""
        signed_by, own = ca or self.root, key or pki.p256()
        self._serial += 1
        told = {"serial": self._serial, "since": self.now - 60, "until": self.now + 30 * DAY} | options
        made = pki.build(
            subject or pki.name(VICTIM),
            signed_by.name,
            own.public_key(),
            signed_by.signer,
            profile(self.service()) if extensions is None else extensions,
            **told,
        )
        return Held("".join(map(pki.pem, (made, *more))), key_pem(own))

    def of(self, service: str, **options: Any) -> Held:
        """Issue a good certificate of a service."""
        held = self.leaf(profile(self.service(service)), subject=pki.name(service), **options)
        self.record(held, service)
        return held


def record(registry: Registry, held: Held, service: str) -> None:
    """Put a forged certificate on record, so that nothing but what is wrong with it stands in its way."""
    made = Issued(held.thumbprint, service, "00", "forged", 0, 1 << 40)
    registry.put(Record(Issued.KIND, made.id, encode(made), service=service))


Make = Callable[[Forge], Held]


@dataclass(frozen=True)
class Bad:
    """One kind of certificate. `tls`: the TLS layer of the local gateway does not even let it connect.

    `service` is whom the token is for that comes along.
    """

    why: str
    make: Make
    tls: bool = False
    service: str = VICTIM


def _changed(kind: type[x509.ExtensionType], *to: x509.ExtensionType) -> Make:
    return lambda forge: forge.leaf(profile(forge.service(), kind, *to))


def _uri(text: str) -> Make:
    return lambda forge: forge.leaf(profile(text.format(domain=forge.domain)))


def _two(forge: Forge, *services: str) -> Held:
    """Return a certificate with the ids of two services."""
    both = pki.names(*(pki.uri(forge.service(each)) for each in services))
    return forge.leaf(profile("", x509.SubjectAlternativeName, both))


def _self_signed(forge: Forge) -> Held:
    key = pki.p256()
    made = pki.build(
        pki.name(VICTIM),
        pki.name(VICTIM),
        key.public_key(),
        key,
        profile(forge.service()),
        since=forge.now - 60,
        until=forge.now + DAY,
    )
    return Held(pki.pem(made), key_pem(key))


def _below(forge: Forge, above: Ca, depth: int) -> Held:
    """Return a leaf with `depth` CAs between it and `above`, all sent along."""
    chain: list[x509.Certificate] = []
    for level in range(depth):
        key, title = pki.p256(), pki.name(f"level {level} of {depth}")
        made = pki.build(
            title,
            above.name,
            key.public_key(),
            above.signer,
            [
                (x509.BasicConstraints(ca=True, path_length=None), True),
                (pki.usage("key_cert_sign", "crl_sign"), True),
            ],
            since=forge.now - 60,
            until=forge.now + DAY,
            serial=1000 + level,
        )
        chain.insert(0, made)
        above = Ca(title, key, made)
    return forge.leaf(ca=above, more=chain)


def _twin(forge: Forge) -> Held:
    """Return a certificate of ours in the other form of its signature, which has another thumbprint."""
    good = forge.leaf()
    der = ssl.PEM_cert_to_DER_cert(good.leaf)
    other = next(each for each in twins(x509.load_der_x509_certificate(der), der) if each != der)
    return Held(ssl.DER_cert_to_PEM_cert(other), good.key)


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + content


def _sha1(forge: Forge) -> Held:
    """Return a certificate signed with ECDSA and SHA-1, written by hand: the library makes none any more."""
    good = forge.leaf()
    tbs = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(good.leaf)).tbs_certificate_bytes
    sha256_oid, sha1_oid = bytes.fromhex("300a06082a8648ce3d040302"), bytes.fromhex("300906072a8648ce3d0401")
    content = tbs[4:].replace(sha256_oid, sha1_oid, 1)
    tbs = _der(0x30, content)
    # SHA-1's 20 bytes with zeros in front are the same number, and so the same signature.
    number = sha1(tbs, usedforsecurity=False).digest().rjust(32, b"\0")
    signature = forge.root.key.sign(number, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    made = _der(0x30, tbs + sha1_oid + _der(0x03, b"\0" + signature))
    return Held(ssl.DER_cert_to_PEM_cert(made), good.key)


def _root_itself(forge: Forge) -> Held:
    return Held(pki.pem(forge.root.certificate), key_pem(forge.root.key))


_LONG = x509.Name(
    [x509.NameAttribute(NameOID.ORGANIZATION_NAME, f"{at}{'x' * 200}", _validate=False) for at in range(8)]
)
_MANY = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"u{at}") for at in range(40)])
_NOTE = x509.ObjectIdentifier("1.3.6.1.4.1.55555.1")

# What a certificate can be besides good. `VICTIM`'s id is in all of them where nothing else is said.
BAD: dict[str, Bad] = {
    "expired": Bad(
        "its time is over",
        lambda f: f.leaf(since=f.now - 100 * DAY, until=f.now - 10),
        tls=True,
    ),
    "not yet valid": Bad(
        "its time has not come", lambda f: f.leaf(since=f.now + 3_600, until=f.now + DAY), tls=True
    ),
    "foreign CA": Bad("no root of ours", lambda f: f.leaf(ca=f.foreign), tls=True),
    "foreign CA under our name": Bad(
        "the name of our root, another key",
        lambda f: f.leaf(ca=Ca(f.root.name, f.foreign.key, f.foreign.certificate)),
        tls=True,
    ),
    "self-signed": Bad("nobody vouches", _self_signed, tls=True),
    "root out of force": Bad("a root of our domain whose time is over", lambda f: f.leaf(ca=f.ended)),
    "serverAuth only": Bad(
        "extended key usage of a server",
        _changed(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
        tls=True,
    ),
    "emailProtection only": Bad(
        "extended key usage of mail",
        _changed(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])),
        tls=True,
    ),
    "anyExtendedKeyUsage": Bad(
        "for everything is for nothing",
        _changed(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])),
        tls=True,
    ),
    "no extended key usage": Bad("nothing says what it is for", _changed(x509.ExtendedKeyUsage)),
    "no digitalSignature": Bad(
        "key usage keyEncipherment", _changed(x509.KeyUsage, pki.usage("key_encipherment")), tls=True
    ),
    "keyAgreement only": Bad("key usage keyAgreement", _changed(x509.KeyUsage, pki.usage("key_agreement"))),
    "no key usage": Bad("nothing says what its key may do", _changed(x509.KeyUsage)),
    "keyCertSign": Bad(
        "key usage of a CA", _changed(x509.KeyUsage, pki.usage("digital_signature", "key_cert_sign"))
    ),
    "CA certificate": Bad(
        "basic constraints of a CA",
        _changed(x509.BasicConstraints, x509.BasicConstraints(ca=True, path_length=None)),
    ),
    "the root itself": Bad("our own root as a client", _root_itself, tls=True),
    "other trust domain, our root": Bad(
        "our root vouches for our domain alone", _uri("spiffe://mesh.example/service/victim")
    ),
    "our trust domain, mesh root": Bad(
        "another's root vouches for its domain alone", lambda f: f.leaf(ca=f.mesh)
    ),
    "a mesh id of nobody": Bad(
        "no service has this identity",
        lambda f: f.leaf(profile("spiffe://mesh.example/ns/shop/sa/victim"), ca=f.mesh),
    ),
    "service that does not exist": Bad(
        "nobody of this name", lambda f: f.of("nobody-at-all"), service="nobody-at-all"
    ),
    "no SPIFFE id": Bad("a name in the subject alone", _changed(x509.SubjectAlternativeName)),
    "DNS name only": Bad(
        "no URI among its names",
        _changed(x509.SubjectAlternativeName, pki.names(x509.DNSName("victim"))),
    ),
    "two URI SANs": Bad("two names, the first one good", lambda f: _two(f, VICTIM, "mallory")),
    "two URI SANs, the other way round": Bad(
        "two names, the second one good", lambda f: _two(f, "mallory", VICTIM), service="mallory"
    ),
    "id with a query": Bad("spiffe://…/victim?x", _uri("spiffe://{domain}/service/victim?x")),
    "id with a fragment": Bad("spiffe://…/victim#x", _uri("spiffe://{domain}/service/victim#x")),
    "id with a user": Bad("spiffe://mallory@…", _uri("spiffe://mallory@{domain}/service/victim")),
    "id with a port": Bad("spiffe://…:443/", _uri("spiffe://{domain}:443/service/victim")),
    "id in capitals": Bad("SPIFFE://", _uri("SPIFFE://{domain}/service/victim")),
    "id with dots": Bad("service/../service", _uri("spiffe://{domain}/service/../service/victim")),
    "id with an escape": Bad("%76ictim", _uri("spiffe://{domain}/service/%76ictim")),
    "id with an empty segment": Bad("service//victim", _uri("spiffe://{domain}/service//victim")),
    "id with a slash at its end": Bad("victim/", _uri("spiffe://{domain}/service/victim/")),
    "id with a longer path": Bad("victim/x", _uri("spiffe://{domain}/service/victim/x")),
    "id in hex": Bad(
        "the spelling for other names", _uri(f"spiffe://{{domain}}/service-hex/{VICTIM.encode().hex()}")
    ),
    "id with a NUL": Bad("victim\\0.x", _uri("spiffe://{domain}/service/victim\0x")),
    "https id": Bad("another scheme", _uri("https://{domain}/service/victim")),
    "over-long id": Bad("4,000 characters", _uri("spiffe://{domain}/service/" + "v" * 4_000)),
    "over-long subject": Bad("1,600 characters of names", lambda f: f.leaf(subject=_LONG)),
    "too many names in the subject": Bad("40 parts", lambda f: f.leaf(subject=_MANY)),
    "too many alternative names": Bad(
        "one id and 60 others",
        lambda f: f.leaf(
            profile(
                "",
                x509.SubjectAlternativeName,
                pki.names(pki.uri(f.service()), *(x509.DNSName(f"h{at}.example") for at in range(60))),
            )
        ),
    ),
    "too many extensions": Bad(
        "30 extensions",
        lambda f: f.leaf(
            [
                *profile(f.service()),
                *(
                    (
                        x509.UnrecognizedExtension(
                            x509.ObjectIdentifier(f"{_NOTE.dotted_string}.{at}"), b"\5\0"
                        ),
                        False,
                    )
                    for at in range(30)
                ),
            ]
        ),
    ),
    "unknown critical extension": Bad(
        "what is critical must be understood",
        lambda f: f.leaf([*profile(f.service()), (x509.UnrecognizedExtension(_NOTE, b"\5\0"), True)]),
        tls=True,
    ),
    "RSA 1024": Bad("a key that is too short", lambda f: f.leaf(key=pki.rsa_key(1024)), tls=True),
    "P-521": Bad(
        "a curve that is not on the list", lambda f: f.leaf(key=ec.generate_private_key(ec.SECP521R1()))
    ),
    "secp256k1": Bad(
        "a curve that is not on the list",
        lambda f: f.leaf(key=ec.generate_private_key(ec.SECP256K1())),
        tls=True,
    ),
    "SHA-1 signature": Bad("a broken hash", _sha1, tls=True),
    "the other form of its signature": Bad("a second thumbprint for one certificate", _twin),
    "below a CA of ours": Bad("our root allows no CA below it", lambda f: _below(f, f.root, 1), tls=True),
    "below a CA of the mesh": Bad("a chain of three", lambda f: _below(f, f.mesh, 1)),
    "chain too long": Bad("a chain of 32", lambda f: _below(f, f.mesh, 30)),
    "huge certificate": Bad(
        "12,000 bytes",
        lambda f: f.leaf(
            [
                *profile(f.service()),
                (x509.UnrecognizedExtension(_NOTE, b"\4\x82\x2e\xe0" + bytes(12_000)), False),
            ]
        ),
    ),
}

__all__ = ["BAD", "Bad", "Ca", "Forge", "Held", "ed25519", "profile", "stranger"]
