"""The CA's key in AWS KMS: `ports_doors.Signer` by a key of spec ECC_NIST_P256 that never leaves it.

API: KMS `GetPublicKey` and `Sign` (2014-11-01). The message goes there whole (`RAW`, at most 4,096 bytes), so
that KMS hashes it and its log says what was signed.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Forbidden, Unavailable

MAX_RAW = 4_096
SPEC = "ECC_NIST_P256"
ALGORITHM = "ECDSA_SHA_256"
# What a SubjectPublicKeyInfo of an uncompressed point on P-256 begins with (RFC 5480).
_P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
# KMS's own words for what passes by itself, beside those of `aws_errors`. A key that is disabled, about to be
# deleted, missing or not ours to use stays so until somebody acts.
_PASSING = frozenset({"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"})


class KmsSigner:
    """Signs with the KMS key `key`: its id, ARN or alias. The public key is read once."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key
        self._public: bytes | None = None

    def public_key(self) -> bytes:
        """Return the public key; see `ports_doors.Signer`."""
        if self._public is None:
            found = self._call("get_public_key", KeyId=self._key)
            public = bytes(found["PublicKey"])
            if not public.startswith(_P256):
                raise Forbidden(f"the CA's key in KMS has to be of spec {SPEC} and usage SIGN_VERIFY")
            self._public = public
        return self._public

    def sign(self, data: bytes) -> bytes:
        """Sign; see `ports_doors.Signer`."""
        if len(data) > MAX_RAW:
            raise Forbidden(f"the CA signs at most {MAX_RAW:,} bytes")
        found = self._call(
            "sign", KeyId=self._key, Message=data, MessageType="RAW", SigningAlgorithm=ALGORITHM
        )
        return bytes(found["Signature"])

    def _call(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            with translated():
                found: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = code_of(error)
            if code in _PASSING:
                raise Unavailable(f"KMS: {code}", 1.0) from None
            raise Forbidden(f"the CA's key in KMS may not be used ({code})") from None
        return found
