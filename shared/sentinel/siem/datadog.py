"""The `datadog` sink: log intake of API version 2.

A log is dated by its arrival. Datadog takes dates of the last 18 hours and drops older logs without a word,
so a batch that waited out a long outage would be lost if it named its entries' time as its own; that time is
the attribute `time`, to the nanosecond. The intake does not look at ids: at least once, and the attribute
`event_id` is the same in every attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import orjson
from pydantic import Field, field_validator

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, json_object, passing, too_large, unnamed
from sentinel.siem.check import Finding, Question, Sound, elsewhere, refused, throttled
from sentinel.siem.said import filled, instant, said
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Notice,
    Outcome,
    Parked,
    SecretName,
    SinkConfig,
    embedded,
    packed,
)

SITES = (
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
)
PATH = "/api/v2/logs"
STATUSES: Mapping[str, str] = {
    "informational": "info",
    "low": "notice",
    "medium": "warning",
    "high": "error",
    "critical": "critical",
}


class DatadogConfig(SinkConfig):
    """`token` is the name of the secret with an API key. `url` overrides the intake that `site` means.

    `tags` are added to those of each log. `time: ledger` dates a log by its entry.
    """

    kind: Literal["datadog"]
    token: SecretName
    site: str = "datadoghq.com"
    url: Annotated[str, Target] | Literal[""] = ""
    source: str = Field(default="sentinel", max_length=100)
    tags: tuple[Annotated[str, Field(pattern=r"^[^,\s]{1,200}$")], ...] = Field(default=(), max_length=20)
    time: Literal["arrival", "ledger"] = "arrival"
    timeout: float = Field(default=10.0, ge=1, le=20)

    @field_validator("site")
    @classmethod
    def _known(cls, site: str) -> str:
        if site not in SITES:
            raise ValueError(f"a site is one of {', '.join(SITES)}; for another intake give its url")
        return site


class DatadogSink:
    """Encodes notices as logs. An intake takes 1,000 logs and 5 MB before compression in one request."""

    max_events = 1_000
    max_bytes = 4_999_998  # with the array's brackets, less the comma that the last log has not
    exact = False

    def __init__(self, config: DatadogConfig, token: str) -> None:
        self._config = config
        self._token = token
        self._url = (config.url or f"https://http-intake.logs.{config.site}") + PATH

    def encode(self, notice: Notice) -> bytes:
        """Encode one log. Its message is never JSON: Datadog would take a date out of it."""
        found = said(notice)
        told: dict[str, object] = {
            "message": f"Sentinel: {found.message}",
            "ddsource": self._config.source,
            "ddtags": ",".join([f"level:{notice.level or 'none'}", *self._config.tags]),
            "service": found.alert.service or notice.service,
            "status": STATUSES.get(notice.level, "info"),
            "time": instant(notice.t),
            "event_id": notice.id,
            "chain": notice.chain,
            "seq": notice.seq,
            "rule": {"id": notice.rule, "title": notice.title},
            "task": notice.task,
            "recipe": notice.recipe,
            "sentinel": {"trace_id": notice.trace, "span_id": notice.span},
        }
        if self._config.time == "ledger":
            told["timestamp"] = notice.t // 1_000_000
        kept = filled(told)
        return orjson.dumps(kept | {"entry": embedded(notice.entry)} if notice.entry else kept)

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that carries a batch."""
        headers = {
            "DD-API-KEY": self._token,
            "Content-Type": "application/json",
            "Content-Encoding": "gzip",
        }
        body = b"[" + b",".join(item.data for item in batch.items) + b"]"
        return HttpRequest("POST", self._url, headers, packed(body), self._config.timeout)

    def check(self) -> Question:
        """Ask the intake with an empty list, then the site's API whether the key is valid."""
        headers = {"DD-API-KEY": self._token, "Content-Type": "application/json"}
        request = HttpRequest("POST", self._url, headers, b"[]", self._config.timeout)
        return Question(request, self._taken)

    def _taken(self, response: HttpResponse) -> Finding:
        status = response.status
        if passing(response):
            return throttled(status)
        if status in {401, 403}:
            return refused(status, "the log intake")
        if status != 202 and not (status == 400 and "errors" in json_object(response)):
            return elsewhere(status, "log intake; is the site right?")
        if self._config.url:
            return Sound("the log intake answers; it refuses a wrong key only, and took this one")
        url = f"https://api.{self._config.site}/api/v1/validate"
        request = HttpRequest("GET", url, {"DD-API-KEY": self._token}, timeout=self._config.timeout)
        unasked = Sound(
            f"the log intake answers and does not refuse the key; api.{self._config.site}, which could "
            "tell whether it is valid, cannot be asked from here"
        )
        return Question(request, _validated, unasked)

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means, by its status: 202 is the only one that takes logs."""
        status = response.status
        if status == 202:
            return Delivered()
        if wait := passing(response):
            return wait
        if status == 413:
            return too_large(batch)
        if status == 400:
            return unnamed("the request is refused (400)", batch)
        if status in {401, 403}:
            return Parked(f"the API key is refused, or is another site's ({status})")
        return Parked(f"status {status} with no answer of a log intake; is the site right?")


def _validated(response: HttpResponse) -> Finding:
    if passing(response):
        return throttled(response.status)
    if response.status in {401, 403}:
        return refused(response.status, "the site")
    if json_object(response).get("valid") is not True:
        return elsewhere(response.status, "API of Datadog")
    return Sound("the log intake answers and the API key is valid at this site")
