"""The account `splunk`: notable events, by the HTTP Event Collector.

HEC cannot be asked what it has, so a notable is there at least once: after a lost reply perhaps twice, with
one `sentinel_event_id` and one mark. Enterprise Security reads notable events from the index `notable`; which
source type its parsing wants differs between releases, so both are options.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import orjson
from pydantic import Field, field_validator

from sentinel.accounts.account import AccountConfig
from sentinel.accounts.replying import Act, Later, Refused, Replied, Reply, Talk, Verb
from sentinel.core import urls
from sentinel.core.tasks import SECOND
from sentinel.siem.answers import target
from sentinel.siem.check import Question
from sentinel.siem.sink import Batch, Delivered, Item, Notice, Parked, RetryAfter
from sentinel.siem.splunk import PATH, SplunkSink

SEVERITIES = {"critical": "critical", "error": "high", "warning": "medium", "info": "low"}


class SplunkAccount(AccountConfig):
    """`token` is the name of the secret with the HEC token, which may write to `index`."""

    kind: Literal["splunk"]
    url: str
    index: str = Field(default="notable", min_length=1, max_length=100)
    source: str = Field(default="sentinel", max_length=200)
    sourcetype: str = Field(default="stash", min_length=1, max_length=200)
    host: str = Field(default="", max_length=200)
    domain: str = Field(default="threat", pattern=r"^[a-z]{1,40}$")
    timeout: float = Field(default=10.0, ge=1, le=20)

    verbs: ClassVar[frozenset[Verb]] = frozenset()
    webhook: ClassVar[str] = ""

    @field_validator("url")
    @classmethod
    def _collector(cls, url: str) -> str:
        return target(url) + ("" if urls.parse(url).path.strip("/") else PATH)

    def check(self, secret: str) -> Question:
        """Ask as the sink does: an empty request."""
        return SplunkSink(self, secret).check()

    def talk(self, secret: str, reply: Reply) -> Talk:
        """Return the talk that raises a notable about an alert of any webhook."""
        sink = SplunkSink(self, secret)
        notice = _notice(reply, self.domain)
        batch = Batch(reply.key, (Item(notice.id, sink.encode(notice)),))
        response = yield Act(sink.request(batch), blind=True)
        outcome = sink.outcome(response, batch)
        if isinstance(outcome, Delivered):
            return Replied({"notable": notice.id})
        if isinstance(outcome, RetryAfter):
            after = None if outcome.after is None else int(outcome.after * SECOND)
            return Later(f"Splunk: {outcome.reason}", after, outcome.unsure)
        reason = outcome.reason if isinstance(outcome, Parked) else "it does not take the event"
        return Refused(f"Splunk: {reason}")


def _notice(reply: Reply, domain: str) -> Notice:
    alert, place = reply.alert, reply.alert.place
    told = {
        "search_name": f"Sentinel - {reply.recipe}",
        "rule_name": reply.recipe,
        "rule_title": alert.title,
        "rule_description": reply.text,
        "severity": SEVERITIES.get(alert.severity, "informational"),
        "security_domain": domain,
        "sentinel_mark": reply.mark,
        "alert_source": alert.source,
        "alert_fingerprint": alert.fingerprint,
    }
    return Notice(
        t=place.t,
        service=place.chain.rpartition("/")[0],
        chain=place.chain,
        seq=place.seq,
        rule="",
        title=alert.title,
        level="",
        task=reply.task,
        recipe=reply.recipe,
        key=reply.key,
        entry=orjson.dumps(told),
    )
