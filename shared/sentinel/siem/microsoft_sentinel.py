"""The `microsoft_sentinel` sink: Azure Monitor's Logs Ingestion API into a table of the workspace.

An application of Entra signs in with its client secret, and its token sends rows to a stream of a data
collection rule, by the address of the rule itself or of a data collection endpoint. The rule's stream has to
declare the columns of `COLUMNS`. The service does not look at ids: at least once, and the column `EventId` is
the same in every attempt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Protocol, Self
from urllib.parse import urlencode

import orjson
from pydantic import Field

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, json_object, passing, too_large, unnamed
from sentinel.siem.check import Finding, Level, Question, Sound, Wrong, elsewhere, refused, throttled
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
GUID = r"(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
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
    tenant: str = Field(pattern=GUID)
    client: str = Field(pattern=GUID)
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
        return sign_in(self._config, self._secret)

    def token(self, response: HttpResponse) -> Token | RetryAfter | Parked:
        """Read Entra's answer: a token and its life, or what is wrong with the application."""
        return signed(response, self._config.client)

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

    def check(self) -> Question:
        """Send no rows: the service looks at the token, the rule and the stream first."""
        return Question(self.request(Batch("", ())), self._read)

    def _read(self, response: HttpResponse) -> Finding:
        status = response.status
        error = json_object(response).get("error")
        code = error.get("code") if isinstance(error, dict) else None
        if passing(response):
            return throttled(status)
        if status == 401:
            return refused(status, "the ingestion endpoint")
        if status == 403:
            return Wrong(Level.PERMISSION, _SETUP[403])
        if code in {"InvalidStream", "NotFound"} or (status == 404 and code):
            hint = "compare `endpoint`, `rule` and `stream` with the data collection rule"
            return Wrong(Level.PLACE, f"there is no such rule or stream at this endpoint ({status})", hint)
        if status not in {200, 204} and not (status == 400 and code):
            return elsewhere(status, "ingestion endpoint")
        columns = "columns that the stream does not declare would be dropped without a word"
        return Sound(f"Entra signs the application in and the rule takes its requests; {columns}")

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


class Application(Protocol):
    """What names an application that signs in at Entra, and what for."""

    @property
    def tenant(self) -> str:
        """The directory's id."""

    @property
    def client(self) -> str:
        """The application's id."""

    @property
    def authority(self) -> str:
        """Where it signs in."""

    @property
    def audience(self) -> str:
        """What its token is for."""

    @property
    def timeout(self) -> float:
        """How long a request may take, in seconds."""


def sign_in(application: Application, secret: str) -> HttpRequest:
    """Return the request of RFC 6749, 4.4, as Entra takes it."""
    form = {
        "grant_type": "client_credentials",
        "client_id": application.client,
        "client_secret": secret,
        "scope": f"{application.audience}/.default",
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    url = f"{application.authority}/{application.tenant}/oauth2/v2.0/token"
    return HttpRequest("POST", url, headers, urlencode(form).encode(), application.timeout)


def signed(response: HttpResponse, client: str) -> Token | RetryAfter | Parked:
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
    return Parked(f"Entra refuses the application {client}: {named} ({response.status})")
