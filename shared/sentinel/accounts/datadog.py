"""The account `datadog`: events about an alert, and downtimes that mute its monitor.

A downtime of ours names one monitor, always ends, and has our mark in its message. Before one is made, those
in force are looked through: ours of an earlier attempt is enough, and so is anybody's that covers the alert
already. None but ours is ever cancelled. The event is posted last, and carries its mark as a tag too. What
was posted is searchable only some time later, so an attempt that does not find the event says so (`Unclear`),
and who leads the talk asks again before it posts a second one.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Annotated, ClassVar, Literal

import orjson
from pydantic import Field, field_validator

from sentinel.accounts.account import AccountConfig
from sentinel.accounts.datadog_check import first
from sentinel.accounts.datadog_downtimes import Downtimes
from sentinel.accounts.datadog_requests import WHO, WHY, Keys, Requests
from sentinel.accounts.replying import (
    Act,
    Ending,
    Look,
    Replied,
    Reply,
    Talk,
    Unclear,
    Verb,
    identifier,
    listed,
    pause,
    trouble,
    unreadable,
)
from sentinel.core.alerts import digest
from sentinel.ports import HttpResponse
from sentinel.siem.answers import Target
from sentinel.siem.check import Question
from sentinel.siem.datadog import SITES

_MONITOR = re.compile(r"[0-9]{1,18}", re.ASCII)


class DatadogAccount(AccountConfig):
    """`token` is the name of the secret with the keys, `{"api_key": ..., "app_key": ...}`.

    `url` overrides the API that `site` means. `whole_monitor` mutes all of a monitor where an alert has no
    scope.
    """

    kind: Literal["datadog"]
    site: str = "datadoghq.com"
    url: Annotated[str, Target] | Literal[""] = ""
    whole_monitor: bool = False
    timeout: float = Field(default=10.0, ge=1, le=20)

    webhook: ClassVar[str] = "datadog"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.MUTE, Verb.UNMUTE})

    @property
    def base(self) -> str:
        """Where the API is."""
        return self.url or f"https://api.{self.site}"

    @field_validator("site")
    @classmethod
    def _known(cls, site: str) -> str:
        if site not in SITES:
            raise ValueError(f"a site is one of {', '.join(SITES)}; for another API give its url")
        return site

    def check(self, secret: str) -> Question:
        """Ask whether both keys are valid, and what the application key may."""
        return first(Requests(self.base, Keys.read(secret), self.timeout))

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk about the alert, and about the monitor of the label `monitor`."""
        requests = Requests(self.base, Keys.read(secret), self.timeout)
        downtimes = None
        if reply.verbs:
            monitor = identifier(reply.alert.labels.get("monitor", ""), _MONITOR, "monitor id")
            downtimes = Downtimes(requests, int(monitor), reply, whole=self.whole_monitor)
        return _talk(requests, downtimes, reply)


def _talk(requests: Requests, downtimes: Downtimes | None, reply: Reply) -> Talk:
    facts: dict[str, object] = {}
    if reply.again and (found := (yield from _find(requests, reply))):
        return found
    if downtimes is not None:
        ending = yield from downtimes.talk()
        if not isinstance(ending, Replied):
            return ending
        facts.update(ending.facts)
    if reply.again and not reply.sure:
        return Unclear("whether the event was posted shows only some time later")
    response = yield Act(requests.post("/api/v1/events", _event(reply)))
    if response.status not in {200, 201, 202}:
        return trouble(WHO, response, WHY, pause(response, "x-ratelimit-reset"))
    return Replied({"comment": "posted", **facts})


def _find(requests: Requests, reply: Reply) -> Generator[Look | Act, HttpResponse, Ending | None]:
    """Look for our event: None where the search does not find it."""
    response = yield Look(requests.get("/api/v2/events", _search(reply)))
    if response.status != 200:
        return trouble(WHO, response, WHY, pause(response, "x-ratelimit-reset"))
    events = listed(response, "data")
    if events is None:
        return unreadable(WHO)
    ours = any(_tag(reply).encode() in orjson.dumps(each) for each in events)
    return Replied({"comment": "found"}) if ours else None


def _tag(reply: Reply) -> str:
    return reply.mark.replace("sentinel:", "sentinel_effect:")


def _search(reply: Reply) -> dict[str, str]:
    return {"filter[query]": _tag(reply), "filter[from]": "now-7d", "filter[to]": "now", "page[limit]": "10"}


def _event(reply: Reply) -> dict[str, object]:
    monitor = reply.alert.labels.get("monitor", "")
    about = [f"monitor:{monitor}"] if _MONITOR.fullmatch(monitor) else []
    return {
        "title": "Sentinel replied to an alert",
        "text": reply.text,
        "alert_type": "info",
        "aggregation_key": f"sentinel-{digest(reply.alert.fingerprint)}",  # of one problem, one group
        "tags": [_tag(reply), "by:sentinel", *about],
    }
