"""The archive as objects of a bucket: `ports_log.Archive` in AWS.

Keys are `archive/`, the percent-encoded chain id, a slash, and `TOP` less the run's first entry in 16
digits: S3 lists upwards only, and so the newest run is listed first, and that of an entry is the first behind
a `StartAfter`. A put is conditional (`If-None-Match`, or `If-Match` where a segment is erased), so no run
takes another's place.
"""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

from botocore.exceptions import ClientError

from sentinel.adapters.archive_runs import LAST, Runs
from sentinel.adapters.aws_errors import code_of, translated
from sentinel.core.payload import Opener
from sentinel.core.runs import BEGIN_BYTES, MOST_BYTES, Run
from sentinel.errors import Forbidden, Missing, Tampered, Unavailable

TOP = LAST
FOLDER = "archive/"
_THERE = frozenset({"PreconditionFailed", "412"})
_ABSENT = frozenset({"NoSuchKey", "404"})
_BUSY = frozenset({"ConditionalRequestConflict", "409"})


class S3Archive(Runs):
    """`ports_log.Archive` in a bucket; `s3` is botocore's client."""

    def __init__(
        self, s3: Any, bucket: str, opener: Opener | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__(opener, clock)
        self._s3 = s3
        self._bucket = bucket
        self._versions = False  # whether what was replaced is still there, as an older version

    def put(self, run: Run) -> bool:
        """See `Runs`: one PutObject."""
        return self._put(run, IfNoneMatch="*")

    def replace_run(self, run: Run, version: str) -> bool:
        """See `Runs`: one PutObject; the old bytes go, unless somebody made the bucket keep versions."""
        return self._put(run, IfMatch=version)

    def tidy(self, chain: str) -> str:
        """See `ports_log.Archive`. An object is there whole, or nothing is."""
        if not self._versions:
            return ""
        return (
            f"the bucket {self._bucket} keeps versions, and has what was erased in older ones below "
            f"{_folder(chain)}: suspend that, and delete what is not current"
        )

    def get(self, chain: str, first: int) -> tuple[bytes, str] | None:
        """See `Runs`: one GetObject."""
        return self._get(chain, first)

    def version(self, chain: str, first: int) -> str | None:
        """See `Runs`: one HeadObject."""
        try:
            with translated():
                found: str = self._s3.head_object(Bucket=self._bucket, Key=_key(chain, first))["ETag"]
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return None
            raise _named(error) from None
        return found

    def begin(self, chain: str, first: int) -> bytes:
        """See `Runs`: one GetObject of as many bytes."""
        found = self._get(chain, first, Range=f"bytes=0-{BEGIN_BYTES - 1}")
        return found[0] if found else b""

    def newest_at(self, chain: str, seq: int) -> int | None:
        """See `Runs`: one ListObjectsV2 of one key."""
        folder = _folder(chain)
        after = {} if seq >= TOP else {"StartAfter": f"{folder}{TOP - seq - 1:016}"}
        page = self._list(Prefix=folder, MaxKeys=1, **after)
        names = [each["Key"].removeprefix(folder) for each in page.get("Contents", ())]
        if names and not (names[0].isdecimal() and len(names[0]) == len(str(TOP))):
            raise Tampered(chain, 0, "archive", "there is an object in the archive that is none of ours")
        return TOP - int(names[0]) if names else None

    def chains(self) -> Iterator[str]:
        """See `ports_log.Archive`: a ListObjectsV2 for each thousand chains."""
        more: dict[str, str] = {}
        while True:
            page = self._list(Prefix=FOLDER, Delimiter="/", **more)
            for each in page.get("CommonPrefixes", ()):
                yield unquote(each["Prefix"].removeprefix(FOLDER).removesuffix("/"))
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _put(self, run: Run, **condition: str) -> bool:
        data = run.encode()
        try:
            with translated():
                stored = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=_key(run.chain, run.first),
                    Body=data,
                    ContentType="application/octet-stream",
                    ChecksumSHA256=b64encode(sha256(data).digest()).decode(),
                    **condition,
                )
        except ClientError as error:
            if code_of(error) in _THERE or ("IfMatch" in condition and code_of(error) in _ABSENT):
                return False
            raise _named(error) from None
        # S3 tells a version where the bucket keeps them, also once that is suspended: then it is "null".
        self._versions = self._versions or ("IfMatch" in condition and "VersionId" in stored)
        return True

    def _get(self, chain: str, first: int, **part: str) -> tuple[bytes, str] | None:
        try:
            with translated():
                found = self._s3.get_object(Bucket=self._bucket, Key=_key(chain, first), **part)
                data = found["Body"].read(MOST_BYTES + 1)
        except ClientError as error:
            if code_of(error) in _ABSENT:
                return None
            raise _named(error) from None
        return data, found["ETag"]

    def _list(self, **which: Any) -> dict[str, Any]:
        try:
            with translated():
                found: dict[str, Any] = self._s3.list_objects_v2(Bucket=self._bucket, **which)
                return found
        except ClientError as error:
            raise _named(error) from None


def _folder(chain: str) -> str:
    return f"{FOLDER}{quote(chain, safe='')}/"


def _key(chain: str, first: int) -> str:
    return f"{_folder(chain)}{TOP - first:016}"


def _named(error: ClientError) -> Exception:
    code = code_of(error)
    if code in _BUSY:
        return Unavailable(f"the bucket of the archive is busy ({code})", 0.2)
    if code == "NoSuchBucket":
        return Missing("the bucket of the archive is not there")
    return Forbidden(f"the bucket of the archive may not be read or written ({code})")
