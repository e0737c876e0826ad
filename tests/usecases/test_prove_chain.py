"""Prove: what is given as a proof leads to a signed root, and what does not is never given."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel.core import merkle, tiles
from sentinel.core.notes import Checkpoint
from sentinel.errors import Malformed, Missing, Tampered, Unavailable
from sentinel.usecases.prove_chain import ProveChain, checkpoint_json
from sentinel.usecases.seal import Sealed
from tests.sealing import BEGIN, CHAIN, LOG, Log

SIZES = (5, 256, 700)


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Give a log with a chain of three checkpoints, and an entry that is not sealed yet."""
    found = Log(tmp_path)
    for count in (5, 251, 444):
        found.append(count)
        found.sealer().seal(CHAIN)
    found.append(1)
    return found


def test_every_entry_is_proven(log: Log) -> None:
    """By the newest checkpoint and by older ones; a receipt's head is proven by its last entry's leaf."""
    for number, size in enumerate(SIZES):
        for entry in {0, 1, 4, 5, 254, 255, 256, 511, 512, size - 2, size - 1}:
            if entry < size:
                found = log.prover().entry(CHAIN, entry, number)
                assert merkle.verify_inclusion(entry, size, found.leaf, found.proof, log.root(size))
    for segment in log.ledger.read(CHAIN, 0, 3):
        found = log.prover().entry(CHAIN, segment.next - 1)
        assert found.leaf == merkle.leaf(segment.head)
        assert found.sealed.checkpoint.size == 700


def test_every_growth_is_proven(log: Log) -> None:
    """Between any two sizes up to what is sealed, and from there to the newest checkpoint."""
    for first in (0, 1, 5, 255, 256, 257, 512, 699, 700):
        for second in (first, 256, 300, 700, None):
            to = 700 if second is None else second
            if first > to:
                continue
            found = log.prover().between(CHAIN, first, second)
            assert found.roots == (log.root(first), log.root(to))
            assert merkle.verify_consistency(first, to, found.proof, *found.roots)
            assert merkle.verify_consistency(to, 700, found.rest, found.roots[1], log.root(700))


def test_the_newest_checkpoint_is_given(log: Log) -> None:
    """With its number, size, root and time; others by their numbers."""
    assert checkpoint_json(log.prover().checkpoint(CHAIN)) == {
        "chain": CHAIN,
        "number": 2,
        "size": 700,
        "root": log.root(700).hex(),
        "time": BEGIN,
        "checkpoint": log.all()[2].note.bytes.decode(),
    }
    assert log.prover().checkpoint(CHAIN, 0).checkpoint.size == 5


def test_what_is_not_there_is_missing(log: Log) -> None:
    """No such chain, entry or checkpoint; a growth that shrinks is no growth."""
    prover = log.prover()
    for call in (
        lambda: prover.checkpoint("nothing/0"),
        lambda: prover.checkpoint(CHAIN, 3),
        lambda: prover.checkpoint(CHAIN, -1),
        lambda: prover.entry("nothing/0", 0),
        lambda: prover.entry(CHAIN, 701),
        lambda: prover.entry(CHAIN, -1),
        lambda: prover.entry(CHAIN, 5, 0),
        lambda: prover.between(CHAIN, 0, 702),
    ):
        with pytest.raises(Missing):
            call()
    for first, second in ((5, 4), (-1, 4), (701, None)):
        with pytest.raises(Malformed):
            prover.between(CHAIN, first, second)


def test_what_is_not_sealed_yet_is_asked_for_again(log: Log) -> None:
    """An entry that is stored is sealed within a minute: ask again then."""
    log.append(5, "young/0")
    for call in (
        lambda: log.prover().entry(CHAIN, 700),
        lambda: log.prover().between(CHAIN, 5, 701),
        lambda: log.prover().checkpoint("young/0"),
        lambda: log.prover().entry("young/0", 0),
    ):
        with pytest.raises(Unavailable) as found:
            call()
        assert found.value.retry_after == 60


class Damaged:
    """Tiles of which one is lost or changed."""

    def __init__(self, log: Log, path: str, how: str) -> None:
        self._log, self._path, self._how = log, path, how

    def get(self, chain: str, path: str) -> bytes | None:
        tile = self._log.tiles.get(chain, path)
        if path != self._path or tile is None:
            return tile
        changed = bytes([tile[0] ^ 1]) + tile[1:]
        return {"changed": changed, "cut": tile[:-32], "empty": b"", "longer": tile * 2}.get(self._how)


def right(log: Log, prover: ProveChain) -> int:
    """Ask for many proofs; return how many are given. Each of these is right."""
    given = 0
    for entry in (0, 255, 256, 511, 512, 699):
        with suppress(Unavailable):
            found = prover.entry(CHAIN, entry)
            assert merkle.verify_inclusion(entry, 700, found.leaf, found.proof, log.root(700))
            given += 1
    for first, second in ((5, 700), (256, 700), (5, 256), (300, 690)):
        with suppress(Unavailable):
            assert prover.between(CHAIN, first, second).roots == (log.root(first), log.root(second))
            given += 1
    return given


@pytest.mark.parametrize("how", ["lost", "changed", "cut", "empty", "longer"])
def test_no_proof_is_made_of_tiles_that_are_wrong(log: Log, how: str) -> None:
    """Each tile in turn is lost or changed: proofs that need it fail, the others hold, and none is wrong."""
    assert right(log, log.prover()) == 10
    given = [
        right(log, log.prover(tiles=Damaged(log, path, how)))
        for path in ("0/000", "0/001", "0/002.p/188", "1/000.p/2")
    ]
    assert all(each < 10 for each in given)


def test_a_tile_in_the_middle_is_mended_by_writing_all_anew(log: Log) -> None:
    """Sealing reads the edge alone, and does not notice: a proof does."""
    log.tiles.put(CHAIN, "0/000", b"\0" * 8_192)
    assert not log.sealer().seal(CHAIN).rebuilt
    with pytest.raises(Unavailable, match="--rebuild"):
        log.prover().entry(CHAIN, 3)
    assert log.sealer().seal(CHAIN, rebuild=True).rebuilt
    assert log.prover().entry(CHAIN, 3).sealed.number == 4


def test_a_forged_checkpoint_proves_nothing(log: Log) -> None:
    """Proofs are held against what this log signed."""
    forged = replace(log.all()[2].checkpoint, root=sha256(b"x").digest())
    note = log.all()[2].note
    log.notes.put(CHAIN, 3, replace(note, text=forged.text).bytes)
    with pytest.raises(Tampered):
        log.prover().entry(CHAIN, 3)


def test_answers_are_small_and_reads_few(log: Log) -> None:
    """In a chain of ten million entries a proof takes under 20 reads, and its answer under 4 KB.

    The tree is made of equal leaves, so that the ten million need not be hashed: one subtree of each height.
    """
    size = 10_000_019
    same = [merkle.leaf(b"x" * 32)]
    for _ in range(24):
        same.append(merkle.node(same[-1], same[-1]))

    class Same:
        def get(self, _: str, path: str) -> bytes | None:
            level, _, rest = path.partition("/")
            index_text, _, width = rest.partition(".p/")
            index = int(index_text.replace("x", "").replace("/", ""))
            held = tiles.width_of(int(level), index, size)
            if width and int(width) != held:
                return None
            return same[8 * int(level)] * held

    peaks = [same[level] for level, _ in merkle.spans(0, size)]
    checkpoint = Checkpoint(f"{LOG}/{CHAIN}", size, merkle.root(peaks))
    before = log.all()[2]
    signed = log.sealer()._signed(CHAIN, before, checkpoint, _growth())
    assert log.notes.put(CHAIN, 3, signed.note.bytes)
    prover = log.prover(tiles=Same())
    for entry in (0, 5_000_000, 9_999_999, size - 1):
        found = prover.entry(CHAIN, entry)
        assert found.reads < 20
        assert len(orjson.dumps(found.json())) < 4_096
    growth = prover.between(CHAIN, 7_654_321, 9_000_001)
    assert growth.reads < 20
    assert len(orjson.dumps(growth.json())) < 8_192


def _growth() -> Any:
    from sentinel.core.verify import Verifier
    from sentinel.usecases.seal import _Growth

    return _Growth(Verifier(CHAIN), tiles.Edge())


def test_the_answer_holds_the_checkpoint_as_it_was_signed(log: Log) -> None:
    """Whoever has the log's key verifies the note in the answer, and with it the proof."""
    found = log.prover().entry(CHAIN, 17).json()
    sealed: Sealed = log.keys.read(CHAIN, 2, str(found["checkpoint"]).encode())
    proof: Any = found["proof"]
    leaf = bytes.fromhex(str(found["leaf"]))
    path = [bytes.fromhex(each) for each in proof]
    assert merkle.verify_inclusion(17, 700, leaf, path, sealed.checkpoint.root)
