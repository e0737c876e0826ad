"""Standard Webhooks: the specification's own example, and all that must not pass."""

from __future__ import annotations

import base64
import hmac
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core.entry import MAX_ENTRY_BYTES, problem
from sentinel.errors import Unauthenticated
from sentinel.ports_doors import Delivery
from sentinel.webhooks import SOURCES
from sentinel.webhooks.source import stored
from sentinel.webhooks.standard import TOLERANCE, keys
from tests.data import need

# The example that the specification's libraries test themselves with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"o" * 32).decode()
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
NOW = 1614265330
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

SOURCE = SOURCES["standard-webhooks"].make({})


def sign(body: bytes, secret: str = SECRET, name: str = ID, at: int | str = NOW) -> dict[str, str]:
    """Return the headers of a message, signed by the letter of the specification."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{name}.{at}.".encode() + body, "sha256").digest()
    signature = "v1," + base64.b64encode(digest).decode()
    return {"webhook-id": name, "webhook-timestamp": str(at), "webhook-signature": signature}


def passes(
    headers: dict[str, str], body: bytes = BODY, secrets: list[str] | None = None, now: int = NOW
) -> bool:
    """Whether a message is taken."""
    try:
        SOURCE.verify(headers, body, [SECRET] if secrets is None else secrets, now)
    except Unauthenticated:
        return False
    return True


def test_the_published_example_verifies() -> None:
    """Secret, id, time, body and signature of the reference libraries' own test."""
    headers = {"webhook-id": ID, "webhook-timestamp": str(NOW), "webhook-signature": SIGNATURE}
    assert passes(headers)
    assert sign(BODY) == headers
    assert SOURCE.message(headers, BODY) == ID


def test_the_payload_of_the_specification_verifies_as_sent_alone() -> None:
    """The bytes count: the same JSON with another spacing is another message."""
    body = need("webhooks", "standard_webhooks", "spec_contact_created.json").read_bytes()
    headers = sign(body)
    assert passes(headers, body)
    assert not passes(headers, orjson.dumps(json.loads(body)))


@pytest.mark.parametrize(
    ("signature", "good"),
    [
        (f"v1,{'A' * 43}= {SIGNATURE}", True),
        (f"v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5B {SIGNATURE}", True),
        (f"{SIGNATURE} v2,x", True),
        (SIGNATURE.replace("v1,", "v1a,"), False),
        (SIGNATURE.replace("v1,", "V1,"), False),
        (SIGNATURE.replace("v1,", ""), False),
        (SIGNATURE + "=", False),
        (SIGNATURE[:-1], False),
        (SIGNATURE.replace("g0hM", "g0hm"), False),
        (f"{SIGNATURE},{SIGNATURE}", False),
        ("v1,", False),
        ("", False),
        ("v1,ü€", False),
        (" ".join(["v1,x"] * 16 + [SIGNATURE]), False),
    ],
)
def test_signature_lists(signature: str, good: bool) -> None:
    """Any one of up to 16 `v1` signatures is enough; nothing else counts."""
    assert passes({**sign(BODY), "webhook-signature": signature}) is good


def test_two_secrets_count_while_one_rotates() -> None:
    """The old, the new, and a sender that signs with both; a third one does not pass."""
    for secret in (SECRET, OTHER):
        assert passes(sign(BODY, secret), secrets=[OTHER, SECRET])
    both = f"{sign(BODY)['webhook-signature']} {sign(BODY, OTHER)['webhook-signature']}"
    assert passes({**sign(BODY), "webhook-signature": both}, secrets=[OTHER])
    assert not passes(sign(BODY), secrets=[OTHER])
    assert not passes(sign(BODY), secrets=[])


@pytest.mark.parametrize(
    ("off", "good"),
    [(0, True), (TOLERANCE, True), (-TOLERANCE, True), (TOLERANCE + 1, False), (-TOLERANCE - 1, False)],
)
def test_time(off: int, good: bool) -> None:
    """Five minutes either way, to the second."""
    assert passes(sign(BODY), now=NOW + off) is good


@pytest.mark.parametrize(
    "at", ["", "x", "-1614265330", "+1614265330", " 1614265330", "1614265330.0", "1_6", "９", "9" * 13]
)
def test_times_that_are_none(at: str) -> None:
    """A time is digits: nothing that Python would also read as a number."""
    assert not passes(sign(BODY, at=at))


@pytest.mark.parametrize("name", ["", "a.1", "a b", "a\n", "ü", "x" * 257])
def test_ids_that_are_none(name: str) -> None:
    """An id is printable ASCII without blanks and full stops."""
    assert not passes(sign(BODY, name=name))


def test_a_full_stop_moves_nothing_between_id_time_and_body() -> None:
    """What was signed for one message fits no other with the borders elsewhere."""
    body = b"1614265330.{}"
    genuine = sign(body, name="a", at=NOW)
    moved = {**genuine, "webhook-id": f"a.{NOW}", "webhook-timestamp": "1614265330"}
    assert passes(genuine, body)
    assert not passes(moved, b"{}")


@pytest.mark.parametrize("header", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed_and_covered(header: str) -> None:
    """Without a header nothing passes, and with another value neither."""
    headers = sign(BODY)
    assert not passes({name: value for name, value in headers.items() if name != header})
    assert not passes({**headers, header: headers[header][:-1] + "1"})


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_AAAA", "whsec_%%%", "whsec_" + "A" * 28, "wh€"])
def test_secrets_that_are_none_open_nothing(secret: str) -> None:
    """An empty, short or broken secret is no secret: with an empty key anybody could sign."""
    assert list(keys([secret])) == []
    digest = hmac.new(b"", f"{ID}.{NOW}.".encode() + BODY, "sha256").digest()
    headers = {**sign(BODY), "webhook-signature": "v1," + base64.b64encode(digest).decode()}
    assert not passes(headers, secrets=[secret])


@given(body=st.binary(max_size=60), at=st.integers(0, 59), bit=st.integers(0, 7))
def test_one_bit_is_enough_to_be_refused(body: bytes, at: int, bit: int) -> None:
    """A body that differs in one bit does not pass."""
    headers = sign(body)
    assert passes(headers, body)
    if body:
        changed = bytearray(body)
        changed[at % len(body)] ^= 1 << bit
        assert not passes(headers, bytes(changed))


@given(
    st.dictionaries(
        st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text(), max_size=3
    )
)
def test_whatever_comes_is_refused_in_words(headers: dict[str, str]) -> None:
    """No header text raises anything but the refusal."""
    assert not passes(headers)


def _body(entries: list[bytes]) -> bytes:
    found = [orjson.loads(entry) for entry in entries]
    text = "".join(each["body"] for each in found)
    if len(found) > 1:
        assert [each["webhook"]["part"] for each in found] == list(range(len(found)))
        assert {each["webhook"]["parts"] for each in found} == {len(found)}
    return base64.b64decode(text) if found[0]["webhook"].get("encoding") == "base64" else text.encode()


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_a_body_is_kept_byte_for_byte(body: bytes) -> None:
    """Whatever the bytes, they come out of the entries again, and each entry is one."""
    entries = stored(Delivery("standard-webhooks", "h", ID), body)
    assert _body(entries) == body
    assert all(problem(entry) is None and b"\n" not in entry for entry in entries)


@pytest.mark.parametrize(
    "body",
    [
        b"a" * 1_000_000,
        b'"' * 1_000_000,
        "€😀".encode() * 140_000,
        b"\0" * 1_000_000,
        b"\xff" * 1_000_000,
        b"\n" * 70_000,
    ],
    ids=["text", "quotes", "wide", "nul", "bytes", "lines"],
)
def test_long_bodies_are_stored_in_parts(body: bytes) -> None:
    """A megabyte of anything fits into entries, and comes out whole."""
    entries = stored(Delivery("standard-webhooks", "h" * 64, "i" * 256), body)
    assert len(entries) > 1
    assert max(map(len, entries)) <= MAX_ENTRY_BYTES
    assert sum(map(len, entries)) < 4_000_000
    assert _body(entries) == body
