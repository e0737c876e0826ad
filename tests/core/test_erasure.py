"""Records of erasures: only who has the log's key makes one, and it covers what it says and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sentinel.core import erasure
from sentinel.core.erasure import Erasures, Statement, runs
from sentinel.core.notes import ED25519, Key
from sentinel.core.payload import CODEC_ERASED, ERASED_ENTRY
from sentinel.core.segment import Batch, Head, Segment, entry_at, holds, numbered
from sentinel.core.verify import Verifier
from sentinel.errors import Malformed, Tampered

CHAIN = "shop/0"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = Key(f"log/{CHAIN}", ED25519, PRIVATE.public_key().public_bytes_raw())
ENTRIES = [b'{"n":%d}' % n for n in range(4)]


def chain(*batches: tuple[Sequence[bytes], str]) -> list[Segment]:
    """Return a chain's segments, one a batch, with the endpoint that each came by."""
    head, found = Head.genesis(CHAIN), []
    for number, (entries, endpoint) in enumerate(batches):
        batch = Batch(number.to_bytes(16, "big"), list(entries), {"service": "shop", "endpoint": endpoint})
        segment, head = batch.draft(0, bytes([number + 1]) * 32).place(CHAIN, head, number)
        found.append(segment)
    return found


def gone(segment: Segment, *places: int) -> Segment:
    """Return a segment without some entries, as an erasure leaves it."""
    opened = segment.opened
    leaves = opened.leaves()
    erased = {**opened.erased, **{at: leaves[at] for at in places}}
    if len(erased) == segment.count:
        opened = replace(opened, nonce=bytes(32), context=b"{}")
    payload = replace(opened, erased=erased).pack()
    return replace(segment, payload=payload, codec=segment.codec | CODEC_ERASED)


def statement(segment: Segment, first: int, last: int, reason: str = "why") -> Statement:
    """Return what a record of entries of a chain's first segment says."""
    leaves = segment.opened.leaves()[first : last + 1]
    return Statement(KEY.name, first, last, 7, erasure.digest_of(leaves), sha256(reason.encode()).digest())


def record(segment: Segment, first: int, last: int, sign: Any = PRIVATE.sign) -> bytes:
    """Return that record."""
    note = erasure.noted(statement(segment, first, last), KEY, sign)
    return erasure.entry(note, "ada", "why", ("k1",))


def found(segments: Sequence[Segment]) -> tuple[Erasures, list[Tampered]]:
    """Verify a chain and look for what was erased without a record."""
    checked, erasures = Verifier(CHAIN), Erasures(CHAIN, KEY)
    for segment in segments:
        checked.check(segment)
        erasures.take(segment)
    leaves = [leaf for segment in segments for leaf in segment.opened.leaves()]
    return erasures, list(erasures.check(lambda first, last: leaves[first : last + 1]))


def test_a_statement_is_read_as_it_was_written() -> None:
    """Text and value are two forms of one thing; the text is that of docs/erasure.md."""
    (segment,) = chain((ENTRIES, "/v1/entries"))
    made = statement(segment, 1, 2)
    assert Statement.read(made.text) == made
    lines = made.text.split("\n")
    assert lines[:4] == ["sentinel-erasure/v1", "log/shop/0", "1-2", "7"]
    assert (len(lines), lines[6]) == (7, "")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (0, "sentinel-erasure/v2"),
        (2, "2-1"),
        (2, "01-2"),
        (2, "1-2-3"),
        (2, "-1-2"),
        (2, "1"),
        (3, "-7"),
        (3, "07"),
        (3, "x"),
        (4, "AAAA"),
        (4, "!" * 44),
        (5, ""),
        (6, "more"),
    ],
)
def test_another_text_is_no_statement(line: int, text: str) -> None:
    """Every line has one form."""
    (segment,) = chain((ENTRIES, "/v1/entries"))
    lines = statement(segment, 1, 2).text.split("\n")
    lines[line] = text
    with pytest.raises(Malformed):
        Statement.read("\n".join(lines))


def test_what_was_erased_and_recorded_is_whole() -> None:
    """The chain verifies, readers see no entry there, and nothing is told as erased unlawfully."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    first, second = chain((ENTRIES, "/v1/entries"), ([record(first, 1, 2)], "erase"))
    erased = gone(first, 1, 2)
    erasures, damage = found([erased, second])
    assert damage == []
    assert [(each.first, each.last, each.by, each.keys) for each in erasures.records] == [
        (1, 2, "ada", ("k1",))
    ]
    assert erased.opened.entries[1] == ERASED_ENTRY
    assert list(numbered(erased)) == [(0, ENTRIES[0]), (3, ENTRIES[3])]
    assert [entry_at(erased, seq) for seq in (-1, 0, 1, 3, 4)] == [None, ENTRIES[0], None, ENTRIES[3], None]
    assert holds(erased, ENTRIES)
    assert not holds(erased, [*ENTRIES[:3], b"{}"])
    assert not holds(erased, ENTRIES[:3])


@pytest.mark.parametrize(
    "case", ["none", "short", "long", "other leaves", "unsigned", "own key", "by a door"]
)
def test_what_no_record_covers_is_told(case: str) -> None:
    """Without a record that is signed, of the chain, of these leaves, and sealed as one: it is damage."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    entry = {
        "none": b"{}",
        "short": record(first, 1, 1),
        "long": record(first, 1, 3),  # of more than was erased: that is an erasure which was cut off
        "other leaves": record(chain((ENTRIES[::-1], "x"))[0], 1, 2),
        "unsigned": record(first, 1, 2, lambda _: bytes(64)),
        "own key": record(first, 1, 2, other.sign),
        "by a door": record(first, 1, 2),
    }[case]
    endpoint = "/v1/entries" if case == "by a door" else "erase"
    first, second = chain((ENTRIES, "/v1/entries"), ([entry], endpoint))
    _, damage = found([gone(first, 1, 2), second])
    expected = {"short": [2], "long": []}.get(case, [1])
    assert [(each.seq, each.kind) for each in damage] == [(seq, "erased") for seq in expected]


def test_a_record_of_another_chain_counts_for_nothing() -> None:
    """Its origin is signed: what is copied from another chain is no record."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    other = Key("log/shop/1", ED25519, KEY.public)
    made = replace(statement(first, 1, 2), origin=other.name)
    entry = erasure.entry(erasure.noted(made, other, PRIVATE.sign), "ada", "why", ())
    first, second = chain((ENTRIES, "/v1/entries"), ([entry], "erase"))
    erasures, damage = found([gone(first, 1, 2), second])
    assert [each.seq for each in damage] == [1]
    assert list(erasures.wrong) == [4]


def test_a_record_covers_nothing_behind_it() -> None:
    """Nobody can sign away beforehand what is still to come."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    with pytest.raises(Malformed):
        erasure.read(record(first, 1, 2), 2, KEY)
    assert erasure.read(record(first, 1, 2), 3, KEY).last == 2


@pytest.mark.parametrize("name", ["note", "reason", "by", "first", "last"])
def test_what_stands_beside_the_note_agrees_with_it(name: str) -> None:
    """A reader may believe what is told beside the note, but for who it was, which nobody can prove."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    told = orjson.loads(record(first, 1, 2))
    for changed in ({**told, name: "x"}, {k: v for k, v in told.items() if k != name}):
        if name == "by" and name in changed:
            assert erasure.read(orjson.dumps(changed), 9, KEY).by == "x"
            continue
        with pytest.raises(Malformed):
            erasure.read(orjson.dumps(changed), 9, KEY)


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"1", b'{"note":1}', b"\xff", b'{"note":"a","reason":"b","by":"c"}']
)
def test_what_is_no_record_is_malformed(raw: bytes) -> None:
    """Whatever stands there, nothing else is raised."""
    with pytest.raises(Malformed):
        erasure.read(raw, 9, KEY)


def test_a_record_that_was_erased_counts_no_more() -> None:
    """Whoever erases the record of an erasure has to answer for both."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    first, second = chain((ENTRIES, "/v1/entries"), ([record(first, 1, 2)], "erase"))
    _, damage = found([gone(first, 1, 2), gone(second, 0)])
    assert [(each.seq, each.detail) for each in damage] == [
        (1, "entries 1 to 2 were erased, and nothing signed records it"),
        (4, "entry 4 was erased, and nothing signed records it"),
    ]


def test_a_changed_leaf_shows() -> None:
    """Who takes an entry out and leaves another leaf breaks the chain."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    opened = first.opened
    payload = replace(opened, erased={1: bytes(32)}).pack()
    with pytest.raises(Tampered, match="hash"):
        Verifier(CHAIN).check(replace(first, payload=payload, codec=first.codec | CODEC_ERASED))


def test_many_erasures_of_one_chain() -> None:
    """Each entry needs one record; they may overlap, and come in any order."""
    (first,) = chain((ENTRIES, "/v1/entries"))
    records = [([record(first, *span)], "erase") for span in ((2, 3), (0, 0), (0, 3))]
    first, *rest = chain((ENTRIES, "/v1/entries"), *records)
    assert found([gone(first, 0, 1, 2, 3), *rest])[1] == []
    assert [
        each.seq
        for each in found([gone(first, 0, 1, 2, 3), *chain((ENTRIES, "/v1/entries"), *records[:2])[1:]])[1]
    ] == [1]


def test_runs() -> None:
    """Numbers that follow each other are one run."""
    assert list(runs([])) == []
    assert list(runs([0, 1, 5, 6, 9])) == [(0, 1), (5, 6), (9, 9)]
