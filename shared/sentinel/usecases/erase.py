"""Erase: the content of entries goes, out of every store; their hashes stay, and the chain says so itself.

The order is what makes it safe to be cut off anywhere and run again. The record comes first. Then the places
beside the ledger, which are found by what the entries say. Then the ledger and the archive. Then the data
keys: a key is destroyed only when nothing that is to stay is encrypted under it, and nobody can be writing
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain as chained

from sentinel.core import chain as hashing
from sentinel.core import erasure
from sentinel.core.erasure import ENDPOINT, Erasures, Record, Statement
from sentinel.core.payload import BLANK, CODEC_ERASED, Cipher, Opened
from sentinel.core.segment import Batch, Segment
from sentinel.errors import Malformed, Missing, TooLarge, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_erasure import ErasableSegments
from sentinel.ports_log import Archive, DataKeys, LogSigner
from sentinel.usecases.append import Appender
from sentinel.usecases.encryption import USED
from sentinel.usecases.erase_from import Forgotten, Place, Target, Wish
from sentinel.usecases.seal import LogKeys

SECOND = 1_000_000_000
# Beyond the time for which a writer uses a key: what it still sends when that is over, and clocks that
# differ.
MARGIN = 600 * SECOND
TRIES = 5
ROOM = 390_000  # bytes of payload: a DynamoDB item may have 400 KB in all
MAX_REASON = 1_000  # characters


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done. `segments` had payloads replaced, `again` are those that were only encrypted anew.

    `forgotten.left` is what stays somewhere and is not ours to erase, `forgotten.unfinished` what the same
    command has to be run again for.
    """

    record: Record
    segments: int
    again: int
    keys: int
    salts_stay: bool
    forgotten: Forgotten

    def json(self) -> dict[str, object]:
        """Return it as it is printed."""
        return {
            "first": self.record.first,
            "last": self.record.last,
            "record": self.record.seq,
            "segments": self.segments,
            "encrypted_anew": self.again,
            "keys_destroyed": self.keys,
            "guesses_can_be_tested": self.salts_stay,
            "forgotten": dict(self.forgotten.counts),
            "left": list(self.forgotten.left),
            "unfinished": list(self.forgotten.unfinished),
        }


@dataclass(frozen=True, slots=True)
class Eraser:
    """The use case.

    `ledger` shows segments that can be opened, `segments` is its table, of which `opens` opens those.
    `cipher` encrypts under a data key of this call's own. `encrypted(service)` says whether a service has
    data keys. `clock` gives epoch nanoseconds.
    """

    ledger: Ledger
    segments: ErasableSegments
    opens: Callable[[Segment], Segment]
    appender: Appender
    signer: LogSigner
    log: str
    keys: Callable[[], DataKeys]
    cipher: Cipher
    encrypted: Callable[[str], bool]
    places: Sequence[Place]
    clock: Callable[[], int]
    archive: Archive | None = None

    def plan(self, wish: Wish) -> tuple[Wish, list[Segment]]:
        """Return a wish with its range as it will be, and the segments that it touches; nothing is changed.

        Raises `Missing` where the chain has not all of the entries, `Malformed` for what may not be erased.
        """
        if not 0 <= wish.first <= wish.last:
            raise Malformed("--entries is FIRST-LAST, two entries' numbers")
        if not wish.reason.strip() or len(wish.reason) > MAX_REASON:
            raise Malformed(f"a reason has 1 to {MAX_REASON:,} characters, and nothing that has to be erased")
        touched = list(self._touched(wish.chain, wish.first, wish.last))
        if not touched or touched[0].first > wish.first or touched[-1].next <= wish.last:
            raise Missing(f"{wish.chain} has not all of these entries; `sentinel chains` lists what there is")
        for segment in touched:
            if erasure.is_record(segment):
                raise Malformed(f"entry {segment.first} is the record of an erasure, which stays")
        if wish.whole:
            wish = replace(wish, first=touched[0].first, last=touched[-1].next - 1)
        self._check_room(wish, touched)
        return wish, touched

    def _check_room(self, wish: Wish, touched: Sequence[Segment]) -> None:
        """Raise `TooLarge` where what stays of a segment and the leaves of what goes would be no item."""
        for segment in touched:
            # A leaf does not compress; with less than so many of them, or with nothing else, there is room.
            after = _without(segment, wish.first, wish.last)
            if after is None or len(segment.payload) + 36 * len(after.erased) <= ROOM:
                continue
            if len(after.pack()) > ROOM and self.segments.at(wish.chain, segment.first) is not None:
                raise TooLarge(
                    f"the segment of entries {segment.first} to {segment.next - 1} has no room for the "
                    "hashes of these: nothing was erased; erase fewer of them, or --whole-segments"
                )

    def erase(self, wish: Wish) -> Erased:
        """Erase; the same again completes what was cut off. Raises as `plan`, `Unavailable`, `Tampered`."""
        wish, touched = self.plan(wish)
        record = self._recorded(wish, touched)
        target = _target(wish, touched, record.seq)
        forgotten = Forgotten()
        for place in self.places:
            forgotten.add(place.forget(target))
        changed = [self._replaced(wish, segment.first) for segment in touched]
        again, destroyed = self._rotate(wish.chain, record, forgotten)
        self.segments.compact()
        for place in self.places:
            place.compact()
        now = list(self._touched(wish.chain, wish.first, wish.last))
        salts = any(len(each.opened.erased) < each.count for each in now)
        return Erased(record, sum(changed), again, destroyed, salts, forgotten)

    def _touched(self, chain: str, first: int, last: int) -> Iterator[Segment]:
        found = self.ledger.at(chain, first)
        while found is not None and found.first <= last:
            yield found
            found = self.ledger.at(chain, found.next)

    def _recorded(self, wish: Wish, touched: Sequence[Segment]) -> Record:
        """Return the record of this erasure, which is appended where there is none."""
        public = LogKeys(self.log, self.signer.public_key()).of(wish.chain)
        leaves = [leaf for segment in touched for leaf in _leaves(segment, wish.first, wish.last)]
        digest = erasure.digest_of(leaves)
        known = Erasures(wish.chain, public)
        for segment in self.ledger.read(wish.chain, wish.last + 1):
            known.take(segment)
            for record in known.records[-1:]:
                if (record.first, record.last, record.statement.leaves) == (wish.first, wish.last, digest):
                    return record
        reason = sha256(wish.reason.encode()).digest()
        seconds = self.clock() // SECOND
        statement = Statement(public.name, wish.first, wish.last, seconds, digest, reason)
        keys = sorted({segment.key for segment in touched if segment.key})
        entry = erasure.entry(statement, wish.by, wish.reason, keys, public, self.signer.sign)
        service = hashing.service_of(wish.chain)
        context: dict[str, object] = {"service": service, "endpoint": ENDPOINT, "subject": wish.by}
        # Named by all that it says: what is appended again because an answer was lost is found by it.
        batch = Batch(sha256(b"SE1" + entry).digest()[:16], [entry], context)
        cipher = self.cipher if keys or self.encrypted(service) else None
        receipt = self.appender.append(wish.chain, batch, cipher=cipher)
        return erasure.read(entry, receipt.first, public)

    def _replaced(self, wish: Wish, first: int) -> bool:
        """Take the entries out of a segment, in each of its forms; say whether there were any left.

        While it is moved to the archive there are two, and a call that was cut off may have changed one.
        """
        changed = False
        for form, put in self._forms(wish.chain, first):
            after = _without(form, wish.first, wish.last)
            if after is not None:
                made = replace(form, payload=after.pack(), codec=form.codec | CODEC_ERASED)
                put(self._sealed(made))
                changed = True
        return changed

    def _forms(self, chain: str, first: int) -> Iterator[tuple[Segment, Callable[[Segment], None]]]:
        stored = self.segments.at(chain, first)
        if stored is not None:
            yield self.opens(stored), partial(self._put, stored)
        if self.archive is not None:
            archived = self.archive.at(chain, first)
            if archived is not None:
                yield self.opens(archived), partial(self._put, archived, store=self.archive)

    def _put(
        self, before: Segment, segment: Segment, store: Archive | ErasableSegments | None = None
    ) -> None:
        if not (store or self.segments).replace(segment, before):
            raise Unavailable(f"somebody else changed the segment at {segment.first}: run it again", 1.0)

    def _sealed(self, segment: Segment) -> Segment:
        """Encrypt a segment whose payload is in the clear, where it was encrypted before."""
        if not segment.key:
            return segment
        key, payload = self.cipher.seal(segment.payload, segment.place)
        return replace(segment, payload=payload, key=key)

    def _rotate(self, chain: str, record: Record, forgotten: Forgotten) -> tuple[int, int]:
        """Encrypt anew what stays of the record's data keys, and destroy those that nobody can be using."""
        again = destroyed = 0
        made = dict(self.keys().ids(chain)) if record.keys else {}
        doomed = {key for key in record.keys if key in made}
        if not doomed:
            return 0, 0
        for _ in range(TRIES):
            these = list(self._under(chain, doomed))
            if not these:
                break
            again += sum(self._reencrypted(chain, first, doomed) for first in these)
        else:
            raise Unavailable("others write to this chain with the keys that are to go", 1.0)
        for key in sorted(doomed):
            free = made[key] + USED + MARGIN
            # Nobody writes with it from then on; and what came since the look above is looked for once more.
            if self.clock() < free or any(self._under(chain, {key})):
                when = max(free, self.clock()) // SECOND + 1
                forgotten.unfinished.append(
                    f"data key {key} may be in use: run the same command after {when} (epoch seconds)"
                )
                continue
            self.keys().destroy(chain, key)
            destroyed += 1
        return again, destroyed

    def _under(self, chain: str, keys: set[str]) -> Iterator[int]:
        """Yield where the segments begin that have a form which is encrypted under one of these keys."""
        archived = self.archive.read(chain) if self.archive is not None else iter(())
        both = chained(self.segments.read(chain), archived)
        yield from sorted({segment.first for segment in both if segment.key in keys})

    def _reencrypted(self, chain: str, first: int, keys: set[str]) -> bool:
        done = False
        for form, put in self._forms(chain, first):
            if form.key in keys and form.opener is not None:
                put(self._sealed(replace(form, payload=form.opener.open(form))))
                done = True
        return done


def _leaves(segment: Segment, first: int, last: int) -> list[bytes]:
    return segment.opened.leaves()[max(first - segment.first, 0) : last - segment.first + 1]


def _target(wish: Wish, touched: Sequence[Segment], record: int) -> Target:
    entries = {
        segment.first + at: (segment, entry)
        for segment in touched
        for at, entry in enumerate(segment.opened.entries)
        if wish.first <= segment.first + at <= wish.last and at not in segment.opened.erased
    }
    return Target(wish.chain, wish.first, wish.last, entries, record, wish.tasks)


def _without(segment: Segment, first: int, last: int) -> Opened | None:
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
