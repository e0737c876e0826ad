"""SIEMs on loopback that take, refuse, throttle and forget to reply as the real ones do.

Each keeps what it took; `Trouble` says what goes wrong next. What they check is what the products' own
documentation says that they check.
"""

from __future__ import annotations

import gzip
import json
import re
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from sentinel.siem.microsoft_sentinel import COLUMNS
from tests.loopback import Asked, Loopback, Told

JSON = {"Content-Type": "application/json"}


@dataclass
class Trouble:
    """What goes wrong next.

    `answers` are given in the place of taking anything; `lost` are the requests, counted from 1, that are
    taken and whose reply is lost;
    `busy` are numbers of documents that are answered with 429 once each, `odd` those that are refused.
    """

    answers: list[Told] = field(default_factory=list)
    lost: frozenset[int] = frozenset()
    busy: list[int] = field(default_factory=list)
    odd: frozenset[int] = frozenset()


class Target:
    """What they share: a server, trouble, and the number of items in each request that was read."""

    def __init__(self) -> None:
        self.trouble = Trouble()
        self.requests: list[int] = []
        self.server = Loopback(self._answer)
        self.url = f"http://127.0.0.1:{self.server.port}"

    def _answer(self, asked: Asked) -> Told:
        if self.trouble.answers:
            return self.trouble.answers.pop(0)
        told = self.take(asked)
        return Told(lost=True) if len(self.requests) in self.trouble.lost else told

    def take(self, asked: Asked) -> Told:
        """Read one request."""
        raise NotImplementedError


def body_of(asked: Asked) -> bytes:
    """Return a request's body unpacked. Raises `ValueError` for gzip that is none."""
    if asked.headers.get("Content-Encoding") != "gzip":
        return asked.body
    try:
        return gzip.decompress(asked.body)
    except (OSError, EOFError, zlib.error):
        raise ValueError("not gzip") from None


def strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a field twice, as Elasticsearch does."""
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a field is there twice")
    return dict(pairs)


class Elastic(Target):
    """One data stream of an Elasticsearch: `create` only, ids unique, `@timestamp` needed."""

    def __init__(self, authorization: str, stream: str = "logs-sentinel.alerts-default") -> None:
        self.authorization = authorization
        self.path = f"/{stream}/_bulk"
        self.documents: dict[str, dict[str, Any]] = {}
        self.failure_store: list[str] | None = None
        super().__init__()

    def take(self, asked: Asked) -> Told:
        """Answer a bulk request with an item for each document, in order."""
        if asked.headers.get("Authorization") != self.authorization:
            return _error(401, "security_exception")
        parts = urlsplit(asked.path)
        if parts.path != self.path:
            return _error(404, "index_not_found_exception")
        body = body_of(asked)
        if asked.headers.get("Content-Type") != "application/x-ndjson" or not body.endswith(b"\n"):
            return _error(400, "illegal_argument_exception")
        lines = body[:-1].split(b"\n")
        self.requests.append(len(lines) // 2)
        items = [
            self._create(json.loads(action), line)
            for action, line in zip(lines[::2], lines[1::2], strict=True)
        ]
        told = {"took": 3, "errors": any("error" in item for item in items), "items": items}
        kept = _filtered(told, parse_qs(parts.query).get("filter_path", ["**"])[0])
        return Told(200, json.dumps(kept).encode(), JSON)

    def _create(self, action: dict[str, Any], line: bytes) -> dict[str, Any]:
        name = action.get("create", {}).get("_id")
        if name is None or name in self.documents:
            return _item(409 if name else 400, "version_conflict_engine_exception")
        try:
            document = json.loads(line, object_pairs_hook=strict)
        except ValueError:
            return _item(400, "document_parsing_exception")
        number = document["event"]["sequence"]
        if number in self.trouble.busy:
            self.trouble.busy.remove(number)
            return _item(429, "es_rejected_execution_exception")
        if "@timestamp" not in document or number in self.trouble.odd:
            return self._refuse(name)
        self.documents[name] = document
        return {"create": {"_index": ".ds-x-000001", "_id": name, "result": "created", "status": 201}}

    def _refuse(self, name: str) -> dict[str, Any]:
        if self.failure_store is None:
            return _item(400, "document_parsing_exception")
        self.failure_store.append(name)
        return {"create": {"_id": name, "status": 201, "failure_store": "used"}}


def _item(status: int, kind: str) -> dict[str, Any]:
    return {"create": {"status": status, "error": {"type": kind, "reason": "canary-reason"}}}


def _error(status: int, kind: str) -> Told:
    return Told(status, json.dumps({"error": {"type": kind}, "status": status}).encode(), JSON)


def _filtered(told: Any, paths: str) -> Any:
    """Keep what `filter_path` names: fields by name, `*` for any one, and lists as their items."""
    keys = [tuple(path.split(".")) for path in paths.split(",")]
    return told if paths == "**" else _picked(told, keys)


def _picked(value: Any, keys: list[tuple[str, ...]]) -> Any:
    if any(not key for key in keys):
        return value
    if isinstance(value, list):
        return [_picked(each, keys) for each in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, each in value.items():
        below = [key[1:] for key in keys if key[0] in {name, "*"}]
        if below and (any(not key for key in below) or isinstance(each, dict | list)):
            found[name] = _picked(each, below)
    return found


class Datadog(Target):
    """A log intake of version 2: it takes 1,000 logs and 5 MB, and drops old dates without a word."""

    def __init__(self, key: str, now: Callable[[], float] = time.time) -> None:
        self.key = key
        self.now = now
        self.logs: list[dict[str, Any]] = []
        super().__init__()

    def take(self, asked: Asked) -> Told:
        """Answer 202 where all logs are taken."""
        if asked.path != "/api/v2/logs":
            return Told(404, b"{}")
        if asked.headers.get("DD-API-KEY") != self.key:
            return Told(403, b'{"errors":[{"status":"403","title":"Forbidden"}]}', JSON)
        body = body_of(asked)
        if len(body) > 5_000_000:
            return Told(413, b'{"errors":[{"status":"413"}]}', JSON)
        try:
            logs = json.loads(body)
        except ValueError:
            return Told(400, b'{"errors":[{"status":"400"}]}', JSON)
        self.requests.append(len(logs))
        if (
            not isinstance(logs, list)
            or len(logs) > 1000
            or any(each["seq"] in self.trouble.odd for each in logs)
        ):
            return Told(400, b'{"errors":[{"status":"400"}]}', JSON)
        oldest = (self.now() - 18 * 3600) * 1000
        self.logs += [each for each in logs if each.get("timestamp", oldest) >= oldest]
        return Told(202, b"{}", JSON)


@dataclass
class Application:
    """An application of Entra: its secret, and whether it has its role on the rule."""

    tenant: str
    client: str
    secret: str
    assigned: bool = True


class MicrosoftSentinel(Target):
    """Entra's token endpoint and a data collection rule with one stream, behind one address."""

    def __init__(self, application: Application, rule: str, stream: str) -> None:
        self.application = application
        self.path = f"/dataCollectionRules/{rule}/streams/{stream}"
        self.rows: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.signed_in = 0
        self.sign_in_answers: list[Told] = []
        super().__init__()

    def _answer(self, asked: Asked) -> Told:
        if asked.path == f"/{self.application.tenant}/oauth2/v2.0/token":
            return self.sign_in_answers.pop(0) if self.sign_in_answers else self._sign_in(asked)
        return super()._answer(asked)

    def _sign_in(self, asked: Asked) -> Told:
        form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        known = self.application
        if form.get("client_secret") != known.secret or form.get("client_id") != known.client:
            told = {
                "error": "invalid_client",
                "error_description": "AADSTS7000215: canary",
                "error_codes": [1],
            }
            return Told(401, json.dumps(told).encode(), JSON)
        if (
            form.get("grant_type") != "client_credentials"
            or form.get("scope") != "https://monitor.azure.com/.default"
        ):
            return Told(400, b'{"error":"invalid_scope"}', JSON)
        self.signed_in += 1
        token = f"canary-bearer-{self.signed_in}"
        self.tokens.add(token)
        grant = {"token_type": "Bearer", "expires_in": 3599, "access_token": token}
        return Told(200, json.dumps(grant).encode(), JSON)

    def take(self, asked: Asked) -> Told:
        """Answer 204 where all rows are taken; columns that the stream does not declare are dropped."""
        if asked.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return Told(401, b'{"error":{"code":"AuthenticationFailed"}}', JSON)
        parts = urlsplit(asked.path)
        if parts.path != self.path or parts.query != "api-version=2023-01-01":
            return Told(404, b'{"error":{"code":"NotFound"}}', JSON)
        if not self.application.assigned:
            return Told(403, b'{"error":{"code":"OperationFailed"}}', JSON)
        body = body_of(asked)
        if max(len(body), len(asked.body)) > 1_000_000:
            return Told(413, b'{"error":{"code":"ContentLengthLimitExceeded"}}', JSON)
        rows = json.loads(body)
        self.requests.append(len(rows))
        if not isinstance(rows, list) or any(
            _misshaped(row) or row["Seq"] in self.trouble.odd for row in rows
        ):
            return Told(400, b'{"error":{"code":"InvalidPayload"}}', JSON)
        self.rows += [{name: row[name] for name in COLUMNS if name in row} for row in rows]
        return Told(204)


def _misshaped(row: Mapping[str, Any]) -> bool:
    """Say whether a row is not what the stream declares; names follow the service's rules for columns."""
    named = all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,44}", name) for name in row)
    reserved = {"_ResourceId", "id", "_SubscriptionId", "TenantId", "Type", "UniqueId", "Title"}
    dated = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?Z", str(row.get("TimeGenerated")))
    return not named or bool(reserved & set(row)) or dated is None or type(row.get("Seq")) is not int


class AcknowledgingHec(Target):
    """A collector whose token has indexer acknowledgement on: it accepts first, and stores after some looks.

    `looks` is how many questions for a batch are answered with false; `forgets` are numbers of requests that
    are accepted and never stored. An answer of true is given once.
    """

    def __init__(self, token: str, looks: int = 0) -> None:
        self.token = token
        self.looks = looks
        self.forgets: frozenset[int] = frozenset()
        self.stored: list[dict[str, Any]] = []
        self._waiting: dict[int, tuple[int, list[dict[str, Any]]]] = {}
        super().__init__()

    def take(self, asked: Asked) -> Told:
        """Answer a batch with its number, or a question for numbers."""
        if asked.headers.get("Authorization") != f"Splunk {self.token}":
            return Told(403, b'{"text":"Invalid token","code":4}', JSON)
        if not re.fullmatch(
            r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", asked.headers.get("X-Splunk-Request-Channel", "")
        ):
            return Told(400, b'{"text":"Data channel is missing","code":10}', JSON)
        if asked.path == "/services/collector/ack":
            acks = {str(number): self._look(number) for number in json.loads(asked.body)["acks"]}
            return Told(200, json.dumps({"acks": acks}).encode(), JSON)
        events = [json.loads(line) for line in body_of(asked).split(b"\n")]
        self.requests.append(len(events))
        number = len(self.requests)
        if number not in self.forgets:
            self._waiting[number] = (self.looks, events)
        return Told(200, json.dumps({"text": "Success", "code": 0, "ackId": number}).encode(), JSON)

    def _look(self, number: int) -> bool:
        left, events = self._waiting.pop(number, (1, []))
        if left and events:
            self._waiting[number] = (left - 1, events)
        elif events:
            self.stored += events
        return bool(events) and not left
