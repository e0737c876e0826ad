"""Amazon SNS: who signed, for which topic, with which certificate; and what confirms a subscription."""

from __future__ import annotations

import base64
import functools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from sentinel.adapters.sns_certificates import FETCHES, MOST, WINDOW, SnsCertificates
from sentinel.core import sns
from sentinel.core.access import Hook
from sentinel.errors import Forbidden, Malformed, Unauthenticated, Unavailable
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.webhooks import SOURCES, sources
from sentinel.webhooks.sns import Sns
from sentinel.webhooks.source import Unparsed
from tests.data import need
from tests.usecases.test_receive import Bench

NOW = 1_772_359_200
TOPIC = "arn:aws:sns:eu-west-1:111122223333:alarms"
URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-0a1b2c.pem"
CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=t0"


@functools.cache
def key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the key that SNS signs with here."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def certificate(owner: Any = None, since: int = NOW - 86_400, until: int = NOW + 86_400) -> bytes:
    """Return a certificate of a key, by default SNS's."""
    owner = owner or key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(owner.public_key())
    made = made.serial_number(7).not_valid_before(datetime.fromtimestamp(since, UTC))
    made = made.not_valid_after(datetime.fromtimestamp(until, UTC))
    return made.sign(owner, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Served:
    """Certificates that are there, and a list of what was asked for."""

    def __init__(self, pem: bytes | None = None) -> None:
        self.pem = certificate() if pem is None else pem
        self.asked: list[str] = []

    def get(self, url: str) -> bytes:
        """See `ports_doors.Certificates`."""
        self.asked.append(url)
        return self.pem


def stamp(at: int) -> str:
    """Return a time as SNS writes it."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def signed(told: dict[str, str], names: str, by: rsa.RSAPrivateKey | None = None) -> bytes:
    """Return a message, signed by the letter of the documentation: each name and value on its line."""
    text = "".join(f"{name}\n{told[name]}\n" for name in names.split() if name in told)
    how = hashes.SHA256() if told["SignatureVersion"] == "2" else hashes.SHA1()
    signature = (by or key()).sign(text.encode(), padding.PKCS1v15(), how)
    return json.dumps({**told, "Signature": base64.b64encode(signature).decode()}).encode()


def notice(by: rsa.RSAPrivateKey | None = None, **members: str) -> bytes:
    """Return a notification."""
    told = {"Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": "It burns\nbadly"}
    told |= {"Timestamp": stamp(NOW), "SignatureVersion": "2", "SigningCertURL": URL, **members}
    return signed(told, "Message MessageId Subject Timestamp TopicArn Type", by)


def question(kind: str = "SubscriptionConfirmation", **members: str) -> bytes:
    """Return the question whether a subscription is wanted, or that it ended."""
    told = {"Type": kind, "MessageId": "m-2", "TopicArn": TOPIC, "Message": "You have chosen", "Token": "t0"}
    told |= {"SubscribeURL": CONFIRM, "Timestamp": stamp(NOW), "SignatureVersion": "2", "SigningCertURL": URL}
    return signed({**told, **members}, "Message MessageId SubscribeURL Timestamp Token TopicArn Type")


def passes(body: bytes, now: int = NOW, served: Served | None = None, **options: str) -> bool:
    """Whether a message is taken."""
    told = {"topics": TOPIC, **options}
    source = Sns({name: value for name, value in told.items() if value}).using(served or Served())
    try:
        source.verify({}, body, [], now)
    except Unauthenticated:
        return False
    return True


def test_what_sns_signed_passes() -> None:
    """A notification with and without a subject, and both kinds of questions."""
    assert passes(notice())
    assert passes(notice(Subject="Fire"))
    assert passes(question())
    assert passes(question("UnsubscribeConfirmation"))
    sources(Served())["sns"].make({"topics": TOPIC}).verify({}, notice(), [], NOW)


@pytest.mark.parametrize(
    "name",
    ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Signature", "SigningCertURL"],
)
def test_every_member_that_counts_is_covered(name: str) -> None:
    """Another value, none at all, or no text: refused."""
    told = json.loads(notice(Subject="Fire"))
    value = told[name]
    for wrong in (value[:-1], value + "0", "", "x", None, 7, [value]):
        assert not passes(json.dumps({**told, name: wrong}).encode()), wrong
    assert not passes(json.dumps({each: told[each] for each in told if each != name}).encode())


def test_what_is_signed_can_be_read_in_one_way_only() -> None:
    """A line break moved from one member into another would sign the same text: such members are refused."""
    told = json.loads(notice(Message="a\nMessageId\nb", MessageId="c"))
    moved = {**told, "Message": "a", "MessageId": "b\nMessageId\nc"}
    assert sns.message(told) is not None
    assert sns.Told(moved).signed() == sns.Told(told).signed()
    assert passes(json.dumps(told).encode())
    assert not passes(json.dumps(moved).encode())


def test_only_listed_topics_send() -> None:
    """Anybody can have a topic: one that is not listed is refused before anything is fetched for it."""
    served = Served()
    other = TOPIC.replace("111122223333", "999922223333")
    for body in (notice(TopicArn=other), question(TopicArn=other), notice(TopicArn=TOPIC + "x")):
        assert not passes(body, served=served)
    assert served.asked == []
    assert passes(notice(TopicArn=other), topics=f"{TOPIC}, {other}")


def test_without_topics_only_questions_are_kept() -> None:
    """A webhook that is being set up: what asks to be confirmed is parked, and nothing is sent."""
    assert passes(question(), topics="")
    assert not passes(notice(), topics="")
    assert not passes(question("UnsubscribeConfirmation"), topics="")
    with pytest.raises(Unparsed, match=f"{TOPIC} asks to confirm its subscription"):
        Sns({}).alerts({}, question())
    assert Sns({}).answer(question()) is None


def test_sha_1_needs_an_option() -> None:
    """Version 1 of the signature is refused unless the webhook allows it, and no other is known."""
    old = notice(SignatureVersion="1")
    assert not passes(old)
    assert passes(old, signature_version="1")
    assert passes(notice(), signature_version="1")
    for version in ("3", "", "02"):
        assert not passes(notice(SignatureVersion=version), signature_version="1")
    claimed = json.loads(old) | {"SignatureVersion": "2"}
    assert not passes(json.dumps(claimed).encode(), signature_version="1")


@pytest.mark.parametrize(
    ("url", "good"),
    [
        (URL, True),
        ("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-0a.pem", True),
        ("https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService.pem", True),
        (URL.replace("https", "http"), False),
        (URL.replace("amazonaws.com", "amazonaws.com.evil.example"), False),
        (URL.replace("https://", "https://evil.example/"), False),
        (URL.replace("https://", "https://evil.example@"), False),
        (URL.replace("amazonaws.com", "amazonaws.com:8443"), False),
        (URL.replace("sns.", "snsx."), False),
        (URL.replace("sns.eu-west-1", "sns.eu-west-1.evil"), False),
        (URL.replace("sns.eu-west-1.amazonaws.com", "bucket.s3.amazonaws.com"), False),
        (URL.replace("eu-west-1", "s3"), False),
        (URL.replace("eu-west-1", "s3-eu-west-1"), False),
        (URL.replace("eu-west-1", "s3-website-us-east-1"), False),
        (URL.replace("eu-west-1", "execute-api"), False),
        (URL.replace("eu-west-1", "eu"), False),
        (URL.replace("eu-west-1", "eu-w\u212aest-1"), False),
        (URL + "?x", False),
        (URL + "#x", False),
        (URL + "\n", False),
        (URL.replace("/Simple", "/../Simple"), False),
        (URL.replace("/Simple", "//Simple"), False),
        (URL.upper(), False),
        ("", False),
    ],
)
def test_certificates_come_from_sns_alone(url: str, good: bool) -> None:
    """Whoever could say where the certificate is could sign as SNS: the address is checked to the letter."""
    served = Served()
    assert sns.certificate_url(url) is good
    assert passes(notice(SigningCertURL=url), served=served) is good
    assert served.asked == ([url] if good else [])


def test_certificates_that_are_none() -> None:
    """Out of force, of another key, of another kind, short, or no certificate: refused."""
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    bad = [
        certificate(until=NOW - 1),
        certificate(since=NOW + 1),
        certificate(other),
        certificate(ec.generate_private_key(ec.SECP256R1())),
        b"",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ]
    for pem in bad:
        assert not passes(notice(), served=Served(pem))
    assert not passes(notice(by=short), served=Served(certificate(short)))
    assert not passes(notice(by=other))


@pytest.mark.parametrize(
    ("off", "good"), [(0, True), (3600, True), (3601, False), (-300, True), (-301, False)]
)
def test_time(off: int, good: bool) -> None:
    """An hour late at most, since SNS tries for as long; five minutes early."""
    assert passes(notice(), now=NOW + off) is good


def test_nothing_passes_without_certificates() -> None:
    """A source that cannot fetch refuses; one whose certificate cannot be had now says to send again."""
    with pytest.raises(Unauthenticated):
        SOURCES["sns"].make({"topics": TOPIC}).verify({}, notice(), [], NOW)

    class Down:
        def get(self, url: str) -> bytes:
            raise Unavailable("no answer")

    with pytest.raises(Unavailable):
        Sns({"topics": TOPIC}).using(Down()).verify({}, notice(), [], NOW)


def test_a_retry_has_the_same_id() -> None:
    """SNS's own id counts; of what is no message the body's hash."""
    source = Sns({})
    assert source.message({}, notice()) == source.message({}, notice(Timestamp=stamp(NOW + 20))) == "m-1"
    assert len({source.message({}, body) for body in (b"", b"{}", notice(), question())}) == 4


def test_the_answer_to_a_question() -> None:
    """For a listed topic the URL of SNS that confirms this very subscription; for anything else nothing."""
    source = Sns({"topics": TOPIC})
    assert source.answer(question()) == HttpRequest("GET", CONFIRM, timeout=3.0)
    other = TOPIC + "-of-others"
    evil = [
        CONFIRM.replace("amazonaws.com", "amazonaws.com.evil.example"),
        CONFIRM.replace("eu-west-1.", "s3."),
        CONFIRM.replace("?", "?Token=t1&"),
        CONFIRM + "&Endpoint=",
        CONFIRM.replace("https", "http"),
        CONFIRM.replace("https://", "https://evil.example@"),
        CONFIRM.replace("/?", "/x?"),
        CONFIRM.replace("ConfirmSubscription", "DeleteTopic"),
        CONFIRM.replace(TOPIC, other),
        CONFIRM.replace("t0", "t1"),
        CONFIRM + "&Action=DeleteTopic",
        CONFIRM + "&more=1",
        CONFIRM + "#x",
        CONFIRM + "\n",
        "",
    ]
    for url in evil:
        assert source.answer(question(SubscribeURL=url)) is None, url
    for body in (notice(), question("UnsubscribeConfirmation"), question(TopicArn=other), b"", b"{}"):
        assert source.answer(body) is None


@pytest.mark.parametrize(
    "options",
    [
        {"topics": "alarms"},
        {"topics": TOPIC + ";" + TOPIC},
        {"topics": "arn:aws:sns:*:111122223333:alarms"},
        {"topics": ",".join([TOPIC] * 51)},
        {"signature_version": "3"},
        {"mapping": "nope"},
        {"topic": TOPIC},
    ],
)
def test_options_that_are_none(options: dict[str, str]) -> None:
    """Topics are whole ARNs; what is unknown is refused when the webhook is added."""
    with pytest.raises(Malformed):
        Sns(options)


@given(st.binary(max_size=200) | st.dictionaries(st.text(max_size=12), st.text(max_size=20)).map(json.dumps))
def test_whatever_comes_is_refused_in_words(body: bytes | str) -> None:
    """No bytes raise anything but the refusal, and nothing is fetched for them."""
    served = Served()
    assert not passes(body.encode() if isinstance(body, str) else body, served=served)
    assert served.asked == []


def test_the_real_message_is_a_text() -> None:
    """A notification as SNS writes it is understood; its placeholder of a signature does not pass."""
    body = need("webhooks", "sns", "http_notification_v2.json").read_bytes()
    topic = "arn:aws:sns:us-west-2:123456789012:MyTopic"
    (alert,) = Sns({"topics": topic}).alerts({}, body)
    assert (alert.title, alert.description) == ("Order created", '{"orderId":"order-1"}')
    assert not passes(body, now=1_335_920_046, topics=topic)


class Web:
    """Answers with what it is told, and counts."""

    def __init__(self) -> None:
        self.answer = HttpResponse(200, {}, certificate())
        self.sent: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        """See `ports.Http`."""
        self.sent.append(request)
        return self.answer


def named(number: int) -> str:
    """Return the address of another certificate."""
    return URL.replace("0a1b2c", f"{number}")


def test_a_certificate_is_fetched_once() -> None:
    """Each address for itself; of more than are kept, those go that were not used for longest."""
    web, now = Web(), [0.0]
    kept = SnsCertificates(web, lambda: now[0])
    for _ in range(3):
        assert kept.get(URL) == web.answer.body
    assert [(each.method, each.url) for each in web.sent] == [("GET", URL)]
    for number in range(MOST):
        now[0] += WINDOW
        kept.get(named(number))
        kept.get(URL)
    assert len(web.sent) == MOST + 1
    kept.get(named(1))
    assert len(web.sent) == MOST + 1
    kept.get(named(0))
    assert len(web.sent) == MOST + 2


def test_strangers_cannot_have_us_fetch_for_ever() -> None:
    """Ten in a minute, found or not; what is kept is of use meanwhile, and later more are looked for."""
    web, now = Web(), [100.0]
    kept = SnsCertificates(web, lambda: now[0])
    kept.get(URL)
    web.answer = HttpResponse(404)
    for number in range(FETCHES * 3):
        with pytest.raises(Unavailable):
            kept.get(named(number))
    assert len(web.sent) == FETCHES
    assert kept.get(URL)
    now[0] += WINDOW
    web.answer = HttpResponse(200, {}, certificate())
    assert kept.get(named(0))


@dataclass
class Asked:
    """A deployment with a webhook of SNS, and what it sends."""

    bench: Bench
    web: Web = field(default_factory=Web)

    def __post_init__(self) -> None:
        self.bench.http = self.web
        self.bench.kinds = sources(Served())
        self.bench.put(Hook("alarms", "payments", "sns", "hooks.billing", options={"topics": TOPIC}))
        self.bench.restart()

    def take(self, body: bytes) -> dict[str, object]:
        """Receive a message as the endpoint does."""
        return self.bench.take({}, body, "sns", "alarms")


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """A fresh one."""
    return Asked(Bench(tmp_path, NOW))


def test_the_question_of_a_listed_topic_is_stored_and_answered(asked: Asked) -> None:
    """Its address is asked for once it is sealed; for a notification nothing is, nor for what is refused."""
    receipt = asked.take(question())
    assert [(each.method, each.url, each.timeout) for each in asked.web.sent] == [("GET", CONFIRM, 3.0)]
    (entry,) = asked.bench.stored()
    assert "parked" not in orjson.loads(entry)["webhook"]
    assert asked.take(question()) == receipt
    assert len(asked.bench.stored()) == 1
    asked.take(notice())
    for body in (question(TopicArn=TOPIC + "-of-others"), question().replace(b"chosen", b"choosen")):
        with pytest.raises(Unauthenticated):
            asked.take(body)
    assert len(asked.web.sent) == 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_question_is_asked_again_until_it_was_answered(asked: Asked, status: int) -> None:
    """SNS that takes no answer is told to send again: stored once, answered when it does."""
    asked.web.answer = HttpResponse(status)
    with pytest.raises(Unavailable):
        asked.take(question())
    assert len(asked.bench.stored()) == 1
    asked.web.answer = HttpResponse(200)
    asked.take(question())
    assert (len(asked.bench.stored()), len(asked.web.sent)) == (1, 2)


def test_nothing_is_answered_that_is_not_stored(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the answer loses nothing, and one before the seal confirms nothing."""

    def away(*_: object) -> None:
        raise Unavailable("injected")

    with monkeypatch.context() as patched:
        patched.setattr(asked.bench.ledger, "append", away)
        with pytest.raises(Unavailable):
            asked.take(question())
    assert asked.web.sent == []
    asked.take(question())
    assert len(asked.web.sent) == 1


def test_an_answer_that_is_refused_is_logged(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    """A token that ran out never counts again: the question is stored, and its address is in no line."""
    asked.web.answer = HttpResponse(404)
    asked.take(question())
    assert "was refused with 404" in caplog.text
    assert "Token" not in caplog.text


def test_only_certificates_are_kept() -> None:
    """Another address is never asked; an answer that is none is not kept: the next one can be right."""
    web = Web()
    kept = SnsCertificates(web, lambda: 0.0)
    with pytest.raises(Forbidden):
        kept.get("https://evil.example/SimpleNotificationService.pem")
    assert web.sent == []
    good = web.answer
    for answer in (
        HttpResponse(404),
        HttpResponse(200, {}, b"<html>"),
        HttpResponse(200, {}, good.body * 99),
    ):
        web.answer = answer
        with pytest.raises(Unavailable):
            kept.get(URL)
    web.answer = good
    assert kept.get(URL) == good.body
