"""Erase: cut off at any call and run again it ends as if it had not been; nothing that stays is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_keys import SqliteDataKeys
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.wrapping_keys import WrappingKeys
from sentinel.core import tripwire
from sentinel.core.erasure import Erasures, Record
from sentinel.core.erasure_notes import Asked
from sentinel.core.segment import Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, Tampered, TooLarge, Unavailable
from sentinel.usecases import erased_memory
from sentinel.usecases.encryption import FRESH, SECOND, USED, Keyring, OpenedLedger
from sentinel.usecases.erase import MARGIN, NEAR, Eraser
from sentinel.usecases.erase_from import Forgotten, Target, Wish
from sentinel.usecases.erased import Records
from sentinel.usecases.inspect import exported
from sentinel.usecases.record import LogRecorder
from sentinel.usecases.seal import LogKeys
from tests.faults_calls import Faults
from tests.writers import CHAIN, Clock, appender, numbered

LOG = "sentinel.test"


@dataclass
class Elsewhere:
    """A place that remembers what it was asked to forget."""

    asked: list[Target] = field(default_factory=list)

    def forget(self, target: Target) -> Forgotten:
        self.asked.append(target)
        return Forgotten({"things": len(target.entries)})

    def compact(self) -> None:
        pass


@dataclass
class FolderArchive:
    """An archive in memory: `ports_log.Archive` as far as an erasure asks for it."""

    held: dict[int, Segment] = field(default_factory=dict)
    tidied: str = ""
    stays: str = ""

    def store(self, segments: Sequence[Segment]) -> None:
        self.held |= {segment.first: replace(segment, opener=None) for segment in segments}

    def replace(self, segment: Segment, before: Segment) -> bool:
        there = self.held.get(segment.first) in (before, segment)
        if there:
            self.held[segment.first] = replace(segment, opener=None)
        return there

    def replace_all(self, changes: Sequence[tuple[Segment, Segment]]) -> bool:
        return all(self.replace(*each) for each in changes)

    def tidy(self, chain: str) -> str:
        self.tidied = chain
        return self.stays

    def at(self, chain: str, seq: int) -> Segment | None:
        return next((each for each in self.held.values() if each.first <= seq < each.next), None)

    def read(self, chain: str, first: int = 0) -> Iterator[Segment]:
        return (each for number, each in sorted(self.held.items()) if number >= first)


class World:
    """One machine; `encrypted` says whether its service has data keys."""

    def __init__(self, folder: Path, *, encrypted: bool) -> None:
        self.encrypted = encrypted
        self.clock = Clock()
        wrapping = WrappingKeys(folder / "data.key", os.urandom, create=True)
        self.keys = SqliteDataKeys(folder / "keys.db", wrapping, self.clock, os.urandom)
        self.stored = SqliteLedger(folder / "ledger.db")
        self.signer = FileLogKey(folder / "log.key", create=True)
        self.ring = self.keyring()
        self.ledger = OpenedLedger(self.stored, self.ring.opens)
        self.elsewhere = Elsewhere()
        self.archive: FolderArchive | None = None
        self.writer = appender(self.ledger, self.clock)

    def keyring(self) -> Keyring:
        return Keyring(lambda: self.keys, self.clock, os.urandom)

    def append(self, *names: int) -> None:
        for name in names:
            self.writer.append(CHAIN, numbered(name), cipher=self.ring if self.encrypted else None)

    def eraser(self, faults: Faults | None = None) -> Eraser:
        """Return what another process erases with; its ports fail as told."""
        wrap = _plainly if faults is None else faults.wrap
        ring = Keyring(lambda: wrap("keys", self.keys), self.clock, os.urandom)
        stored = wrap("segments", self.stored)
        ledger = OpenedLedger(stored, ring.opens)
        return Eraser(
            ledger=ledger,
            segments=stored,
            opens=ring.opens,
            appender=appender(ledger, self.clock, seed=7),
            recorder=wrap("recorder", LogRecorder(self.signer, LOG, self.clock)),
            log=LOG,
            keys=lambda: wrap("keys", self.keys),
            cipher=ring,
            encrypted=lambda _: self.encrypted,
            places=[wrap("elsewhere", self.elsewhere)],
            clock=self.clock,
            archive=wrap("archive", self.archive) if self.archive else None,
        )

    def later(self) -> None:
        """Let so much time pass that nobody writes with a key of now."""
        self.clock.now += USED + MARGIN + SECOND

    def entries(self) -> list[object]:
        """Return what an export shows of all entries; the chain verifies, and each erasure is recorded."""
        ring = self.keyring()
        checked = Verifier(CHAIN)
        erasures = Erasures(CHAIN, LogKeys(LOG, self.signer.public_key()).of(CHAIN))
        found: list[object] = []
        leaves: list[bytes] = []
        for segment in map(ring.opens, self.stored.read(CHAIN)):
            checked.check(segment)
            erasures.take(segment)
            leaves += segment.opened.leaves()
            told: Any = exported(segment)["entries"]
            found += told
        assert list(erasures.check(lambda first, last: leaves[first : last + 1])) == []
        return found

    def records(self) -> list[Record]:
        """Return the records that the chain has."""
        found = Erasures(CHAIN, LogKeys(LOG, self.signer.public_key()).of(CHAIN))
        for segment in self.ledger.read(CHAIN):
            found.take(segment)
        return found.records

    def sealed_under(self) -> list[str]:
        return [segment.key for segment in self.stored.read(CHAIN)]


@pytest.fixture(params=["own", "store"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    """A machine with three batches of two entries."""
    made = World(tmp_path, encrypted=request.param == "own")
    made.append(1, 2, 3)
    return made


def _plainly(_: str, port: Any) -> Any:
    return port


def wish(first: int, last: int, *, whole: bool = False) -> Wish:
    """Ask for an erasure."""
    return Wish(CHAIN, first, last, "request 12", "ada", whole)


def plain(*names: int) -> list[object]:
    """Return the entries of batches as an export shows them."""
    return [entry.decode() for name in names for entry in numbered(name).entries]


def test_erased_entries_are_leaves_and_all_others_stay(world: World) -> None:
    """The record stands behind; its entry says who and why; the chain is whole."""
    before = world.entries()
    found = world.eraser().erase(wish(1, 2))
    after = world.entries()
    assert [each for each in after if isinstance(each, dict) and "erased" in each] == after[1:3]
    assert [after[0], *after[3:6]] == [before[0], *before[3:6]]
    assert (found.record.seq, found.record.by, found.record.reason) == (6, "ada", "request 12")
    assert (found.segments, found.salts_stay) == (2, True)
    assert [sorted(each.entries) for each in world.elsewhere.asked] == [[1, 2]]


def test_whole_segments_leave_nothing_to_test_guesses_with(world: World) -> None:
    """Nonce and context go with the last entry of a segment; the record has all that went."""
    found = world.eraser().erase(wish(1, 2, whole=True))
    assert (found.record.first, found.record.last, found.salts_stay) == (0, 3, False)
    for segment in list(world.ledger.read(CHAIN))[:2]:
        assert (segment.opened.nonce, segment.opened.context) == (bytes(32), b"{}")
    assert world.entries()[4:6] == plain(3)


def test_the_same_again_changes_nothing(world: World) -> None:
    """It finds its record; no second one is made."""
    first = world.eraser().erase(wish(0, 1))
    before = list(world.stored.read(CHAIN))
    again = world.eraser().erase(wish(0, 1))
    assert (again.record, again.segments) == (first.record, 0)
    assert list(world.stored.read(CHAIN)) == before


def test_what_overlaps_is_recorded_by_itself(world: World) -> None:
    """Erasing more than before makes a record of all of it, over the same leaves."""
    world.eraser().erase(wish(1, 1))
    found = world.eraser().erase(wish(0, 3))
    assert (found.record.first, found.record.last, found.segments) == (0, 3, 2)
    world.entries()


@pytest.mark.parametrize("span", [(0, 6), (7, 7), (3, 2), (-1, 0)])
def test_what_is_not_there_cannot_be_erased(world: World, span: tuple[int, int]) -> None:
    """A range that the chain has not all of is refused, and nothing is changed."""
    before = list(world.stored.read(CHAIN))
    with pytest.raises((Missing, Malformed)):
        world.eraser().erase(wish(*span))
    assert list(world.stored.read(CHAIN)) == before
    assert world.elsewhere.asked == []


@pytest.mark.parametrize("reason", ["", " ", "x" * 1001])
def test_a_reason_is_needed(world: World, reason: str) -> None:
    """An erasure says why, in few words."""
    with pytest.raises(Malformed, match="reason"):
        world.eraser().erase(replace(wish(0, 0), reason=reason))


def test_a_record_stays(world: World) -> None:
    """The record of an erasure cannot be erased."""
    seq = world.eraser().erase(wish(0, 0)).record.seq
    with pytest.raises(Malformed, match="record"):
        world.eraser().erase(wish(seq, seq))


def test_what_the_tripwire_told_stays(world: World) -> None:
    """Its alerts hold nothing of anybody's, and who erases may be whom they tell of."""
    with pytest.raises(Forbidden, match="tripwire"):
        world.eraser().erase(replace(wish(0, 0), chain=tripwire.CHAIN))


@dataclass
class Lying:
    """A recorder that signs something else than it is asked for, or by another key."""

    real: LogRecorder
    signer: FileLogKey
    change: dict[str, Any]

    def public_key(self) -> bytes:
        return self.real.public_key()

    def record(self, asked: Asked) -> bytes:
        return replace(self.real, signer=self.signer).record(replace(asked, **self.change))


@pytest.mark.parametrize("change", [{"first": 0}, {"leaves": bytes(32)}, {"origin": f"{LOG}/other/0"}, {}])
def test_a_record_of_something_else_is_not_appended(
    world: World, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Whatever comes back is held against what was asked, and the log's key, before anything is changed."""
    real = LogRecorder(world.signer, LOG, world.clock)
    other = world.signer if change else FileLogKey(tmp_path / "other.key", create=True)
    before = list(world.stored.read(CHAIN))
    eraser = replace(world.eraser(), recorder=Lying(real, other, change))
    with pytest.raises(Forbidden, match="nothing was erased"):
        eraser.erase(wish(1, 2))
    assert list(world.stored.read(CHAIN)) == before
    assert world.elsewhere.asked == []
    assert replace(eraser, recorder=Lying(real, world.signer, {})).erase(wish(1, 2)).record.seq == 6


def test_a_retry_of_an_erased_batch_gets_its_old_receipt(world: World) -> None:
    """A producer that sends it once more does not bring it back."""
    world.eraser().erase(wish(0, 1))
    cold = appender(world.ledger, world.clock, seed=3)
    receipt = cold.append(CHAIN, numbered(1), cipher=world.ring if world.encrypted else None)
    assert (receipt.first, receipt.count) == (0, 2)
    assert len(world.entries()) == 7
    with pytest.raises(Conflict):
        cold.append(CHAIN, replace(numbered(2), entries=[b'{"b":2,"i":0}', b"{}"]))


def test_a_data_key_goes_when_nobody_can_be_using_it(tmp_path: Path) -> None:
    """What stays is encrypted anew; the old key goes an hour later, and everything else can be read."""
    world = World(tmp_path, encrypted=True)
    world.append(1, 2)
    (old,) = set(world.sealed_under())
    found = world.eraser().erase(wish(0, 1))
    assert (found.again, found.keys, len(found.forgotten.unfinished)) == (1, 0, 1)
    assert old not in world.sealed_under()
    world.append(3)  # the warm writer goes on with the key that is to go
    assert old in world.sealed_under()
    world.clock.now += FRESH
    assert world.eraser().erase(wish(0, 1)).keys == 0
    assert world.keys.open(CHAIN, old)
    world.later()
    found = world.eraser().erase(wish(0, 1))
    assert (found.keys, found.forgotten.unfinished) == (1, [])
    with pytest.raises(Missing):
        world.keys.open(CHAIN, old)
    held = world.entries()
    assert [each for each in plain(2, 3) if each not in held] == []
    assert world.eraser().erase(wish(0, 1)).json()["keys_destroyed"] == 0


def test_the_chain_is_looked_through_as_often_for_many_keys_as_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A month's entries are under a thousand keys, and reading ten million entries takes minutes."""
    world = World(tmp_path, encrypted=True)
    for name in range(1, 7):
        world.append(name)
        world.clock.now += USED
    world.later()
    looks: list[int] = []
    read = world.stored.read

    def counted(chain: str, first: int = 0, limit: int | None = None) -> Iterator[Segment]:
        looks.append(first)
        return read(chain, first, limit)

    monkeypatch.setattr(world.stored, "read", counted)
    found = world.eraser().erase(wish(0, 11))
    assert found.keys == 6
    assert looks.count(0) == 2  # what is under these keys, and once more when nobody writes with them
    assert len(looks) == 5  # what is to be erased and what was is read in one go each


def test_what_detection_may_still_be_given_is_not_finished(world: World) -> None:
    """A feed that is behind has entries as they were: it is said until when to look again, and no longer."""
    eraser = replace(world.eraser(), feed=7_200 * SECOND)
    stored = max(segment.t for segment in world.stored.read(CHAIN))
    (told,) = (each for each in eraser.erase(wish(0, 5)).forgotten.unfinished if "feed" in each)
    assert f"after {stored // SECOND + 7_201} " in told
    world.clock.now = stored + 7_200 * SECOND
    assert "feed" in str(eraser.erase(wish(0, 5)).forgotten.unfinished)
    world.clock.now += 1
    assert "feed" not in str(eraser.erase(wish(0, 5)).forgotten.unfinished)
    assert len(world.elsewhere.asked) == 3


def test_a_copy_of_the_old_segment_opens_no_more(tmp_path: Path) -> None:
    """Once the key is gone a backup of the table gives nothing away."""
    world = World(tmp_path, encrypted=True)
    world.append(1)
    (copy,) = world.stored.read(CHAIN)
    world.later()
    world.eraser().erase(wish(0, 1))
    with pytest.raises(Tampered, match="its data key is gone"):
        world.keyring().opens(copy).opened  # noqa: B018 - opening is what is looked at


def test_both_forms_of_a_segment_on_its_way_to_the_archive_are_erased(world: World) -> None:
    """Whichever of the two an earlier call has changed."""
    world.archive = FolderArchive()
    world.archive.store(list(world.stored.read(CHAIN))[:2])
    world.archive.stays = "older versions"
    assert world.eraser().erase(wish(0, 0)).forgotten.left == ["older versions"]
    (archived, stored) = (each.at(CHAIN, 0) for each in (world.archive, world.stored))
    assert archived is not None
    assert stored is not None
    for form in (archived, stored):
        assert list(world.keyring().opens(form).opened.erased) == [0]
    world.archive.store([replace(world.keyring().opens(stored), opener=None)])
    world.eraser().erase(wish(0, 1))
    for again in (world.archive.at(CHAIN, 0), world.stored.at(CHAIN, 0)):
        assert again is not None
        assert list(world.keyring().opens(again).opened.erased) == [0, 1]
    assert world.archive.tidied == CHAIN  # what an archiver was killed over has them, too


def test_what_is_archived_meanwhile_as_it_was_is_told(world: World) -> None:
    """Who archives has read the table before, and puts what he read when the archive was changed already."""
    world.archive = archive = FolderArchive()
    before = list(world.stored.read(CHAIN))[:2]

    class Slow(Elsewhere):
        def compact(self) -> None:
            if not archive.held:
                archive.store(before)

    world.elsewhere = Slow()
    found = world.eraser().erase(wish(0, 2))
    assert [each for each in found.forgotten.unfinished if "as it was" in each]
    world.later()
    assert world.eraser().erase(wish(0, 2)).forgotten.unfinished == []
    for form in map(world.keyring().opens, archive.held.values()):
        assert len(form.opened.erased) == min(form.next, 3) - form.first


def test_somebody_else_s_change_of_a_segment_is_not_undone(world: World) -> None:
    """The ledger's table takes a change only in the place of what was read."""
    (first, *_) = world.stored.read(CHAIN)
    world.eraser().erase(wish(0, 0))
    assert not world.stored.replace(replace(first, payload=b"x"), first)
    assert not world.stored.replace(first, replace(first, head=bytes(32)))
    kinds = [change.kind for change in world.stored.changes(0, 100)]
    assert kinds.count("MODIFY") == (3 if world.encrypted else 1)


def test_leaves_that_do_not_fit_are_refused_before_anything_is_changed(world: World) -> None:
    """Entries that are nearly alike compress to less than their leaves; the whole segment always has room."""
    lines = [b'{"a":%d}' % n for n in range(9_000)]
    lines += [b'{"b":"%s"}' % os.urandom(150).hex().encode() for _ in range(1_000)]
    world.writer.append(CHAIN, replace(numbered(9), entries=lines), cipher=world.ring)
    before = list(world.stored.read(CHAIN))
    with pytest.raises(TooLarge, match="whole-segments"):
        world.eraser().erase(wish(6, 9_005))
    assert list(world.stored.read(CHAIN)) == before
    assert world.elsewhere.asked == []
    world.eraser().erase(wish(6, 9_005, whole=True))
    assert max(len(each.payload) for each in world.stored.read(CHAIN)) <= 390_000


def test_a_record_of_many_segments_is_held_against_the_chain_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its segments is looked at when it changes; all leaves are hashed for the first alone."""
    world.append(*range(4, 30))
    world.eraser().erase(wish(0, 57, whole=True))
    records = Records(world.ledger, lambda: LogKeys(LOG, world.signer.public_key()))
    erased = [each for each in world.ledger.read(CHAIN) if each.first < 58]
    assert [records.cover(each) for each in erased[:1]] == [True]
    monkeypatch.setattr(OpenedLedger, "read", lambda *_: pytest.fail("the chain was read again"))
    assert all(records.cover(each) for each in erased)


def test_an_erasure_that_goes_on_much_later_is_recorded_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks at what it changes finds a record near the chain's end; one that is done is not repeated."""
    faults = Faults(fails=lambda _: faults.log[-1] == "segments.replace")
    with pytest.raises(Unavailable):
        world.eraser(faults).erase(wish(0, 3))
    world.append(*range(4, 4 + NEAR // 2 - 1))
    (first,) = world.records()
    assert world.eraser(faults).plan(wish(0, 3))
    with pytest.raises(Unavailable):  # no more than so many came behind it
        world.eraser(faults).erase(wish(0, 3))
    world.append(100)
    world.clock.now += SECOND
    keys = {segment.key for segment in world.stored.read(CHAIN) if segment.first < 4} - {""}
    told = world.eraser().erase(wish(0, 3))
    again = world.records()[-1]
    assert told.record == again
    assert (again.first, again.last, again.statement.leaves) == (0, 3, first.statement.leaves)
    assert set(again.keys) == set(first.keys) == keys
    for name in ("ALLOWANCE", "LEAST"):  # of a look at what it changed
        monkeypatch.setattr(erased_memory, name, 1)
    records = Records(world.ledger, lambda: LogKeys(LOG, world.signer.public_key()))
    assert [records.unrecorded(each) for each in world.ledger.read(CHAIN, 0, 2)] == [None, None]
    world.append(*range(200, 200 + NEAR))
    world.later()
    assert world.eraser().erase(wish(0, 3)).forgotten.unfinished == []
    assert len(world.records()) == 2
    assert [bool(isinstance(each, dict)) for each in world.entries()[:4]] == [True] * 4


def test_two_at_once_undo_nothing_in_the_archive(world: World) -> None:
    """Who read an archived segment before another erased in it does not put that back."""
    world.archive = FolderArchive()
    world.archive.store(list(world.stored.read(CHAIN))[:2])
    slow = world.eraser()._forms
    seen: list[Segment] = []

    def meanwhile(form: Segment) -> Segment | None:
        seen.append(form)
        if len(seen) == 1:  # the table's
            return None
        world.eraser().erase(wish(0, 0))
        return slow._sealed(replace(form, payload=form.opener.open(form) if form.opener else form.payload))

    with pytest.raises(Unavailable):
        slow._changed(CHAIN, [0], meanwhile)
    assert len(seen) == 2
    held = world.archive.at(CHAIN, 0)
    assert held is not None
    assert list(world.keyring().opens(held).opened.erased) == [0]


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "answer lost"])
@pytest.mark.parametrize("archived", [False, pytest.param(True, marks=pytest.mark.nightly)])
def test_cut_off_at_any_call_and_run_again(
    world: World, tmp_path: Path, applied: bool, archived: bool
) -> None:
    """After each interruption all that is to stay can be read; the next run completes it, with one record."""
    if archived:
        world.archive = FolderArchive()
        world.archive.store(list(world.stored.read(CHAIN))[:1])
    kept = plain(2)[1:] + plain(3)
    for at in range(1, 200):
        faults = Faults(fails=lambda call, at=at: call == at, applied=applied)  # type: ignore[misc]
        try:
            world.eraser(faults).erase(wish(0, 2))
        except Unavailable:
            held = world.entries()
            assert [each for each in kept if each not in held] == []
            continue
        if faults.calls < at:
            break
    else:
        raise AssertionError("it never came to an end")
    world.later()
    assert world.eraser().erase(wish(0, 2)).forgotten.unfinished == []
    held = world.entries()
    assert [bool(isinstance(each, dict)) for each in held[:3]] == [True] * 3
    assert held[3:6] == kept
    assert len(held) == 7, "more than one record"
    del tmp_path
