"""API keys and the names of their secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import api_keys
from sentinel.core.access import ApiKey, Service
from sentinel.core.chain import check_service
from sentinel.core.secret_names import MAX_NAME, secret_name, service_of
from sentinel.errors import Malformed, Unauthenticated

IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
SECRETS = st.binary(min_size=32, max_size=32)
SERVICES = st.text(
    st.one_of(st.sampled_from("aZ09_.:@+-"), st.characters(categories=("L", "N"))), min_size=1, max_size=128
)


def _is_service(text: str) -> bool:
    try:
        return check_service(text) == text
    except Malformed:
        return False


@given(IDS, SECRETS)
def test_a_key_comes_apart_as_it_was_made(key_id: str, secret: bytes) -> None:
    """`parse` finds the id and the secret part, and the key's record matches that secret alone."""
    text = api_keys.make(key_id, secret)
    found, part = api_keys.parse(text)
    assert (found, len(text)) == (key_id, 63)
    record = api_keys.of(text, "checkout", since=5)
    assert api_keys.matches(record, part, 5)
    assert not api_keys.matches(record, part, 4)
    assert part not in repr(record)
    assert text not in repr(record)


@given(IDS, SECRETS, SECRETS)
def test_another_secret_does_not_match(key_id: str, one: bytes, other: bytes) -> None:
    """Only equal secrets match."""
    record = api_keys.of(api_keys.make(key_id, one), "checkout", since=0)
    assert api_keys.matches(record, api_keys.parse(api_keys.make(key_id, other))[1], 9) == (one == other)


@given(st.text())
def test_what_is_no_key_is_refused(text: str) -> None:
    """Any other text raises, and the message does not quote it."""
    with pytest.raises(Unauthenticated) as told:
        api_keys.parse(text)
    assert len(text) < 12 or text not in str(told.value)


@pytest.mark.parametrize(
    "text",
    [
        "sk_00112233445566AA_" + "A" * 43,
        "sk_00112233445566aa_" + "A" * 42,
        "sk_00112233445566aa_" + "A" * 44,
        "sk_00112233445566aa_" + "A" * 42 + "=",
        "sk_00112233445566aa_" + "A" * 43 + "\n",
        " sk_00112233445566aa_" + "A" * 43,
        "pk_00112233445566aa_" + "A" * 43,
        "sk_0011223344556٣aa_" + "A" * 43,
    ],
)
def test_nearly_a_key(text: str) -> None:
    """One character more, less or other is no key."""
    with pytest.raises(Unauthenticated):
        api_keys.parse(text)


@pytest.mark.parametrize(("key_id", "size"), [("0" * 15, 32), ("A" * 16, 32), ("0" * 16, 31), ("0" * 16, 33)])
def test_only_whole_keys_are_made(key_id: str, size: int) -> None:
    """A key has an id of 16 hex characters and 32 secret bytes."""
    with pytest.raises(Malformed):
        api_keys.make(key_id, bytes(size))


@given(st.text(), st.text())
def test_any_two_texts_can_be_compared(kept: str, secret: str) -> None:
    """A damaged record or a strange secret is no match, rather than an error."""
    assert not api_keys.matches(ApiKey("0" * 16, "checkout", kept), secret, 0)


@given(SERVICES.filter(_is_service))
def test_a_service_has_one_secret_and_back(service: str) -> None:
    """Every service's secret has a name that every store takes, which leads back to the service alone."""
    name = secret_name("services.", service)
    assert service_of("services.", name) == service
    assert service_of("hooks.", name) is None
    assert len(name) <= MAX_NAME
    assert all(c.isascii() and (c.isalnum() or c in "._-=") for c in name)


@given(st.text(st.sampled_from("servic.=ABCab09_-é")))
def test_names_lead_to_one_service_or_none(name: str) -> None:
    """A name that is of no service leads nowhere; two names never lead to one service."""
    for text in (name, "s." + name, "s.=" + name):
        service = service_of("s.", text)
        assert service is None or secret_name("s.", service) == text


def test_an_identity_is_short_enough_to_be_stored() -> None:
    """An identity is the id of a record, so a longer one than any store takes is refused."""
    fits = "spiffe://mesh.example/" + "a" * (1024 - len("spiffe://mesh.example/"))
    Service("checkout", identities=(fits,)).check()
    for bad in (fits + "a", "oidc:https://a#é", "oidc:https://a#\ud800"):
        with pytest.raises(Malformed):
            Service("checkout", identities=(bad,)).check()
