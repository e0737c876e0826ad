"""AWS without an SDK: where credentials come from, and Signature Version 4.

The chain is that of the SDKs, as far as it needs no SDK: environment (which Lambda sets), container (ECS, EKS
Pod Identity), instance (IMDSv2). Profiles, SSO and web identities are not read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sentinel_client._connection import Answer, Connection, Shut, Unreachable

ECS = "http://169.254.170.2"
IMDS = "http://169.254.169.254"
# Who may be asked in the clear (AWS SDKs and Tools Reference Guide, "Container credential provider").
_CLEAR = ("169.254.170.2", "169.254.170.23", "fd00:ec2::23", "127.0.0.1", "::1", "localhost")
_ROLE = "/latest/meta-data/iam/security-credentials/"
EARLY = 300.0  # seconds before their end credentials are fetched anew
SECONDS = 5.0  # for one question to a metadata service


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials. `until` is when they end, epoch seconds; 0 where they do not."""

    access: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    until: float = 0.0


class Chain:
    """The first source that has credentials. They are kept until shortly before they end."""

    def __init__(
        self,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        imds: str = IMDS,
        ecs: str = ECS,
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self._clock = clock
        self._imds, self._ecs = imds, ecs
        self._held: Keys | None = None

    def keys(self) -> Keys:
        """Return credentials. Raises `Shut` where there are none, `Unreachable` where not now."""
        held = self._held
        if held is None or (held.until and held.until - EARLY <= self._clock()):
            try:
                self._held = held = self._found()
            except Unreachable:
                if held is None or held.until <= self._clock():
                    raise
        return held

    def forget(self) -> None:
        """Have them fetched anew: they were refused."""
        self._held = None

    def _found(self) -> Keys:
        told = self._environ
        if told.get("AWS_ACCESS_KEY_ID") and told.get("AWS_SECRET_ACCESS_KEY"):
            token = told.get("AWS_SESSION_TOKEN", "")
            return Keys(told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"], token)
        if told.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _keys(_get(self._ecs + told["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"], {}))
        if told.get("AWS_CONTAINER_CREDENTIALS_FULL_URI"):
            return self._container(told["AWS_CONTAINER_CREDENTIALS_FULL_URI"])
        if told.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise Shut("there are no AWS credentials in the environment, and IMDS is disabled")
        return self._instance()

    def _container(self, url: str) -> Keys:
        from urllib.parse import urlsplit

        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _CLEAR:
            raise Shut("AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor an address of this host")
        headers = {}
        token = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        file = self._environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "")
        if file:
            try:
                token = Path(file).read_text().strip()
            except (OSError, UnicodeDecodeError):
                raise Shut(f"{file}: the token for AWS credentials cannot be read") from None
        if token:
            headers["Authorization"] = token
        return _keys(_get(url, headers))

    def _instance(self) -> Keys:
        """Ask the instance metadata service, version 2 (EC2 User Guide, "Use IMDS")."""
        lives = {"X-aws-ec2-metadata-token-ttl-seconds": "300"}
        token = _ask("PUT", f"{self._imds}/latest/api/token", lives)
        proof = {"X-aws-ec2-metadata-token": token.body.decode("latin-1")}
        role = _get(self._imds + _ROLE, proof).body.decode("latin-1").strip().split("\n")[0]
        if not role:
            raise Shut("this instance has no role")
        return _keys(_get(self._imds + _ROLE + role, proof))


def _get(url: str, headers: Mapping[str, str]) -> Answer:
    return _ask("GET", url, headers)


def _ask(method: str, url: str, headers: Mapping[str, str]) -> Answer:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection = Connection(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        raise Shut("the address of AWS credentials is no URL") from None
    try:
        answer = connection.exchange(method, path, b"", headers, SECONDS)
    except Unreachable:
        raise Unreachable("there are no AWS credentials: nobody answers who has some") from None
    finally:
        connection.close()
    if answer.status == 404:
        raise Shut("there are no AWS credentials: no role is attached")
    if answer.status != 200:
        raise Unreachable(f"there are no AWS credentials: who has some answers {answer.status}")
    return answer


def _keys(answer: Answer) -> Keys:
    told = answer.told
    access, secret, token = (told.get(name) for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    if not isinstance(access, str) or not isinstance(secret, str) or not isinstance(token, str | None):
        raise Unreachable("there are no AWS credentials: the answer holds none")
    return Keys(access, secret, token or "", _moment(told.get("Expiration")))


def _moment(told: Any) -> float:
    import calendar

    try:
        return float(calendar.timegm(time.strptime(str(told)[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return 0.0


def signed(
    keys: Keys, region: str, service: str, headers: Mapping[str, str], body: bytes, now: float
) -> dict[str, str]:
    """Return the headers of a `POST /` with its signature (IAM User Guide, "AWS Signature Version 4").

    `headers` has `Host`; all of them are signed. `now` is in epoch seconds.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    told = {**headers, "X-Amz-Date": stamp}
    if keys.token:
        told["X-Amz-Security-Token"] = keys.token
    plain = sorted((name.lower(), " ".join(value.split())) for name, value in told.items())
    names = ";".join(name for name, _ in plain)
    lines = "".join(f"{name}:{value}\n" for name, value in plain)
    request = f"POST\n/\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{keys.secret}".encode()
    for part in (stamp[:8], region, service, "aws4_request", text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    proof = f"Credential={keys.access}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    return {**told, "Authorization": f"AWS4-HMAC-SHA256 {proof}"}
