"""Secrets: looked up by name, refused where others could read them, never in a message."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from mypy_boto3_secretsmanager import SecretsManagerClient

from sentinel.adapters.secrets_aws import CACHE_SECONDS, AwsSecrets
from sentinel.adapters.secrets_file import MAX_BYTES, FileSecrets
from sentinel.errors import Forbidden, Missing, Unavailable

CANARY = "canary-5f0c"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretsManagerClient]:
    """Give a client of moto's Secrets Manager."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("secretsmanager", region_name="eu-central-1")


def put(folder: Path, name: str, value: bytes, mode: int = 0o600) -> Path:
    """Write a secret's file."""
    path = folder / name
    path.write_bytes(value)
    path.chmod(mode)
    return path


def test_a_file_secret_is_its_content_without_the_line_break_at_its_end(tmp_path: Path) -> None:
    """Editors end a file with a line break; a token has none."""
    for number, value in enumerate([b"s3cret", b"s3cret\n", b"s3cret\r\n", b"s3cret\n\n"]):
        put(tmp_path, f"t{number}", value)
        assert FileSecrets(tmp_path).get(f"t{number}") == "s3cret"


def test_a_changed_file_secret_counts_at_once(tmp_path: Path) -> None:
    """Files are read anew each time."""
    secrets = FileSecrets(tmp_path)
    put(tmp_path, "t", b"one")
    assert secrets.get("t") == "one"
    put(tmp_path, "t", b"two")
    assert secrets.get("t") == "two"


def test_a_secret_that_is_not_there_is_told_with_what_to_run(tmp_path: Path) -> None:
    """Where to put it, with which mode, and how to make the folder where there is none yet."""
    path = tmp_path / "t"
    with pytest.raises(Missing, match=f"no secret t: put its value into {path} and run chmod 600"):
        FileSecrets(tmp_path).get("t")
    folder = tmp_path / "secrets"
    with pytest.raises(Missing, match=f"no secret t: run mkdir -m 700 {folder}, put its value into"):
        FileSecrets(folder).get("t")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644, 0o601])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or others refuses the secret, and the message says what to run."""
    path = put(tmp_path, "t", CANARY.encode(), mode)
    with pytest.raises(Forbidden, match=f"chmod 600 {path}") as refused:
        FileSecrets(tmp_path).get("t")
    assert CANARY not in str(refused.value)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that somebody else put there is not ours."""
    put(tmp_path, "t", b"x")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(Forbidden, match="another user"):
        FileSecrets(tmp_path).get("t")


@pytest.mark.parametrize("name", ["../t", "a/b", "", ".hidden", "-x", "a\0b", "x" * 101])
def test_a_name_is_never_a_path(tmp_path: Path, name: str) -> None:
    """Names that could lead elsewhere are missing secrets."""
    put(tmp_path, "t", b"x")
    with pytest.raises(Missing):
        FileSecrets(tmp_path / "sub").get(name)


def test_what_is_no_plain_text_file_is_refused(tmp_path: Path) -> None:
    """Links, folders, binary files, empty files and endless ones are refused by name of the secret."""
    put(tmp_path, "real", CANARY.encode())
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "folder").mkdir(mode=0o700)
    put(tmp_path, "binary", b"\xff\xfe")
    put(tmp_path, "empty", b"\n")
    put(tmp_path, "long", b"x" * (MAX_BYTES + 1))
    put(tmp_path, "limit", b"x" * MAX_BYTES)
    secrets = FileSecrets(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name in ("folder", "binary", "long", "link", "pipe"):
        with pytest.raises(Forbidden, match=name) as refused:
            secrets.get(name)
        assert CANARY not in str(refused.value)
    with pytest.raises(Missing, match="empty"):
        secrets.get("empty")
    with pytest.raises(Missing, match="nothing"):
        secrets.get("nothing")
    assert len(secrets.get("limit")) == MAX_BYTES


def test_an_aws_secret_is_found_under_its_prefix(aws: SecretsManagerClient) -> None:
    """The deployment's prefix stands before the name, so deployments do not share secrets by accident."""
    aws.create_secret(Name="prod/hec", SecretString="right\n")
    aws.create_secret(Name="hec", SecretString="wrong")
    assert AwsSecrets(aws, "prod/").get("hec") == "right"


def test_an_aws_secret_is_kept_for_five_minutes(aws: SecretsManagerClient) -> None:
    """A change counts after `CACHE_SECONDS`, and until then nothing is asked."""
    now = 0.0
    secrets = AwsSecrets(aws, clock=lambda: now)
    aws.create_secret(Name="t", SecretString="one")
    assert secrets.get("t") == "one"
    aws.put_secret_value(SecretId="t", SecretString="two")
    now = CACHE_SECONDS - 1
    assert secrets.get("t") == "one"
    now = CACHE_SECONDS
    assert secrets.get("t") == "two"


def test_a_missing_aws_secret_is_missing(aws: SecretsManagerClient) -> None:
    """Unknown, deleted and binary secrets are `Missing`, by name, and a miss is not kept."""
    secrets = AwsSecrets(aws)
    with pytest.raises(Missing, match="no secret t "):
        secrets.get("t")
    aws.create_secret(Name="t", SecretString="x")
    assert secrets.get("t") == "x"
    aws.create_secret(Name="gone", SecretString=CANARY)
    aws.delete_secret(SecretId="gone")
    aws.create_secret(Name="bin", SecretBinary=b"x")
    for name in ("gone", "bin"):
        with pytest.raises(Missing, match=name) as refused:
            secrets.get(name)
        assert CANARY not in str(refused.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AccessDeniedException", Forbidden),
        ("ThrottlingException", Unavailable),
        ("InternalServiceError", Unavailable),
        ("DecryptionFailure", Unavailable),
    ],
)
def test_an_aws_error_is_named_by_what_to_do(code: str, kind: type[Exception]) -> None:
    """Botocore's errors never pass the adapter."""

    class Failing:
        def get_secret_value(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": code, "Message": CANARY}}, "GetSecretValue")

    with pytest.raises(kind, match=code) as refused:
        AwsSecrets(Failing()).get("t")  # type: ignore[arg-type]
    assert CANARY not in str(refused.value)


def test_an_unreachable_secrets_manager_is_unavailable() -> None:
    """A lost connection may pass."""

    class Failing:
        def get_secret_value(self, **_: str) -> None:
            raise EndpointConnectionError(endpoint_url="https://example.invalid")

    with pytest.raises(Unavailable, match="does not answer"):
        AwsSecrets(Failing()).get("t")  # type: ignore[arg-type]
