"""The hash chain against its published vectors."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import chain
from sentinel.errors import Malformed

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "chain-v1.json").read_text())


def raw(entry: dict[str, Any]) -> bytes:
    """Return a vector's entry as bytes."""
    return bytes.fromhex(entry["entry_hex"]) if "entry_hex" in entry else str(entry["entry"]).encode()


@pytest.mark.parametrize("vector", VECTORS["chains"], ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, Any]) -> None:
    """Genesis, salts, leaves and every H are those of the published vectors."""
    prev = chain.genesis(vector["chain"])
    assert prev.hex() == vector["genesis"]
    assert chain.service_of(vector["chain"]) == vector["service_id"]
    for segment in vector["segments"]:
        assert segment["prev"] == prev.hex()
        salt = chain.salt(bytes.fromhex(segment["nonce"]), segment["context"].encode())
        assert salt.hex() == segment["salt"]
        leaves = chain.leaves(salt, map(raw, segment["entries"]))
        assert [leaf.hex() for leaf in leaves] == [entry["leaf"] for entry in segment["entries"]]
        links = chain.links(prev, leaves, segment["t"], vector["service_id"])
        assert [link.hex() for link in links] == [entry["hash"] for entry in segment["entries"]]
        followed = chain.follow(prev, salt, map(raw, segment["entries"]), segment["t"], vector["service_id"])
        prev = chain.head(prev, leaves, segment["t"], vector["service_id"])
        assert followed == prev
        assert prev.hex() == segment["head"]
    assert prev.hex() == vector["head"]


def test_the_vectors_are_not_empty() -> None:
    """The vector file has several chains with several segments, so that the test above tests something."""
    assert len(VECTORS["chains"]) >= 4
    assert max(len(each["segments"]) for each in VECTORS["chains"]) >= 2


@given(st.lists(st.binary(max_size=40), max_size=5), st.integers(0, 2**64 - 1))
def test_head_is_the_last_link(entries: list[bytes], t: int) -> None:
    """`head` gives the last of `links`, and the start where there are no entries."""
    prev = chain.genesis("a/0")
    leaves = chain.leaves(b"\0" * 32, entries)
    assert chain.head(prev, leaves, t, "a") == ([prev, *chain.links(prev, leaves, t, "a")])[-1]


@pytest.mark.parametrize("service", ["checkout", "決済", "a", "svc-17", "team.app:v2@eu+1", "x" * 128])
def test_good_service_ids(service: str) -> None:
    """Letters of any script, digits and a few marks are a service id."""
    assert chain.check_service(service) == service


@pytest.mark.parametrize(
    "service",
    ["", "a/b", " a", "a b", "a\n", "a\0b", "x" * 129, "-a", "a-", "..", "決" * 43, "a\u202eb", "\ud800"],
)
def test_bad_service_ids(service: str) -> None:
    """Slashes, white space, control and direction characters, and more than 128 bytes are refused."""
    with pytest.raises(Malformed, match="service id"):
        chain.check_service(service)
