"""The port `SecretVersions` on AWS Secrets Manager, uncached: who rotates must see what is there now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sentinel.errors import Conflict, Forbidden, Missing, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CURRENT, PENDING = "AWSCURRENT", "AWSPENDING"
# InvalidRequestException is said of a secret that is marked for deletion.
_MISSING = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
_FORBIDDEN = frozenset({"AccessDeniedException", "AccessDenied", "DecryptionFailure", "EncryptionFailure"})


class AwsSecretVersions:
    """Secrets whose names begin with `prefix`. See `sentinel.ports_doors.SecretVersions`."""

    def __init__(self, client: SecretsManagerClient, prefix: str = "") -> None:
        self._client = client
        self._prefix = prefix

    def create(self, name: str, value: str) -> None:
        """Make a secret with `value` as its AWSCURRENT version. Raises `Conflict` where it exists."""
        with _translated(name):
            # The SDK sends a token of its own with it, by which a request that it repeats counts once.
            self._client.create_secret(Name=self._prefix + name, SecretString=value)

    def value(self, name: str, stage: str = CURRENT, token: str = "") -> str:
        """Return the value of a stage, or of one version in that stage. Raises `Missing`."""
        which: dict[str, Any] = {"VersionId": token} if token else {}
        with _translated(name):
            found = self._client.get_secret_value(SecretId=self._prefix + name, VersionStage=stage, **which)
        value = found.get("SecretString")
        if not value:
            raise Missing(f"the secret {name} holds no text")
        return value

    def stages(self, name: str) -> Mapping[str, frozenset[str]]:
        """Return the stages of each version. Raises `Missing` where there is no such secret."""
        with _translated(name):
            found = self._client.describe_secret(SecretId=self._prefix + name)
        return {
            token: frozenset(stages)
            for token, stages in found.get("VersionIdsToStages", {}).items()
            if stages
        }

    def put(self, name: str, token: str, value: str) -> None:
        """Add a version as AWSPENDING. The same again changes nothing; another value is `Conflict`."""
        with _translated(name):
            self._client.put_secret_value(
                SecretId=self._prefix + name,
                ClientRequestToken=token,
                SecretString=value,
                VersionStages=[PENDING],
            )

    def promote(self, name: str, token: str) -> None:
        """Make a version AWSCURRENT and the one before it AWSPREVIOUS; nothing where it is that already."""
        stages = self.stages(name)
        if token not in stages:
            raise Missing(f"the secret {name} has no such version")
        current = next((each for each, at in stages.items() if CURRENT in at), None)
        if current != token:
            self._move(name, CURRENT, MoveToVersionId=token, RemoveFromVersionId=current)
        if PENDING in stages[token]:
            self._move(name, PENDING, RemoveFromVersionId=token)

    def _move(self, name: str, stage: str, **versions: str | None) -> None:
        told: dict[str, Any] = {key: value for key, value in versions.items() if value}
        with _translated(name):
            # Secrets Manager itself makes AWSPREVIOUS of what was AWSCURRENT.
            self._client.update_secret_version_stage(SecretId=self._prefix + name, VersionStage=stage, **told)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Raise what Secrets Manager's errors mean; never their text, which may quote the request."""
    from botocore.exceptions import BotoCoreError, ClientError  # botocore is here only where AWS is

    try:
        yield
    except ClientError as error:
        raise _named(name, error.response["Error"]["Code"]) from None
    except BotoCoreError as error:
        raise Unavailable(f"Secrets Manager does not answer: {type(error).__name__}") from None


def _named(name: str, code: str) -> Exception:
    if code == "ResourceExistsException":
        return Conflict(f"there is a secret {name} already, or that version of it with another value")
    if code in _MISSING:
        return Missing(f"there is no secret {name}, or no such version of it, in Secrets Manager ({code})")
    if code in _FORBIDDEN:
        return Forbidden(f"the secret {name} may not be used ({code})")
    if code == "InvalidParameterException":
        return Conflict(f"the secret {name} is not in a state that allows this ({code})")
    return Unavailable(f"Secrets Manager cannot serve the secret {name} now ({code})")
