"""The port `LogSigner`: one contract on a file and on KMS, and what each refuses.

KMS is botocore's own client with answers from a stub, which holds each request against KMS's model: moto's
KMS has no key of Ed25519.
"""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sentinel.adapters.kms_log_signer import KmsLogSigner
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.errors import Forbidden, Missing, SentinelError, Unavailable
from tests.contracts.secret_stores import aws_client

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
MESSAGES = (b"x", b"\0" * 4_096)


def der(key: Any) -> bytes:
    """Return a public key as KMS gives it."""
    found: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return found


def kms(key: ed25519.Ed25519PrivateKey) -> KmsLogSigner:
    """Return a signer by a KMS that has `key` and answers once for the key and for each of the messages."""
    client = aws_client("kms")
    stub = Stubber(client)
    about = {"KeySpec": "ECC_NIST_EDWARDS25519", "KeyUsage": "SIGN_VERIFY"}
    stub.add_response("get_public_key", {"PublicKey": der(key), **about}, {"KeyId": KEY})
    for message in MESSAGES:
        asked = {
            "KeyId": KEY,
            "Message": message,
            "MessageType": "RAW",
            "SigningAlgorithm": "ED25519_SHA_512",
        }
        stub.add_response("sign", {"Signature": key.sign(message)}, asked)
    stub.activate()
    return KmsLogSigner(client, KEY)


@pytest.mark.parametrize("kind", ["file", "kms"])
def test_a_signature_is_that_of_its_public_key(kind: str, tmp_path: Path) -> None:
    """Ed25519 of RFC 8032 over the message as it is; the public key is its 32 bytes, and asked for once."""
    own = ed25519.Ed25519PrivateKey.generate()
    signer = FileLogKey(tmp_path / "log.key", create=True) if kind == "file" else kms(own)
    assert len(signer.public_key()) == 32
    public = ed25519.Ed25519PublicKey.from_public_bytes(signer.public_key())
    for message in MESSAGES:
        public.verify(signer.sign(message), message)
    if kind == "kms":
        assert signer.public_key() == own.public_key().public_bytes_raw()
        with pytest.raises(Forbidden, match="4,096"):
            signer.sign(b"\0" * 4_097)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("DisabledException", Forbidden),
        ("KMSInvalidStateException", Forbidden),
        ("NotFoundException", Forbidden),
        ("AccessDeniedException", Forbidden),
        ("ThrottlingException", Unavailable),
        ("KMSInternalException", Unavailable),
        ("KeyUnavailableException", Unavailable),
        ("DependencyTimeoutException", Unavailable),
    ],
)
def test_errors_of_kms_are_told_by_kind(code: str, kind: type[SentinelError]) -> None:
    """What may pass is `Unavailable`; a key that may not be used stays so until somebody acts."""
    client = aws_client("kms")
    stub = Stubber(client)
    for operation in ("get_public_key", "sign"):
        stub.add_client_error(operation, code, "secret", 400)
    stub.activate()
    signer = KmsLogSigner(client, KEY)
    for call in (signer.public_key, lambda: signer.sign(b"x")):
        with pytest.raises(kind) as found:
            call()
        assert "secret" not in str(found.value)


def test_a_kms_that_does_not_answer_is_unavailable() -> None:
    """A lost connection may pass."""
    client = aws_client("kms")

    def lose(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="https://kms")

    client.meta.events.register("before-send.kms", lose)
    with pytest.raises(Unavailable):
        KmsLogSigner(client, KEY).public_key()


def test_another_kind_of_key_is_refused() -> None:
    """A key of another spec, or a signature that is none, is told and never used."""
    client = aws_client("kms")
    stub = Stubber(client)
    stub.add_response("get_public_key", {"PublicKey": der(ec.generate_private_key(ec.SECP256R1()))})
    stub.add_response("sign", {"Signature": b"x" * 70})
    stub.activate()
    signer = KmsLogSigner(client, KEY)
    with pytest.raises(Forbidden, match="ECC_NIST_EDWARDS25519"):
        signer.public_key()
    with pytest.raises(Forbidden, match="Ed25519"):
        signer.sign(b"x")


def test_a_key_file_is_made_once_and_its_owners_alone(tmp_path: Path) -> None:
    """Opened anew it is the same; without `create` one that is not there is `Missing`; no other may read."""
    path = tmp_path / "log.key"
    with pytest.raises(Missing, match="restore it"):
        FileLogKey(path)
    made = FileLogKey(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for again in (FileLogKey(path), FileLogKey(path, create=True)):
        assert again.public_key() == made.public_key()
    path.chmod(0o644)
    with pytest.raises(Forbidden):
        FileLogKey(path)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", der(ec.generate_private_key(ec.SECP256R1())), b"\0" * 9_000],
    ids=["empty", "short", "other", "long"],
)
def test_a_damaged_key_file_is_refused(tmp_path: Path, data: bytes) -> None:
    """A file that is no Ed25519 key is refused in our own words, and never written over."""
    path = tmp_path / "log.key"
    path.write_bytes(data)
    path.chmod(0o600)
    with pytest.raises(Forbidden):
        FileLogKey(path, create=True)
    assert path.read_bytes() == data
