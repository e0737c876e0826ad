"""The `crowdstrike` sink: Falcon Next-Gen SIEM's data connector for HTTP events, HEC with a bearer.

The connector shows its URL and its key once, when it is made; both are used as they are. What is sent is what
`splunk` sends, but for the header: `Authorization: Bearer`. LogScale takes the same at
`/services/collector`. Like HEC, it cannot be asked whether it has an event: at least once.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sentinel.ports import HttpResponse
from sentinel.siem.answers import Target, json_object, unnamed
from sentinel.siem.check import Finding, Sound, refused
from sentinel.siem.sink import Batch, Outcome, Parked, SecretName, SinkConfig
from sentinel.siem.splunk import SplunkSink


class CrowdstrikeConfig(SinkConfig):
    """`url` is the connector's, whole; `token` is the name of the secret that holds its key."""

    kind: Literal["crowdstrike"]
    url: Annotated[str, Target]
    token: SecretName
    index: str = Field(default="", max_length=100)
    source: str = Field(default="sentinel", max_length=200)
    sourcetype: str = Field(default="json", max_length=200)
    host: str = Field(default="", max_length=200)
    timeout: float = Field(default=10.0, ge=1, le=20)


class CrowdstrikeSink(SplunkSink):
    """HEC as a connector takes it: a bearer, and statuses where Splunk has codes."""

    scheme = "Bearer"

    def _uncoded(self, response: HttpResponse) -> Finding:
        if response.status in {401, 403}:
            return refused(response.status, "the connector")
        if response.status == 400:
            return Sound("the connector answers, and minds an empty request but not its key")
        return super()._uncoded(response)

    def outcome(self, response: HttpResponse, batch: Batch) -> Outcome:
        """Say what an answer means: HEC's code where there is one, else the status."""
        if "code" not in json_object(response):
            if response.status == 400:
                return unnamed("the request is refused (400)", batch)
            if response.status in {401, 403}:
                return Parked(f"the connector refuses its key ({response.status})")
        return super().outcome(response, batch)
