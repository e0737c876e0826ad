"""The `s3` sink: findings of the Open Cybersecurity Schema Framework as JSON lines, gzipped, in a bucket.

An object is named after its batch, so a batch that is sent again has the same name, and a name that is there
already is left as it is: there are neither two objects nor two notifications of one. Once is once. Objects
lie in a folder for each day (UTC) of their first finding, as Athena and its like partition by.
"""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from typing import Literal

import orjson
from pydantic import Field, field_validator

from sentinel.ports import HttpResponse
from sentinel.ports_sinks import ObjectPut
from sentinel.siem import ocsf
from sentinel.siem.sink import Batch, Delivered, Notice, Outcome, SinkConfig

_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)[a-z0-9](?:[a-z0-9-]|\.(?!\.)){1,61}[a-z0-9]")


class S3Config(SinkConfig):
    """`bucket` in the deployment's region; objects are put below `prefix`. It needs a role, and no secret."""

    kind: Literal["s3"]
    bucket: str
    prefix: str = "sentinel/detection_finding"
    token: Literal[""] = ""
    timeout: float = Field(default=20.0, ge=1, le=20)

    @field_validator("bucket")
    @classmethod
    def _named(cls, bucket: str) -> str:
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("a bucket is 3 to 63 lower case letters, digits, dots and hyphens")
        return bucket

    @field_validator("prefix")
    @classmethod
    def _plain(cls, prefix: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]*(/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*", prefix):
            raise ValueError("a prefix is folders of letters, digits, . _ = and -, with / between them")
        if len(prefix) > 200:
            raise ValueError("a prefix is at most 200 characters")
        return prefix


class S3Sink:
    """Encodes notices as findings and batches as objects."""

    max_events = 10_000
    max_bytes = 8_000_000
    exact = True

    def __init__(self, config: S3Config, _token: str) -> None:
        self._config = config

    def encode(self, notice: Notice) -> bytes:
        """Encode one finding."""
        return orjson.dumps(ocsf.finding(notice))

    def request(self, batch: Batch) -> ObjectPut:
        """Return the object of a batch."""
        millis = orjson.loads(batch.items[0].data)["time"]
        day = datetime.fromtimestamp(millis // 1_000, UTC)
        data = gzip.compress(b"".join(item.data + b"\n" for item in batch.items), compresslevel=6, mtime=0)
        return ObjectPut(
            self._config.bucket,
            f"{self._config.prefix}/day={day:%Y-%m-%d}/{batch.key}.json.gz",
            data,
            "application/x-ndjson",
            "gzip",
            self._config.timeout,
        )

    def check(self) -> ObjectPut:
        """Return the bucket and the folder."""
        return ObjectPut(self._config.bucket, self._config.prefix, b"", timeout=self._config.timeout)

    def outcome(self, _response: HttpResponse, _batch: Batch) -> Outcome:
        """Never asked: a put that returns has delivered."""
        return Delivered()
