"""What is particular to the signatures of Sentry, PagerDuty and CrowdStrike."""

from __future__ import annotations

import pytest

from sentinel.errors import Malformed, Unauthenticated
from sentinel.webhooks import SOURCES
from tests.webhooks.senders import NOW, digest

SECRET = "a-secret-of-at-least-thirty-two-characters"
BODY = b'{"a": 1}'


def passes(name: str, headers: dict[str, str], options: dict[str, str] | None = None) -> bool:
    """Whether a message is taken."""
    try:
        SOURCES[name].make(options or {}).verify(headers, BODY, [SECRET], NOW)
    except Unauthenticated:
        return False
    return True


def test_a_vector_of_another_program() -> None:
    """HMAC-SHA256 as OpenSSL computes it."""
    # printf '{"a": 1}' | openssl dgst -sha256 -hmac a-secret-of-at-least-thirty-two-characters
    expected = "1b3963086b24be7850cb908fbb7d0ef2ce11799974504a26ab625a9c5f378d21"
    assert digest(SECRET, BODY).hex() == expected
    assert passes("sentry", {"sentry-hook-signature": expected})


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("v1={0}", True),
        ("v1=00,v1={0}", True),
        ("v1={0}, v1=00", True),
        ("v2=00,v1={0}", True),
        ("v2={0}", False),
        ("{0}", False),
        ("V1={0}", False),
        ("v1={0}0", False),
        ("v1=" + "0,v1=" * 16 + "{0}", False),
    ],
)
def test_lists_of_pagerduty(header: str, good: bool) -> None:
    """Any one of up to 16 `v1` signatures is enough; nothing else counts."""
    assert passes("pagerduty", {"x-pagerduty-signature": header.format(digest(SECRET, BODY).hex())}) is good


def test_upper_case_is_another_signature() -> None:
    """What the sender writes in lower case is compared so."""
    assert not passes("sentry", {"sentry-hook-signature": digest(SECRET, BODY).hex().upper()})


@pytest.mark.parametrize(
    "at", ["2026-03-01T10:00:00Z", "2026-03-01T10:00:00.123456789Z", str(NOW), f"{NOW}000"]
)
@pytest.mark.parametrize("order", ["body_ts", "ts_body"])
def test_times_and_orders_of_crowdstrike(at: str, order: str) -> None:
    """RFC 3339, epoch seconds and milliseconds; the order that is set, and not the other."""
    signed = BODY + at.encode() if order == "body_ts" else at.encode() + BODY
    headers = {"x-cs-delivery-timestamp": at, "x-cs-primary-signature": digest(SECRET, signed).hex()}
    other = "ts_body" if order == "body_ts" else "body_ts"
    assert passes("crowdstrike", headers, {"order": order, "encoding": "hex"})
    assert not passes("crowdstrike", headers, {"order": other, "encoding": "hex"})
    assert not passes("crowdstrike", headers, {"order": order})


@pytest.mark.parametrize("at", ["", "now", "0", "2026-03-01", "2020-03-01T10:00:00Z", "-1", "1e9"])
def test_times_of_crowdstrike_that_are_none(at: str) -> None:
    """A time that is none, or of long ago, is refused although it is signed."""
    headers = {
        "x-cs-delivery-timestamp": at,
        "x-cs-primary-signature": digest(SECRET, BODY + at.encode()).hex(),
    }
    assert not passes("crowdstrike", headers, {"encoding": "hex"})


def test_the_second_signature_of_crowdstrike_counts() -> None:
    """While a secret rotates, the message has one of each."""
    at = str(NOW)
    good = digest(SECRET, BODY + at.encode()).hex()
    headers = {
        "x-cs-delivery-timestamp": at,
        "x-cs-primary-signature": "0" * 64,
        "x-cs-secondary-signature": good,
    }
    assert passes("crowdstrike", headers, {"encoding": "hex"})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sentry", {"auth": "none"}),
        ("sentry", {"header": "x-key"}),
        ("pagerduty", {"auth": "signature", "user": "a"}),
        ("datadog", {"header": "authorization"}),
        ("datadog", {"header": "a b"}),
        ("datadog", {"header": ""}),
        ("datadog", {"user": "a:b"}),
        ("crowdstrike", {"order": "both"}),
        ("crowdstrike", {"encoding": "base32"}),
        ("crowdstrike", {"tolerance": "29"}),
        ("crowdstrike", {"tolerance": "3601"}),
        ("crowdstrike", {"tolerance": "٣٠٠"}),
        ("crowdstrike", {"signature_header": "x-cs-delivery-timestamp"}),
        ("crowdstrike", {"title": ""}),
        ("standard-webhooks", {"title": "a|" * 10 + "a"}),
    ],
)
def test_settings_that_cannot_be(name: str, options: dict[str, str]) -> None:
    """They are refused when the webhook is added, and not when its first message comes."""
    with pytest.raises(Malformed):
        SOURCES[name].make(options)
