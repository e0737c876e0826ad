"""The log's Ed25519 key in AWS KMS: `ports_log.LogSigner` by a key of spec ECC_NIST_EDWARDS25519.

API: KMS `GetPublicKey` and `Sign` (2014-11-01), algorithm ED25519_SHA_512, which is Ed25519 of RFC 8032 over
a message that goes there whole (`RAW`, at most 4,096 bytes).
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Forbidden, Unavailable

MAX_RAW = 4_096
SPEC = "ECC_NIST_EDWARDS25519"
ALGORITHM = "ED25519_SHA_512"
_SIGNATURE = 64
# What a SubjectPublicKeyInfo of Ed25519 begins with (RFC 8410); the key's 32 bytes follow.
_ED25519 = bytes.fromhex("302a300506032b6570032100")
_DER = len(_ED25519) + 32
# KMS's own words for what passes by itself, as in `kms_signer`.
_PASSING = frozenset({"KeyUnavailableException", "DependencyTimeoutException", "KMSInternalException"})


class KmsLogSigner:
    """Signs with the KMS key `key`: its id, ARN or alias. The public key is read once."""

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key
        self._public: bytes | None = None

    def public_key(self) -> bytes:
        """See `ports_log.LogSigner`."""
        if self._public is None:
            found = self._call("get_public_key", KeyId=self._key)
            public = bytes(found["PublicKey"])
            if not public.startswith(_ED25519) or len(public) != _DER:
                raise Forbidden(f"the log's key in KMS has to be of spec {SPEC} and usage SIGN_VERIFY")
            self._public = public[len(_ED25519) :]
        return self._public

    def sign(self, message: bytes) -> bytes:
        """See `ports_log.LogSigner`."""
        if len(message) > MAX_RAW:
            raise Forbidden(f"the log signs at most {MAX_RAW:,} bytes")
        found = self._call(
            "sign", KeyId=self._key, Message=message, MessageType="RAW", SigningAlgorithm=ALGORITHM
        )
        signature = bytes(found["Signature"])
        if len(signature) != _SIGNATURE:
            raise Forbidden("the log's key in KMS gives signatures that are none of Ed25519")
        return signature

    def _call(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            with translated():
                found: dict[str, Any] = getattr(self._client, operation)(**arguments)
        except ClientError as error:
            code = code_of(error)
            if code in _PASSING:
                raise Unavailable(f"KMS: {code}", 1.0) from None
            raise Forbidden(f"the log's key in KMS may not be used ({code})") from None
        return found
