"""Checkpoints and tiles as objects of S3: `ports_log.Notes` and `ports_log.Tiles`.

Below `log/LOG/` each chain has a folder named by its id, percent-encoded, the slash too. In the bucket of
checkpoints `CHAIN/999999999957` is checkpoint 42: 999,999,999,999 less its number, so that the newest is the
first that S3 lists, which lists in ascending order only; `CHAIN/999999999957.NAME` is what is attached to it.
In the bucket of tiles `CHAIN/tile/0/x001/067` is a tile (C2SP tlog-tiles).

Every put of a checkpoint is conditional (`If-None-Match: *`), and of each object the *first* version counts,
whatever was written over it or marked as deleted: with Object Lock nobody can take that one away. So who may
only write to the bucket can neither replace a checkpoint nor hide one. Errors are translated by code only: a
message of S3 may quote a key.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import groupby
from typing import Any
from urllib.parse import quote, unquote

from botocore.exceptions import ClientError, FlexibleChecksumError

from sentinel.adapters.aws_errors import code_of, translated
from sentinel.errors import Forbidden, Missing, Unavailable

MOST = 1_000_000  # bytes of a note, or of what is attached to one
LAST = 999_999_999_999  # a chain that is sealed each minute has that many checkpoints in two million years
_PAGE = 8  # the newest, what is attached to it, and the one before: more is seldom looked at
_TILE = 8_192
_AT_ONCE = 4  # tiles of one chain; a round has several chains at once, and the client 32 connections
_THERE = frozenset({"PreconditionFailed", "412"})
_ABSENT = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_BUSY = frozenset({"ConditionalRequestConflict", "409", "OperationAborted"})


class _Objects:
    """The objects of one log in a bucket. `s3` is botocore's client."""

    def __init__(self, s3: Any, bucket: str, log: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._top = f"log/{quote(log, safe='')}/"

    def _call(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            with _answered():
                found: dict[str, Any] = getattr(self._s3, operation)(Bucket=self._bucket, **arguments)
        except ClientError as error:
            code = code_of(error)
            if code in _THERE | _ABSENT:
                raise
            raise _named(code) from None
        return found

    def _get(self, key: str, most: int, **version: str) -> bytes | None:
        try:
            found = self._call("get_object", Key=key, **version)
            with _answered():
                data: bytes = found["Body"].read(most + 1)
        except ClientError:
            return None
        if len(data) > most:
            raise Forbidden(f"an object of the log has more than {most:,} bytes")
        return data

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        """Store an object; return whether its condition held."""
        # Where objects are locked S3 wants a digest of its own; it refuses other bytes.
        digest = {
            "ChecksumAlgorithm": "SHA256",
            "ChecksumSHA256": b64encode(sha256(data).digest()).decode(),
        }
        kind = "application/octet-stream"
        try:
            self._call("put_object", Key=key, Body=data, ContentType=kind, **digest, **condition)
        except ClientError:
            return False
        return True

    def _folder(self, chain: str) -> str:
        return f"{self._top}{quote(chain, safe='')}/"


class S3Notes(_Objects):
    """`ports_log.Notes` in a bucket with versions, and Object Lock."""

    def put(self, chain: str, number: int, note: bytes) -> bool:
        """See `ports_log.Notes`."""
        return self._put(self._key(chain, number), note, IfNoneMatch="*") or self.get(chain, number) == note

    def get(self, chain: str, number: int) -> bytes | None:
        """See `ports_log.Notes`."""
        key = self._key(chain, number)
        found = next(self._firsts(key), None)
        return self._get(key, MOST, VersionId=found[1]) if found and found[0] == key else None

    def newest(self, chain: str) -> tuple[int, bytes] | None:
        """See `ports_log.Notes`: one request to list, one to get."""
        folder = self._folder(chain)
        for key, version in self._firsts(folder):
            name = key.removeprefix(folder)
            if len(name) == len(str(LAST)) and name.isascii() and name.isdecimal():
                note = self._get(key, MOST, VersionId=version)
                return (LAST - int(name), note) if note is not None else None
        return None

    def attach(self, chain: str, number: int, name: str, data: bytes) -> None:
        """See `ports_log.Notes`."""
        self._put(f"{self._key(chain, number)}.{name}", data, IfNoneMatch="*")

    def attached(self, chain: str, number: int) -> dict[str, bytes]:
        """See `ports_log.Notes`."""
        begin = self._key(chain, number) + "."
        found: dict[str, bytes] = {}
        for key, version in self._firsts(begin):
            data = self._get(key, MOST, VersionId=version)
            found |= {key.removeprefix(begin): data} if data is not None else {}
        return found

    def chains(self) -> Iterator[str]:
        """See `ports_log.Notes`."""
        for page in self._pages(self._top, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield unquote(each["Prefix"].removeprefix(self._top).removesuffix("/"))

    def _key(self, chain: str, number: int) -> str:
        return f"{self._folder(chain)}{LAST - number:0{len(str(LAST))}}"

    def _firsts(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield (key, id of its first version) below a prefix; S3 lists a key's newest version first."""
        for key, versions in groupby(self._versions(prefix), lambda each: each[0]):
            *_, (_, first) = versions
            yield key, first

    def _versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        for page in self._pages(prefix, MaxKeys=_PAGE):
            for each in page.get("Versions", ()):
                yield each["Key"], each["VersionId"]

    def _pages(self, prefix: str, **more: object) -> Iterator[dict[str, Any]]:
        while True:
            page = self._call("list_object_versions", Prefix=prefix, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more["KeyMarker"] = page["NextKeyMarker"]
            if "NextVersionIdMarker" in page:
                more["VersionIdMarker"] = page["NextVersionIdMarker"]
            else:
                more.pop("VersionIdMarker", None)


class S3Tiles(_Objects):
    """`ports_log.Tiles` in a bucket."""

    def put(self, chain: str, path: str, tile: bytes) -> None:
        """See `ports_log.Tiles`."""
        self._put(f"{self._folder(chain)}tile/{path}", tile)

    def put_all(self, chain: str, tiles: Mapping[str, bytes]) -> None:
        """See `ports_log.Tiles`. Some at once: one after the other would be slower than a lane can grow."""
        with ThreadPoolExecutor(_AT_ONCE, "tiles") as pool:
            for done in [pool.submit(self.put, chain, path, tile) for path, tile in tiles.items()]:
                done.result()

    def get(self, chain: str, path: str) -> bytes | None:
        """See `ports_log.Tiles`."""
        return self._get(f"{self._folder(chain)}tile/{path}", _TILE)


@contextmanager
def _answered() -> Iterator[None]:
    """Raise `Unavailable` for what may pass by itself, also for bytes that are not those S3 has."""
    try:
        with translated():
            yield
    except FlexibleChecksumError:
        raise Unavailable("S3's answer is not whole", 1.0) from None


def _named(code: str) -> Exception:
    if code in _BUSY:
        return Unavailable(f"a bucket of the log is busy ({code})")
    if code == "NoSuchBucket":
        return Missing("a bucket of the log is not there")
    return Forbidden(f"a bucket of the log may not be read or written ({code})")
