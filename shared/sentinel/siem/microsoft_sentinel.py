"""The `microsoft_sentinel` sink: Azure Monitor's Logs Ingestion API into a table of the workspace.

An application of Entra signs in with its client secret, and its token sends rows to a stream of a data
collection rule, by the address of the rule itself or of a data collection endpoint. The rule's stream has to
declare the columns of `COLUMNS`. The service does not look at ids: at least once, and the column `EventId` is
the same in every attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlencode

import orjson
from pydantic import Field

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, json_object, passing, too_large, unnamed
from sentinel.siem.said import instant, said
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Notice,
    Outcome,
    Parked,
    RetryAfter,
    SecretName,
    SinkConfig,
    Token,
    packed,
)

API = "2023-01-01"
# The columns of a row and their types, as the stream of the data collection rule declares them.
COLUMNS: Mapping[str, str] = {
    "TimeGenerated": "datetime",
    "EventId": "string",
    "Message": "string",
    "RuleId": "string",
    "RuleTitle": "string",
    "Level": "string",
    "Service": "string",
    "Chain": "string",
    "Seq": "long",
    "Task": "string",
    "Recipe": "string",
    "TraceId": "string",
    "SpanId": "string",
    "Entry": "string",
}
_GUID = r"(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_HOUR = 3600.0
# Entra's names of errors (RFC 6749, 5.2) that are repeated in a reason.
ERRORS = frozenset(
    {
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_resource",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)


class MicrosoftSentinelConfig(SinkConfig):
    """`token` is the name of the secret with the application's client secret.

    `endpoint` is the logs ingestion address of the rule or of a data collection endpoint, `rule` the rule's
    immutable id. Clouds other than the public one have an `authority` and an `audience` of their own.
    """

    kind: Literal["microsoft_sentinel"]
    endpoint: Annotated[str, Target]
    rule: str = Field(pattern=r"^dcr-[0-9a-f]{32}$")
    stream: str = Field(pattern=r"^(Custom|Microsoft)-[A-Za-z][A-Za-z0-9_]{0,99}$")
    tenant: str = Field(pattern=_GUID)
    client: str = Field(pattern=_GUID)
    token: SecretName
    authority: Annotated[str, Target] = "https://login.microsoftonline.com"
    audience: str = Field(default="https://monitor.azure.com", pattern=r"^https://[a-z0-9.-]{1,100}$")
    timeout: float = Field(default=10.0, ge=1, le=20)


class MicrosoftSentinelSink:
    """Encodes notices as rows. One call takes 1 MB, which is counted before compression and after it."""

    max_events = 1_000
    max_bytes = 990_000
    exact = False

    def __init__(self, config: MicrosoftSentinelConfig, secret: str, token: str = "") -> None:
        self._config = config
        self._secret = secret
        self._token = token

    def login(self) -> HttpRequest:
        """Return the request of RFC 6749, 4.4, as Entra takes it."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self._config.client,
            "client_secret": self._secret,
            "scope": f"{self._config.audience}/.default",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        url = f"{self._config.authority}/{self._config.tenant}/oauth2/v2.0/token"
        return HttpRequest("POST", url, headers, urlencode(form).encode(), self._config.timeout)

    def token(self, response: HttpResponse) -> Token | RetryAfter | Parked:
        """Read Entra's answer: a token and its life, or what is wrong with the application."""
        told = json_object(response)
        text, seconds = told.get("access_token"), told.get("expires_in")
        if response.status == 200 and isinstance(text, str) and re.fullmatch(r"[!-~]+", text):
            life = float(seconds) if isinstance(seconds, int) and 0 < seconds < 90_000 else _HOUR
            return Token(text, life)
        if wait := passing(response):
            return RetryAfter(f"the sign-in at Entra: {wait.reason}", wait.after)
        error = told.get("error")
        named = error if isinstance(error, str) and error in ERRORS else "no token"
        return Parked(f"Entra refuses the application {self._config.client}: {named} ({response.status})")

    def signed_in(self, token: str) -> Self:
        """Return the same sink with a token."""
        return type(self)(self._config, self._secret, token)

    def encode(self, notice: Notice) -> bytes:
        """Encode one row: all of `COLUMNS`, whatever is not known as an empty text."""
        found = said(notice)
        row = {
            "TimeGenerated": instant(notice.t)[:27] + "Z",  # a datetime of the service has seven digits
            "EventId": notice.id,
            "Message": found.message,
            "RuleId": notice.rule,
            "RuleTitle": notice.title,
            "Level": notice.level,
            "Service": notice.service,
            "Chain": notice.chain,
            "Seq": notice.seq,
            "Task": notice.task,
            "Recipe": notice.recipe,
            "TraceId": notice.trace,
            "SpanId": notice.span,
            "Entry": found.text,
        }
        return orjson.dumps(row)

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that carries a batch."""
        config = self._config
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        url = f"{config.endpoint}/dataCollectionRules/{config.rule}/streams/{config.stream}?api-version={API}"
        body = b"[" + b",".join(item.data for item in batch.items) + b"]"
        return HttpRequest("POST", url, headers, packed(body), config.timeout)

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means, by its status."""
        status = response.status
        if status == 204:
            return Delivered()
        if wait := passing(response):
            return wait
        if status == 413:
            return too_large(batch)
        if status == 400:
            return unnamed("the rows are not what the stream declares (400)", batch)
        return Parked(_SETUP.get(status, f"status {status} with no answer of an ingestion endpoint"))


_SETUP: Mapping[int, str] = {
    401: "the token is refused: is the audience this cloud's? (401)",
    403: (
        "the application may not send to the rule: it needs the role Monitoring Metrics Publisher on it, "
        "and a new assignment takes up to 30 minutes to count (403)"
    ),
    404: "there is no such rule or stream at this endpoint (404)",
}
