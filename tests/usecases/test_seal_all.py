"""Seal all: each chain is sealed whatever becomes of the others, and what is not sealed is told."""

from __future__ import annotations

import math
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sentinel.core.segment import Segment
from sentinel.errors import Tampered, Unavailable
from sentinel.usecases.seal import SECOND
from sentinel.usecases.seal_all import GAP, MARGIN, ROUND, SealAll
from tests.faults_calls import Faults
from tests.sealing import Log

CHAINS = [f"service-{number}/0" for number in range(5)]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Give a log with some chains."""
    found = Log(tmp_path)
    for chain in CHAINS:
        found.append(3, chain)
    return found


def sealing(log: Log, **ports: Any) -> SealAll:
    """Return what seals all chains."""
    return SealAll(log.sealer(**ports), lambda: log.now * SECOND)


def hours() -> float:
    """Say that there is time."""
    return 3_600.0


def run_sql(log: Log, statement: str) -> None:
    """Change the ledger behind its back."""
    with sqlite3.connect(log.home / "ledger.db") as connection:
        connection.execute(statement)
    connection.close()


def test_every_chain_is_sealed(log: Log) -> None:
    """Those that grew and those that did not, and one that began meanwhile."""
    every = sealing(log)
    assert [each.chain for each in every.run(hours).sealed] == CHAINS
    log.append(1, CHAINS[0])
    log.append(1, "new/0")
    log.now += 60
    found = every.run(hours)
    assert [each.checkpoint.size for each in found.sealed] == [1, 4, 3, 3, 3, 3]
    assert (found.findings, found.unsealed) == ([], 0)


def test_one_that_fails_keeps_no_other_from_being_sealed(log: Log) -> None:
    """A chain that was rewritten, one that vanished and one whose store does not answer are told each."""
    sealing(log).run(hours)
    run_sql(log, f"DELETE FROM segments WHERE chain = '{CHAINS[0]}'")
    run_sql(log, f"UPDATE segments SET head = zeroblob(32) WHERE chain = '{CHAINS[1]}'")

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(log.notes, name)

        def newest(self, chain: str) -> tuple[int, bytes] | None:
            if chain == CHAINS[2]:
                raise Unavailable("away")
            return log.notes.newest(chain)

    for _ in range(2):  # and again, for as long as nobody acts
        found = sealing(log, notes=Away()).run(hours)
        assert [each.chain for each in found.sealed] == CHAINS[3:]
        told = sorted((each.chain, each.kind) for each in found.tampered)
        assert told == [(CHAINS[0], "cut"), (CHAINS[1], "rewritten")]
        assert list(found.failed) == [CHAINS[2]]
        assert found.unsealed == 3


@pytest.mark.parametrize("port", ["ledger", "notes"])
def test_a_list_of_chains_that_fails_leaves_the_other(log: Log, port: str) -> None:
    """What one store knows is sealed, and it is told that the other was not asked."""
    sealing(log).run(hours)

    class Away:
        def __getattr__(self, name: str) -> Any:
            return getattr(getattr(log, port), name)

        def chains(self) -> Iterator[str]:
            raise Unavailable("away")

    found = sealing(log, **{port: Away()}).run(hours)
    assert [each.chain for each in found.sealed] == CHAINS
    assert list(found.failed) == [""]


def test_a_row_that_names_no_chain_is_told(log: Log) -> None:
    """Chains that had checkpoints are sealed all the same."""
    sealing(log).run(hours)
    run_sql(
        log,
        "INSERT INTO segments SELECT x'ff', first, count, prev, head, t, payload, codec, recent, tree, key,"
        f" expires FROM segments WHERE chain = '{CHAINS[0]}'",
    )
    found = sealing(log).run(hours)
    assert [each.kind for each in found.tampered] == ["type"]
    assert [each.chain for each in found.sealed] == CHAINS


def test_what_is_left_goes_first_next_time(log: Log) -> None:
    """However short the calls are, in a few of them every chain is sealed."""
    every, seen = sealing(log), set()
    for _ in range(len(CHAINS)):
        log.now += 60
        times = iter([MARGIN + 1] * 2 + [0.0] * 100)
        every.workers = 1
        found = every.run(lambda t=times: next(t))  # type: ignore[misc]
        assert len(found.sealed) + len(found.left) == len(CHAINS)
        assert found.unsealed == len(found.left)
        seen |= {each.chain for each in found.sealed}
    assert seen == set(CHAINS)


def test_no_time_is_no_checkpoint(log: Log) -> None:
    """Within the margin nothing is begun."""
    found = sealing(log).run(lambda: MARGIN - 1)
    assert (found.sealed, len(found.left)) == ([], len(CHAINS))


def test_a_long_chain_takes_several_rounds(log: Log) -> None:
    """Nobody waits for a chain that has grown by more than a round can verify: it is sealed in parts."""
    for _ in range(3):
        log.append(3, CHAINS[0])

    class Slow:
        def __getattr__(self, name: str) -> Any:
            return getattr(log.ledger, name)

        def read(self, chain: str, first: int = 0) -> Iterator[Segment]:
            for segment in log.ledger.read(chain, first):
                log.now += int(ROUND) if chain == CHAINS[0] else 0
                yield segment

    every = sealing(log, ledger=Slow())
    every.workers = 1
    for _ in range(8):
        found = every.run(hours)
        assert found.unsealed == len(found.left)
        log.now += 60
    sizes = [each.checkpoint.size for each in log.all(CHAINS[0])]
    assert sizes == sorted(sizes)
    assert sizes[0] < 12 == sizes[-1]
    assert all(log.all(chain) for chain in CHAINS)
    assert every.run(hours, math.inf).left == []


def test_a_gap_is_a_finding(log: Log) -> None:
    """A chain that had no checkpoint for minutes is told, though it has one now; also its first, if late."""
    every = sealing(log)
    assert every.run(hours).findings == []
    log.now += GAP
    assert every.run(hours).findings == []
    log.now += GAP + 1
    found = every.run(hours)
    assert [(each.chain, each.kind) for each in found.findings] == [
        (chain, "missing checkpoint") for chain in CHAINS
    ]
    assert found.unsealed == 0
    log.append(1, "late/0")
    log.now += GAP + 1
    assert "late/0" in {each.chain for each in every.run(hours).findings}


def test_checkpoints_that_were_put_back_are_a_gap(log: Log) -> None:
    """Who ran before refuses an old copy of the checkpoints; to a new process it is one that is missing."""
    every = sealing(log)
    every.run(hours)
    for _ in range(7):
        log.now += 60
        every.run(hours)
    for path in (log.home / "log").glob("*/notes/000/000/*"):
        if int(path.name) > 1:
            path.unlink()
    log.now += 60
    found = every.run(hours)
    assert {(each.chain, each.kind) for each in found.tampered} == {(chain, "order") for chain in CHAINS}
    assert not found.sealed
    assert {each.kind for each in sealing(log).run(hours).findings} == {"missing checkpoint"}


def test_a_chain_of_which_nothing_is_left_is_told(log: Log) -> None:
    """Who has sealed a chain tells it when its entries and its checkpoints are gone together."""
    every = sealing(log)
    every.run(hours)
    shutil.rmtree(log.home / "log" / quote(CHAINS[0], safe=""))
    run_sql(log, f"DELETE FROM segments WHERE chain = '{CHAINS[0]}'")
    assert [(each.chain, each.kind) for each in every.run(hours).tampered] == [(CHAINS[0], "order")]


def test_a_clock_that_stepped_back_is_a_finding(log: Log) -> None:
    """Times that lie ahead of the clock are told until it has caught up."""
    every = sealing(log)
    every.run(hours)
    log.now -= GAP + 1
    assert {each.kind for each in every.run(hours).findings} == {"clock"}


def test_tiles_that_were_wrong_are_a_finding(log: Log) -> None:
    """They are mended, and it is told."""
    every = sealing(log)
    every.run(hours)
    log.tiles.put(CHAINS[0], "0/000.p/3", b"junk")
    found = every.run(hours).findings
    assert [(each.chain, each.kind) for each in found] == [(CHAINS[0], "tiles")]


def test_a_fault_of_ours_is_raised_at_the_end(log: Log) -> None:
    """What is no error of a port ends the round as a failure, when all others are sealed."""
    faults = Faults(error=ZeroDivisionError, fails=lambda n: n == 2)
    with pytest.raises(ZeroDivisionError):
        sealing(log, notes=faults.wrap("notes", log.notes)).run(hours)
    assert sum(log.notes.newest(chain) is not None for chain in CHAINS) == len(CHAINS) - 1


def test_damage_of_each_kind_is_never_sealed_over(log: Log) -> None:
    """The newest checkpoint stays what it was while its chain is damaged."""
    every = sealing(log)
    every.run(hours)
    before = log.notes.newest(CHAINS[0])
    run_sql(log, f"UPDATE segments SET t = t + 1 WHERE chain = '{CHAINS[0]}'")
    for _ in range(3):
        found = every.run(hours)
        assert [type(each) for each in found.tampered] == [Tampered]
    assert log.notes.newest(CHAINS[0]) == before
