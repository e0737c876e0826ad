"""The options by which a sender is told how to prove itself."""

from __future__ import annotations

import hmac

import pytest

from sentinel.errors import Malformed, Unauthenticated
from sentinel.webhooks import SOURCES
from sentinel.webhooks.proofs import Signed, chosen
from tests.webhooks.senders import NOW

SECRET = "correct horse battery staple"
BODY = b'{"a":1}'


def passes(options: dict[str, str], headers: dict[str, str], now: int = NOW) -> bool:
    """Whether a message is taken."""
    try:
        chosen({"auth": "signature", **options}, "x-signature").prove(headers, BODY, [SECRET], now)
    except Unauthenticated:
        return False
    return True


def mac(signed: bytes, algorithm: str = "sha256") -> str:
    """Return an HMAC in hexadecimal."""
    return hmac.new(SECRET.encode(), signed, algorithm).hexdigest()


def test_one_of_several_signatures_is_enough() -> None:
    """As while a secret rotates at the sender; of at most 16, each with the prefix."""
    good, bad = f"v1={mac(BODY)}", "v1=" + "0" * 64
    prefix = {"prefix": "v1="}
    assert passes(prefix, {"x-signature": f"{bad}, {good}"})
    assert not passes(prefix, {"x-signature": mac(BODY)})
    assert not passes(prefix, {"x-signature": f"v0={mac(BODY)}"})
    assert passes(prefix, {"x-signature": ",".join([bad] * 15 + [good])})
    assert not passes(prefix, {"x-signature": ",".join([bad] * 16 + [good])})


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_algorithms(algorithm: str) -> None:
    """Only the one that was chosen counts."""
    headers = {"x-signature": mac(BODY, algorithm)}
    for other in ("sha256", "sha384", "sha512"):
        assert passes({"algorithm": other}, headers) is (algorithm == other)


@pytest.mark.parametrize(
    ("at", "now", "good"),
    [
        (f"{NOW}", NOW + 60, True),
        (f"{NOW}", NOW + 61, False),
        (f"{NOW}", NOW - 60, True),
        (f"{NOW}", NOW - 61, False),
        (f"{NOW * 1000}", NOW, True),
        ("2026-03-01T10:00:00Z", NOW, True),
        ("2026-03-01T11:00:00+01:00", NOW, True),
        ("", NOW, False),
        ("now", NOW, False),
        ("-1", NOW, False),
        ("9" * 30, NOW, False),
    ],
)
def test_signed_times(at: str, now: int, good: bool) -> None:
    """Seconds, milliseconds or RFC 3339, off by the tolerance at most; what is no time is refused."""
    options = {"timestamp_header": "x-time", "tolerance": "60"}
    headers = {"x-signature": mac(f"{at}.".encode() + BODY), "x-time": at}
    assert passes(options, headers, now) is good
    assert not passes(options, {**headers, "x-signature": mac(BODY)}, now)
    assert not passes(options, {"x-signature": headers["x-signature"]}, now)


def test_grafana_joins_time_and_body_with_a_colon() -> None:
    """As Grafana signs where a header for the time is configured; without one, the body alone."""
    timed = SOURCES["grafana"].make({"auth": "signature", "timestamp_header": "X-At"})
    signature = {"x-grafana-alerting-signature": mac(f"{NOW}:".encode() + BODY), "x-at": str(NOW)}
    timed.verify(signature, BODY, [SECRET], NOW)
    plain = SOURCES["grafana"].make({"auth": "signature"})
    plain.verify({"x-grafana-alerting-signature": mac(BODY)}, BODY, [SECRET], NOW)
    for source, headers in ((plain, signature), (timed, {**signature, "x-at": str(NOW + 1)})):
        with pytest.raises(Unauthenticated):
            source.verify(headers, BODY, [SECRET], NOW)


def test_who_signs_need_not_show_its_secret() -> None:
    """With `signature` the secret in a header opens nothing, and with `secret` a signature does not."""
    source = SOURCES["grafana"].make({"auth": "signature"})
    with pytest.raises(Unauthenticated):
        source.verify({"x-sentinel-key": SECRET, "authorization": f"Bearer {SECRET}"}, BODY, [SECRET], NOW)
    with pytest.raises(Unauthenticated):
        SOURCES["grafana"].make({}).verify({"x-grafana-alerting-signature": mac(BODY)}, BODY, [SECRET], NOW)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"auth": "none"}, "auth is one of secret, signature"),
        ({"auth": "secret", "prefix": "v1="}, "prefix goes with auth=signature"),
        ({"header": "x-key"}, "header goes with auth=secret"),
        ({"user": "kim"}, "user goes with auth=secret"),
        ({"signature_header": "x signature"}, "signature_header is the name"),
        ({"signature_header": ""}, "signature_header is the name"),
        ({"timestamp_header": "x:time"}, "timestamp_header is the name"),
        ({"timestamp_header": ""}, "timestamp_header is the name"),
        ({"signed": "{body}{body}"}, "signed has"),
        ({"signed": "{timestamp}.{body}"}, "signed has"),
        ({"signed": "{body}", "timestamp_header": "x-time"}, "signed has"),
        ({"signed": "{body}" + "x" * 21}, "signed has"),
        ({"signed": "{body}{x}"}, "signed has"),
        ({"signed": "{body}ü"}, "signed has"),
        ({"encoding": "base32"}, "encoding is one of hex, base64"),
        ({"algorithm": "md5"}, "algorithm is one of"),
        ({"algorithm": "sha1"}, "algorithm is one of"),
        ({"prefix": "a,b"}, "prefix is up to"),
        ({"tolerance": "0"}, "tolerance is a number"),
        ({"tolerance": "3601"}, "tolerance is a number"),
        ({"tolerance": "-1"}, "tolerance is a number"),
        ({"tolerance": "９"}, "tolerance is a number"),
    ],
)
def test_options_that_are_none(options: dict[str, str], why: str) -> None:
    """Refused when the webhook is added, with words that say what to change."""
    with pytest.raises(Malformed, match=why):
        chosen({"auth": "signature", **options}, "x-signature")


def test_what_is_usual() -> None:
    """The sender's usual header, SHA-256 in hexadecimal of the body."""
    assert chosen({"auth": "signature"}, "x-signature") == Signed("x-signature")
