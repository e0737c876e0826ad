"""What clients number is accounted for: `sentinel producers` finds what was taken and not stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sentinel.cli.main import run
from sentinel_client._counts import Counts
from sentinel_client._door import Door
from sentinel_client._shipper import Pace, Shipper
from sentinel_client._types import Batch, Later, Sent
from sentinel_client._wal import Wal
from sentinel_client.transports.http import HttpTransport
from tests.clients.ledgers import SERVICE, Ledger
from tests.loopback import Asked, Told

PRODUCER = "py-0011223344556677"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A gateway whose ledger is that of a home folder."""
    made = Ledger(str(tmp_path / "ledger.db"))
    yield made
    made.stop()


@pytest.fixture
def transport(ledger: Ledger) -> Iterator[HttpTransport]:
    """A client's way to it."""
    made = HttpTransport(Door(ledger.url, SERVICE))
    yield made
    made.close()


def batch(first: int, count: int = 3, entry: bytes = b'{"n":%d}') -> Batch:
    """Return a batch of entries that are their numbers."""
    return Batch(PRODUCER, first, count, [entry % number for number in range(first, first + count)])


def reported(
    home: Path, capfd: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code of the command and what it says of each producer."""
    capfd.readouterr()
    code = run(["producers", "--json", "--home", str(home), *arguments])
    return code, json.loads(capfd.readouterr().out)["producers"]


def test_a_batch_that_never_arrived_is_found_and_a_resent_one_is_not_told_twice(
    ledger: Ledger, transport: HttpTransport, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Somebody on the way answers with a receipt that fits and stores elsewhere: the ledger shows the gap.

    The same batch, sent again until it arrives, fills the gap and is no repeat.
    """
    other = Ledger()

    def swallow(number: int, asked: Asked) -> Told | None:
        return other._store(asked, {k.lower(): v for k, v in asked.headers.items()}) if number == 1 else None

    try:
        ledger.answer = swallow
        outcomes = [transport.send(batch(first), 10.0) for first in (0, 3, 6)]
    finally:
        other.stop()
    assert [each.altered for each in outcomes if isinstance(each, Sent)] == ["", "", ""], "it cannot tell"
    code, [told] = reported(tmp_path, capfd)
    assert code == 1
    assert (told["service"], told["producer"], told["next"], told["missing"]) == (SERVICE, PRODUCER, 9, 3)
    assert [(gap["first"], gap["last"], gap["entry"]) for gap in told["gaps"]] == [(3, 5, 3)]
    ledger.lose = lambda number: number == 3
    again = [transport.send(batch(3), 10.0) for _ in range(2)]
    assert [type(each) for each in again] == [Later, Sent]
    code, [told] = reported(tmp_path, capfd, "--service", SERVICE)
    assert (code, told["missing"], told["gaps"], told["repeated"], told["entries"]) == (0, 0, [], 0, 9)


def test_what_the_server_refused_is_not_lost(
    ledger: Ledger, transport: HttpTransport, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Lines that are no entries have numbers, too: they are told as refused."""
    mixed = Batch(PRODUCER, 0, 4, [b"[]", b"{}", b"no", b"{}"])
    assert isinstance(transport.send(mixed, 10.0), Sent)
    assert isinstance(transport.send(batch(4), 10.0), Sent)
    code, [told] = reported(tmp_path, capfd)
    assert (code, told["missing"], told["refused"], told["entries"], told["next"]) == (0, 0, 2, 5, 7)


def test_a_client_numbers_all_that_it_logs(
    ledger: Ledger, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """From its log on disk, over a restart, with lost answers: one producer without gap and repeat."""
    ledger.lose = lambda number: number % 3 == 0
    for start in (0, 40):
        counts = Counts()
        wal = Wal(tmp_path / "log", counts=counts)
        pace = Pace(max_age=0.01, base=0.01, cap=0.05)
        transport = HttpTransport(Door(ledger.url, SERVICE))
        shipper = Shipper(wal, transport, counts, pace, root=tmp_path / "log")
        for number in range(start, start + 40, 8):
            for each in range(number, number + 8):
                wal.append(b'{"n":%d}' % each)
            shipper.flush(30.0)
        assert shipper.close(30.0)
        wal.close()
    code, [told] = reported(tmp_path, capfd)
    assert (code, told["entries"], told["next"], told["repeated"], told["lanes"]) == (
        0,
        80,
        80,
        0,
        [f"{SERVICE}/0"],
    )
    assert len(told["producer"]) > 3


def test_people_are_told_where(
    ledger: Ledger, transport: HttpTransport, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Without --json: a line a producer, a line a gap and a repeat; and what to do where there is nothing."""
    home = ("producers", "--home", str(tmp_path))
    assert run(home) == 0
    assert "no producer numbered" in capfd.readouterr().out
    for each in (batch(0), batch(4), batch(0, 2), batch(1, 2)):
        transport.send(each, 10.0)
    assert run(home) == 1
    out = capfd.readouterr().out
    assert f"{SERVICE} {PRODUCER}: 10 entries, next number 7, 1 missing, 4 repeated, 2 segments late" in out
    assert f"missing 3: seen at entry 3 of {SERVICE}/0, 20" in out
    assert "again   0 to 1: seen at entry 6" in out
    assert run([*home, "--service", "nobody"]) == 1
    assert "service nobody has no chain" in capfd.readouterr().err
