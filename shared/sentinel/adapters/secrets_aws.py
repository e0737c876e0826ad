"""Secrets from AWS Secrets Manager: `ports.Secrets` in AWS, kept in memory for five minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentinel.errors import Forbidden, Missing, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient

CACHE_SECONDS = 300.0
_MISSING = frozenset({"ResourceNotFoundException", "InvalidRequestException", "ValidationException"})
_FORBIDDEN = frozenset({"AccessDeniedException", "AccessDenied", "InvalidParameterException"})


class AwsSecrets:
    """Looks up `prefix` + name. `clock` is a monotonic one, in seconds; safe to share between threads."""

    def __init__(
        self,
        client: SecretsManagerClient,
        prefix: str = "",
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._kept: dict[str, tuple[float, str]] = {}

    def get(self, name: str) -> str:
        """Return a secret; see `ports.Secrets`. A changed one counts after five minutes at the latest."""
        kept = self._kept.get(name)
        now = self._clock()
        if kept and now - kept[0] < CACHE_SECONDS:
            return kept[1]
        value = self._fetch(name)
        self._kept[name] = (now, value)
        return value

    def _fetch(self, name: str) -> str:
        from botocore.exceptions import BotoCoreError, ClientError  # boto3 is here only where AWS is

        try:
            found = self._client.get_secret_value(SecretId=self._prefix + name)
        except ClientError as error:
            raise _named(name, error.response["Error"]["Code"]) from None
        except BotoCoreError as error:
            raise Unavailable(f"Secrets Manager does not answer: {type(error).__name__}") from None
        value = found.get("SecretString", "").rstrip("\r\n")
        if not value:
            raise Missing(f"the secret {name} holds no text")
        return value


def _named(name: str, code: str) -> Exception:
    if code in _MISSING:
        return Missing(f"there is no secret {name} in Secrets Manager ({code})")
    if code in _FORBIDDEN:
        return Forbidden(f"the secret {name} may not be read ({code})")
    return Unavailable(f"Secrets Manager cannot give the secret {name} now ({code})")
