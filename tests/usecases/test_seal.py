"""Seal: each checkpoint continues what was signed before, of what was read back; nothing else is signed."""

from __future__ import annotations

import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sentinel.core import merkle, tiles
from sentinel.core.notes import Note
from sentinel.errors import Forbidden, Missing, Tampered, Unavailable
from sentinel.usecases.seal import BEFORE, SECOND, Sealed, Sealer
from tests.chains import grow
from tests.faults_calls import Faults, Killed
from tests.sealing import CHAIN, LOG, Log


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Give an empty log."""
    return Log(tmp_path)


def run_sql(log: Log, statement: str, *values: object) -> None:
    """Change the ledger behind its back, as whoever may write to the table."""
    with sqlite3.connect(log.home / "ledger.db") as connection:
        assert connection.execute(statement, values).rowcount == 1
    connection.close()


def lose_tiles(log: Log) -> None:
    """Take all tiles away."""
    shutil.rmtree(log.home / "log" / "checkout%2F0" / "tile")


def stored_tiles(log: Log) -> dict[str, bytes]:
    """Return the tiles by their paths."""
    top = log.home / "log" / "checkout%2F0" / "tile"
    return {str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()}


def stored(log: Log) -> dict[Path, bytes]:
    """Return all files of checkpoints and tiles."""
    return {each: each.read_bytes() for each in (log.home / "log").rglob("*") if each.is_file()}


def copied(source: Path, target: Path) -> None:
    """Make one database file what another is, as who puts a backup back."""
    with sqlite3.connect(source) as before, sqlite3.connect(target) as after:
        before.backup(after)
    before.close()
    after.close()


def refused(log: Log, sealer: Sealer | None = None) -> Tampered:
    """Return what sealing finds; nothing is signed or written for it."""
    before = stored(log)
    signs = Faults()
    with pytest.raises(Tampered) as found:
        replace(sealer or log.sealer(), signer=signs.wrap("signer", log.key)).seal(CHAIN)
    assert "signer.sign" not in signs.log
    assert stored(log) == before
    return found.value


def test_each_minute_has_a_checkpoint_grown_or_not(log: Log) -> None:
    """Numbers follow each other, times too; size and root are those of the ledger; the log signed twice."""
    for count in (3, 0, 5, 0, 0):
        if count:
            log.append(count)
        log.sealer().seal(CHAIN)
        log.now += 60
    assert [(each.checkpoint.size, each.seconds - log.now) for each in log.all()] == [
        (3, -300), (3, -240), (8, -180), (8, -120), (8, -60),
    ]  # fmt: skip
    assert {each.checkpoint.root for each in log.all()} == {log.root(3), log.root(8)}
    assert [each.checkpoint.origin for each in log.all()] == [f"{LOG}/checkout/0"] * 5


def test_a_chain_that_is_not_there_has_no_checkpoint(log: Log) -> None:
    """A chain that never was is `Missing`, so that a slip of the pen makes no log."""
    with pytest.raises(Missing, match="nothing/0"):
        log.sealer().seal("nothing/0")
    assert list(log.notes.chains()) == []


def test_trees_of_every_shape(log: Log) -> None:
    """Below, at and above full tiles: root and tiles are those of the ledger, whatever steps it grew in."""
    for count in (1, 254, 1, 1, 254, 1, 256, 512, 300, 200, 12):
        log.append(count)
        sealed = log.sealer().seal(CHAIN)
        size = sealed.checkpoint.size
        assert sealed.checkpoint.root == log.root(size)
        assert not sealed.rebuilt
        edge = tiles.edge_of(size, lambda path: log.tiles.get(CHAIN, path))
        assert edge is not None
        assert merkle.root(edge.peaks) == sealed.checkpoint.root
    assert log.all()[-1].checkpoint.size == 7 * 256


def test_segments_of_a_version_before_trees(log: Log) -> None:
    """They have no compact range; checkpoints begin with them, end with them, and go on behind them."""
    segments = grow(CHAIN, [[b'{"n":1}'] * 3] * 4, t=log.now * SECOND)
    for number, segment in enumerate(segments):
        log.ledger.append(replace(segment, tree=b"") if number < 2 else segment)
        sealed = log.sealer().seal(CHAIN)
        assert (sealed.checkpoint.size, sealed.rebuilt) == (segment.next, False)
        assert sealed.checkpoint.root == log.root(segment.next)


def test_an_idle_chain_writes_no_tiles(log: Log) -> None:
    """A minute without entries costs no put but that of the checkpoint."""
    log.append(300)
    log.sealer().seal(CHAIN)
    calls = Faults()
    log.sealer(tiles=calls.wrap("tiles", log.tiles), notes=calls.wrap("notes", log.notes)).seal(CHAIN)
    assert not {"tiles.put", "tiles.put_all"} & set(calls.log)
    assert calls.log.count("notes.put") == 1
    assert calls.log.count("tiles.get") <= 4


def test_tiles_that_were_lost_are_written_anew(log: Log) -> None:
    """Tiles are made from the ledger again, where that has the tree that was signed."""
    log.append(700)
    log.sealer().seal(CHAIN)
    kept = stored_tiles(log)
    lose_tiles(log)
    log.append(10)
    sealed = log.sealer().seal(CHAIN)
    assert sealed.rebuilt
    assert sealed.checkpoint.root == log.root(710)
    assert {path: tile for path, tile in kept.items() if ".p" not in path}.items() <= stored_tiles(
        log
    ).items()
    assert not log.sealer().seal(CHAIN).rebuilt


@pytest.mark.parametrize("path", ["0/002.p/188", "1/000.p/2"])
@pytest.mark.parametrize("tile", [b"", b"\0" * 32, None])
def test_tiles_of_the_edge_that_were_changed_are_written_anew(
    log: Log, path: str, tile: bytes | None
) -> None:
    """What tiles say is held against the signed root before anything is built on it."""
    log.append(700)
    log.sealer().seal(CHAIN)
    good = log.tiles.get(CHAIN, path)
    assert good is not None
    log.tiles.put(CHAIN, path, good[:-32] + b"\0" * 32 if tile is None else tile)
    sealed = log.sealer().seal(CHAIN)
    assert sealed.rebuilt
    assert log.tiles.get(CHAIN, path) == good


def test_a_backup_that_was_put_back_is_not_signed(log: Log) -> None:
    """A smaller ledger is cut; grown to another it is rewritten, at the size that was signed and beyond."""
    log.append(5)
    copied(log.home / "ledger.db", log.home / "backup.db")
    log.append(5)
    log.sealer().seal(CHAIN)
    copied(log.home / "backup.db", log.home / "ledger.db")
    log.open()
    found = refused(log)
    assert (found.kind, found.seq) == ("cut", 5)
    for count, kind in ((2, "cut"), (3, "rewritten"), (300, "rewritten")):
        log.append(count)
        assert refused(log).kind == kind
    lose_tiles(log)
    assert refused(log).kind == "rewritten"


@pytest.mark.parametrize("keep_tiles", [True, False])
def test_a_fork_with_other_segments_is_not_signed(log: Log, keep_tiles: bool) -> None:
    """No segment of the fork ends where one ended that was signed: that alone is enough."""
    log.append(5)
    log.append(5)
    log.sealer().seal(CHAIN)
    with sqlite3.connect(log.home / "ledger.db") as connection:
        connection.execute("DELETE FROM segments")
    connection.close()
    log.append(12)
    log.append(1)
    if not keep_tiles:
        lose_tiles(log)
        (log.home / "log" / "checkout%2F0" / "tile").mkdir()
    assert refused(log).kind == "rewritten"


@pytest.mark.parametrize("place", [1, 2, BEFORE, BEFORE + 3])
def test_an_old_checkpoint_under_a_new_number_is_not_built_on(log: Log, place: int) -> None:
    """Who may add to the checkpoints, and write the ledger, gets no other history signed behind an old one.

    A copy of an old checkpoint is one that this log has signed, and its number is in no signature.
    """
    log.append(5)
    sealer = log.sealer()
    old = sealer.seal(CHAIN)
    copied(log.home / "ledger.db", log.home / "backup.db")
    log.append(5)
    newest = sealer.seal(CHAIN)
    copied(log.home / "backup.db", log.home / "ledger.db")
    log.open()
    log.append(7)
    assert log.notes.put(CHAIN, newest.number + place, old.note.bytes)
    assert refused(log).kind == "order"
    running = replace(sealer, ledger=log.ledger)
    running._seen[CHAIN] = newest
    for number in range(newest.number + 1, newest.number + place):
        assert log.notes.put(CHAIN, number, old.note.bytes)
    with pytest.raises(Tampered, match="goes back"):
        running.seal(CHAIN)
    if place < BEFORE:  # where there are more copies than a new process looks at, who ran before tells it
        assert refused(log).kind == "order"


def test_numbers_have_no_gaps(log: Log) -> None:
    """A copy of the newest checkpoint under a number far ahead is told, and not signed behind."""
    log.append(5)
    sealer = log.sealer()
    newest = sealer.seal(CHAIN)
    log.sealer().seal(CHAIN)
    assert sealer.seal(CHAIN).number == 2  # another one signed meanwhile, which is no gap
    assert log.notes.put(CHAIN, 999_999_999_999, newest.note.bytes)
    with pytest.raises(Tampered, match="checkpoint 999999999998 is gone") as found:
        sealer.seal(CHAIN)
    assert (found.value.kind, found.value.seq) == ("order", 5)


def test_a_new_process_reads_a_few_checkpoints_and_then_one(log: Log) -> None:
    """Looking back costs a process a few reads of each chain, once."""
    log.append(5)
    for _ in range(BEFORE + 3):
        log.sealer().seal(CHAIN)
    reads = Faults()
    sealer = log.sealer(notes=reads.wrap("notes", log.notes))
    for expected in (BEFORE, 0, 0):
        reads.log.clear()
        sealer.seal(CHAIN)
        assert reads.log.count("notes.get") == expected


def test_a_chain_that_vanished_is_cut(log: Log) -> None:
    """Where nothing is left of a chain it is told, not sealed as an empty one."""
    log.append(5)
    log.sealer().seal(CHAIN)
    with sqlite3.connect(log.home / "ledger.db") as connection:
        connection.execute("DELETE FROM segments")
    connection.close()
    found = refused(log)
    assert (found.kind, found.seq) == ("cut", 0)
    assert "is gone" in str(found)


def test_the_segment_of_a_checkpoint_that_was_removed_is_missing(log: Log) -> None:
    """Others behind it do not make up for it."""
    log.append(5)
    log.append(5)
    log.sealer().seal(CHAIN)
    log.append(5)
    run_sql(log, "DELETE FROM segments WHERE first = 5")
    assert refused(log).kind == "missing"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("payload = x'00'", "payload"),
        ("t = t + 1", "hash"),
        ("t = -1", "time"),
        ("head = zeroblob(32)", "rewritten"),
        ("prev = zeroblob(32)", "hash"),
        ("count = count - 1", "cut"),
        ("tree = zeroblob(length(tree))", "tree"),
        ("tree = x'00'", "tree"),
        ("recent = x'00'", "window"),
    ],
)
def test_a_segment_that_was_sealed_and_changed_is_not_built_on(log: Log, change: str, kind: str) -> None:
    """The segment that a checkpoint ends with is hashed again, and what stands beside its hash is checked."""
    log.append(5)
    log.append(5)
    log.sealer().seal(CHAIN)
    run_sql(log, f"UPDATE segments SET {change} WHERE first = 5")
    assert refused(log).kind == kind


@pytest.mark.parametrize("tiles_are_there", [True, False])
def test_a_segment_below_a_checkpoint_is_verified_with_the_whole_chain(
    log: Log, tiles_are_there: bool
) -> None:
    """Sealing goes on from the last checkpoint; what is below it is found when tiles are written anew.

    What was signed stays true of it: the new checkpoint says the same of these entries as the old one.
    """
    log.append(5)
    log.append(5)
    log.append(5)
    log.sealer().seal(CHAIN)
    run_sql(log, "UPDATE segments SET payload = x'00' WHERE first = 5")
    if tiles_are_there:
        assert log.sealer().seal(CHAIN).checkpoint == log.all()[0].checkpoint
        with pytest.raises(Tampered):
            log.sealer().seal(CHAIN, rebuild=True)
    else:
        lose_tiles(log)
        (log.home / "log" / "checkout%2F0" / "tile").mkdir()
        assert refused(log).kind == "payload"


@pytest.mark.parametrize("change", ["payload = x'00'", "t = t + 1", "head = zeroblob(32)", "recent = x''"])
def test_a_new_segment_that_was_changed_is_not_signed(log: Log, change: str) -> None:
    """Everything above the last checkpoint is verified before it is signed."""
    log.append(5)
    log.sealer().seal(CHAIN)
    log.append(5)
    run_sql(log, f"UPDATE segments SET {change} WHERE first = 5")
    assert refused(log).seq == 5


def test_a_checkpoint_that_this_log_did_not_sign_is_told(log: Log, tmp_path: Path) -> None:
    """Neither another key's, nor another chain's, nor one without the time is gone on from."""
    log.append(5)
    log.append(5, "other/0")
    other = log.sealer().seal("other/0")
    mine = log.sealer().seal(CHAIN)
    stranger = Log(tmp_path / "stranger")
    for segment in log.ledger.read(CHAIN):
        stranger.ledger.append(segment)
    forged = stranger.sealer().seal(CHAIN)
    assert forged.checkpoint == mine.checkpoint
    untimed = Note(mine.note.text, mine.note.signatures[:1])
    for raw in (other.note.bytes, forged.note.bytes, untimed.bytes, b"junk"):
        assert log.notes.put(CHAIN, 1, raw)
        assert refused(log).kind == "checkpoint"
        (tmp_path / "log" / "checkout%2F0" / "notes" / "000" / "000" / "000001").unlink()


def test_a_signature_that_is_wrong_is_not_stored(log: Log) -> None:
    """A signer that fails silently would block the number for good: its signature is verified first."""

    class Wrong:
        def public_key(self) -> bytes:
            return log.key.public_key()

        def sign(self, message: bytes) -> bytes:
            return log.key.sign(message + b"x")

    log.append(5)
    with pytest.raises(Tampered, match="is wrong"):
        log.sealer(signer=Wrong()).seal(CHAIN)
    assert log.all() == []
    assert log.sealer().seal(CHAIN).number == 0


def test_time_never_goes_back(log: Log) -> None:
    """After the clock stepped back checkpoints keep the last one's time, and say how far it is ahead."""
    log.append(5)
    log.sealer().seal(CHAIN)
    log.now -= 1_000
    sealed = log.sealer().seal(CHAIN)
    assert (sealed.seconds, sealed.gap) == (log.now + 1_000, -1_000)
    log.now += 1_060
    sealed = log.sealer().seal(CHAIN)
    assert (sealed.seconds, sealed.gap) == (log.now, 60)


def test_a_long_chain_is_sealed_in_parts(log: Log) -> None:
    """Where the time is up, what was verified by then is signed; never less than before."""
    for _ in range(4):
        log.append(5)
    sizes = [log.sealer().seal(CHAIN, lambda: True).checkpoint.size for _ in range(5)]
    assert sizes == [5, 10, 15, 20, 20]
    lose_tiles(log)
    log.append(5)
    assert log.sealer().seal(CHAIN, lambda: True).checkpoint.size == 20


def test_two_sealers_at_once(log: Log) -> None:
    """However they race, each number is taken once, sizes never shrink, and one tree is signed."""
    log.append(5)

    def work(number: int) -> Sealed:
        if number % 3 == 0:
            with_room(log)
        return log.sealer().seal(CHAIN)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(work, range(16)))
    known = log.all()
    assert {each.number for each in told} == set(range(len(known)))
    sizes = [each.checkpoint.size for each in known]
    assert sizes == sorted(sizes)
    assert all(each.checkpoint.root == log.root(each.checkpoint.size) for each in known)


def with_room(log: Log) -> None:
    """Append where nobody else did in the meantime."""
    from sentinel.ports import SlotTaken

    try:
        log.append(5)
    except SlotTaken:
        return


def test_a_number_that_was_taken_meanwhile_is_looked_at_again(log: Log) -> None:
    """Who loses the race for a number builds on the winner's checkpoint; who always loses says so."""
    log.append(5)
    others = 1

    class Raced:
        def __getattr__(self, name: str) -> Any:
            return getattr(log.notes, name)

        def put(self, chain: str, number: int, note: bytes) -> bool:
            nonlocal others
            if others:
                others -= 1
                log.append(5)
                log.now += 1
                log.sealer().seal(CHAIN)
            return log.notes.put(chain, number, note)

    sealed = log.sealer(notes=Raced()).seal(CHAIN)
    assert (sealed.number, sealed.checkpoint.size) == (1, 10)
    others = 1_000
    with pytest.raises(Unavailable):
        log.sealer(notes=Raced()).seal(CHAIN)


@pytest.mark.parametrize("error", [Unavailable, Killed])
@pytest.mark.parametrize("applied", [False, True])
def test_a_crash_at_each_call_leaves_a_log_that_goes_on(
    tmp_path: Path, error: type[BaseException], applied: bool
) -> None:
    """Whichever call of a store or the signer fails, done or not: the next round seals all of it, soundly."""
    count = 0
    while True:
        count += 1
        home = tmp_path / str(count)
        home.mkdir()
        log = Log(home)
        log.append(260)
        log.sealer().seal(CHAIN)
        log.append(260)
        log.now += 60
        faults = Faults(error=error, fails=lambda n, k=count: n == k, applied=applied)  # type: ignore[misc]
        ports = {name: faults.wrap(name, getattr(log, name)) for name in ("ledger", "notes", "tiles")}
        try:
            log.sealer(**ports, signer=faults.wrap("signer", log.key)).seal(CHAIN)
        except error:
            log.append(3)
        else:
            break
        log.now += 60
        log.sealer().seal(CHAIN)
        known = log.all()
        assert known[-1].checkpoint.size == 523
        assert [each.checkpoint.size for each in known] in ([260, 523], [260, 520, 523])
        assert all(each.checkpoint.root == log.root(each.checkpoint.size) for each in known)
        assert log.prover().between(CHAIN, 260).second == 523
    assert count > 12


def test_a_key_that_may_not_be_used_signs_nothing(log: Log) -> None:
    """Nothing is stored where the signer refuses."""

    class Refusing:
        def public_key(self) -> bytes:
            return log.key.public_key()

        def sign(self, _: bytes) -> bytes:
            raise Forbidden("disabled")

    log.append(5)
    with pytest.raises(Forbidden):
        log.sealer(signer=Refusing()).seal(CHAIN)
    assert log.all() == []
