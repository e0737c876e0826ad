"""Whatever bytes come as a certificate or request: an answer, or the one kind of refusal."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, ObjectIdentifier
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core.certificates import check, read, thumbprint, thumbprints
from sentinel.core.ecdsa_forms import canonical
from sentinel.core.issuing import read_request
from sentinel.core.spiffe import domain_of, of_service, service_of
from sentinel.errors import Malformed, Unauthenticated
from tests import pki
from tests.pki import NOW, SPIFFE, Ca, names, pem, uri

own = Ca(own="root-1")


def canonical_leaf(told: list[tuple[x509.ExtensionType, bool]]) -> x509.Certificate:
    """Issue until the signature is in the form that our own CA writes."""
    while True:
        made = own.leaf(told)
        if canonical(made.signature) == made.signature:
            return made


GOOD = pem(canonical_leaf(pki.client_extensions()))
DER = read(GOOD).der
CSR = pki.request(pki.p256())
CSR_DER = x509.load_pem_x509_csr(CSR).public_bytes(serialization.Encoding.DER)


def outcome(text: str) -> bool:
    """Say whether a certificate counts; any error but a refusal fails the test."""
    try:
        found = read(text)
        assert found.thumbprint == thumbprint(text)
        assert domain_of(found.spiffe)
        check(found, [own.root()], NOW)
        assert found.thumbprint in thumbprints(found)
    except Unauthenticated:
        return False
    return True


def request_outcome(data: bytes) -> bool:
    """Say whether a request is taken."""
    try:
        read_request(data)
    except Malformed:
        return False
    return True


@given(st.text(max_size=200) | st.binary(max_size=600).map(lambda data: data.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Arbitrary text is refused."""
    assert not outcome(text)
    assert not request_outcome(text.encode("utf-8", "surrogatepass"))


@given(st.binary(max_size=600))
def test_any_der(data: bytes) -> None:
    """Arbitrary bytes inside a PEM document are refused."""
    assert not outcome(pki.as_pem(data))
    assert not request_outcome(pki.as_pem(data, "CERTIFICATE REQUEST").encode())


def test_no_bit_of_a_certificate_can_be_turned() -> None:
    """Of our own CA's certificate every single bit counts, those of the signature's encoding included."""
    assert outcome(GOOD)
    for at in range(len(DER)):
        for bit in range(8):
            turned = bytearray(DER)
            turned[at] ^= 1 << bit
            assert not outcome(pki.as_pem(bytes(turned))), (at, bit)


def test_no_bit_of_a_request_can_be_turned() -> None:
    """A request is signed by the key that it names, as a whole."""
    assert request_outcome(CSR)
    taken = []
    for at in range(len(CSR_DER)):
        turned = bytearray(CSR_DER)
        turned[at] ^= 1 << at % 8
        if request_outcome(pki.as_pem(bytes(turned), "CERTIFICATE REQUEST").encode()):
            taken.append(at)
    assert not taken


@given(st.data())
@settings(max_examples=300)
def test_mutations_of_the_der_form(data: st.DataObject) -> None:
    """Bytes that are changed, cut out, doubled or added give refusals."""
    mutated = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1))
        kind = data.draw(st.sampled_from(["changed", "cut", "doubled", "added"]))
        if kind == "changed":
            mutated[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del mutated[at : at + data.draw(st.integers(1, 40))]
        elif kind == "doubled":
            mutated[at:at] = mutated[at : at + data.draw(st.integers(1, 40))]
        else:
            mutated[at:at] = data.draw(st.binary(min_size=1, max_size=40))
        if not mutated:
            break
    if mutated != DER:
        assert not outcome(pki.as_pem(bytes(mutated)))


@given(st.data())
def test_mutations_of_the_pem_form(data: st.DataObject) -> None:
    """What is still the same document is taken, and what is not is refused."""
    text = GOOD
    at = data.draw(st.integers(0, len(text)))
    text = text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :]
    if outcome(text):
        assert read(text).der == DER


uris = st.text("spife:/.-_%?#@\\ \0aA0", max_size=60)
general = st.one_of(
    uris.map(uri),
    st.just(uri(SPIFFE)),
    st.from_regex(r"[a-z.*-]{0,20}", fullmatch=True).map(x509.DNSName._init_without_validation),
    st.ip_addresses().map(x509.IPAddress),
    st.just(x509.DirectoryName(pki.name("x"))),
    st.just(x509.RegisteredID(ObjectIdentifier("1.2.3"))),
    st.just(x509.OtherName(ObjectIdentifier("1.2.3"), b"\x05\x00")),
)
purposes = st.lists(
    st.sampled_from(
        [
            ExtendedKeyUsageOID.CLIENT_AUTH,
            ExtendedKeyUsageOID.SERVER_AUTH,
            ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
            ObjectIdentifier("1.2.3.4"),
        ]
    ),
    min_size=1,
    max_size=4,
)
raw = st.sampled_from(
    [
        ExtensionOID.BASIC_CONSTRAINTS,
        ExtensionOID.KEY_USAGE,
        ExtensionOID.EXTENDED_KEY_USAGE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        ExtensionOID.NAME_CONSTRAINTS,
        ExtensionOID.CERTIFICATE_POLICIES,
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
        ObjectIdentifier("1.3.9.9"),
    ]
)
usages = st.sets(st.sampled_from(pki.USAGES[:7]), min_size=1).map(lambda found: pki.usage(*found))
extensions = st.fixed_dictionaries(
    {},
    optional={
        "constraints": st.booleans().map(lambda is_ca: x509.BasicConstraints(is_ca, None)),
        "usage": usages,
        "purposes": purposes.map(x509.ExtendedKeyUsage),
        "names": st.lists(general, min_size=1, max_size=5).map(lambda found: names(*found)),
        "raw": st.tuples(raw, st.binary(max_size=40)).map(lambda pair: x509.UnrecognizedExtension(*pair)),
    },
)


@given(extensions, st.data())
@settings(max_examples=400, deadline=None)
def test_certificates_of_any_shape(found: dict[str, Any], data: st.DataObject) -> None:
    """The CA signs any extensions: what counts has all that the profile asks for, and nothing it forbids."""
    told = {each.oid: (each, data.draw(st.booleans())) for each in found.values()}
    text = pem(canonical_leaf(list(told.values())))
    if not outcome(text):
        return
    made = x509.load_pem_x509_certificate(text.encode()).extensions
    usage = made.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not usage.crl_sign
    assert ExtendedKeyUsageOID.CLIENT_AUTH in made.get_extension_for_class(x509.ExtendedKeyUsage).value
    alternatives = made.get_extension_for_class(x509.SubjectAlternativeName).value
    (only,) = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
    assert domain_of(only) == pki.DOMAIN
    constraints = [each.value for each in made if isinstance(each.value, x509.BasicConstraints)]
    assert not any(each.ca for each in constraints)
    known = {"basicConstraints", "keyUsage", "extendedKeyUsage", "subjectAltName"}
    assert {each.oid._name for each in made if each.critical} <= known


def test_the_shapes_can_count() -> None:
    """The property above is about something: the good shape is one of those that it makes."""
    assert outcome(pem(canonical_leaf(pki.client_extensions())))


@given(st.text(max_size=80))
def test_any_id(text: str) -> None:
    """Any text is an id of one service, or of none; what is read is what would be written."""
    service = service_of(f"spiffe://d.example/service/{text}", "d.example")
    assert service is None or of_service(service, "d.example") == f"spiffe://d.example/service/{text}"


@given(st.text("aZ0._:@+-決é", min_size=1, max_size=40))
def test_ids_of_services_are_one_to_one(service: str) -> None:
    """Every service id that there can be has a SPIFFE id, from which it comes back."""
    try:
        told = of_service(service, "d.example")
    except Malformed:
        return
    assert domain_of(told) == "d.example"
    assert service_of(told, "d.example") == service


@pytest.mark.parametrize("label", ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"])
def test_both_labels_of_requests(label: str) -> None:
    """RFC 7468 has parsers take both."""
    assert request_outcome(pki.as_pem(CSR_DER, label).encode())
