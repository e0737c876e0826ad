"""The `file` sink: JSON lines in a file below the deployment's folder, each line with its batch's key.

A line is `{"key", "id", "time", "service", "chain", "seq", "rule": {"id", "title", "level"}, "task",
"recipe", "trace": {"id"}, "span": {"id"}, "entry"}`: `key` names the append, `id` the event, `time` is
RFC 3339 in UTC with nanoseconds, and `entry` is the entry as it is stored (a string where it is not JSON;
none where only its place is told).
"""

from __future__ import annotations

from typing import Literal

import orjson
from pydantic import field_validator

from sentinel.ports import FileAppend, HttpResponse
from sentinel.siem.said import instant
from sentinel.siem.sink import Batch, Delivered, Notice, Outcome, SinkConfig, embedded


class FileConfig(SinkConfig):
    """`path` is relative to the deployment's folder of files and stays below it."""

    kind: Literal["file"]
    path: str
    token: Literal[""] = ""

    @field_validator("path")
    @classmethod
    def _below(cls, path: str) -> str:
        parts = path.split("/")
        if not path.isprintable() or "\\" in path or len(path) > 200:
            raise ValueError("a path is at most 200 printable characters, with / between folders")
        if any(part in {"", ".", ".."} for part in parts):
            raise ValueError(
                "the path is relative and stays below the deployment's folder: no .. and no / in front"
            )
        return path


class FileSink:
    """Encodes notices as JSON lines; all events of a step go in one append."""

    max_events = 1_000_000
    max_bytes = 1 << 30
    exact = False  # a torn write is repeated; siem.send asks the file itself

    def __init__(self, config: FileConfig, _token: str) -> None:
        self._path = config.path

    def encode(self, notice: Notice) -> bytes:
        """Encode one event as a JSON object without its key, which is the batch's and comes first."""
        told: dict[str, object] = {
            "id": notice.id,
            "time": instant(notice.t),
            "service": notice.service,
            "chain": notice.chain,
            "seq": notice.seq,
        }
        if not notice.plain:
            told["rule"] = {"id": notice.rule, "title": notice.title, "level": notice.level}
        if not notice.hash:
            told |= {"task": notice.task, "recipe": notice.recipe}
        if notice.trace:  # named as in the Elastic Common Schema
            told |= {"trace": {"id": notice.trace}, "span": {"id": notice.span}}
        if notice.entry:
            told["entry"] = embedded(notice.entry)
        return orjson.dumps(told)

    def request(self, batch: Batch) -> FileAppend:
        """Return the lines of a batch, whole."""
        front = b'{"key":"%s",' % batch.key.encode()
        return FileAppend(
            self._path, batch.key, b"".join(front + item.data[1:] + b"\n" for item in batch.items)
        )

    def outcome(self, _response: HttpResponse, _batch: Batch) -> Outcome:
        """Never asked: an append that returns has delivered."""
        return Delivered()
