"""A small world behind the doors: a CA, a registry in SQLite, signing keys, and tokens of every kind."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sentinel.adapters.sqlite_registry import SqliteRegistry
from sentinel.core import certificates, tokens
from sentinel.core.access import Alias, ApiKey, Issued, Revoked, Root, Service, encode
from sentinel.core.issuers import parse_issuers
from sentinel.core.ring import Key, Ring
from sentinel.ports_doors import Record
from sentinel.usecases.authorize import Authorizer
from sentinel.usecases.directory import Directory
from sentinel.usecases.outside_issuers import OutsideIssuers

NOW = 1_800_000_000
ISSUER, AUDIENCE, DOMAIN = "https://sentinel.local", "sentinel", "sentinel.local"
DAY = 86_400


def private_key() -> str:
    """Return a new private key on P-256: PKCS #8 in PEM form."""
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


@dataclass(frozen=True)
class Ca:
    """A CA of one trust domain."""

    domain: str = DOMAIN
    now: int = NOW
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def name(self) -> x509.Name:
        """Its distinguished name."""
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"root of {self.domain}")])

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, begin: int, end: int) -> Any:
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key)
        made = made.serial_number(x509.random_serial_number()).not_valid_before(_time(begin))
        return made.not_valid_after(_time(end))

    def root(self) -> Root:
        """Return its record."""
        made = self._builder(self.name, self.key.public_key(), self.now - DAY, self.now + 3650 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        made = made.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        made = made.add_extension(
            x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False
        )
        pem = made.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        return Root(f"root-{self.domain}", self.domain, pem)

    def leaf(self, path: str = "/service/checkout", begin: int = 0, end: int = 0) -> str:
        """Return a client certificate for a SPIFFE id of this domain, PEM."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, path.rpartition("/")[2])])
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        made = self._builder(subject, key, begin or self.now - DAY, end or self.now + 90 * DAY)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(_usage(digital_signature=True), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{self.domain}{path}")])
        made = made.add_extension(names, critical=False)
        made = made.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
        )
        # The own CA signs with the smaller of the two s that verify, so that a certificate has one form.
        signed = made.sign(self.key, hashes.SHA256())
        while not _low(signed.signature):
            signed = made.sign(self.key, hashes.SHA256())
        return str(signed.public_bytes(serialization.Encoding.PEM).decode())


def _low(signature: bytes) -> bool:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return decode_dss_signature(signature)[1] <= order // 2


def _time(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


def _usage(**on: bool) -> x509.KeyUsage:
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment"]
    names += ["key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


class NoHttp:
    """For worlds without outside issuers: nothing may be asked."""

    def send(self, request: Any) -> Any:
        """Fail."""
        raise AssertionError(f"nobody is to be asked: {request.url}")


Entity = Service | ApiKey | Issued | Revoked | Root | Alias


class World:
    """One deployment's doors with the service `checkout`, its certificate, and a signing key `k1`."""

    def __init__(self, path: Path | str = ":memory:", *, now: int = NOW, issuers: str = "", http: Any = None):
        self.now = now
        self.clock, self.monotonic = Clock(now), Clock(1_000.0)
        self.ca = Ca(now=now)
        self.registry: Any = SqliteRegistry(path)
        self.ring = Ring((Key("k1", private_key()),))
        self.directory = Directory(self.registry, 10.0, self.monotonic)
        self.outside = OutsideIssuers(parse_issuers(issuers), http or NoHttp(), self.monotonic)
        self.authorizer = Authorizer(self.directory, ISSUER, AUDIENCE, DOMAIN, self.outside, self.clock)
        self.put(self.ca.root())
        self.put(Service("checkout"))
        self.pem = self.leaf()
        self.publish()

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.now += seconds
        self.monotonic.now += seconds

    def put(self, entity: Entity) -> None:
        """Register something, in the place of what has its id."""
        found = self.registry.get(entity.KIND, entity.id)
        version = found.version if found is not None else 0
        assert self.registry.put(Record(entity.KIND, entity.id, encode(entity), version))

    def leaf(self, path: str = "/service/checkout", **times: int) -> str:
        """Return a certificate of the own CA that is on record, PEM."""
        pem = self.ca.leaf(path, **times)
        until = times.get("end") or self.now + 90 * DAY
        service = path.rpartition("/")[2]
        self.put(Issued(certificates.thumbprint(pem), service, "00", "root", self.now - DAY, until))
        return pem

    def publish(self, document: object = None) -> None:
        """Publish the ring's public keys."""
        told = document or tokens.jwks(self.ring, int(self.clock()))
        found = self.registry.get("jwks", "keys")
        version = found.version if found is not None else 0
        assert self.registry.put(Record("jwks", "keys", orjson.dumps(told), version))

    @property
    def thumbprint(self) -> str:
        """The thumbprint of checkout's certificate."""
        return certificates.thumbprint(self.pem)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Return a good token's claims, with changes; None takes one away."""
        rules = tokens.Rules(ISSUER, AUDIENCE, ours=True)
        scopes = frozenset({"ingest", "tasks:read"})
        good = tokens.access_claims(rules, "checkout", scopes, self.thumbprint, int(self.clock()), "j" * 22)
        told = {**good, **changes}
        return {name: value for name, value in told.items() if value is not None}

    def token(self, **changes: Any) -> str:
        """Return a token that is good but for `changes` of its claims."""
        return tokens.sign(self.claims(**changes), tokens.signing_key(self.ring.keys[-1]))

    def admit(self, token: str, pem: str = "") -> Any:
        """Come in with a token and, unless told otherwise, checkout's certificate."""
        return self.authorizer.admit(pem or self.pem, f"Bearer {token}")
