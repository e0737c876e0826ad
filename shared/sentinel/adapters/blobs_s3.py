"""Blobs as objects of a bucket: `ports_patches.Blobs` in AWS. Encryption and expiry are the bucket's own.

S3 is told the SHA-256 and refuses other bytes; a put is conditional (`If-None-Match: *`), so an object is
never written over. Errors are translated by code only: a message of S3 may quote a key.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from botocore.exceptions import ClientError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.adapters.blobs_folder import MOST, NAME, checked
from sentinel.core.trees import digest_of
from sentinel.errors import Forbidden, Missing, TooLarge, Unavailable

_THERE = frozenset({"PreconditionFailed", "412"})
_ABSENT = frozenset({"NoSuchKey", "404"})
_BUSY = frozenset({"ConditionalRequestConflict", "409"})


class S3Blobs:
    """Objects `PREFIX` + digest of a bucket; `s3` is botocore's client."""

    def __init__(self, s3: Any, bucket: str, prefix: str = "blobs/") -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix

    def put(self, data: bytes) -> str:
        """Keep bytes; see `ports_patches.Blobs`."""
        digest = digest_of(data)
        try:
            with translated():
                self._s3.put_object(
                    Bucket=self._bucket,
                    Key=self._prefix + digest,
                    Body=data,
                    ContentType="application/octet-stream",
                    ChecksumSHA256=b64encode(bytes.fromhex(digest)).decode(),
                    IfNoneMatch="*",
                )
        except ClientError as error:
            if code_of(error) in _THERE:
                return digest
            raise _named(error) from None
        return digest

    def get(self, digest: str) -> bytes:
        """Return what is kept; see `ports_patches.Blobs`."""
        if not NAME.fullmatch(digest):
            raise Missing("what is kept is named by the 64 digits of its SHA-256")
        try:
            with translated():
                found = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + digest)
                data = found["Body"].read(MOST + 1)
        except ClientError as error:
            if code_of(error) in _ABSENT:
                raise Missing(f"nothing is kept under {digest[:12]}, or no more") from None
            raise _named(error) from None
        if len(data) > MOST:
            raise TooLarge(f"what is kept under {digest[:12]} has more than {MOST:,} bytes")
        return checked(digest, data)

    def drop(self, digest: str) -> None:
        """Take away what is kept; see `ports_erasure.ErasableBlobs`. The bucket keeps no versions."""
        if not NAME.fullmatch(digest):
            return
        try:
            with translated():
                self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + digest)
        except ClientError as error:
            raise _named(error) from None


def _named(error: ClientError) -> Exception:
    code = code_of(error)
    if code in _BUSY:
        return Unavailable(f"the bucket of blobs is busy ({code})")
    if code == "NoSuchBucket":
        return Missing("the bucket of blobs is not there")
    return Forbidden(f"the bucket of blobs may not be read or written ({code})")
