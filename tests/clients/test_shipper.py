"""The shipper over a real log and real sockets: when batches go out, and that nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sentinel_client._counts import Counts
from sentinel_client._door import Door
from sentinel_client._kept import ALTERED, RECEIPTS, REFUSED, Kept
from sentinel_client._shipper import Pace, Shipper
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge
from sentinel_client._wal import Wal
from sentinel_client.aws_lambda import flushed
from sentinel_client.transports.http import HttpTransport
from tests.clients.ledgers import SERVICE, Ledger
from tests.loopback import Told

QUICK = Pace(max_age=0.02, base=0.01, cap=0.05, timeout=10.0)
LONG = 30.0


def until(true: Callable[[], Any], why: str) -> None:
    """Wait until something is true."""
    end = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < end, why
        time.sleep(0.005)


def held_until(event: threading.Event) -> Callable[[int, object], None]:
    """Answer nothing until something has happened, then as ever."""

    def answer(_number: int, _asked: object) -> None:
        event.wait(LONG)

    return answer


class Scripted:
    """A transport that answers as a test says, and keeps what it was sent."""

    name = "http"
    max_entries = 10_000
    max_bytes = 4_000_000

    def __init__(self, *outcomes: Outcome | Exception, name: str = "http") -> None:
        self.outcomes = list(outcomes)
        self.seen: list[Batch] = []
        self.name = name
        self.closed = 0

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Answer what is next; `Sent` when nothing is left to say."""
        self.seen.append(batch)
        told = self.outcomes.pop(0) if self.outcomes else Sent()
        if isinstance(told, Exception):
            raise told
        return told

    def close(self) -> None:
        """Count it."""
        self.closed += 1


class Case:
    """A log, its counts, and shippers that are closed at the end."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.counts = Counts()
        self.told: list[Mapping[str, object]] = []
        self.wal = self.log()
        self.shippers: list[Shipper] = []

    def log(self, **options: Any) -> Wal:
        """Open another log of the same root, as another process would."""
        return Wal(self.root, counts=self.counts, look=0.0, **options)

    def shipper(self, transport: Any, pace: Pace = QUICK, wal: Wal | None = None, **options: Any) -> Shipper:
        """Make a shipper."""
        options = {"tell": self.told.append, "root": self.root, **options}
        made = Shipper(wal or self.wal, transport, self.counts, pace, **options)
        self.shippers.append(made)
        return made

    def append(self, *numbers: int) -> None:
        """Log entries."""
        for number in numbers:
            assert self.wal.append(b'{"n":%d}' % number) >= 0

    def kept(self, name: str) -> list[Any]:
        """Return what is kept in a file of the root."""
        return [json.loads(line) for line in Kept(self.root / name).lines()]


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    """A log in a folder of its own."""
    made = Case(tmp_path / "root")
    yield made
    for shipper in made.shippers:
        shipper.close(0.0)
        if shipper._thread is not None:
            shipper._thread.join(LONG)
    made.wal.close()


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    """A gateway without doors."""
    made = Ledger()
    yield made
    made.stop()


def http(ledger: Ledger) -> HttpTransport:
    """Return the real transport."""
    return HttpTransport(Door(ledger.url, SERVICE))


def numbers(entries: list[bytes]) -> list[int]:
    """Return the numbers of entries."""
    return [json.loads(entry)["n"] for entry in entries]


def test_what_was_logged_is_stored_in_order(case: Case, ledger: Ledger) -> None:
    """Entries go out once their first has waited, in the order of their numbers, and receipts are kept."""
    shipper = case.shipper(http(ledger))
    case.append(*range(50))
    shipper.wake()
    until(lambda: len(ledger.stored()) == 50, "they are not sent")
    case.append(*range(50, 60))
    assert shipper.flush(LONG)
    assert numbers(ledger.stored()) == list(range(60))
    assert case.wal.progress("http").acknowledged == 60
    kept = case.kept(RECEIPTS)
    assert sum(each["count"] for each in kept) == 60
    assert {each["producer"] for each in kept} == {case.wal.producer}
    assert oct((case.root / RECEIPTS).stat().st_mode)[-3:] == "600"


def test_a_batch_waits_for_others_and_a_full_one_does_not(case: Case) -> None:
    """The age of the first entry is waited for, unless the batch is full: then it goes out alone, at once."""
    transport = Scripted()
    shipper = case.shipper(transport, Pace(max_entries=10, max_age=3600.0))
    case.append(*range(25))
    shipper.wake()
    until(lambda: len(transport.seen) == 2, "full batches wait")
    time.sleep(0.3)
    assert [(each.first, each.count) for each in transport.seen] == [(0, 10), (10, 10)]
    assert shipper.flush(LONG)
    assert [(each.first, each.count) for each in transport.seen[2:]] == [(20, 5)]


def test_bytes_bound_a_batch(case: Case) -> None:
    """No batch is over the transport's bytes, its line feeds included; what is left goes out at once."""
    transport = Scripted()
    transport.max_bytes = 1_000
    shipper = case.shipper(transport)
    for _ in range(30):
        case.wal.append(b'{"m":"%s"}' % (b"x" * 190))
    assert shipper.flush(LONG)
    assert sum(each.count for each in transport.seen) == 30
    assert max(len(b"\n".join(each.entries)) for each in transport.seen) <= 1_000


def test_a_range_is_noted_before_it_is_sent_and_comes_again_after_a_restart(case: Case) -> None:
    """A batch that was begun goes out with the same range and id by whoever has the slot then."""
    transport = Scripted(*[Later("down")] * 1_000)
    shipper = case.shipper(transport)
    case.append(1, 2, 3)
    assert not shipper.flush(0.2)
    assert case.wal.progress("http").sending == (0, 3)
    case.append(4, 5)
    shipper.close(0.0)
    producer = case.wal.producer
    case.wal.close()
    again = Scripted()
    case.wal = case.log()
    assert case.wal.producer == producer
    assert case.shipper(again).flush(LONG)
    assert [(each.first, each.count) for each in again.seen] == [(0, 3), (3, 2)]
    assert {each.id for each in transport.seen} == {again.seen[0].id}


def test_lost_answers_double_nothing(case: Case, ledger: Ledger) -> None:
    """Whatever answers are lost, the ledger has each entry once, in order."""
    ledger.lose = lambda number: number % 3 != 2
    shipper = case.shipper(http(ledger))
    for start in range(0, 40, 10):
        case.append(*range(start, start + 10))
        assert shipper.flush(LONG)
    assert numbers(ledger.stored()) == list(range(40))


@pytest.mark.parametrize("kind", ["down", "throttling", "garbage", "flapping", "cut"])
def test_a_server_in_trouble_gets_everything_once_it_is_well(case: Case, ledger: Ledger, kind: str) -> None:
    """Neither errors, refusals to answer, nor nonsense lose or double an entry."""
    trouble: dict[str, Callable[[int], Told | None]] = {
        "down": lambda number: Told(503) if number < 6 else None,
        "throttling": lambda number: Told(429, headers={"Retry-After": "0"}) if number % 2 else None,
        "garbage": lambda number: Told(200, b"<html>") if number < 6 else None,
        "flapping": lambda number: [Told(500), None, Told(lost=True), Told(404), None][number % 5],
        "cut": lambda number: Told(200, b"{", headers={"Content-Length": "99"}) if number < 4 else None,
    }
    ledger.answer = lambda number, _: trouble[kind](number)
    shipper = case.shipper(http(ledger), Pace(max_age=0.01, base=0.01, cap=0.05, timeout=0.5))
    for start in range(0, 30, 10):
        case.append(*range(start, start + 10))
        assert shipper.flush(LONG)
    assert numbers(ledger.stored()) == list(range(30))
    assert shipper.stats()["why"] == ""


def test_refused_batches_are_counted_and_kept(case: Case) -> None:
    """A batch that will never be taken does not hold up the next; its entries can be looked at."""
    transport = Scripted(Refused("400 Malformed"), Sent())
    shipper = case.shipper(transport)
    case.append(1, 2)
    assert shipper.flush(LONG)
    case.append(3)
    assert shipper.flush(LONG)
    assert case.counts.total() == {"refused": 2}
    kept = case.kept(REFUSED)
    assert [(each["sequence"], each["entry"]) for each in kept] == [(0, '{"n":1}'), (1, '{"n":2}')]
    assert kept[0]["why"] == "400 Malformed"
    assert (shipper.stats()["refused"], shipper.stats()["sent"]) == (2, 1)


def test_a_poison_entry_is_named_and_the_others_are_stored(case: Case, ledger: Ledger) -> None:
    """One entry that the server does not take is counted and kept; its batch is stored without it."""
    shipper = case.shipper(http(ledger))
    case.append(1)
    case.wal.append(b"no JSON")
    case.append(2)
    assert shipper.flush(LONG)
    assert numbers(ledger.stored()) == [1, 2]
    assert case.counts.total() == {"refused": 1}
    assert [(each["sequence"], each["entry"]) for each in case.kept(REFUSED)] == [(1, "no JSON")]


def test_an_altered_receipt_is_counted_told_and_kept(case: Case, ledger: Ledger) -> None:
    """A server that stores something else is told of as an event, and its receipt is kept as evidence."""
    ledger.alter = lambda entries: [entries[0].replace(b"1", b"7"), *entries[1:]]
    shipper = case.shipper(http(ledger))
    case.append(1, 2)
    assert shipper.flush(LONG)
    assert case.counts.total() == {"altered": 1}
    (told,) = case.told
    (kept,) = case.kept(ALTERED)
    assert told["event"] == "receipt.altered"
    assert told["head"] == kept["head"]
    assert "entries that were sent" in kept["altered"]
    assert shipper.stats()["altered"] == 1


def test_a_batch_that_is_too_large_goes_in_parts(case: Case) -> None:
    """After 413 halves go out, and later batches are no larger; a single entry is refused."""
    transport = Scripted(TooLarge("413"), TooLarge("413"))
    shipper = case.shipper(transport, Pace(max_age=3600.0))
    case.append(*range(8))
    assert shipper.flush(LONG)
    assert [(each.first, each.count) for each in transport.seen] == [
        (0, 8),
        (0, 4),
        (0, 2),
        (2, 2),
        (4, 2),
        (6, 2),
    ]
    transport.outcomes = [TooLarge("413")]
    case.append(8)
    assert shipper.flush(LONG)
    assert case.counts.total() == {"refused": 1}
    assert case.kept(REFUSED)[0]["entry"] == '{"n":8}'


def test_a_transport_that_raises_is_tried_again(case: Case) -> None:
    """A mistake in a transport of the program's own is told by its type alone, and loses nothing."""
    transport = Scripted(RuntimeError("hunter2"), KeyError("hunter2"))
    shipper = case.shipper(transport)
    case.append(1)
    assert shipper.flush(LONG)
    assert len(transport.seen) == 3
    transport.outcomes = [RuntimeError("hunter2")] * 10_000
    case.append(2)
    assert not shipper.flush(0.1)
    assert shipper.stats()["why"] == "the transport raised RuntimeError"


def test_transports_advance_independently(case: Case, ledger: Ledger) -> None:
    """One that is down holds up no other, and gets everything when it is well."""
    case.wal.close()
    case.wal = case.log(transports=("http", "second"))
    down = Scripted(*[Later("down")] * 10_000, name="second")
    first, second = case.shipper(http(ledger)), case.shipper(down)
    case.append(*range(10))
    assert first.flush(LONG)
    assert not second.flush(0.05)
    assert (first.stats()["waiting"], second.stats()["waiting"]) == (0, 10)
    down.outcomes = []
    assert second.flush(LONG)
    assert case.wal.progress("second").acknowledged == 10


def test_slots_of_dead_processes_are_sent_too(case: Case, ledger: Ledger) -> None:
    """What a killed process left goes out under its own producer id, once."""
    code = (
        "import os, sys; from pathlib import Path; from sentinel_client._wal import Wal;"
        "from sentinel_client._counts import Counts; w = Wal(Path(sys.argv[1]), counts=Counts());"
        "[w.append(b'{\"n\":%d}' % n) for n in range(5)]; os.kill(os.getpid(), 9)"
    )
    case.append(100)  # our own slot is taken before the other comes
    for _ in range(2):  # the second takes the slot of the first
        subprocess.run([sys.executable, "-c", code, str(case.root)], check=False)
    shipper = case.shipper(http(ledger))
    shipper.wake()
    until(lambda: len(ledger.stored()) == 11, "orphans are not sent")
    assert sorted(numbers(ledger.stored())) == sorted([100, *range(5), *range(5)])
    assert len({asked.headers["Sentinel-Producer"] for asked in ledger.batches()}) == 2


def test_a_closed_shipper_is_quiet(case: Case) -> None:
    """Close sends what is there within its bound, closes the transport, and may be called again."""
    transport = Scripted()
    shipper = case.shipper(transport, Pace(max_age=3600.0))
    case.append(1, 2)
    assert shipper.close(LONG)
    assert (len(transport.seen), transport.closed) == (1, 1)
    assert shipper.close(LONG)
    assert shipper.flush(LONG)
    shipper.wake()
    assert not shipper.awake
    assert shipper.stats()["waiting"] == 0


@pytest.mark.parametrize("end", ["flush", "close"])
def test_deadlines_hold_where_nobody_answers(case: Case, ledger: Ledger, end: str) -> None:
    """Neither flush nor close takes longer than it may, also while a request is under way."""
    release = threading.Event()

    ledger.answer = held_until(release)
    shipper = case.shipper(http(ledger), Pace(max_age=0.01, timeout=LONG))
    case.append(1)
    shipper.wake()
    until(ledger.batches, "nothing was sent")
    begun = time.monotonic()
    assert not getattr(shipper, end)(0.2)
    assert 0.1 < time.monotonic() - begun < LONG / 2
    release.set()
    if end == "flush":
        assert shipper.flush(LONG)
    else:
        time.sleep(0.2)
        assert case.wal.progress("http").sending == (0, 1), "a closed shipper leaves the log alone"


def test_flush_hurries_the_backoff_but_not_who_asks_for_time(case: Case) -> None:
    """What we chose to wait is cut short by a flush; Retry-After is not."""
    transport = Scripted(Later("down"))
    shipper = case.shipper(transport, Pace(max_age=0.0, base=3600.0, cap=3600.0), draw=lambda: 0.999)
    case.append(1)
    shipper.wake()
    until(lambda: shipper.stats()["retry_in"] > 3000, "it does not wait")
    assert shipper.flush(LONG)
    transport.outcomes = [Later("busy", 3600.0)]
    case.append(2)
    assert not shipper.flush(0.3)
    assert not shipper.flush(0.1)
    assert len(transport.seen) == 3


def test_a_forked_child_sends_its_own(case: Case, ledger: Ledger) -> None:
    """Threads do not survive a fork: the child's shipper starts anew, over a slot of its own."""
    shipper = case.shipper(http(ledger))
    case.append(1)
    assert shipper.flush(LONG)
    pid = os.fork()
    if pid == 0:
        try:
            before = shipper.awake
            case.append(2)
            os._exit(0 if shipper.flush(LONG) and shipper.awake > before else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    case.append(3)
    assert shipper.flush(LONG)
    assert sorted(numbers(ledger.stored())) == [1, 2, 3]
    assert len({asked.headers["Sentinel-Producer"] for asked in ledger.batches()}) == 2


PROGRAM = """
import sys
from pathlib import Path
from sentinel_client._counts import Counts
from sentinel_client._door import Door
from sentinel_client._shipper import Pace, Shipper
from sentinel_client._wal import Wal
from sentinel_client.transports.http import HttpTransport
counts = Counts()
wal = Wal(Path(sys.argv[1]), counts=counts)
pace = Pace(max_age=3600.0, exit=float(sys.argv[3]))
shipper = Shipper(wal, HttpTransport(Door(sys.argv[2], "checkout")), counts, pace)
wal.append(b'{"n":1}')
if sys.argv[4] == "woken":
    shipper.wake()
wal.append(b'{"n":2}')
"""


def program(case: Case, url: str, seconds: float, woken: str) -> float:
    """Run a program that logs and ends; return how long it took."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(case.root), url, str(seconds), woken], check=False
    )
    assert done.returncode == 0
    return time.monotonic() - begun


def test_the_end_of_a_program_sends_what_is_left(case: Case, ledger: Ledger) -> None:
    """At the interpreter's exit, entries that waited for others go out, within the bound."""
    program(case, ledger.url, LONG, "woken")
    assert numbers(ledger.stored()) == [1, 2]


def test_a_program_that_logs_nothing_leaves_nothing(case: Case, ledger: Ledger) -> None:
    """A shipper that never ran, as in a child that was forked for other work, takes no slot at the end."""
    code = PROGRAM.partition("wal.append")[0]
    command = [sys.executable, "-c", code, str(case.root), ledger.url, "9"]
    assert subprocess.run(command, check=False).returncode == 0
    assert not case.root.exists()
    assert ledger.batches() == []


def test_the_end_of_a_program_waits_for_nobody_for_ever(case: Case, ledger: Ledger) -> None:
    """Where the server does not answer, the end comes after the bound, and the next program sends it."""
    answering = threading.Event()
    ledger.answer = held_until(answering)
    assert program(case, ledger.url, 0.3, "woken") < LONG / 2
    answering.set()
    program(case, ledger.url, LONG, "woken")
    assert sorted(numbers(ledger.stored())) == [1, 1, 2, 2]


def test_an_invocation_of_lambda_ends_with_a_flush(case: Case, ledger: Ledger) -> None:
    """The decorated handler returns once its logs are stored, within the time that it has left."""
    shipper = case.shipper(http(ledger), Pace(max_age=3600.0))

    class Context:
        def __init__(self, seconds: float) -> None:
            self.seconds = seconds

        def get_remaining_time_in_millis(self) -> int:
            return int(self.seconds * 1000)

    @flushed(client=shipper)
    def handler(event: int, context: object) -> int:
        case.append(event)
        if event == 2:
            raise ValueError("2")
        return event * 10

    assert handler(1, Context(LONG)) == 10
    assert numbers(ledger.stored()) == [1]
    with pytest.raises(ValueError, match="2"):
        handler(2, Context(LONG))
    assert numbers(ledger.stored()) == [1, 2]
    ledger.answer = lambda _number, _asked: Told(503)
    begun = time.monotonic()
    assert handler(3, Context(0.7)) == 30
    assert time.monotonic() - begun < LONG / 2
