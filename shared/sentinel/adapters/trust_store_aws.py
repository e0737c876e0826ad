"""The roots that API Gateway trusts: `ports_doors.TrustStore` as an S3 object that a custom domain points to.

API Gateway reads a trust store when its domain is told to, never by itself: a new object in a versioned
bucket, then `UpdateDomainName` with `replace /mutualTlsAuthentication/truststoreVersion`. It takes whatever
it is given and only warns of certificates that it cannot use, so warnings are looked at here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Unavailable

_PATH = "/mutualTlsAuthentication/truststoreVersion"
_ABSENT = frozenset({"NoSuchKey", "404"})
_BUSY = frozenset({"ConflictException", "TooManyRequestsException", "LimitExceededException"})


class AwsTrustStore:
    """Keeps the certificates at `location`, `s3://bucket/key`, and the custom domain `domain` at its version.

    Without a domain only the object is kept: a deployment has it before it has a domain.
    """

    def __init__(self, s3: Any, apigateway: Any, location: str, domain: str) -> None:
        bucket, slash, key = location.removeprefix("s3://").partition("/")
        if not location.startswith("s3://") or not bucket or not slash or not key:
            raise Malformed("SENTINEL_TRUSTSTORE is s3://bucket/key")
        self._s3 = s3
        self._apigateway = apigateway
        self._bucket = bucket
        self._key = key
        self._domain = domain

    def publish(self, roots: Sequence[str]) -> str:
        """Make these the ones in force; see `ports_doors.TrustStore`. The version is the S3 object's.

        Raises `Conflict` where API Gateway warns of a certificate, `Forbidden` for a bucket without versions
        or without the right, `Missing` for a domain that is not there.
        """
        data = "".join(f"{root.strip()}\n" for root in roots).encode()
        version = self._stored(data) or self._put(data)
        if self._domain:
            self._point_to(version)
        return version

    def _stored(self, data: bytes) -> str:
        """Return the version of the object in the bucket if it is `data`, else ""."""
        try:
            with translated():
                found = self._s3.get_object(Bucket=self._bucket, Key=self._key)
                same = found["Body"].read() == data
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return ""
            raise _named("the trust store's object", error) from None
        version: str = found.get("VersionId") or ""
        return version if same and version != "null" else ""

    def _put(self, data: bytes) -> str:
        try:
            with translated():
                made = self._s3.put_object(
                    Bucket=self._bucket, Key=self._key, Body=data, ContentType="application/x-pem-file"
                )
        except ClientError as error:
            raise _named("the trust store's object", error) from None
        version: str = made.get("VersionId") or ""
        if version in {"", "null"}:
            raise Forbidden("the trust store's bucket keeps no versions: turn versioning on")
        return version

    def _point_to(self, version: str) -> None:
        mutual = self._about(self._apigateway.get_domain_name, domainName=self._domain)
        if mutual.get("truststoreVersion") != version:
            change = {"op": "replace", "path": _PATH, "value": version}
            mutual = self._about(
                self._apigateway.update_domain_name, domainName=self._domain, patchOperations=[change]
            )
        warnings = mutual.get("truststoreWarnings") or []
        if warnings:
            told = [{"reason": str(each)} for each in warnings[:16]]
            raise Conflict("API Gateway does not take every root of the trust store as it is", told)

    def _about(self, call: Any, **arguments: object) -> dict[str, Any]:
        try:
            with translated():
                found: dict[str, Any] = call(**arguments).get("mutualTlsAuthentication") or {}
        except ClientError as error:
            raise _named("the custom domain", error) from None
        if not found:
            raise Conflict(
                "the custom domain does not ask for client certificates: deploy it with mutual TLS"
            )
        return found


def _named(what: str, error: ClientError) -> Exception:
    code = code_of(error)
    if code in {"NotFoundException", "NoSuchBucket"}:
        return Missing(
            f"{what} is not there ({code}): see the settings SENTINEL_TRUSTSTORE and SENTINEL_DOMAIN"
        )
    if code in _BUSY:
        return Unavailable(f"{what} is being changed ({code})", 30.0)
    return Forbidden(f"{what} may not be read or changed ({code})")
