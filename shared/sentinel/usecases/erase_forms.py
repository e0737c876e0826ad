"""The forms in which a chain's segments are stored, and how one takes the place of another.

While a segment is moved to the archive there are two of it, one in the table and one in the archive, and a
call that was cut off may have changed one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain as chained

from sentinel.core.payload import BLANK, CODEC_ERASED, Cipher, Opened
from sentinel.core.segment import Segment
from sentinel.errors import Missing, Tampered, Unavailable
from sentinel.ports_erasure import ErasableSegments
from sentinel.ports_log import Archive

# Bytes of payloads that are held at one time: a run of the archive is read and written once for all of it.
PIECE = 8_000_000

Change = Callable[[Segment], Segment | None]  # a form that can be opened -> its other form; None: let it be


@dataclass(frozen=True, slots=True)
class Forms:
    """Stored forms. `opens` opens those of the table, `cipher` encrypts under a data key of its own."""

    segments: ErasableSegments
    opens: Callable[[Segment], Segment]
    cipher: Cipher
    archive: Archive | None = None

    def under(self, chain: str, keys: set[str]) -> Iterator[tuple[int, str]]:
        """Yield (first, key) of each form of a segment that is encrypted under one of these keys."""
        archived = self.archive.read(chain) if self.archive is not None else iter(())
        both = chained(self.segments.read(chain), archived)
        return ((segment.first, segment.key) for segment in both if segment.key in keys)

    def without(self, chain: str, places: Sequence[int], first: int, last: int) -> set[int]:
        """Take entries out of the segments that begin at `places`; return where there were any left.

        Raises `Unavailable` where somebody else changed one meanwhile.
        """

        def change(form: Segment) -> Segment | None:
            after = without(form, first, last)
            if after is None:
                return None
            return self._sealed(replace(form, payload=after.pack(), codec=form.codec | CODEC_ERASED))

        return self._changed(chain, places, change)

    def put_back(self, chain: str, places: Sequence[int], first: int, last: int) -> bool:
        """Say whether the archive has one of these segments with an entry that was taken out.

        Who archives may have read the table before, and have put what he read since the archive was changed.
        """
        for form in self._archived(chain, places):
            try:
                if without(self.opens(form), first, last) is not None:
                    return True
            except (Tampered, Missing):
                continue  # under a data key that is gone: nobody reads it
        return False

    def reencrypted(self, chain: str, places: Sequence[int], keys: set[str]) -> set[int]:
        """Encrypt anew what is under one of these keys; return where. Raises as `without`."""

        def change(form: Segment) -> Segment | None:
            if form.key not in keys or form.opener is None:
                return None
            return self._sealed(replace(form, payload=form.opener.open(form)))

        return self._changed(chain, places, change)

    def _changed(self, chain: str, places: Sequence[int], change: Change) -> set[int]:
        changed: set[int] = set()
        for before in _pieces(self._stored(chain, places)):
            for stored in before:
                after = change(self.opens(stored))
                if after is not None:
                    _check(self.segments.replace(after, stored), stored)
                    changed.add(stored.first)
        for before in _pieces(self._archived(chain, places)):
            pairs = [(after, each) for each in before if (after := change(self.opens(each))) is not None]
            if self.archive is not None and pairs:
                _check(self.archive.replace_all(pairs), pairs[0][1])
                changed.update(each.first for _, each in pairs)
        return changed

    def _stored(self, chain: str, places: Sequence[int]) -> Iterator[Segment]:
        found = (self.segments.at(chain, first) for first in places)
        return (each for each in found if each is not None)

    def _archived(self, chain: str, places: Sequence[int]) -> Iterator[Segment]:
        if self.archive is None or not places:
            return
        wanted = set(places)
        for segment in self.archive.read(chain, min(wanted)):
            if segment.first > max(wanted):
                return
            if segment.first in wanted:
                yield segment

    def _sealed(self, segment: Segment) -> Segment:
        """Encrypt a segment whose payload is in the clear, where it was encrypted before."""
        if not segment.key:
            return segment
        key, payload = self.cipher.seal(segment.payload, segment.place)
        return replace(segment, payload=payload, key=key)


def without(segment: Segment, first: int, last: int) -> Opened | None:
    """Return a segment's payload without some entries; None where it is without them already."""
    opened = segment.opened
    gone = set(range(max(first - segment.first, 0), min(last - segment.first + 1, segment.count)))
    if gone <= set(opened.erased):
        return None
    leaves = opened.leaves()
    erased = {**opened.erased, **{at: leaves[at] for at in gone}}
    if len(erased) == segment.count:
        return Opened(*BLANK, [b""] * segment.count, erased)
    return replace(opened, erased=erased)


def _pieces(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    held: list[Segment] = []
    size = 0
    for segment in segments:
        held.append(segment)
        size += len(segment.payload)
        if size >= PIECE:
            yield held
            held, size = [], 0
    yield held


def _check(done: bool, before: Segment) -> None:
    if not done:
        raise Unavailable(f"somebody else changed the segment at {before.first}: run it again", 1.0)
