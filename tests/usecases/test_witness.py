"""A witness's state: one history a log, durable before it answers, whoever else asks at the same time."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

import pytest

from sentinel.adapters.sqlite_witness import SqliteWitnessed
from sentinel.core import notes
from sentinel.core.notes import Checkpoint
from sentinel.core.witnessing import OtherSize, OtherTree, Unproven
from sentinel.errors import Missing, Unavailable
from tests.witnesses import THEN, Tree, cosigned_by_hand, witness

TREE = Tree()
FORK = Tree(history="other")


def test_a_cosignature_by_hand() -> None:
    """The cosignature is what C2SP tlog-cosignature says: key id, time and message are computed here anew."""
    one = witness(TREE.key.vkey)
    for old, new in [(0, 3), (3, 10), (10, 10)]:
        line = one.add(TREE.body(old, new))
        assert cosigned_by_hand(line, one.key, TREE.note(new).text) == THEN
        newest = notes.read(one.newest(TREE.origin))
        assert newest == TREE.note(new, *notes.read_lines(line))
        assert newest.verified([one.key, TREE.key]) == [(TREE.key, 0), (one.key, THEN)]


def test_a_log_that_goes_back(caplog: pytest.LogCaptureFixture) -> None:
    """Smaller trees, other trees and other sizes are refused, and change nothing; two histories are kept."""
    one = witness(TREE.key.vkey)
    one.add(TREE.body(0, 8))
    for body, error in [
        (TREE.body(4, 5), OtherSize),
        (TREE.body(0, 8), OtherSize),
        (FORK.body(8, 9), Unproven),
        (FORK.body(8, 8), OtherTree),
    ]:
        with pytest.raises(error):
            one.add(body)
    assert Checkpoint.read(notes.read(one.newest(TREE.origin)).text).size == 8
    proof = [each for each in caplog.records if each.levelno == logging.CRITICAL]
    assert len(proof) == 1
    assert FORK.note(8).text.split("\n")[2] in proof[0].getMessage()
    one.add(TREE.body(8, 9))


def test_logs_do_not_touch_each_other() -> None:
    """Each origin has a state of its own, also where one key signs for many."""
    from sentinel.core.notes import ED25519, Key

    one = witness(Key("log.example", ED25519, TREE.signer.public_key()).vkey)
    other = Tree("log.example/orders/1")
    one.add(TREE.body(0, 8))
    one.add(other.body(0, 2))
    one.add(other.body(2, 3))
    with pytest.raises(OtherSize) as caught:
        one.add(TREE.body(2, 3))
    assert caught.value.size == 8
    with pytest.raises(Missing):
        one.newest("log.example/never/0")


def test_the_time_of_a_cosignature_never_goes_back(tmp_path: Path) -> None:
    """A clock that steps back makes no later cosignature look earlier; one far ahead is forgotten."""
    path = tmp_path / "witness.db"
    first = witness(TREE.key.vkey, path=path)
    first.add(TREE.body(0, 8))
    late = witness(TREE.key.vkey, path=path, seconds=THEN - 100)
    assert cosigned_by_hand(late.add(TREE.body(8, 9)), late.key, TREE.note(9).text) == THEN
    wrong = witness(TREE.key.vkey, path=path, seconds=THEN + 10**9)
    wrong.add(TREE.body(9, 10))
    mended = witness(TREE.key.vkey, path=path, seconds=THEN + 5)
    assert cosigned_by_hand(mended.add(TREE.body(10, 11)), mended.key, TREE.note(11).text) == THEN + 5


def test_two_that_race(tmp_path: Path) -> None:
    """Of many submissions from one size at once one is cosigned, by one process or two; none rolls back."""
    path = tmp_path / "witness.db"
    both = [witness(TREE.key.vkey, path=path) for _ in range(2)]
    both[0].add(TREE.body(0, 4))
    bodies = [TREE.body(4, size) for size in range(5, 13)]
    gate = threading.Barrier(len(bodies))
    won: list[int] = []
    lost: list[int] = []

    def ask(number: int, body: bytes) -> None:
        gate.wait()
        try:
            both[number % 2].add(body)
        except OtherSize as error:
            lost.append(error.size)
        else:
            won.append(5 + number)

    threads = [threading.Thread(target=ask, args=each) for each in enumerate(bodies)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert lost == won * (len(bodies) - 1)
    assert Checkpoint.read(notes.read(both[0].newest(TREE.origin)).text).size == won[0]


class _Failing(SqliteWitnessed):
    """Fails before the change is stored, or after it was."""

    def __init__(self, after: bool) -> None:
        super().__init__(":memory:")
        self.after, self.fails = after, True

    def advance(self, origin, decide):  # type: ignore[no-untyped-def] # as the port has it
        if self.fails and not self.after:
            raise Unavailable("the disk is full")
        super().advance(origin, decide)
        if self.fails:
            raise Unavailable("the disk failed at the commit")


@pytest.mark.parametrize("after", [False, True])
def test_a_store_that_fails(after: bool) -> None:
    """No cosignature leaves that is not stored; one that was stored unseen is found by asking again."""
    from dataclasses import replace

    store = _Failing(after)
    one = replace(witness(TREE.key.vkey), witnessed=store)
    with pytest.raises(Unavailable):
        one.add(TREE.body(0, 8))
    store.fails = False
    if after:
        with pytest.raises(OtherSize) as caught:
            one.add(TREE.body(0, 8))
        assert caught.value.size == 8
    old = 8 if after else 0
    assert cosigned_by_hand(one.add(TREE.body(old, 8)), one.key, TREE.note(8).text) == THEN


def test_a_restored_database(tmp_path: Path) -> None:
    """A witness whose database is an old copy says what it knows, and takes the same history again."""
    path, copy = tmp_path / "witness.db", tmp_path / "copy.db"
    one = witness(TREE.key.vkey, path=path)
    one.add(TREE.body(0, 4))
    with one.witnessed._database.reading() as connection:  # type: ignore[attr-defined] # its own file
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    shutil.copy(path, copy)
    one.add(TREE.body(4, 9))
    old = witness(TREE.key.vkey, path=copy)
    with pytest.raises(OtherSize) as caught:
        old.add(TREE.body(9, 9))
    assert caught.value.size == 4
    old.add(TREE.body(4, 9))
