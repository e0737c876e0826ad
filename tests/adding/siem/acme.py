"""The `acme` sink: arrays of JSON over HTTP. At least once; `id` is the same in every attempt."""

from __future__ import annotations

from typing import Annotated, Literal

import orjson
from pydantic import Field

from sentinel.ports import HttpRequest, HttpResponse
from sentinel.siem.answers import Target, passing, too_large, unnamed
from sentinel.siem.check import Finding, Question, Sound, elsewhere, refused, throttled
from sentinel.siem.said import instant, said
from sentinel.siem.sink import Batch, Delivered, Notice, Outcome, Parked, SecretName, SinkConfig


class AcmeConfig(SinkConfig):
    """`url` takes events; `token` is the name of the secret that holds its key."""

    kind: Literal["acme"]
    url: Annotated[str, Target]
    token: SecretName
    timeout: float = Field(default=10.0, ge=1, le=20)


class AcmeSink:
    """Encodes notices as objects and batches as arrays."""

    max_events = 100
    max_bytes = 1_000_000
    exact = False

    def __init__(self, config: AcmeConfig, token: str) -> None:
        self._config = config
        self._token = token

    def encode(self, notice: Notice) -> bytes:
        """Encode one event."""
        found = said(notice)
        told = {"id": notice.id, "time": instant(notice.t), "text": found.message, "entry": found.text}
        return orjson.dumps(told)

    def request(self, batch: Batch) -> HttpRequest:
        """Return the POST that carries a batch; one without events is an empty array."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        body = b"[" + b",".join(item.data for item in batch.items) + b"]"
        return HttpRequest("POST", self._config.url, headers, body, self._config.timeout)

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means, by its status."""
        if response.status == 202:
            return Delivered()
        if wait := passing(response):
            return wait
        if response.status == 413:
            return too_large(batch)
        if response.status == 400:
            return unnamed("the request is refused (400)", batch)
        return Parked(f"the credentials or the URL are refused ({response.status})")

    def check(self) -> Question:
        """Ask with no events."""
        return Question(self.request(Batch("", ())), self._read)

    def _read(self, response: HttpResponse) -> Finding:
        if response.status == 202:
            return Sound("it takes requests with this key")
        if passing(response):
            return throttled(response.status)
        if response.status in {401, 403}:
            return refused(response.status, "it")
        return elsewhere(response.status, "collector of events")
