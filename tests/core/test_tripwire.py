"""The tripwire's rule: which changes of stored segments are ours, by every attribute and every kind."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import orjson
import pytest

from sentinel.core.payload import CODEC_ERASED, CODEC_SEALED, Opened, pack
from sentinel.core.runs import alike
from sentinel.core.segment import Segment
from sentinel.core.tripwire import CHAIN, SERVICE, Change, Known, alert, wrong
from tests.chains import grow

SEGMENTS = grow("a/0", [[b'{"n":1}', b'{"secret":"hunter2"}'], [b'{"n":3}', b'{"n":4}']])
IT = SEGMENTS[1]
NOW = 1_000
FORGED = grow("a/0", [[b'{"n":1}', b'{"secret":"hunter2"}'], [b'{"n":3}', b'{"n":5}']])[1]


def known(archived: Segment | None = IT, end: int = 4, *, covered: bool = False) -> Known:
    """Return what the rule knows: by default that the archive holds the segment."""

    def holds(segment: Segment) -> bool:
        return archived is not None and alike(archived, segment)

    return Known(NOW, lambda _: end, holds, lambda *_: None if covered else 4)


NOTHING = known(None, 0)


def modify(new: Segment, old: Segment = IT, **more: object) -> Change:
    """Return a change of a segment into another."""
    same = old.payload == new.payload
    return Change("MODIFY", old.chain, old.first, old, new, **{"same": same, **more})  # type: ignore[arg-type]


def erased(*places: int) -> Segment:
    """Return the segment with entries erased."""
    opened = IT.opened
    leaves = opened.leaves()
    gone = {place: leaves[place] for place in places}
    packed = Opened(opened.nonce, opened.context, list(opened.entries), gone).pack()
    return replace(IT, payload=packed, codec=IT.codec | CODEC_ERASED)


def test_an_insert_is_what_appending_does() -> None:
    """A new segment is ours; one below the archive's end only if it is the one that was archived."""
    change = Change("INSERT", "a/0", 2, None, IT)
    assert not wrong(change, NOTHING)
    assert not wrong(change, known(None, 2))
    assert not wrong(change, known())
    assert "archived" in wrong(change, known(None))
    assert "archived" in wrong(replace(change, new=FORGED), known())
    assert wrong(Change("INSERT", "a/0", 2, damage="item: it is no segment"), NOTHING).startswith("item")


@pytest.mark.parametrize("way", [{"by_ttl": True}, {"old_expires": NOW}])
def test_a_removal_is_what_the_archive_holds_and_whose_time_was_over(way: dict[str, object]) -> None:
    """By the store itself or after its time, and held by the archive: else it is told."""
    change = Change("REMOVE", "a/0", 2, IT, **way)  # type: ignore[arg-type]
    assert not wrong(change, known())
    assert "archive does not hold" in wrong(change, NOTHING)
    assert "archive does not hold" in wrong(change, known(FORGED))
    assert "archive does not hold" in wrong(replace(change, old=FORGED), known())
    early = replace(change, by_ttl=False, old_expires=NOW + 1)
    assert "before its time" in wrong(early, known())
    assert "before its time" in wrong(replace(early, old_expires=0), known())
    assert wrong(replace(change, old=None), known())


def test_marking_is_ours_where_the_archive_holds_it() -> None:
    """Only `expires` changes, and the archive holds the segment; a change of nothing is none."""
    assert not wrong(modify(IT, new_expires=5_000), known())
    assert "archive does not hold" in wrong(modify(IT, new_expires=5_000), NOTHING)
    assert "archive does not hold" in wrong(modify(IT, new_expires=5_000), known(FORGED))
    assert not wrong(modify(IT, old_expires=7, new_expires=7), NOTHING)


@pytest.mark.parametrize(
    "change",
    [
        {"chain": "b/0"},
        {"first": 3},
        {"count": 1},
        {"prev": bytes(32)},
        {"head": bytes(32)},
        {"t": IT.t + 1},
        {"recent": b""},
        {"recent": IT.recent[19:]},
        {"tree": bytes(32)},
        {"codec": 2},
        {"codec": 99},
        {"key": "k1"},
        {"payload": b""},
        {"payload": b"\x00\xff"},
        {"payload": IT.payload[:-1]},
        {"payload": FORGED.payload},
        {"payload": SEGMENTS[0].payload},
        {"payload": pack(bytes(32), IT.opened.context, IT.opened.entries)},
        {"payload": pack(IT.opened.nonce, b"{}", IT.opened.entries)},
        {"payload": pack(IT.opened.nonce, IT.opened.context, IT.opened.entries[:1])},
        {"payload": pack(IT.opened.nonce, IT.opened.context, IT.opened.entries[::-1])},
        {"payload": pack(IT.opened.nonce, IT.opened.context, [*IT.opened.entries, b"{}"])},
        {"payload": FORGED.payload, "head": FORGED.head},
        {"codec": IT.codec | CODEC_SEALED, "key": "gone"},
        {"codec": IT.codec | CODEC_ERASED},
    ],
)
@pytest.mark.parametrize("expires", [0, 5_000])
def test_every_other_change_is_told(change: dict[str, object], expires: int) -> None:
    """Whatever attribute changes, and however, it is told, also where it is marked at the same time."""
    told = modify(replace(IT, **change), new_expires=expires)  # type: ignore[arg-type]
    assert wrong(told, known(covered=True))


@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)])
def test_an_erasure_is_ours_where_it_is_recorded(places: tuple[int, ...]) -> None:
    """Leaves in the place of entries are fine with a record for each, and told without."""
    asked: list[tuple[Segment, list[int]]] = []

    def unrecorded(segment: Segment, but: Collection[int]) -> None:
        asked.append((segment, sorted(but)))

    new = erased(*places)
    assert not wrong(modify(new), replace(NOTHING, unrecorded=unrecorded))
    assert asked == [(new, [])]
    assert "no signed record" in wrong(modify(new), NOTHING)
    # What the old payload was is not known where it was not kept: then it is told by the new one alone.
    assert not wrong(modify(new, replace(IT, payload=b"")), known(covered=True))


def test_what_was_erased_before_was_told_of_then() -> None:
    """Only what is newly erased needs a record, where it is known what was erased before."""
    asked: list[list[int]] = []

    def unrecorded(_: Segment, but: Collection[int]) -> int:
        asked.append(sorted(but))
        return 4

    known = replace(NOTHING, unrecorded=unrecorded)
    for old in (erased(0), replace(erased(0), payload=b""), replace(erased(0), payload=b"x")):
        assert "no signed record says so" in wrong(modify(erased(0, 1), old), known)
    assert "no signed record says so" in wrong(modify(erased(0, 1)), known)
    assert asked == [[0], [], [], []]


def test_an_alert_says_how_far_anybody_looked() -> None:
    """Where not all of the chain was looked through it says from where on, and what looks at the rest."""
    far = wrong(modify(erased(0)), replace(NOTHING, unrecorded=lambda *_: 400))
    assert "no signed record from entry 400 on" in far
    assert "sentinel verify" in far


def test_an_erased_entry_with_a_wrong_leaf_is_told() -> None:
    """A leaf that is not the entry's breaks the chain, whatever is recorded."""
    opened = IT.opened
    packed = Opened(opened.nonce, opened.context, list(opened.entries), {0: bytes(32)}).pack()
    new = replace(IT, payload=packed, codec=IT.codec | CODEC_ERASED)
    assert "changed" in wrong(modify(new), known(covered=True))


def test_another_form_of_the_same_entries_is_ours() -> None:
    """A payload that was encrypted anew opens to the same entries: nothing of the chain is changed."""

    class Opens:
        def open(self, segment: Segment) -> bytes:
            return IT.payload

    new = replace(IT, payload=b"secret", codec=IT.codec | CODEC_SEALED, key="k2", opener=Opens())
    assert not wrong(modify(new), NOTHING)
    assert "cannot be read" in wrong(modify(replace(new, opener=None)), NOTHING)


@pytest.mark.parametrize("lost", ["old", "new"])
def test_what_cannot_be_told_is_told(lost: str) -> None:
    """Without what it was, or what it is, nobody can say that a change is ours."""
    assert wrong(replace(modify(IT), **{lost: None}), known())  # type: ignore[arg-type]
    assert wrong(Change("OTHER", "a/0", 2, IT, IT), known())


def test_an_alert_tells_where_and_nothing_of_an_entry() -> None:
    """The same change makes the same batch, another one another; it has heads and no content."""
    change = modify(FORGED, number="stream 7")
    batch = alert(change, "it was changed")
    (entry,) = batch.entries
    told = orjson.loads(entry)
    assert told == {
        "event": "tripwire",
        "severity": "critical",
        "change": "MODIFY",
        "chain": "a/0",
        "first": 2,
        "why": "it was changed",
        "old_head": IT.head.hex(),
        "new_head": FORGED.head.hex(),
        "number": "stream 7",
    }
    assert batch.context == {"service": SERVICE, "endpoint": "tripwire"}
    assert CHAIN == "sentinel.tripwire/0"
    others: list[Callable[[Change], Change]] = [
        lambda it: replace(it, number="stream 8"),
        lambda it: replace(it, kind="REMOVE"),
        lambda it: replace(it, chain="a/1"),
        lambda it: replace(it, first=3),
    ]
    ids = {alert(other(change), "").batch_id for other in others} | {batch.batch_id}
    assert len(ids) == 5
    assert alert(change, "otherwise").batch_id == batch.batch_id
