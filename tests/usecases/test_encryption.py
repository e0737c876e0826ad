"""Encryption: what is stored is sealed for its place, keys are kept within bounds, never in the clear."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest

from sentinel.adapters.sqlite_keys import SqliteDataKeys
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.adapters.wrapping_keys import WrappingKeys
from sentinel.core.payload import CODEC_SEALED, CODEC_ZSTD, Place
from sentinel.core.segment import Head, Segment
from sentinel.core.verify import Verifier
from sentinel.errors import Forbidden, Missing, Tampered, Unavailable
from sentinel.ports import SlotTaken
from sentinel.usecases import encryption
from sentinel.usecases.append import Appender
from sentinel.usecases.encryption import FRESH, KEPT, MESSAGES, SECOND, USED, Keyring, OpenedLedger
from sentinel.usecases.ingest import Ingest, Origin
from tests.chains import batch, grow
from tests.faults_calls import Faults
from tests.writers import CHAIN, Clock, appender, entries_of, numbered

MARK = b'{"secret":"xyzzy-plugh"}'


@dataclass
class World:
    """One machine's ledger and data keys, and a keyring over them; `away` has the key service not answer."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        wrapping = WrappingKeys(self.folder / "data.key", os.urandom, create=True)
        self.keys = SqliteDataKeys(self.folder / "keys.db", wrapping, self.clock, os.urandom)
        self.stored = SqliteLedger(self.folder / "ledger.db")
        self.ring = self.keyring()
        self.ledger = OpenedLedger(self.stored, self.ring.opens)

    def keyring(self) -> Keyring:
        """Return the keyring of another process."""
        return Keyring(lambda: self.faults.wrap("keys", self.keys), self.clock, os.urandom)

    def away(self) -> None:
        self.faults.fails = lambda _: True

    def append(self, name: int, ring: Keyring | None = None, by: Appender | None = None) -> None:
        """Append a batch of two entries, encrypted."""
        (by or appender(self.ledger, self.clock)).append(CHAIN, numbered(name), cipher=ring or self.ring)

    @property
    def used(self) -> list[str]:
        """The data keys of the stored segments, in order."""
        return [segment.key for segment in self.stored.read(CHAIN)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An empty one."""
    return World(tmp_path)


def test_what_is_stored_cannot_be_read_without_a_key(world: World) -> None:
    """No byte of an entry or of its context stands in the file, and a reader without keys is told why."""
    appender(world.ledger, world.clock).append(CHAIN, batch(1, [MARK], endpoint="/plover"), cipher=world.ring)
    (segment,) = world.stored.read(CHAIN)
    assert segment.codec == CODEC_ZSTD | CODEC_SEALED
    assert segment.key
    files = [each.read_bytes() for each in world.folder.iterdir()]
    assert not any(b"plugh" in each or b"plover" in each for each in files)
    with pytest.raises(Forbidden, match="encrypted"):
        segment.opened  # noqa: B018 - opening is what is looked at


def test_an_encrypted_chain_is_whole_for_who_has_the_keys(world: World) -> None:
    """It verifies, also for another process; entries come out as they went in."""
    for name in range(1, 4):
        world.append(name)
    expected = [entry for name in range(1, 4) for entry in numbered(name).entries]
    assert entries_of(OpenedLedger(world.stored, world.keyring().opens)) == expected


def test_a_warm_append_asks_nobody_for_a_key(world: World) -> None:
    """One key is made for many segments of a chain."""
    writer = appender(world.ledger, world.clock)
    for name in range(1, 6):
        world.append(name, by=writer)
    assert world.faults.log == ["keys.make"]
    assert len(set(world.used)) == 1


@pytest.mark.parametrize(
    "change", ["chain", "first", "count", "prev", "t", "key", "payload", "nonce", "cut", "gone"]
)
def test_a_payload_is_bound_to_its_place_and_key(world: World, change: str) -> None:
    """Whatever of its place, its key or itself is changed: it does not open."""
    world.append(1)
    (segment,) = world.ledger.read(CHAIN)
    payload = segment.payload
    other, _ = world.keys.make(CHAIN)
    changed = {
        "chain": replace(segment, chain="other/0"),
        "first": replace(segment, first=1),
        "count": replace(segment, count=3),
        "prev": replace(segment, prev=bytes(32)),
        "t": replace(segment, t=segment.t + 1),
        "key": replace(segment, key=other),
        "payload": replace(segment, payload=payload[:-1] + bytes([payload[-1] ^ 1])),
        "nonce": replace(segment, payload=bytes([payload[0] ^ 1]) + payload[1:]),
        "cut": replace(segment, payload=payload[:27]),
        "gone": replace(segment, payload=b""),
    }[change]
    if change == "chain":
        world.keys.make("other/0")
    with pytest.raises(Tampered):
        changed.opened  # noqa: B018 - opening is what is looked at


def test_a_codec_that_hides_the_encryption_is_tampered_with(world: World) -> None:
    """A sealed segment whose key or flag was taken away is no plain one."""
    world.append(1)
    (segment,) = world.ledger.read(CHAIN)
    for changed in (replace(segment, key=""), replace(segment, codec=CODEC_ZSTD)):
        with pytest.raises(Tampered, match="codec"):
            changed.opened  # noqa: B018 - opening is what is looked at


def test_nonces_are_never_used_twice(world: World) -> None:
    """The same payload in the same place is another ciphertext each time."""
    place = Place(CHAIN, 0, 1, bytes(32), 1)
    sealed = [world.ring.seal(b"same", place) for _ in range(200)]
    assert len({payload[: encryption.NONCE] for _, payload in sealed}) == 200
    assert len({key for key, _ in sealed}) == 1


def test_data_keys_are_replaced_by_time(world: World) -> None:
    """At `FRESH` another key is made; what the old one sealed is still opened."""
    world.append(1)
    world.clock.now += FRESH - 1
    world.append(2)
    world.clock.now += 1
    world.append(3)
    first, second, third = world.used
    assert (first == second, second == third) == (True, False)
    assert len(entries_of(world.ledger)) == 6


def test_data_keys_are_replaced_by_use(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its messages a key is not used any more, at both sides of the limit. It lies far below 2^32."""
    assert MESSAGES <= 1 << 20
    monkeypatch.setattr(encryption, "MESSAGES", 3)
    place = Place(CHAIN, 0, 1, bytes(32), 1)
    used = [world.ring.seal(b"x", place)[0] for _ in range(7)]
    assert [used.count(key) for key in dict.fromkeys(used)] == [3, 3, 1]


def test_a_clock_that_goes_back_makes_no_key_last_longer(world: World) -> None:
    """A key that would be from the future is replaced."""
    world.append(1)
    world.clock.now -= 10 * SECOND
    place = Place(CHAIN, 2, 1, bytes(32), 1)
    assert world.ring.seal(b"x", place)[0] != world.used[0]


def test_a_clock_that_stands_still_makes_no_key_last_longer(world: World) -> None:
    """Whoever erases on another machine counts the hour of a key by a clock of its own."""
    steady = Clock()
    ring = Keyring(lambda: world.faults.wrap("keys", world.keys), world.clock, os.urandom, steady)
    place = Place(CHAIN, 0, 1, bytes(32), 1)
    first = ring.seal(b"x", place)[0]
    steady.now += FRESH - 1
    assert ring.seal(b"x", place)[0] == first
    steady.now += 1
    second = ring.seal(b"x", place)[0]
    assert second != first
    world.away()
    steady.now += USED - 1
    assert ring.seal(b"x", place)[0] == second
    steady.now += 1
    with pytest.raises(Unavailable):
        ring.seal(b"x", place)


def test_with_a_key_in_hand_appends_go_on_when_the_key_service_is_away(world: World) -> None:
    """Until the key in hand is `USED` old; it is not asked for each time."""
    world.append(1)
    world.away()
    world.clock.now += FRESH + SECOND
    for name in range(2, 5):
        world.append(name)
    assert len(set(world.used)) == 1
    assert world.faults.log == ["keys.make"] * 2
    world.clock.now += encryption.PAUSE
    world.append(5)
    assert world.faults.log == ["keys.make"] * 3
    world.clock.now += USED
    with pytest.raises(Unavailable):
        world.append(6)
    assert len(world.used) == 5


def test_without_a_key_nothing_is_stored(world: World) -> None:
    """A cold writer whose key service is away says so, and nothing is in the ledger."""
    world.away()
    with pytest.raises(Unavailable):
        world.append(1)
    assert list(world.stored.chains()) == []
    world.faults.fails = lambda _: False
    world.append(1)
    assert len(entries_of(world.ledger)) == 2


def test_a_wrapping_key_that_is_gone_has_producers_wait(world: World) -> None:
    """It is no fault of theirs: they are told to come back, not that they may not."""
    (world.folder / "data.key").unlink()
    with pytest.raises(Unavailable, match="nothing was stored"):
        world.append(1)
    assert list(world.stored.chains()) == []


def test_writers_that_know_nothing_of_each_other_share_a_chain(world: World) -> None:
    """Each has a key of its own; a batch that another one stored is recognised, by opening it."""
    other = world.keyring()
    first, second = (
        appender(world.ledger, world.clock),
        appender(OpenedLedger(world.stored, other.opens), world.clock),
    )
    receipts = [
        by.append(CHAIN, numbered(1), cipher=ring) for by, ring in ((first, world.ring), (second, other))
    ]
    assert receipts[0] == receipts[1]
    world.append(2, other, second)
    world.append(3, world.ring, first)
    assert len(set(world.used)) == 2
    assert len(entries_of(world.ledger)) == 6


def test_the_segment_that_took_a_slot_can_be_opened(world: World) -> None:
    """A writer that loses a race gets the winner's segment with what opens it."""
    world.append(1)
    late, _ = numbered(2).draft(0, os.urandom(32)).place(CHAIN, Head.genesis(CHAIN), 1, world.ring)
    with pytest.raises(SlotTaken) as taken:
        world.ledger.append(late)
    assert taken.value.segment.opened.entries == list(numbered(1).entries)


def test_keys_for_opening_are_kept_for_a_while(world: World) -> None:
    """One is asked for once within `KEPT`, and then anew: one that was destroyed is gone by then."""
    world.append(1)
    reader = world.keyring()
    world.faults.log.clear()
    for _ in range(3):
        assert entries_of(OpenedLedger(world.stored, reader.opens))
    assert world.faults.log == ["keys.open"]
    world.keys.make(CHAIN)
    world.keys.destroy(CHAIN, world.used[0])
    assert entries_of(OpenedLedger(world.stored, reader.opens))
    world.clock.now += KEPT + 1
    with pytest.raises(Tampered, match="its data key is gone"):
        entries_of(OpenedLedger(world.stored, reader.opens))


def test_not_more_keys_are_kept_than_there_is_room_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was not used for longest goes."""
    monkeypatch.setattr(encryption, "OPENED", 2)
    for number in range(4):
        chain = f"checkout/{number}"
        appender(world.ledger, world.clock).append(chain, numbered(1), cipher=world.ring)
    assert len(world.ring._opened) == 2
    assert all(entries_of(world.ledger, f"checkout/{number}") for number in range(4))
    assert len(world.ring._opened) == 2


def test_a_machine_without_the_keys_is_told_so(world: World, tmp_path: Path) -> None:
    """Where no data key of a chain is, that is no damage: it is that this reader has no right."""
    world.append(1)
    (tmp_path / "elsewhere").mkdir()
    other = World(tmp_path / "elsewhere")
    with pytest.raises(Forbidden, match="no data keys"):
        entries_of(OpenedLedger(world.stored, other.ring.opens))


def test_threads_share_one_key(world: World) -> None:
    """However many write to a chain at once, one key is made."""
    place = Place(CHAIN, 0, 1, bytes(32), 1)
    found: set[str] = set()
    threads = [threading.Thread(target=lambda: found.add(world.ring.seal(b"x", place)[0])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1


def test_what_is_not_encrypted_is_left_as_it_is(world: World) -> None:
    """A segment without a key is the very same object for a reader: the clear path costs nothing."""
    (segment,) = grow("a/0", [[MARK]])
    assert world.ring.opens(segment) is segment


def _ingest(world: World, ring: Callable[[], Keyring] | None) -> Ingest:
    return Ingest(appender(world.ledger, world.clock), 1, ring)


def test_a_service_s_policy_decides(world: World) -> None:
    """`own` is encrypted, `store` is not, through both ways in."""
    ingest = _ingest(world, lambda: world.ring)
    for policy in ("own", "store"):
        ingest.entries(Origin(policy, "/v1/entries", "r", encryption=policy), MARK, {})
        record = orjson.dumps(
            {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}}]}]}]}
        )
        ingest.logs(Origin(policy, "/v1/logs", "r", encryption=policy), record, {}, "json")
    keys = {chain: [bool(each.key) for each in world.stored.read(chain)] for chain in world.stored.chains()}
    assert keys == {"own/0": [True, True], "store/0": [False, False]}


@pytest.mark.parametrize("policy", ["", "own", "OWN", "none"])
def test_an_unknown_policy_stores_nothing(world: World, policy: str) -> None:
    """Where nobody said what the policy is, or nothing can encrypt, the sender is told to come back."""
    ingest = _ingest(world, None if policy == "own" else lambda: world.ring)
    with pytest.raises(Unavailable, match="nothing was stored"):
        ingest.entries(Origin("checkout", "/v1/entries", "r", encryption=policy), MARK, {})
    assert list(world.stored.chains()) == []


def test_encrypted_and_clear_segments_stand_in_one_chain(world: World) -> None:
    """A policy that changes leaves what is stored as it is; the chain verifies across the seam."""
    by = appender(world.ledger, world.clock)
    by.append(CHAIN, numbered(1))
    by.append(CHAIN, numbered(2), cipher=world.ring)
    by.append(CHAIN, numbered(3))
    checked = Verifier(CHAIN)
    checked.check_all(world.ledger.read(CHAIN))
    assert [bool(each) for each in world.used] == [False, True, False]


def test_a_sealed_segment_s_repr_shows_no_key_material(world: World) -> None:
    """Neither the opener nor a key stands in what is printed of a segment."""
    world.append(1)
    (segment,) = world.ledger.read(CHAIN)
    assert isinstance(segment, Segment)
    assert "Keyring" not in repr(segment)


@pytest.mark.parametrize("refusal", [Forbidden("KMS: AccessDenied"), Missing("no bucket")])
def test_a_retry_that_cannot_be_compared_has_producers_wait(world: World, refusal: Exception) -> None:
    """Who sends again and meets what cannot be opened is told to come back: a refusal would be a loss."""
    origin = Origin("checkout", "/v1/entries", "1", encryption="own")
    headers = {"sentinel-batch-id": "a"}
    first = _ingest(world, lambda: world.ring).entries(origin, MARK, headers)

    def refuse(segment: Segment) -> bytes:
        raise refusal

    ring = world.keyring()
    ring.open = refuse  # type: ignore[method-assign]
    other = Ingest(appender(OpenedLedger(world.stored, ring.opens), world.clock), 1, lambda: ring)
    with pytest.raises(Unavailable, match="send it again"):
        other.entries(origin, MARK, headers)
    assert _ingest(world, lambda: world.ring).entries(origin, MARK, headers) == first
