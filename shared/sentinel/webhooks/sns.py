"""Amazon SNS: signed notifications of topics that are listed, and what those asks that subscribe.

SNS signs with a certificate, not with the webhook's secret. So who may send is told by the option `topics`;
without it nothing is taken but the question to confirm a subscription, which is kept and parked for an
operator. That of a listed topic is answered. Certificates come by `Certificates`, which is given by `using`:
nothing is fetched or sent here.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from typing import Final

from sentinel.core import sns
from sentinel.core.alerts import Alert, Severity, Status, digest, instant
from sentinel.errors import Malformed, Unauthenticated
from sentinel.ports import HttpRequest
from sentinel.ports_doors import Certificates, Delivery
from sentinel.webhooks import credentials, generic, guardduty, proofs
from sentinel.webhooks.places import anything
from sentinel.webhooks.reading import document
from sentinel.webhooks.source import Unparsed, hashed, only, stored

OLDEST: Final = 3600  # seconds: for longer SNS does not try to deliver by its usual policy
ANSWER: Final = 3.0  # seconds that a confirmation may take: SNS waits for 15
AHEAD: Final = 300  # seconds that a message may be from the future
OPTIONS: Final[Mapping[str, str]] = {
    "topics": "ARNs of the topics that may send, with commas between; up to 50",
    "signature_version": "`2`, the usual: SHA-256; `1`: SHA-1 too, for topics that cannot do better",
    **generic.MAPPING,
}
_TOKEN = re.compile(r"[\x21-\x7e]{1,200}")


class Sns:
    """The source. `proof` is empty: what proves is in the body."""

    proof: Sequence[str] = ()

    def __init__(self, options: Mapping[str, str]) -> None:
        only(options, OPTIONS)
        self._topics = _topics(options.get("topics", ""))
        self._old = proofs.one_of(options, "signature_version", ("2", "1")) == "1"
        self._mapping = generic.mapped(options)
        self._certificates: Certificates | None = None

    def using(self, certificates: Certificates) -> Sns:
        """Return the same source, which can verify."""
        made = copy.copy(self)
        made._certificates = certificates
        return made

    def usable(self, secret: str) -> bool:
        """See `Source.usable`; the secret is not used."""
        return credentials.usable(secret)

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: int) -> None:
        """Check topic, time and signature, in this order; see `Source.verify`.

        Raises `Unavailable` where the certificate cannot be had now.
        """
        del headers, secrets
        told = _message(body)
        if told is None or not self._expected(told) or not self._strong(told):
            raise Unauthenticated(credentials.REFUSED)
        age = now - instant(told.members["Timestamp"]) / 1e9
        if not -AHEAD <= age <= OLDEST:
            raise Unauthenticated(credentials.REFUSED)
        if self._certificates is None or not sns.certificate_url(told.certificate):
            raise Unauthenticated(credentials.REFUSED)
        sns.check(told, self._certificates.get(told.certificate), now)

    def message(self, headers: Mapping[str, str], body: bytes) -> str:
        """Return SNS's id of the message, which stays over its retries."""
        del headers
        told = _message(body)
        name = told.members["MessageId"] if told else ""
        return name if _TOKEN.fullmatch(name) else hashed(body)

    def alerts(self, headers: Mapping[str, str], body: bytes) -> list[Alert]:
        """Return what a notification tells; see `Source.alerts`."""
        del headers
        told = _message(body)
        if told is None:
            raise Unparsed("no message of SNS")
        if self.answer(body) is not None:
            return []
        if told.kind == "SubscriptionConfirmation":
            raise Unparsed(
                f"{told.topic} asks to confirm its subscription: open SubscribeURL of this message"
            )
        if told.kind == "UnsubscribeConfirmation":
            raise Unparsed(f"{told.topic} sends no more: SubscribeURL of this message subscribes it again")
        return self._alerts(told)

    def entries(self, delivery: Delivery, body: bytes) -> list[bytes]:
        """Return the message as it came."""
        return stored(delivery, body)

    def answer(self, body: bytes) -> HttpRequest | None:
        """Return what confirms the subscription of a listed topic, None for any other message.

        After `verify` only. To be sent once the message is stored; sending it again changes nothing.
        """
        told = _message(body)
        if told is None or told.kind != "SubscriptionConfirmation" or told.topic not in self._topics:
            return None
        url = sns.confirmation_url(told)
        return HttpRequest("GET", url, timeout=ANSWER) if url else None

    def _expected(self, told: sns.Told) -> bool:
        if self._topics:
            return told.topic in self._topics
        return told.kind == "SubscriptionConfirmation"

    def _strong(self, told: sns.Told) -> bool:
        return told.version == "2" or (self._old and told.version == "1")

    def _alerts(self, told: sns.Told) -> list[Alert]:
        text = told.members["Message"].encode("utf-8", "replace")
        if self._mapping is not None:
            return self._mapping.alerts(anything(text))
        try:
            inner = document(text)
        except Unparsed:
            return [_plain(told)]
        if inner.text("detail-type") == "GuardDuty Finding":
            return [guardduty.finding(inner)]
        if inner.text("AlarmName", "detail.alarmName"):
            from sentinel.webhooks.mapping_file import mapping

            return mapping("cloudwatch").alerts(inner)
        return [_plain(told)]


def _message(body: bytes) -> sns.Told | None:
    try:
        return sns.message(document(body).value)
    except Unparsed:
        return None


def _topics(text: str) -> frozenset[str]:
    topics = [topic.strip() for topic in text.split(",") if topic.strip()]
    if len(topics) > 50 or not all(map(sns.TOPIC.fullmatch, topics)):
        raise Malformed(
            "topics is up to 50 ARNs such as arn:aws:sns:eu-west-1:123456789012:alarms, with commas"
        )
    return frozenset(topics)


def _plain(told: sns.Told) -> Alert:
    """Return the alert of a message that is a text. Its attributes are not signed, and so not told."""
    text = told.members["Message"]
    title = told.members.get("Subject", "").strip() or text.strip().partition("\n")[0]
    return Alert(
        title=title,
        severity=Severity.UNKNOWN,
        status=Status.UNKNOWN,
        fingerprint=digest("sns", told.topic, title),
        kind="Notification",
        description=text,
        resource=told.topic.rpartition(":")[2],
        updated=instant(told.members["Timestamp"]),
        labels={"topic": told.topic},
        sender_id=told.members["MessageId"],
    )
