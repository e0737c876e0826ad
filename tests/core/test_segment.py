"""Segments: sealing, the dedup window, and finding every kind of damage."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import chain as hashing
from sentinel.core import entry, otlp
from sentinel.core import segment as segment_module
from sentinel.core.payload import PLAIN_LIMIT
from sentinel.core.segment import ENTRIES_LIMIT, STORED_LIMIT, Head, Segment, numbered
from sentinel.core.verify import Verifier
from sentinel.core.window import WINDOW, Part, decode_window
from sentinel.errors import Tampered
from tests.chains import batch, grow

CHAIN = "checkout/0"
ENTRY = st.binary(max_size=30).map(lambda raw: b'{"m":"' + raw.hex().encode() + b'"}')
BATCHES = st.lists(st.lists(ENTRY, min_size=1, max_size=4), min_size=1, max_size=6)


def verify(segments: list[Segment], chain: str = CHAIN) -> Verifier:
    """Check a whole chain."""
    verifier = Verifier(chain)
    verifier.check_all(segments)
    return verifier


@given(BATCHES)
def test_what_is_sealed_can_be_opened(batches: list[list[bytes]]) -> None:
    """Entries come back byte for byte, in order, with gapless sequence numbers, and the chain verifies."""
    segments = grow(CHAIN, batches)
    got = [pair for segment in segments for pair in numbered(segment)]
    assert got == list(enumerate(entry for entries in batches for entry in entries))
    verifier = verify(segments)
    assert verifier.next == len(got)
    assert verifier.hash == segments[-1].head


@given(
    st.binary(min_size=16, max_size=16), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)
)
def test_parts_survive_encoding(batch_id: bytes, count: int, offset: int, rest: int) -> None:
    """A dedup record decodes to what was encoded."""
    part = Part(batch_id, count, offset, offset + count + rest)
    assert decode_window(part.encode() * 2) == [(part, part.encode())] * 2


def test_what_compresses_very_well_is_cut_so_that_it_can_be_read() -> None:
    """A segment holds no more than may be unpacked, however few bytes that takes; nothing is left out."""
    entries = [b'{"resource":"%s","n":%d}' % (b"x" * 1_980, n) for n in range(10_000)]
    segments = grow(CHAIN, [entries])
    assert len(segments) == 3
    assert [entry for segment in segments for _, entry in numbered(segment)] == entries
    assert verify(segments).next == 10_000
    assert all(sum(map(len, each.opened.entries)) <= ENTRIES_LIMIT for each in segments)
    assert ENTRIES_LIMIT * 2 < PLAIN_LIMIT
    assert otlp.MAX_BYTES + 2 * entry.MAX_ENTRIES < PLAIN_LIMIT  # what was stored whole can be read, too


def test_the_size_of_entries_cuts_where_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fits to the byte is whole; an entry that is over it by itself stands alone."""
    monkeypatch.setattr(segment_module, "ENTRIES_LIMIT", 60)
    counts = {}
    for sizes in ([30, 30], [30, 31], [61, 2], [20, 20, 20, 1], [10] * 13):
        lines = [b'{"m":"' + b"x" * (size - 8) + b'"}' if size > 8 else b"{}" for size in sizes]
        counts[tuple(map(len, lines))] = [each.count for each in grow(CHAIN, [lines])]
    assert counts == {
        (30, 30): [2],
        (30, 31): [1, 1],
        (61, 2): [1, 1],
        (20, 20, 20, 2): [3, 1],
        (10,) * 13: [6, 6, 1],
    }


@pytest.mark.parametrize("cut", range(1, 19))
def test_cut_windows_are_refused(cut: int) -> None:
    """A dedup window that ends inside a record is no window."""
    raw = Part(b"x" * 16, 1, 0, 1).encode()
    with pytest.raises(ValueError, match="cut off"):
        decode_window(raw[:cut])


def test_the_window_holds_the_last_64() -> None:
    """A batch is found while 63 later segments stand, and not after one more."""
    segments = grow(CHAIN, [[b"{}"]] * (WINDOW + 1))
    first = (1).to_bytes(16, "big")
    assert Head.after(segments[WINDOW - 1]).find(first) == (Part(first, 1, 0, 1), 0)
    assert Head.after(segments[WINDOW]).find(first) is None
    last = (WINDOW + 1).to_bytes(16, "big")
    assert Head.after(segments[WINDOW]).find(last) == (Part(last, 1, 0, 1), WINDOW)


def test_a_large_batch_is_cut_into_few_full_segments() -> None:
    """A batch over the stored limit becomes segments below it, most of them nearly full."""
    rng = random.Random(1)
    entries = [b'{"m":"%s"}' % rng.randbytes(400).hex().encode() for _ in range(5000)]
    segments = grow(CHAIN, [entries])
    sizes = [len(segment.payload) for segment in segments]
    assert max(sizes) <= STORED_LIMIT
    assert min(sizes[:-1]) > STORED_LIMIT * 0.85
    verify(segments)
    part, first = Head.after(segments[-1]).find((1).to_bytes(16, "big")) or (None, -1)
    assert part is not None
    assert (part.end, part.total, first) == (5000, 5000, segments[-1].first)


def test_one_entry_that_does_not_compress_is_one_segment() -> None:
    """The largest entry of random bytes still fits an item."""
    entry = b'{"m":"%s"}' % random.Random(2).randbytes(32_000).hex().encode()
    assert len(grow(CHAIN, [[entry]])) == 1


def test_time_never_runs_backwards() -> None:
    """A clock that was set back does not make a segment older than the one before."""
    first, head = batch(1, [b"{}"]).draft(0, b"n" * 32).place(CHAIN, Head.genesis(CHAIN), 500)
    second, _ = batch(2, [b"{}"]).draft(0, b"n" * 32).place(CHAIN, head, 400)
    assert (first.t, second.t) == (500, 500)


@pytest.mark.parametrize("t", [999, -1, 1 << 64])
def test_a_segment_older_than_the_one_before_is_damage(t: int) -> None:
    """A time that runs backwards, or is none, is found even where somebody sealed it well."""
    first = grow(CHAIN, [[b"{}"]])[0]
    assert first.t == 1_000
    head = replace(Head.after(first), t=0)
    if 0 <= t < 1 << 64:
        second, _ = batch(2, [b"{}"]).draft(0, b"n" * 32).place(CHAIN, head, t)
    else:
        second, _ = batch(2, [b"{}"]).draft(0, b"n" * 32).place(CHAIN, Head.after(first), 1_000)
        second = replace(second, t=t)
    with pytest.raises(Tampered) as found:
        verify([first, second])
    assert (found.value.seq, found.value.kind) == (1, "time")


# Each operation damages a chain at a place and says at which entry it must be found, by which kinds.
# None means that the chain is too short for it.
Damage = tuple[list[Segment], int, set[str]] | None


def _changed_entry(segments: list[Segment], at: int) -> Damage:
    target = segments[at]
    plain = bytearray(zstandard.decompress(target.payload))
    plain[-2] ^= 1
    hurt = replace(target, payload=zstandard.compress(bytes(plain)))
    return [*segments[:at], hurt, *segments[at + 1 :]], target.first, {"hash", "count"}


def _changed_context(segments: list[Segment], at: int) -> Damage:
    target = segments[at]
    plain = zstandard.decompress(target.payload).replace(b'"service":"s"', b'"service":"t"')
    hurt = replace(target, payload=zstandard.compress(plain))
    return [*segments[:at], hurt, *segments[at + 1 :]], target.first, {"hash"}


def _flipped_payload(segments: list[Segment], at: int) -> Damage:
    target = segments[at]
    raw = bytearray(target.payload)
    raw[len(raw) // 2] ^= 0x40
    hurt = replace(target, payload=bytes(raw))
    return [*segments[:at], hurt, *segments[at + 1 :]], target.first, {"payload", "hash", "count", "window"}


def _changed_time(segments: list[Segment], at: int) -> Damage:
    hurt = replace(segments[at], t=segments[at].t + 1)
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"hash"}


def _changed_count(segments: list[Segment], at: int) -> Damage:
    hurt = replace(segments[at], count=segments[at].count + 1)
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"count"}


def _changed_head(segments: list[Segment], at: int) -> Damage:
    hurt = replace(segments[at], head=bytes(32))
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"hash"}


def _changed_window(segments: list[Segment], at: int) -> Damage:
    raw = bytearray(segments[at].recent)
    raw[-4] ^= 1
    hurt = replace(segments[at], recent=bytes(raw))
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"window"}


def _deleted(segments: list[Segment], at: int) -> Damage:
    if at + 1 >= len(segments):
        return None
    return [*segments[:at], *segments[at + 1 :]], segments[at].first, {"missing"}


def _swapped(segments: list[Segment], at: int) -> Damage:
    if at + 1 >= len(segments):
        return None
    hurt = [*segments[:at], segments[at + 1], segments[at], *segments[at + 2 :]]
    return hurt, segments[at].first, {"missing"}


def _swapped_and_renumbered(segments: list[Segment], at: int) -> Damage:
    if at + 1 >= len(segments):
        return None
    one, two = segments[at], segments[at + 1]
    hurt = [
        *segments[:at],
        replace(two, first=one.first),
        replace(one, first=one.first + two.count),
        *segments[at + 2 :],
    ]
    return hurt, one.first, {"link"}


def _duplicated(segments: list[Segment], at: int) -> Damage:
    return [*segments[: at + 1], segments[at], *segments[at + 1 :]], segments[at].first, {"place"}


def _inserted(segments: list[Segment], at: int) -> Damage:
    """Insert a well-formed segment of the attacker's, linked to the one before, and move the rest up."""
    head = Head.after(segments[at - 1]) if at else Head.genesis(CHAIN)
    forged, _ = batch(99, [b'{"forged":1}']).draft(0, b"f" * 32).place(CHAIN, head, segments[at].t)
    later = [replace(each, first=each.first + 1) for each in segments[at:]]
    return [*segments[:at], forged, *later], segments[at].first + 1, {"link"}


def _other_chain(segments: list[Segment], at: int) -> Damage:
    hurt = replace(segments[at], chain="checkout/1")
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"place"}


def _unknown_codec(segments: list[Segment], at: int) -> Damage:
    hurt = replace(segments[at], codec=77)
    return [*segments[:at], hurt, *segments[at + 1 :]], segments[at].first, {"codec"}


OPERATIONS = [
    _changed_entry,
    _changed_context,
    _flipped_payload,
    _changed_time,
    _changed_count,
    _changed_head,
    _changed_window,
    _deleted,
    _swapped,
    _swapped_and_renumbered,
    _duplicated,
    _inserted,
    _other_chain,
    _unknown_codec,
]


@pytest.mark.parametrize("damage", OPERATIONS)
@given(batches=BATCHES, where=st.floats(0, 0.999))
@settings(max_examples=40, deadline=None)
def test_damage_is_found_where_it_is(damage: object, batches: list[list[bytes]], where: float) -> None:
    """Whatever is done to a stored chain, at any place, is found at that entry and named."""
    segments = grow(CHAIN, batches)
    done: Damage = damage(segments, int(where * len(segments)))  # type: ignore[operator]
    if done is None:
        return
    hurt, seq, kinds = done
    with pytest.raises(Tampered) as found:
        verify(hurt)
    assert (found.value.chain, found.value.seq) == (CHAIN, seq)
    assert found.value.kind in kinds


@given(BATCHES, st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_bit_is_found(batches: list[list[bytes]], data: st.DataObject) -> None:
    """No bit of any stored attribute can be turned without the verifier finding it."""
    segments = grow(CHAIN, batches)
    at = data.draw(st.integers(0, len(segments) - 1))
    name = data.draw(st.sampled_from(["prev", "head", "payload", "recent"]))
    raw = bytearray(getattr(segments[at], name))
    bit = data.draw(st.integers(0, len(raw) * 8 - 1))
    raw[bit // 8] ^= 1 << bit % 8
    hurt = replace(segments[at], **{name: bytes(raw)})  # type: ignore[arg-type]
    if name == "payload" and _same_plain(hurt, segments[at]):
        return  # the frame's own flags: what it unpacks to is unchanged
    with pytest.raises(Tampered):
        verify([*segments[:at], hurt, *segments[at + 1 :]])


def _same_plain(one: Segment, two: Segment) -> bool:
    try:
        return one.opened == two.opened
    except Tampered:
        return False


@given(BATCHES, st.floats(0, 0.999))
@settings(deadline=None)
def test_a_cut_shows_against_a_known_head(batches: list[list[bytes]], where: float) -> None:
    """A chain whose tail is cut verifies up to there, with another size and head than were known."""
    segments = grow(CHAIN, batches)
    cut = verify(segments[: int(where * len(segments))])
    assert (cut.next, cut.hash) != (segments[-1].first + segments[-1].count, segments[-1].head)


def test_a_payload_cannot_unpack_to_gigabytes() -> None:
    """A segment whose payload is a decompression bomb is refused before it is unpacked."""
    segment = grow(CHAIN, [[b"{}"]])[0]
    bomb = zstandard.ZstdCompressor().compress(bytes(PLAIN_LIMIT + 1))
    with pytest.raises(Tampered, match="payload"):
        verify([replace(segment, payload=bomb)])
    endless = zstandard.ZstdCompressor().compressobj()  # a frame that does not say its size
    unsized = endless.compress(bytes(1000)) + endless.flush()
    with pytest.raises(Tampered, match="payload"):
        verify([replace(segment, payload=unsized)])


def test_a_context_size_beyond_the_payload_is_found() -> None:
    """A payload that is shorter than it says is named, not an exception of Python's."""
    segment = grow(CHAIN, [[b"{}"]])[0]
    short = zstandard.compress(b"n" * 32 + b"\xff\xff\xff\xff{}")
    with pytest.raises(Tampered, match="cut off"):
        verify([replace(segment, payload=short)])


def test_links_do_not_depend_on_how_entries_are_cut_into_segments_alone() -> None:
    """Two chains with the same entries but other salts share no hash: leaves hide their entries."""
    one = grow(CHAIN, [[b"{}"], [b"{}"]], seed=1)
    two = grow(CHAIN, [[b"{}"], [b"{}"]], seed=2)
    assert {each.head for each in one}.isdisjoint(each.head for each in two)
    assert hashing.genesis(CHAIN) == one[0].prev == two[0].prev
