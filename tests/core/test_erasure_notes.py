"""What is asked of who signs records of erasures: fields, each held against what it may be, and no text."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import erasure, notes, tripwire
from sentinel.core.erasure import Statement
from sentinel.core.erasure_notes import MOST_NUMBER, MOST_ORIGIN, Asked, check_chain
from sentinel.core.notes import COSIGNATURE, ED25519, Checkpoint, Key, Note, origin_of
from sentinel.errors import Forbidden, Malformed, Rejected

LOG, CHAIN = "log.example/prod", "shop/0"
PRIVATE, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
KEY = Key(origin_of(LOG, CHAIN), ED25519, PRIVATE.public_key().public_bytes_raw())
ASKED = Asked(KEY.name, 3, 5, sha256(b"leaves").digest(), sha256(b"why").digest())
SERVICES = st.text(st.sampled_from("aZ9._:@+-é決"), min_size=1, max_size=20)


def changed(**fields: object) -> dict[str, object]:
    """Return what is sent, with fields that are otherwise."""
    return {**ASKED.fields, **fields}


def test_what_is_sent_is_read_as_it_was() -> None:
    """Through JSON, both ends of the range of numbers included."""
    for asked in (ASKED, replace(ASKED, first=0, last=0), replace(ASKED, last=MOST_NUMBER)):
        assert Asked.read(json.loads(json.dumps(asked.fields))) == asked


@pytest.mark.parametrize(
    "told",
    [
        None,
        [],
        "x",
        {},
        {**ASKED.fields, "seconds": 7},
        {**ASKED.fields, "text": "x"},
        {name: value for name, value in ASKED.fields.items() if name != "reason"},
        changed(origin=""),
        changed(origin=7),
        changed(origin=f"{LOG}/\ud800/0"),
        changed(origin=f"{LOG}/é/0"),
        changed(origin="x" * (MOST_ORIGIN + 1)),
        changed(first=-1),
        changed(first=True),
        changed(first="3"),
        changed(first=3.0),
        changed(first=6),
        changed(last=MOST_NUMBER + 1),
        changed(last=None),
        changed(leaves=""),
        changed(leaves=None),
        changed(leaves=b64encode(b"x" * 31).decode()),
        changed(leaves=b64encode(b"x" * 32).decode() + "\n"),
        changed(reason=b64encode(b"x" * 32).decode().rstrip("=")),
        changed(reason=["x"]),
        changed(reason="é" * 44),
    ],
    ids=lambda told: str(told)[:60],
)
def test_anything_else_is_malformed(told: object) -> None:
    """A field too many or too few, of another type, out of range, or a digest in another form."""
    with pytest.raises(Malformed):
        Asked.read(told)


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (origin_of("other.example", CHAIN), Forbidden),
        (origin_of("log.example", CHAIN), Forbidden),
        (origin_of(LOG + "uction", CHAIN), Forbidden),
        (f"x{LOG}/{CHAIN}", Forbidden),
        (LOG, Forbidden),
        (f"{LOG}/shop%2F0", Forbidden),  # not the one form of it
        (f"{LOG}/shop/0\n7\n{b64encode(bytes(32)).decode()}", Forbidden),
        (f"{LOG}/shop/0 ", Forbidden),
        (f"{LOG}/%0A/0", Malformed),
        (f"{LOG}/shop", Malformed),
        (f"{LOG}/shop/", Malformed),
        (f"{LOG}/shop/x", Malformed),
        (f"{LOG}/shop/00", Malformed),
        (f"{LOG}/shop/-1", Malformed),
        (f"{LOG}//0", Malformed),
        (f"{LOG}/a/b/0", Malformed),
        (origin_of(LOG, "a b/0"), Malformed),
        (origin_of(LOG, tripwire.CHAIN), Forbidden),
        (origin_of(LOG, f"{tripwire.SERVICE}/7"), Forbidden),
    ],
)
def test_only_chains_of_this_log_are_asked_for(origin: str, kind: type[Rejected]) -> None:
    """Another log's origin, one that can be no chain's, or that of what the tripwire told, is refused."""
    with pytest.raises(kind):
        replace(ASKED, origin=origin).chain(LOG)


@given(service=SERVICES, lane=st.integers(0, 64))
def test_the_chain_of_an_origin_is_the_one_it_was_made_of(service: str, lane: int) -> None:
    """Every id that a service may have leads back to its chain; its origin is one line of a note."""
    chain = f"{service}/{lane}"
    try:
        check_chain(chain)
    except Malformed:
        with pytest.raises(Rejected):
            replace(ASKED, origin=origin_of(LOG, chain)).chain(LOG)
        return
    asked = replace(ASKED, origin=origin_of(LOG, chain))
    assert asked.chain(LOG) == chain
    assert Statement.read(asked.at(9).text) == asked.at(9)


@settings(max_examples=50)
@given(
    origin=st.text(max_size=40) | SERVICES.map(lambda each: origin_of(LOG, f"{each}/0")),
    first=st.integers(0, MOST_NUMBER),
    more=st.integers(0, 9),
    seconds=st.integers(0, 1 << 40),
)
def test_nothing_that_is_signed_here_is_a_checkpoint(
    origin: str, first: int, more: int, seconds: int
) -> None:
    """Whatever fields are taken: the text is an erasure's, and reads as a checkpoint's in no case."""
    digest = b64encode(bytes(32)).decode()
    fields = {"origin": origin, "first": first, "last": first + more, "leaves": digest, "reason": digest}
    try:
        asked = Asked.read(fields)
        asked.chain(LOG)
    except Rejected:
        return
    text = asked.at(seconds).text
    assert text.startswith(f"{erasure.HEADER}\n{LOG}/")
    assert text.count("\n") == 6
    with pytest.raises(Malformed):
        Checkpoint.read(text)


def answer(statement: Statement = ASKED.at(9), key: Key = KEY, private: Any = PRIVATE) -> bytes:  # noqa: B008
    """Return a note as it comes back."""
    return erasure.noted(statement, key, private.sign).bytes


def test_an_answer_is_the_note_with_the_logs_signature_alone() -> None:
    """Of whatever time; lines of others are left out: they would stand in the chain for good."""
    whole = notes.read(answer())
    stranger = notes.signed(whole.text, Key("else", ED25519, KEY.public), OTHER.sign)
    note = ASKED.answered(whole.with_lines([stranger]).bytes, KEY)
    assert note == whole
    assert Statement.read(note.text) == ASKED.at(9)


def cosigned() -> bytes:
    """Return the same text signed with a time, as a checkpoint's."""
    timed = Key(KEY.name, COSIGNATURE, KEY.public)
    return Note(ASKED.at(9).text, (notes.cosigned(ASKED.at(9).text, timed, PRIVATE.sign, 9),)).bytes


def checkpoint() -> bytes:
    """Return a checkpoint, signed."""
    text = Checkpoint(KEY.name, 7, bytes(32)).text
    return Note(text, (notes.signed(text, KEY, PRIVATE.sign),)).bytes


@pytest.mark.parametrize(
    "raw",
    [
        lambda: b"",
        lambda: b"\xff",
        lambda: answer().replace("—".encode(), b"-"),
        lambda: answer(private=OTHER),
        lambda: answer(key=KEY.named(origin_of(LOG, "shop/1"))),
        lambda: answer(replace(ASKED.at(9), origin=origin_of(LOG, "shop/1"))),
        lambda: answer(replace(ASKED.at(9), first=2)),
        lambda: answer(replace(ASKED.at(9), last=6)),
        lambda: answer(replace(ASKED.at(9), leaves=bytes(32))),
        lambda: answer(replace(ASKED.at(9), reason=bytes(32))),
        cosigned,
        checkpoint,
    ],
)
def test_an_answer_of_another_key_or_of_something_else_is_refused(raw: Callable[[], bytes]) -> None:
    """Nothing is appended that the log's key did not sign, or that says another thing than was asked."""
    with pytest.raises(Forbidden, match="nothing was erased"):
        ASKED.answered(raw(), KEY)
