"""Sealing where calls fail, others seal too, and tiles are lost: nothing contradicts what was signed."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from sentinel.adapters.log_folder import FolderNotes, FolderTiles
from sentinel.adapters.log_key_file import FileLogKey
from sentinel.adapters.sqlite_ledger import SqliteLedger
from sentinel.core import merkle
from sentinel.core.tiles import TiledNodes
from sentinel.core.verify import Verifier
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.seal import Sealer
from tests.chains import grow
from tests.faults_calls import Faults
from tests.sampling import thorough
from tests.writers import Clock

CHAIN = "checkout/0"
LOG = "sentinel.example"
STEPS = (3, 255, 300)  # entries that are new at each checkpoint


def chain(*counts: int, seed: int = 0) -> Any:
    """Return the segments of a chain with so many entries in each."""
    return grow(CHAIN, [[b'{"n":%d}' % each for each in range(count)] for count in counts], seed)


class World:
    """A ledger that grows, and sealers of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults = Faults()
        self.ledger = SqliteLedger(":memory:")
        self.notes, self.tiles = FolderNotes(folder / "log"), FolderTiles(folder / "log")
        self.signer = FileLogKey(folder / "log.key", create=True)
        wrap = self.faults.wrap
        ports = wrap("ledger", self.ledger), wrap("notes", self.notes), wrap("tiles", self.tiles)
        self.sealer = Sealer(*ports, wrap("signer", self.signer), LOG, Clock())
        self.plain = Sealer(self.ledger, self.notes, self.tiles, self.signer, LOG, Clock())

    def check(self) -> int:
        """Each checkpoint is of the chain as it is, none smaller than the one before; tiles prove it."""
        checked, roots, hashes = Verifier(CHAIN), {0: merkle.EMPTY_ROOT}, list[bytes]()
        for segment in self.ledger.read(CHAIN):
            hashes += checked.check(segment)
            roots[checked.next] = checked.root
        newest = self.plain.newest(CHAIN)
        sizes = [0]
        for number in range(newest.number + 1 if newest else 0):
            found = self.plain.keys.read(CHAIN, number, self.notes.get(CHAIN, number) or b"").checkpoint
            assert roots[found.size] == found.root
            sizes.append(found.size)
        assert sizes == sorted(sizes)
        if newest is not None:
            self.prove(newest.checkpoint.size, newest.checkpoint.root, hashes, sizes, roots)
        return len(sizes) - 1

    def prove(
        self, size: int, root: bytes, hashes: list[bytes], sizes: list[int], roots: dict[int, bytes]
    ) -> None:
        """Prove entries and earlier checkpoints from the tiles."""
        nodes = TiledNodes(size, lambda path: self.tiles.get(CHAIN, path))
        for index in range(0, size, 67):
            proof = merkle.inclusion(index, size, nodes)
            assert merkle.verify_inclusion(index, size, merkle.leaf(hashes[index]), proof, root)
        for before in sizes:
            proof = merkle.consistency(before, size, nodes)
            assert merkle.verify_consistency(before, size, proof, roots[before], root)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make worlds; nothing is flushed, as nobody cuts the power."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    numbers = itertools.count()
    return lambda: World(tmp_path / str(next(numbers)))


@pytest.mark.parametrize("applied", [False, True], ids=["unsent", "reply-lost"])
def test_every_call_of_sealing_fails(made: Any, *, applied: bool) -> None:
    """Let call 1, 2, ... fail: checkpoints stay a line, and the next sealing makes up for it."""
    segments = chain(*STEPS)
    for k in itertools.count(1, 1 if thorough() else 3):
        world = made()
        world.faults.fails, world.faults.applied = (lambda n, k=k: n == k), applied
        failed = 0
        for segment in segments:
            world.ledger.append(segment)
            try:
                world.sealer.seal(CHAIN)
            except Unavailable:
                failed += 1
                world.check()
        assert failed <= 1
        world.faults.fails = lambda _: False
        assert world.sealer.seal(CHAIN).checkpoint.size == sum(STEPS)
        assert world.check() >= len(STEPS)
        if not failed:
            assert k > 20
            return


def test_two_sealers_at_once(made: Any) -> None:
    """While one signs, another may seal first, the same tree or a larger one: one number, one checkpoint."""
    segments = chain(*STEPS)
    for k in range(1, 30):
        world = made()
        world.ledger.append(segments[0])
        world.plain.seal(CHAIN)
        left = iter(segments[1:])

        def meanwhile(n: int, k: int = k, world: World = world, left: Any = left) -> bool:
            if n == k:
                world.ledger.append(next(left))
                world.plain.seal(CHAIN)
            return False

        world.faults.fails = meanwhile
        world.sealer.seal(CHAIN)
        assert world.check() in {2, 3}


@pytest.mark.parametrize("lost", ["0/002.p/46", "1/000.p/2", "all"])
def test_tiles_that_are_lost_at_the_edge_are_made_anew(made: Any, lost: str) -> None:
    """What a sealer needs of the tiles it makes anew from the chain, where that is what was signed."""
    world = made()
    for segment in chain(*STEPS):
        world.ledger.append(segment)
    assert world.plain.seal(CHAIN).checkpoint.size == 558
    top = world.folder / "log" / "checkout%2F0" / "tile"
    paths = [path for path in top.rglob("*") if path.is_file()]
    for path in paths:
        if lost == "all" or path == top / lost:
            path.unlink()
    world.plain.seal(CHAIN)
    assert world.check() == 2


@pytest.mark.parametrize("tiles", ["kept", "lost"])
@pytest.mark.parametrize(
    ("kind", "counts", "seed"),
    [("cut", STEPS[:2], 0), ("rewritten", STEPS, 1), ("rewritten", (*STEPS, 5), 1), ("cut", (), 0)],
)
def test_nothing_is_signed_or_stored_of_another_chain(
    made: Any, kind: str, counts: tuple[int, ...], seed: int, tiles: str
) -> None:
    """An older copy, or another chain in its place, is told by its kind; no tile is written from it."""
    world = made()
    for segment in chain(*STEPS):
        world.ledger.append(segment)
    world.plain.seal(CHAIN)
    with world.ledger._db.writing() as connection:
        connection.execute("DELETE FROM segments")
    for segment in chain(*counts, seed=seed):
        world.ledger.append(segment)
    top = world.folder / "log" / "checkout%2F0" / "tile"
    if tiles == "lost":
        (top / "1" / "000.p" / "2").unlink()
    before = {path: path.read_bytes() for path in top.rglob("*") if path.is_file()}
    with pytest.raises(Tampered) as found:
        world.plain.seal(CHAIN)
    assert found.value.kind == kind
    assert {path: path.read_bytes() for path in top.rglob("*") if path.is_file()} == before
    assert world.notes.newest(CHAIN)[0] == 0


def test_a_gap_before_what_was_signed_last_is_missing(made: Any) -> None:
    """Where later entries are there and the one signed last is not, it was taken out, and not cut off."""
    world = made()
    segments = chain(*STEPS, 5)
    for segment in segments[:-1]:
        world.ledger.append(segment)
    world.plain.seal(CHAIN)
    world.ledger.append(segments[-1])
    with world.ledger._db.writing() as connection:
        connection.execute("DELETE FROM segments WHERE first = ?", (segments[-2].first,))
    with pytest.raises(Tampered) as found:
        world.plain.seal(CHAIN)
    assert found.value.kind == "missing"
