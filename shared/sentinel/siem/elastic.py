"""The `elastic` sink: Elasticsearch (self-managed, Cloud, Serverless) and OpenSearch, by `_bulk`.

Each event is a `create` with the event's id as `_id`, which is all that a data stream takes: where it is
there already, the answer for it is 409, and that is as good as delivered. So a batch whose reply was lost is
simply sent again, and once is once: within one backing index, since a data stream that has rolled over in
between does not look at the ones before. The answer has a status for each item, in order, and is asked for
without anything else (`filter_path`): no text of an entry comes back. A document that the data stream does
not take, and that went to its failure store with status 201, counts as refused: nobody looks there.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import orjson
from pydantic import Field, field_validator

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem import ecs
from sentinel.siem.answers import Target, json_object, passing, retry_after, too_large, unnamed
from sentinel.siem.check import Question
from sentinel.siem.elastic_check import ElasticCheck
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Notice,
    Outcome,
    Parked,
    Partly,
    Refused,
    RetryAfter,
    SecretName,
    SinkConfig,
    packed,
)

PATH = "_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.failure_store"
_STREAM = re.compile(r"(logs|metrics|traces|synthetics)-([^-]+)-([^-]+)")
FAILURE_STORE = "kept_in_the_failure_store"
# The types of errors that are named in a reason; others are told by their status alone.
TYPES = frozenset(
    {
        "cluster_block_exception",
        "document_parsing_exception",
        "es_rejected_execution_exception",
        "illegal_argument_exception",
        "index_closed_exception",
        "index_not_found_exception",
        "invalid_alias_name_exception",
        "invalid_index_name_exception",
        "mapper_exception",
        "mapper_parsing_exception",
        "process_cluster_event_timeout_exception",
        "security_exception",
        "strict_dynamic_mapping_exception",
        "unavailable_shards_exception",
        "version_conflict_engine_exception",
    }
)
_SETUP = frozenset(
    {
        "index_closed_exception",
        "index_not_found_exception",
        "invalid_alias_name_exception",
        "invalid_index_name_exception",
        "security_exception",
    }
)
_PASSING = frozenset(
    {
        "cluster_block_exception",  # a full disk, a cluster that starts
        "es_rejected_execution_exception",
        "process_cluster_event_timeout_exception",
        "unavailable_shards_exception",
    }
)


class ElasticConfig(SinkConfig):
    """`token` is the name of a secret: an API key in its encoded form, or with `auth: basic` `user:password`.

    `index` is a data stream, or an index that documents may be created in.
    """

    kind: Literal["elastic"]
    url: Annotated[str, Target]
    token: SecretName
    auth: Literal["api-key", "basic"] = "api-key"
    index: str = Field(default="logs-sentinel.alerts-default", max_length=200)
    timeout: float = Field(default=15.0, ge=1, le=20)

    @field_validator("index")
    @classmethod
    def _one(cls, index: str) -> str:
        if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", index):
            raise ValueError("an index or data stream is lower case letters, digits, . _ and -; no pattern")
        return index


class ElasticSink:
    """Encodes notices as documents of the Elastic Common Schema and reads the answer item by item."""

    max_events = 1_000
    max_bytes = 4_000_000  # the server's limit is 100 MB; a few MB are what it likes
    exact = True

    def __init__(self, config: ElasticConfig, token: str) -> None:
        self._config = config
        self._token = token
        self._stream = _data_stream(config.index)

    def encode(self, notice: Notice) -> bytes:
        """Encode one document; it says of which data stream it is where the name is one's."""
        return orjson.dumps(ecs.document(notice) | self._stream)

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that creates a batch's documents, each under its event's id."""
        lines = (b'{"create":{"_id":"%s"}}\n%s\n' % (item.id.encode(), item.data) for item in batch.items)
        headers = {
            "Authorization": self._authorization(),
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "Accept": "application/json",
        }
        body = packed(b"".join(lines))
        url = f"{self._config.url}/{self._config.index}/{PATH}"
        return HttpRequest("POST", url, headers, body, self._config.timeout)

    def check(self) -> Question:
        """Ask what the credentials may do, then whether the mapping takes what is sent."""
        headers = {
            "Authorization": self._authorization(),
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        config = self._config
        return ElasticCheck(config.url, config.index, headers, config.timeout).first()

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means: the status of the whole, then that of each item."""
        status = response.status
        if wait := passing(response):
            return wait
        if status == 413:
            return too_large(batch)
        if status == 400:
            return unnamed("the request is refused (400)", batch)
        if status in {401, 403}:
            return Parked(f"the credentials are refused, or may not create documents there ({status})")
        items = _items(json_object(response)) if status in {200, 201} else ()
        if len(items) != len(batch.items):
            return Parked(f"status {status} with no answer of a bulk request; is the URL right?")
        return _judged(items, retry_after(response))

    def _authorization(self) -> str:
        if self._config.auth == "api-key":
            return f"ApiKey {self._token}"
        return f"Basic {b64encode(self._token.encode()).decode()}"


def _data_stream(index: str) -> dict[str, object]:
    found = _STREAM.fullmatch(index)
    if found is None:
        return {}
    return {"data_stream": {"type": found[1], "dataset": found[2], "namespace": found[3]}}


def _items(told: Mapping[str, object]) -> Sequence[tuple[int, str]]:
    """Return the status and the error's type of each item; none where it is not the answer of a bulk."""
    items = told.get("items")
    found = []
    for each in items if isinstance(items, list) else ():
        item = each.get("create") if isinstance(each, dict) else None
        status = item.get("status") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not isinstance(status, int):
            return ()
        if item.get("failure_store") == "used":
            found.append((status, FAILURE_STORE))
            continue
        error = item.get("error")
        kind = error.get("type") if isinstance(error, dict) else ""
        found.append((status, kind if isinstance(kind, str) and kind in TYPES else ""))
    return found


def _judged(items: Sequence[tuple[int, str]], after: float | None) -> Outcome:
    bad = [item for item in items if not _stored(item)]
    if not bad:
        return Delivered()
    setup = next((item for item in bad if _setup(item)), None)
    if setup:
        return Parked(f"the data stream or index does not take documents: {_reason(setup)}")
    fates = tuple(map(_fate, items))
    refused = next((_reason(item) for item in bad if not _later(item)), "")
    later = next((_reason(item) for item in bad if _later(item)), "")
    if not later:
        return Refused(refused, fates)
    return Partly(fates, refused, RetryAfter(later, after))


def _fate(item: tuple[int, str]) -> Fate:
    if _stored(item):
        return Fate.DELIVERED
    return Fate.OPEN if _later(item) else Fate.REFUSED


def _stored(item: tuple[int, str]) -> bool:
    status, kind = item
    if status == 409:
        return kind == "version_conflict_engine_exception"
    return status in {200, 201} and kind != FAILURE_STORE


def _setup(item: tuple[int, str]) -> bool:
    status, kind = item
    return kind in _SETUP or (status in {401, 403, 404} and kind not in _PASSING)


def _later(item: tuple[int, str]) -> bool:
    status, kind = item
    return kind in _PASSING or status in {408, 409, 429} or status >= 500


def _reason(item: tuple[int, str]) -> str:
    status, kind = item
    return f"{kind.removesuffix('_exception').replace('_', ' ') or 'refused'} ({status})"
