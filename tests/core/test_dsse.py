"""DSSE envelopes: the published vectors, and that nothing of an envelope can be changed unnoticed."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.core import dsse, signing
from sentinel.core.access import Author
from sentinel.core.dsse import Envelope, Signature
from sentinel.errors import Malformed

FILE = orjson.loads((Path(__file__).parents[1] / "vectors" / "dsse-v1.json").read_bytes())
KEYS = {name: bytes.fromhex(key) for name, key in FILE["keys"].items()}
SEEDS = {name: bytes.fromhex(seed) for name, seed in FILE["seeds"].items()}
RECIPE = signing.PAYLOAD_TYPES["recipe"]


@pytest.mark.parametrize("vector", FILE["vectors"], ids=lambda each: each["id"])
def test_published_vectors(vector: dict[str, Any]) -> None:
    """Each published envelope has the signers, and the bytes that were signed, that it is published with."""
    envelope = dsse.load(orjson.dumps(vector["envelope"]))
    assert envelope is not None
    assert dsse.signers(envelope, KEYS) == tuple(vector["signers"])
    if "pae" in vector:
        assert dsse.pae(envelope.payload_type, envelope.payload).hex() == vector["pae"]


def test_signing_makes_the_published_signatures() -> None:
    """Ed25519 is deterministic: what we sign is what the vectors have."""
    for vector in FILE["vectors"]:
        if vector["signers"] == ["A"] and "pae" in vector:
            envelope = dsse.load(orjson.dumps(vector["envelope"]))
            assert envelope is not None
            made = dsse.sign(SEEDS["A"], envelope.payload_type, envelope.payload)
            assert made.signatures[0].sig == envelope.signatures[0].sig


@given(st.binary(max_size=300), st.text(max_size=40))
def test_an_envelope_reads_back(payload: bytes, keyid: str) -> None:
    """Whatever is signed, its JSON reads back as the same envelope, with the same signer."""
    made = dsse.sign(SEEDS["B"], RECIPE, payload)
    told = Envelope(payload, RECIPE, (Signature(made.signatures[0].sig, keyid),))
    assert dsse.load(dsse.dump(told)) == told
    assert dsse.signers(told, KEYS) == ("B",)


@given(st.binary(min_size=1, max_size=80), st.data())
def test_one_flipped_bit_is_noticed(payload: bytes, data: st.DataObject) -> None:
    """No bit of the payload or the signature can be changed, and no other type be claimed."""
    made = dsse.sign(SEEDS["A"], RECIPE, payload)
    sig = made.signatures[0].sig
    whole = payload + sig
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    changed = (int.from_bytes(whole) ^ (1 << bit)).to_bytes(len(whole))
    forged = Envelope(changed[: len(payload)], RECIPE, (Signature(changed[len(payload) :]),))
    assert dsse.signers(forged, KEYS) == ()
    assert dsse.signers(Envelope(payload, signing.PAYLOAD_TYPES["rule"], made.signatures), KEYS) == ()


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_loading_never_breaks(body: bytes) -> None:
    """Any bytes are an envelope, none, or refused."""
    with contextlib.suppress(Malformed):
        dsse.load(body)


@pytest.mark.parametrize(
    "wrong",
    [
        {"payload": "aGk", "payloadType": "t"},
        {"payload": "aGk=\n", "payloadType": "t"},
        {"payload": 1, "payloadType": "t"},
        {"payload": "", "payloadType": "t", "signatures": {}},
        {"payload": "", "payloadType": "t", "signatures": [{}]},
        {"payload": "", "payloadType": "t", "signatures": [{"sig": "é"}]},
        {"payload": "", "payloadType": "t", "signatures": [{"sig": ""}] * 17},
        {"payload": "", "payloadType": "t", "steps": []},
    ],
)
def test_what_is_half_an_envelope_is_refused(wrong: dict[str, Any]) -> None:
    """What has an envelope's keys and is none is refused, never taken for a document."""
    with pytest.raises(Malformed):
        dsse.load(orjson.dumps(wrong))


def author(name: str, key: str, until: int = 0) -> Author:
    """Return an author with one of the vectors' keys."""
    return Author(name, base64.b64encode(KEYS[key]).decode(), until=until)


def test_a_document_counts_by_its_author() -> None:
    """The author is found by the key, not by what the envelope says; the end of an author ends it."""
    body = dsse.dump(dsse.sign(SEEDS["A"], RECIPE, b"id: x"))
    told = orjson.loads(body)
    told["signatures"][0]["keyid"] = "bob"
    authors = [author("ann", "A", until=100), author("bob", "B")]
    found = signing.opened("recipe", "x", orjson.dumps(told), signing.valid(authors, 99.0))
    assert (found.payload, found.author) == (b"id: x", "ann")
    with pytest.raises(Malformed, match="no signature of an author"):
        signing.opened("recipe", "x", body, signing.valid(authors, 100.0))


def test_a_document_of_one_kind_is_not_another() -> None:
    """A recipe's envelope is no rule's, whoever signed it, with and without signatures being required."""
    body = dsse.dump(dsse.sign(SEEDS["A"], RECIPE, b"id: x"))
    with pytest.raises(Malformed, match="signed as something else"):
        signing.Unsigned().open("rule", "x", body)
    with pytest.raises(Malformed, match="signed as something else"):
        signing.opened("rule", "x", body, KEYS)


def test_plain_text_is_not_signed() -> None:
    """Where signatures are required, a document without an envelope does not count; else it does."""
    with pytest.raises(Malformed, match="is not signed"):
        signing.opened("recipe", "x", b"id: x", KEYS)
    assert signing.Unsigned().open("recipe", "x", b"id: x").payload == b"id: x"
