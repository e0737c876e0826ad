"""The port `Signer`: one contract on a sealed file and on KMS, and what each refuses."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from moto import mock_aws

from sentinel.adapters.kms_signer import KmsSigner
from sentinel.adapters.sealed_key import SealedKey
from sentinel.core.certificates import check, read
from sentinel.core.issuing import Issuer, SignerKey, Terms, build_client, build_root
from sentinel.errors import Forbidden, Missing, Unavailable
from sentinel.ports_doors import Signer
from tests import pki
from tests.contracts.secret_stores import aws_client
from tests.pki import DAY, DOMAIN, NOW

PASSPHRASE = "canary-of-a-passphrase"


def kms_key(kms: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
    """Make a key; return its id."""
    made: str = kms.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["KeyId"]
    return made


@pytest.fixture
def kms() -> Iterator[Any]:
    """Give a client of moto's KMS."""
    with mock_aws():
        yield aws_client("kms")


@pytest.fixture(params=["file", "kms"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Signer]:
    """Give one signer after the other."""
    if request.param == "file":
        yield SealedKey(tmp_path / "ca" / "root-1", PASSPHRASE, create=True)
        return
    with mock_aws():
        client = aws_client("kms")
        yield KmsSigner(client, kms_key(client))


def test_a_signature_is_that_of_its_public_key(signer: Signer) -> None:
    """ECDSA on P-256 with SHA-256, in DER form, of up to 4,096 bytes."""
    found = serialization.load_der_public_key(signer.public_key())
    assert isinstance(found, ec.EllipticCurvePublicKey)
    assert isinstance(found.curve, ec.SECP256R1)
    for data in (b"x", b"\0" * 4_096):
        found.verify(signer.sign(data), data, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(Forbidden, match="4,096"):
        signer.sign(b"\0" * 4_097)


def test_a_ca_works_with_it(signer: Signer) -> None:
    """A root and a client's certificate are made with a key that nobody can read, and count."""
    from cryptography import x509

    from sentinel.core.access import Root

    key = SignerKey(signer.public_key(), signer.sign)
    root = build_root(DOMAIN, Terms(1, NOW - DAY, NOW + 900 * DAY), key)
    issuer = Issuer(x509.load_pem_x509_certificate(root.encode()), key)
    made = build_client("checkout", DOMAIN, pki.p256().public_key(), Terms(2, NOW, NOW + 90 * DAY), issuer)
    check(read(made), [Root("r", DOMAIN, root, "k")], NOW)


def test_the_longest_certificate_is_short_enough_for_kms(signer: Signer) -> None:
    """What is signed stays below 4,096 bytes for the longest service id and the longest key."""
    from cryptography import x509

    sizes = []

    def sign(data: bytes) -> bytes:
        sizes.append(len(data))
        return signer.sign(data)

    key = SignerKey(signer.public_key(), sign)
    domain = "a" * 255
    root = build_root(domain, Terms(2**158, NOW, NOW + 900 * DAY), key)
    issuer = Issuer(x509.load_pem_x509_certificate(root.encode()), key)
    big = pki.rsa_key(4096).public_key()
    build_client("決" * 42, domain, big, Terms(2**158, NOW, NOW + 90 * DAY), issuer)
    assert max(sizes) < 3_000


def test_a_sealed_key_is_there_again(tmp_path: Path) -> None:
    """Opened anew it is the same; `create` makes a key only where there is none."""
    path = tmp_path / "ca" / "root-1"
    with pytest.raises(Missing, match="root-1"):
        SealedKey(path, PASSPHRASE)
    made = SealedKey(path, PASSPHRASE, create=True)
    for again in (SealedKey(path, PASSPHRASE), SealedKey(path, PASSPHRASE, create=True)):
        assert again.public_key() == made.public_key()
    assert [each.name for each in path.parent.iterdir()] == ["root-1"]


def test_a_sealed_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Whatever the process's mask is; a file with wider rights, a link or a folder is refused."""
    before = os.umask(0)
    try:
        path = tmp_path / "root-1"
        SealedKey(path, PASSPHRASE, create=True)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(Forbidden, match="link"):
        SealedKey(tmp_path / "link", PASSPHRASE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(Forbidden, match="plain file"):
        SealedKey(tmp_path / "folder", PASSPHRASE)
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(Forbidden, match="chmod 600"):
            SealedKey(path, PASSPHRASE)


def test_a_sealed_key_is_sealed(tmp_path: Path) -> None:
    """The file is PKCS #8 under PBES2; a wrong passphrase opens nothing and stands in no message."""
    path = tmp_path / "root-1"
    SealedKey(path, PASSPHRASE, create=True)
    assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    for wrong in ("another-passphrase", PASSPHRASE + "x"):
        with pytest.raises(Forbidden, match="does not open") as found:
            SealedKey(path, wrong)
        assert wrong not in str(found.value)
        assert found.value.__cause__ is None
    with pytest.raises(Forbidden, match="16 characters"):
        SealedKey(path, "short")


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n", b"\0" * 20_000])
def test_damaged_keys_are_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no key is a refusal in our own words."""
    path = tmp_path / "root-1"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(Forbidden):
        SealedKey(path, PASSPHRASE)


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), pki.rsa_key(2048)], ids=["p384", "rsa"]
)
def test_keys_of_other_kinds_are_refused(tmp_path: Path, key: Any) -> None:
    """A CA's key is ECDSA on P-256; one that is not sealed at all is refused, too."""
    path = tmp_path / "root-1"
    for seal in (
        serialization.BestAvailableEncryption(PASSPHRASE.encode()),
        serialization.NoEncryption(),
    ):
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, seal)
        )
        path.chmod(0o600)
        with pytest.raises(Forbidden):
            SealedKey(path, PASSPHRASE)


def test_of_many_who_make_a_key_one_wins(tmp_path: Path) -> None:
    """All of them have the same key in the end."""
    path = tmp_path / "ca" / "root-1"
    with ThreadPoolExecutor(8) as pool:
        made = pool.map(lambda _: SealedKey(path, PASSPHRASE, create=True).public_key(), range(16))
        assert len(set(made)) == 1
    assert [each.name for each in path.parent.iterdir()] == ["root-1"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A disk that refuses is a matter of time and place, not a traceback."""
    (tmp_path / "ca").write_text("a file where a folder is needed")
    with pytest.raises(Unavailable):
        SealedKey(tmp_path / "ca" / "root-1", PASSPHRASE, create=True)


def test_kms_is_asked_for_the_public_key_once(kms: Any) -> None:
    """A certificate costs one call, not two."""
    calls: list[str] = []
    kms.meta.events.register("before-call.kms", lambda model, **_: calls.append(model.name))
    found = KmsSigner(kms, kms_key(kms))
    calls.clear()
    found.public_key()
    found.public_key()
    found.sign(b"x")
    assert calls == ["GetPublicKey", "Sign"]


@pytest.mark.parametrize(("spec", "usage"), [("ECC_NIST_P384", "SIGN_VERIFY"), ("RSA_2048", "SIGN_VERIFY")])
def test_kms_keys_of_other_kinds_are_refused(kms: Any, spec: str, usage: str) -> None:
    """A root of another kind would not be what the doors expect."""
    with pytest.raises(Forbidden, match="ECC_NIST_P256"):
        KmsSigner(kms, kms_key(kms, spec, usage)).public_key()


def test_a_kms_key_that_is_not_there(kms: Any) -> None:
    """Nobody but an operator can mend that, and the message says what KMS said."""
    with pytest.raises(Forbidden, match="NotFoundException"):
        KmsSigner(kms, "00000000-0000-0000-0000-000000000000").public_key()


def _raising(error: Exception) -> Callable[..., Any]:
    def fails(**_: object) -> Any:
        raise error

    return fails


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("AccessDeniedException", 400, Forbidden),
        ("DisabledException", 400, Forbidden),
        ("KMSInvalidStateException", 400, Forbidden),
        ("InvalidKeyUsageException", 400, Forbidden),
        ("KeyUnavailableException", 500, Unavailable),
        ("DependencyTimeoutException", 503, Unavailable),
        ("KMSInternalException", 500, Unavailable),
        ("ThrottlingException", 400, Unavailable),
        ("LimitExceededException", 400, Forbidden),
    ],
)
def test_what_kms_says_and_what_it_means(
    kms: Any, monkeypatch: pytest.MonkeyPatch, code: str, status: int, error: type[Exception]
) -> None:
    """What passes by itself is `Unavailable`; a key that may not be used stays so until somebody acts."""
    told: Any = {"Error": {"Code": code, "Message": "x"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    monkeypatch.setattr(kms, "sign", _raising(ClientError(told, "Sign")))
    with pytest.raises(error, match=code):
        KmsSigner(kms, "k").sign(b"x")


def test_kms_that_does_not_answer(kms: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost connection passes by itself."""
    monkeypatch.setattr(kms, "get_public_key", _raising(EndpointConnectionError(endpoint_url="https://x")))
    with pytest.raises(Unavailable):
        KmsSigner(kms, "k").public_key()
