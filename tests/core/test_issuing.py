"""What our CA writes, what it takes for a request, and that OpenSSL agrees."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from sentinel.core.access import Root
from sentinel.core.certificates import check, read
from sentinel.core.ecdsa_forms import P256
from sentinel.core.issuing import (
    Issuer,
    SignerKey,
    Terms,
    build_client,
    build_root,
    build_server,
    public_key,
    read_request,
)
from sentinel.errors import Malformed, Unauthenticated
from tests import pki
from tests.pki import DAY, DOMAIN, NOW

TERMS = Terms(0xABC, NOW, NOW + 90 * DAY)


def signer_key(key: ec.EllipticCurvePrivateKey) -> SignerKey:
    """Wrap a key as one that signs elsewhere."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    public = key.public_key().public_bytes(serialization.Encoding.DER, form)
    return SignerKey(public, lambda data: key.sign(data, ec.ECDSA(hashes.SHA256())))


def new_issuer(until: int = NOW + 3_650 * DAY) -> tuple[Issuer, str]:
    """Make a root with its key; return it with its PEM form."""
    key = signer_key(pki.p256())
    text = build_root(DOMAIN, Terms(1, NOW - DAY, until), key)
    return Issuer(x509.load_pem_x509_certificate(text.encode()), key), text


issuer, root_pem = new_issuer()
root = Root("r", DOMAIN, root_pem, "root-1")


@pytest.mark.parametrize("service", ["checkout", "決済", "team:a", "a" * 128, "決" * 42])
def test_a_client_certificate_counts(service: str) -> None:
    """What is issued passes the doors' own check, for every service id that there can be."""
    found = read(build_client(service, DOMAIN, pki.p256().public_key(), TERMS, issuer))
    check(found, [root], NOW)
    assert (found.not_before, found.not_after) == (NOW, NOW + 90 * DAY)
    assert found.renewable_from() == NOW + 60 * DAY


def test_the_profile_of_a_client_certificate() -> None:
    """CN is the service; usage is digitalSignature and clientAuth; no CA; both key identifiers."""
    text = build_client("checkout", DOMAIN, pki.p256().public_key(), TERMS, issuer)
    made = x509.load_pem_x509_certificate(text.encode())
    assert made.subject.rfc4514_string() == "CN=checkout"
    found = {type(each.value): each for each in made.extensions}
    assert found[x509.KeyUsage].critical
    assert found[x509.KeyUsage].value == pki.usage("digital_signature")
    assert list(found[x509.ExtendedKeyUsage].value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert found[x509.BasicConstraints].value.ca is False
    about: Any = found[x509.AuthorityKeyIdentifier].value
    ca: Any = issuer.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    assert about.key_identifier == ca.digest


def test_a_server_certificate_is_no_clients() -> None:
    """The gateway's own certificate opens no door."""
    text = build_server(pki.p256().public_key(), TERMS, issuer)
    names = x509.load_pem_x509_certificate(text.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    with pytest.raises(Unauthenticated):
        read(text)


def test_signatures_are_in_their_canonical_form() -> None:
    """S is at most half the order, whatever the signer gives."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    for serial in range(1, 20):
        text = build_client("a", DOMAIN, pki.p256().public_key(), Terms(serial, NOW, NOW + DAY), issuer)
        _, s = decode_dss_signature(x509.load_pem_x509_certificate(text.encode()).signature)
        assert s <= P256 // 2


def test_what_a_ca_does_not_sign() -> None:
    """Nothing that outlives it, not its own key again, and nothing with a key that is not the root's."""
    short, _ = new_issuer(until=NOW + 89 * DAY)
    with pytest.raises(Malformed, match="roll it over"):
        build_client("a", DOMAIN, pki.p256().public_key(), TERMS, short)
    with pytest.raises(Malformed, match="nothing else"):
        build_client("a", DOMAIN, issuer.key.public_key(), TERMS, issuer)
    with pytest.raises(Malformed, match="not the one of its root"):
        build_client("a", DOMAIN, pki.p256().public_key(), TERMS, Issuer(issuer.root, signer_key(pki.p256())))
    with pytest.raises(Malformed, match="service id"):
        build_client("a/b", DOMAIN, pki.p256().public_key(), TERMS, issuer)


def test_the_private_key_is_not_to_be_had() -> None:
    """A key that signs elsewhere does nothing but sign, and with SHA-256."""
    key = issuer.key
    for call in (key.private_numbers, key.private_bytes, key.exchange):
        with pytest.raises(Malformed):
            call()
    with pytest.raises(Malformed):
        key.sign(b"x", ec.ECDSA(hashes.SHA384()))
    assert copy.copy(key) is key
    assert copy.deepcopy(key) is key
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    other = ec.generate_private_key(ec.SECP384R1()).public_key()
    public = other.public_bytes(serialization.Encoding.DER, form)
    with pytest.raises(Malformed, match="P-256"):
        SignerKey(public, lambda data: data)


@pytest.mark.parametrize(
    "key",
    [
        pki.p256(),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        pki.rsa_key(2048),
    ],
    ids=["p256", "p384", "ed25519", "rsa2048"],
)
def test_of_a_request_only_the_key_counts(key: Any) -> None:
    """Its names and extensions ask for whatever they like."""

    def greedy(builder: Any) -> Any:
        return builder.add_extension(x509.BasicConstraints(True, None), True).add_extension(
            pki.names(pki.uri("spiffe://sentinel.local/service/admin")), False
        )

    found = read_request(pki.request(key, greedy, subject="admin"))
    assert found == key.public_key()
    made = read(build_client("checkout", DOMAIN, found, TERMS, issuer))
    assert made.spiffe == "spiffe://sentinel.local/service/checkout"
    check(made, [root], NOW)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        "決済".encode(),
        b"x" * 16_385,
        pki.request(pki.p256()) * 2,
        pki.request(pki.p256()) + b"x",
        pki.request(pki.rsa_key(1024)),
        pki.request(ec.generate_private_key(ec.SECP256K1())),
        root_pem.encode(),
        pki.as_pem(b"\x30\x00", "CERTIFICATE REQUEST").encode(),
        pki.as_pem(b"\x30\x00", "NEW CERTIFICATE REQUEST").encode(),
    ],
)
def test_requests_that_are_refused(data: bytes) -> None:
    """One request of bounded size and a strong key, with nothing around it."""
    with pytest.raises(Malformed) as found:
        read_request(data)
    assert str(found.value).isascii()


def test_a_request_for_somebody_elses_key_is_refused() -> None:
    """Its signature proves that its sender has the private key."""
    mine, theirs = (x509.load_pem_x509_csr(pki.request(pki.p256())) for _ in range(2))
    der = mine.public_bytes(serialization.Encoding.DER)
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    swapped = der.replace(
        mine.public_key().public_bytes(serialization.Encoding.DER, spki),
        theirs.public_key().public_bytes(serialization.Encoding.DER, spki),
    )
    assert swapped != der
    with pytest.raises(Malformed, match="not signed with the key"):
        read_request(pki.as_pem(swapped, "CERTIFICATE REQUEST").encode())


def test_public_keys_are_bounded_too() -> None:
    """The same kinds as of requests; anything else is refused in our own words."""
    with pytest.raises(Malformed):
        public_key(b"\x30\x00")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on this machine")
@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_agrees(tmp_path: Path, purpose: str) -> None:
    """`openssl verify` takes the chains with its strict checks of RFC 5280, each for its purpose alone."""
    made = {
        "sslclient": build_client("checkout", DOMAIN, pki.p256().public_key(), TERMS, issuer),
        "sslserver": build_server(pki.p256().public_key(), TERMS, issuer),
    }
    (tmp_path / "root.pem").write_text(root_pem)
    command = ["openssl", "verify", "-x509_strict", "-attime", str(NOW + DAY), "-CAfile", "root.pem"]
    for kind, text in made.items():
        (tmp_path / "leaf.pem").write_text(text)
        whole = [*command, "-purpose", purpose, "leaf.pem"]
        done = subprocess.run(whole, cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode == 0) is (kind == purpose), done.stderr
