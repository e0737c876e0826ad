"""Erase: the content of entries goes, out of every store; their hashes stay, and the chain says so itself.

The order is what makes it safe to be cut off anywhere and run again. The record comes first. Then the places
beside the ledger, which are found by what the entries say. Then the ledger and the archive. Then the data
keys: a key is destroyed only when nothing that is to stay is encrypted under it, and nobody can be writing
with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from sentinel.core import chain as hashing
from sentinel.core import erasure
from sentinel.core.erasure import ENDPOINT, Erasures, Record
from sentinel.core.erasure_notes import Asked, check_chain
from sentinel.core.notes import Key
from sentinel.core.payload import Cipher
from sentinel.core.segment import Batch, Segment
from sentinel.errors import Malformed, Missing, TooLarge, Unavailable
from sentinel.ports import Ledger
from sentinel.ports_erasure import ErasableSegments, Recorder
from sentinel.ports_log import Archive, DataKeys
from sentinel.usecases.append import Appender
from sentinel.usecases.encryption import USED
from sentinel.usecases.erase_forms import Forms, without
from sentinel.usecases.erase_from import Forgotten, Place, Target, Wish
from sentinel.usecases.seal import LogKeys

SECOND = 1_000_000_000
# Beyond the time for which a writer uses a key: what it still sends when that is over, and clocks that
# differ.
MARGIN = 600 * SECOND
TRIES = 5
NEAR = 100  # entries behind a record among which whoever looks for it finds it at once (`erased.SPAN`)
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
    data keys. `clock` gives epoch nanoseconds. `feed` is for how many of them the change feed may hand
    a new segment to detection as it was: 0 where it tells of places alone.
    """

    ledger: Ledger
    segments: ErasableSegments
    opens: Callable[[Segment], Segment]
    appender: Appender
    recorder: Recorder
    log: str
    keys: Callable[[], DataKeys]
    cipher: Cipher
    encrypted: Callable[[str], bool]
    places: Sequence[Place]
    clock: Callable[[], int]
    archive: Archive | None = None
    feed: int = 0

    @property
    def _forms(self) -> Forms:
        return Forms(self.segments, self.opens, self.cipher, self.archive)

    def plan(self, wish: Wish) -> tuple[Wish, list[Segment]]:
        """Return a wish with its range as it will be, and the segments that it touches; nothing is changed.

        Raises `Missing` where the chain has not all of the entries, `Malformed` and `Forbidden` for what may
        not be erased.
        """
        check_chain(wish.chain)
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
            after = without(segment, wish.first, wish.last)
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
        places = [each.first for each in touched]
        changed = self._forms.without(wish.chain, places, wish.first, wish.last)
        self._check_fed(touched, forgotten)
        again, destroyed = self._rotate(wish.chain, record, forgotten)
        self.segments.compact()
        if self.archive is not None:
            # Runs that an archiver was killed over are in no place but there.
            stays = self.archive.tidy(wish.chain)
            forgotten.left += [stays] if stays else []
        for place in self.places:
            place.compact()
        if self._forms.put_back(wish.chain, places, wish.first, wish.last):
            forgotten.unfinished.append("some was archived meanwhile as it was: run the same command again")
        now = list(self._touched(wish.chain, wish.first, wish.last))
        salts = any(len(each.opened.erased) < each.count for each in now)
        return Erased(record, len(changed), again, destroyed, salts, forgotten)

    def _check_fed(self, touched: Sequence[Segment], forgotten: Forgotten) -> None:
        """Say until when detection may still be given these entries, and make of them what quotes them."""
        until = max(segment.t for segment in touched) + self.feed
        if self.feed and self.clock() <= until:
            forgotten.unfinished.append(
                "detection may still be given these entries by the change feed as they were, and make tasks "
                f"and alerts of them: run the same command after {until // SECOND + 1} (epoch seconds)"
            )

    def _touched(self, chain: str, first: int, last: int) -> Iterator[Segment]:
        """Yield the segments that have these entries, up to the first that is missing."""
        found = self.ledger.at(chain, first)
        if found is None:
            return
        yield found
        for segment in self.ledger.read(chain, found.next):
            if segment.first > last or segment.first != found.next:
                return
            yield (found := segment)

    def _recorded(self, wish: Wish, touched: Sequence[Segment]) -> Record:
        """Return the record of this erasure, which is appended where there is none.

        One of an erasure that was cut off is repeated where others came behind it since: who looks at what
        changes now looks for its record from the chain's end on, and not without end.
        """
        public = LogKeys(self.log, self.recorder.public_key()).of(wish.chain)
        leaves = [leaf for segment in touched for leaf in _leaves(segment, wish.first, wish.last)]
        digest = erasure.digest_of(leaves)
        found, end = self._earlier(wish, digest, public)
        left = [each for each in touched if without(each, wish.first, wish.last) is not None]
        if found is not None and not (left and end - found.seq > NEAR):
            return found
        reason = sha256(wish.reason.encode()).digest()
        asked = Asked(public.name, wish.first, wish.last, digest, reason)
        note = asked.answered(self.recorder.record(asked), public)
        keys = sorted({*(found.keys if found else ()), *(each.key for each in left if each.key)})
        entry = erasure.entry(note, wish.by, wish.reason, keys)
        service = hashing.service_of(wish.chain)
        context: dict[str, object] = {"service": service, "endpoint": ENDPOINT, "subject": wish.by}
        # Named by all that it says: what is appended again because an answer was lost is found by it.
        batch = Batch(sha256(b"SE1" + entry).digest()[:16], [entry], context)
        cipher = self.cipher if keys or self.encrypted(service) else None
        receipt = self.appender.append(wish.chain, batch, cipher=cipher)
        return erasure.read(entry, receipt.first, public)

    def _earlier(self, wish: Wish, digest: bytes, public: Key) -> tuple[Record | None, int]:
        """Return the newest record of this very erasure, and where the chain ends."""
        known = Erasures(wish.chain, public)
        found: Record | None = None
        end = wish.last + 1
        for segment in self.ledger.read(wish.chain, end):
            known.take(segment)
            end = segment.next
            for record in known.records[-1:]:
                if (record.first, record.last, record.statement.leaves) == (wish.first, wish.last, digest):
                    found = record
        return found, end

    def _rotate(self, chain: str, record: Record, forgotten: Forgotten) -> tuple[int, int]:
        """Encrypt anew what stays of the record's data keys, and destroy those that nobody can be using."""
        again = destroyed = 0
        made = dict(self.keys().ids(chain)) if record.keys else {}
        doomed = {key for key in record.keys if key in made}
        if not doomed:
            return 0, 0
        for _ in range(TRIES):
            these = sorted({first for first, _ in self._forms.under(chain, doomed)})
            if not these:
                break
            again += len(self._forms.reencrypted(chain, these, doomed))
        else:
            raise Unavailable("others write to this chain with the keys that are to go", 1.0)
        now = self.clock()
        free = {key: made[key] + USED + MARGIN for key in sorted(doomed)}
        idle = {key for key, when in free.items() if when <= now}
        # Nobody writes with these from now on; and what came since the look above is looked for once more.
        used = {key for _, key in self._forms.under(chain, idle)} if idle else set()
        for key, when in free.items():
            if key in idle - used:
                self.keys().destroy(chain, key)
                destroyed += 1
                continue
            forgotten.unfinished.append(
                f"data key {key} may be in use: run the same command after {max(when, now) // SECOND + 1} "
                "(epoch seconds)"
            )
        return again, destroyed


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
