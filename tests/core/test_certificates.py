"""Client certificates: what is read, which are refused and why, and that no refusal quotes its sender."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from sentinel.core import certificates
from sentinel.core.certificates import CLOCK_SKEW, check, read, thumbprint, thumbprints
from sentinel.core.ecdsa_forms import twins
from sentinel.core.pem import MAX_PEM
from sentinel.core.spiffe import domain_of, of_service, service_of
from sentinel.errors import Malformed, Unauthenticated
from tests import pki
from tests.pki import DAY, NOW, SPIFFE, Ca, changed, names, pem, uri, usage

CANARY = "canary-7f3a"
ca = Ca()


def refused(text: str, match: str, roots: Any = None, now: int = NOW) -> None:
    """Expect a refusal whose message says what is wrong, and nothing that the sender wrote."""
    with pytest.raises(Unauthenticated, match=match) as found:
        check(read(text), [ca.root()] if roots is None else roots, now)
    told = str(found.value)
    assert CANARY not in told
    assert "spiffe://sentinel.local" not in told
    assert told.isprintable()


def test_a_good_certificate_is_read_and_counts() -> None:
    """The thumbprint is SHA-256 of the DER form in base64url (RFC 8705), the id is the one URI."""
    made = ca.leaf()
    found = read(pem(made))
    check(found, [ca.root()], NOW)
    assert found.spiffe == SPIFFE
    assert found.serial == "abcdef"
    assert (found.not_before, found.not_after) == (NOW - DAY, NOW + 89 * DAY)
    assert found.subject == "CN=checkout"
    assert found.thumbprint == thumbprint(pem(made))
    assert len(found.thumbprint) == 43
    from base64 import urlsafe_b64decode

    assert urlsafe_b64decode(found.thumbprint + "=") == made.fingerprint(hashes.SHA256())


def test_the_der_form_is_not_in_the_repr() -> None:
    """What is logged by mistake is short."""
    assert "der" not in repr(read(pem(ca.leaf())))


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
def test_keys_that_are_taken(key: Any) -> None:
    """P-256, P-384, Ed25519 and RSA from 2,048 bits, for clients and for CAs."""
    other = Ca(key=key)
    check(read(pem(other.leaf(key=key))), [other.root()], NOW)


@pytest.mark.parametrize(
    "key",
    [pki.rsa_key(1024), ec.generate_private_key(ec.SECP256K1()), ec.generate_private_key(ec.SECP521R1())],
    ids=["rsa1024", "secp256k1", "p521"],
)
def test_keys_that_are_refused(key: Any) -> None:
    """Whatever is weaker, or that nobody needs."""
    refused(pem(ca.leaf(key=key)), "P-256, P-384, Ed25519")


def test_signatures_that_are_refused() -> None:
    """SHA-1 and SHA-224 are refused, PSS with SHA-256 is taken."""
    other = Ca(key=pki.rsa_key(2048))
    refused(pem(other.leaf(algorithm=hashes.SHA224())), "SHA-256 or better", [other.root()])
    told = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    check(read(pem(other.leaf(rsa_padding=told))), [other.root()], NOW)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "one PEM document"),
        ("hello", "one PEM document"),
        ("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", "bytes in DER form"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----", "not base64"),
        ("-----BEGIN CERTIFICATE-----\nAAA\n-----END CERTIFICATE-----", "not base64"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "can be read"),
        (pem(ca.leaf()) * 2, "found several"),
        (pem(ca.leaf()) + CANARY, "nothing around it"),
        (CANARY + pem(ca.leaf()), "nothing around it"),
        (pem(ca.leaf()).replace("CERTIFICATE", "PRIVATE KEY"), "one PEM document"),
        (pem(ca.leaf()) + " " * MAX_PEM, "at most 16,384"),
        ("-----BEGIN CERTIFICATE-----\n" + " \n" * 8_000 + "-----END CERTIFICATE-----", "DER form"),
        ("-----BEGIN CERTIFICATE-----\u2028AAAA\n-----END CERTIFICATE-----", "one PEM document"),
        (pki.as_pem(pki.der(ca.leaf()) + b"\0"), "can be read"),
        (pki.as_pem(pki.der(ca.leaf())[:-1]), "can be read"),
        (pki.as_pem(b"\x30" * 9_000), "8,192 bytes"),
    ],
)
def test_what_is_no_certificate(text: str, match: str) -> None:
    """One PEM document of bounded size, strict base64 inside, strict DER inside that, nothing around."""
    refused(text, match)


def test_white_space_around_a_certificate_is_none_of_it() -> None:
    """Gateways hand it over with line breaks of either kind."""
    told = pem(ca.leaf())
    assert read(f"\r\n {told.replace(chr(10), chr(13) + chr(10))}\n\n").thumbprint == thumbprint(told)


@pytest.mark.parametrize(
    ("extensions", "match"),
    [
        (changed(x509.SubjectAlternativeName, None), "no SPIFFE id"),
        (changed(x509.SubjectAlternativeName, names(x509.DNSName("a.example"))), "exactly one URI"),
        (changed(x509.SubjectAlternativeName, names(uri(SPIFFE), uri(f"{SPIFFE}2"))), "exactly one URI"),
        (changed(x509.SubjectAlternativeName, names(uri(SPIFFE), uri(SPIFFE))), "exactly one URI"),
        (
            changed(x509.SubjectAlternativeName, names(*([x509.DNSName("a.b")] * 40), uri(SPIFFE))),
            "more than 32",
        ),
        (
            changed(x509.SubjectAlternativeName, names(x509.DNSName("a" * 3_000), uri(SPIFFE))),
            "at most 2,048",
        ),
        (changed(x509.BasicConstraints, x509.BasicConstraints(True, None), True), "no CA is a client"),
        (changed(x509.KeyUsage, None), "digitalSignature"),
        (changed(x509.KeyUsage, usage("key_agreement"), True), "digitalSignature"),
        (changed(x509.KeyUsage, usage("digital_signature", "key_cert_sign"), True), "no CA is a client"),
        (changed(x509.KeyUsage, usage("digital_signature", "crl_sign"), True), "no CA is a client"),
        (changed(x509.ExtendedKeyUsage, None), "clientAuth"),
        (
            changed(x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])),
            "clientAuth",
        ),
        (
            changed(
                x509.ExtendedKeyUsage, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
            ),
            "clientAuth",
        ),
        (
            [
                *pki.client_extensions(),
                (x509.UnrecognizedExtension(ObjectIdentifier("1.3.9.9"), b"\5\0"), True),
            ],
            "critical extension",
        ),
        (
            [
                *pki.client_extensions(),
                (x509.NameConstraints([x509.DNSName("a.example")], None), True),
            ],
            "critical extension",
        ),
        (
            [
                *pki.client_extensions(),
                *(
                    (x509.UnrecognizedExtension(ObjectIdentifier(f"1.3.9.{n}"), b"\5\0"), False)
                    for n in range(30)
                ),
            ],
            "more than 20 extensions",
        ),
    ],
)
def test_wrong_purposes(extensions: Any, match: str) -> None:
    """A client's certificate is one for clients, has one SPIFFE id, and nothing critical that is unknown."""
    refused(pem(ca.leaf(extensions)), match)


def test_what_a_mesh_adds_is_taken() -> None:
    """ServerAuth beside clientAuth, DNS names beside the id, an empty subject, unknown extensions."""
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    extensions = [
        (usage("digital_signature", "key_encipherment"), True),
        (x509.ExtendedKeyUsage(both), False),
        (names(x509.DNSName("checkout.shop.svc"), uri("spiffe://cluster.local/ns/shop/sa/checkout")), True),
        (x509.UnrecognizedExtension(ObjectIdentifier("1.3.9.9"), b"\5\0"), False),
    ]
    mesh = Ca(domain="cluster.local", title="mesh")
    made = mesh.leaf(extensions, subject=x509.Name([]))
    check(read(pem(made)), [ca.root(), mesh.root()], NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://sentinel.local/service/checkout",
        "SPIFFE://sentinel.local/service/checkout",
        "spiffe://Sentinel.local/service/checkout",
        "spiffe://sentinel.local",
        "spiffe://sentinel.local/",
        "spiffe://sentinel.local/service/",
        "spiffe://sentinel.local//service",
        "spiffe://sentinel.local/service/../admin",
        "spiffe://sentinel.local/service/./checkout",
        "spiffe://sentinel.local/service/check%6Fut",
        "spiffe://sentinel.local/service/checkout?a=b",
        "spiffe://sentinel.local/service/checkout#a",
        "spiffe://sentinel.local:443/service/checkout",
        "spiffe://user@sentinel.local/service/checkout",
        "spiffe:///service/checkout",
        "spiffe://sentinel.local/service/che ckout",
        "spiffe://sentinel.local/service/checkout\n",
        "spiffe://sentinel.local/service/checkout\0.evil",
        "spiffe://sentinel.local\\@evil/service/checkout",
        f"spiffe://sentinel.local/{'a' * 2_048}",
        f"spiffe://{'a' * 256}/service/checkout",
    ],
)
def test_ids_that_are_none(text: str) -> None:
    """A SPIFFE id has one spelling: no port, user, query, fragment, escape, dots or second slash."""
    with pytest.raises(Malformed):
        domain_of(text)
    refused(pem(ca.leaf(changed(x509.SubjectAlternativeName, names(uri(text))))), "SPIFFE id|at most 2,048")


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("checkout", "service/checkout"),
        ("a.b-c_d", "service/a.b-c_d"),
        ("team:checkout", "service-hex/7465616d3a636865636b6f7574"),
        ("決済", "service-hex/e6b1bae6b888"),
    ],
)
def test_services_and_their_ids(service: str, path: str) -> None:
    """Each service has exactly one id, also one whose name no path may have."""
    assert of_service(service, "d.example") == f"spiffe://d.example/{path}"
    assert service_of(f"spiffe://d.example/{path}", "d.example") == service


@pytest.mark.parametrize(
    "spiffe",
    [
        "spiffe://other.example/service/checkout",
        "spiffe://d.example.evil/service/checkout",
        "spiffe://d.example/service/checkout/admin",
        "spiffe://d.example/services/checkout",
        "spiffe://d.example/service",
        "spiffe://d.example/service-hex/636865636b6f7574",  # `checkout`, which has a plain id
        "spiffe://d.example/service-hex/E6B1BAE6B888",
        "spiffe://d.example/service-hex/zz",
        "spiffe://d.example/service-hex/ff",
        "spiffe://d.example/service/.hidden",
        "",
    ],
)
def test_ids_of_nobody(spiffe: str) -> None:
    """What our CA would not have written names no service."""
    assert service_of(spiffe, "d.example") is None


@pytest.mark.parametrize(
    ("now", "match"),
    [
        (NOW - DAY - CLOCK_SKEW - 1, "not valid yet"),
        (NOW - DAY - CLOCK_SKEW, ""),
        (NOW + 89 * DAY, ""),
        (NOW + 89 * DAY + 1, "run out"),
    ],
)
def test_the_times(now: int, match: str) -> None:
    """A certificate counts from a minute before its first second to its last one, not a second longer."""
    other = Ca(since=0)
    text = pem(other.leaf())
    if match:
        refused(text, match, [other.root()], now)
    else:
        check(read(text), [other.root()], now)


def test_foreign_issuers() -> None:
    """A CA of the same name with another key, or of another name, vouches for nobody."""
    same = Ca(title="a CA")
    refused(pem(same.leaf()), "no CA in force for its trust domain")
    refused(pem(Ca(title="somebody").leaf()), "no CA in force for its trust domain")
    refused(pem(ca.leaf()), "no CA of its trust domain", [])


def test_a_root_vouches_for_its_own_domain_only() -> None:
    """A mesh's CA cannot make a certificate of one of our services, nor ours one of the mesh."""
    mesh = Ca(domain="cluster.local", title="mesh")
    refused(pem(mesh.leaf()), "no CA in force", [ca.root(), mesh.root()])
    refused(pem(mesh.leaf()), "no CA of its trust domain", [mesh.root()])
    theirs = changed(x509.SubjectAlternativeName, names(uri("spiffe://cluster.local/service/checkout")))
    refused(pem(ca.leaf(theirs)), "no CA in force", [ca.root(), mesh.root()])


@pytest.mark.parametrize(("until", "counts"), [(0, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)])
def test_roots_that_are_not_in_force(until: int, counts: bool) -> None:
    """A root vouches until its end, which is not part of it; 0 is no end."""
    text = pem(ca.leaf())
    if counts:
        check(read(text), [ca.root(until=until)], NOW)
    else:
        refused(text, "no CA of its trust domain", [ca.root(until=until)])


def test_a_root_that_has_run_out_itself_vouches_for_nobody() -> None:
    """Also where its record has no end, and before its own first day."""
    old = Ca(since=NOW - 9 * DAY, until=NOW - 1)
    refused(pem(old.leaf()), "no CA in force", [old.root()])
    young = Ca(since=NOW + DAY)
    refused(pem(young.leaf()), "no CA in force", [young.root()])


@pytest.mark.parametrize(
    "extensions",
    [
        [(x509.BasicConstraints(False, None), True), (usage("key_cert_sign"), True)],
        [(x509.BasicConstraints(True, None), True), (usage("digital_signature"), True)],
        [(usage("key_cert_sign"), True)],
        [(x509.BasicConstraints(True, None), True)],
    ],
)
def test_what_is_no_ca_vouches_for_nobody(extensions: Any) -> None:
    """A leaf that got into the records as a root is none."""
    other = Ca(extensions=extensions)
    refused(pem(other.leaf()), "no CA in force", [other.root()])
    with pytest.raises(Malformed):
        certificates.root_certificate(pem(other.certificate))


def test_a_leaf_does_not_vouch_for_another() -> None:
    """A client cannot issue certificates with its own, though the store trusts the client's CA."""
    key = pki.p256()
    middle = ca.leaf(key=key)
    forged = pki.build(pki.name("x"), middle.subject, pki.p256().public_key(), key, pki.client_extensions())
    refused(pem(forged), "no CA in force")


def test_self_signed_certificates() -> None:
    """A leaf that signed itself is refused, also where somebody stored it as a root."""
    key = pki.p256()
    own = pki.build(pki.name("me"), pki.name("me"), key.public_key(), key, pki.client_extensions())
    refused(pem(own), "signed by itself", [ca.root(), ca.root(pem=pem(own))])


def test_a_root_is_no_client() -> None:
    """The CA's own certificate opens no door, with a SPIFFE id or without."""
    refused(pem(ca.certificate), "no SPIFFE id")
    named = Ca(extensions=[*ca.extensions, (names(uri(SPIFFE)), False)])
    refused(pem(named.certificate), "no CA is a client", [named.root()])


def test_serial_numbers() -> None:
    """Positive, and at most 20 bytes (RFC 5280)."""
    assert read(pem(ca.leaf(serial=2**159 - 1))).serial == "7f" + "f" * 38
    at = pki.der(ca.leaf(serial=0x11223344)).index(b"\x02\x04\x11\x22\x33\x44")
    negative = bytearray(pki.der(ca.leaf(serial=0x11223344)))
    negative[at + 2] = 0x91
    refused(pki.as_pem(bytes(negative)), "serial number|can be read")


def test_long_names_are_refused() -> None:
    """A subject is bounded in parts and length."""
    parts = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, CANARY)] * 17
    refused(pem(ca.leaf(subject=x509.Name(parts))), "at most 16 parts")
    parts = [x509.NameAttribute(NameOID.DN_QUALIFIER, CANARY * 60)] * 2
    refused(pem(ca.leaf(subject=x509.Name(parts))), "at most 1,024 characters")


def test_both_forms_of_a_signature_are_known() -> None:
    """(r, s) and (r, n - s) verify alike; whoever revokes one certificate revokes both spellings of it."""
    made = ca.leaf()
    found = read(pem(made))
    others = [each for each in twins(made, pki.der(made)) if _counts(each)]
    assert len(others) == 1
    twin = read(pki.as_pem(others[0]))
    assert twin.thumbprint != found.thumbprint
    assert twin.thumbprint in thumbprints(found)
    assert found.thumbprint in thumbprints(twin)
    assert thumbprints(found)[0] == found.thumbprint


def test_certificates_of_our_own_ca_have_one_form() -> None:
    """Of the own CA only the smaller s counts: what is revoked cannot come back under another thumbprint."""
    own = Ca(own="root-1")
    made = own.leaf()
    forms = [pki.der(made), *twins(made, pki.der(made))]
    taken = [each for each in forms if _counts(each, own)]
    assert len(taken) == 1


def test_unused_bits_of_a_signature_are_refused() -> None:
    """They would give a certificate a second thumbprint: verifying looks at whole bytes."""
    made = ca.leaf()
    while made.signature[-1] & 1:
        made = ca.leaf()
    data = bytearray(pki.der(made))
    assert _counts(bytes(data))
    data[-len(made.signature) - 1] = 1
    found = x509.load_der_x509_certificate(bytes(data))
    found.verify_directly_issued_by(ca.certificate)
    refused(pki.as_pem(bytes(data)), "whole bytes")


def test_twins_of_long_certificates_are_der() -> None:
    """Lengths are written as DER wants them, whatever their size; RSA and Ed25519 have no twin."""
    many = names(uri(SPIFFE), *(x509.DNSName("a" * 60) for _ in range(20)))
    made = ca.leaf(changed(x509.SubjectAlternativeName, many))
    assert any(_counts(each) for each in twins(made, pki.der(made)))
    for key in (ed25519.Ed25519PrivateKey.generate(), pki.rsa_key(2048)):
        text = pem(Ca(key=key).leaf())
        assert thumbprints(read(text)) == [thumbprint(text)]


def _counts(data: bytes, of: Ca = ca) -> bool:
    try:
        check(read(pki.as_pem(data)), [of.root()], NOW)
    except Unauthenticated:
        return False
    return True
