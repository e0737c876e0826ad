"""What policy leaves out: sampling, rates, repeats; and that all of it is counted and told."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import sentinel_client
from sentinel_client import _client
from sentinel_client._client import Client
from sentinel_client._counts import Counts
from sentinel_client._flow import MAX_KEYS, Call, Rates, Repeats, Sampling
from sentinel_client._options import Options, OptionsError
from sentinel_client._types import Batch, Outcome
from sentinel_client.testing import Captured, MemoryTransport, capture


def call(when: float = 0.0, level: int = 20, logger: str = "a", **more: Any) -> Call:
    """Return a call."""
    return Call(when, level, logger, more.pop("template", "m"), more.pop("fields", {}), more.pop("trace", ""))


def trace(part: float) -> str:
    """Return a trace id whose deciding half is at a part of its range."""
    return f"{'ab' * 8}{int(part * (2**64 - 1)):016x}"


def test_a_trace_is_kept_whole_or_not_at_all() -> None:
    """The id decides, as OpenTelemetry's sampler by ratio does, and nothing is drawn."""
    sampling = Sampling([{"rate": 0.25}], draw=lambda: pytest.fail("it was drawn"))
    assert [sampling.rate(call(trace=trace(part))) for part in (0.0, 0.24, 0.26, 0.99)] == [
        0.25,
        0.25,
        None,
        None,
    ]
    from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

    theirs = TraceIdRatioBased(0.25)
    for part in (0.0, 0.2, 0.2499, 0.2501, 0.3, 0.99):
        kept = theirs.should_sample(None, int(trace(part), 16), "x").decision is not Decision.DROP
        assert (sampling.rate(call(trace=trace(part))) is not None) is kept


def test_without_a_trace_it_is_drawn() -> None:
    """So much of the calls is kept as the rate says."""
    draws = iter([0.0, 0.49, 0.5, 0.99])
    sampling = Sampling([{"rate": 0.5}], draw=lambda: next(draws))
    assert [sampling.rate(call()) for _ in range(4)] == [0.5, 0.5, None, None]


def test_the_first_rule_that_fits_counts() -> None:
    """A rule is for a logger and those below it, and for levels up to its own."""
    rules = [
        {"logger": "a.b", "rate": 1.0},
        {"logger": "a", "level": "DEBUG", "rate": 0},
        {"level": 5, "rate": 0},
    ]
    sampling = Sampling(rules)
    kept = {
        (name, level): sampling.rate(call(level=level, logger=name)) is not None
        for name in ("a", "a.b", "a.b.c", "ab")
        for level in (5, 10, 20)
    }
    assert [key for key, value in kept.items() if not value] == [("a", 5), ("a", 10), ("ab", 5)]


def test_a_bucket_admits_its_burst_and_then_its_rate() -> None:
    """For each key apart; a clock that is set back gives nothing and takes nothing."""
    rates = Rates([{"by": "order", "per_second": 2, "burst": 3}])

    def admitted(when: float, order: int, times: int) -> int:
        return sum(rates.admits(call(when, fields={"order": order})) for _ in range(times))

    assert admitted(100.0, 1, 10) == 3
    assert admitted(100.0, 2, 10) == 3
    assert admitted(101.0, 1, 10) == 2
    assert admitted(50.0, 1, 10) == 0
    assert admitted(1000.0, 1, 10) == 3


def test_rates_may_be_by_logger_and_template() -> None:
    """What is the default; one rule that has no token is enough to leave a call out."""
    rates = Rates([{"per_second": 0, "burst": 1}, {"by": ["level"], "per_second": 0, "burst": 2}])
    told = [rates.admits(call(logger=name, template=text)) for name in "ab" for text in ("x", "x", "y")]
    assert told == [True, False, True, False, False, False]


def test_buckets_are_bounded_in_number() -> None:
    """The one that was unused for longest is forgotten."""
    rates = Rates([{"by": "order", "per_second": 0, "burst": 1}])
    assert all(rates.admits(call(fields={"order": at})) for at in range(MAX_KEYS + 1))
    assert rates.admits(call(fields={"order": 0}))
    assert not rates.admits(call(fields={"order": MAX_KEYS}))


def test_repeats_become_one_entry() -> None:
    """The first goes out at once, the others are told when the window ends, by the last of them."""
    repeats = Repeats(5.0)

    def hold(when: float, n: int) -> bool:
        return repeats.holds(call(when), lambda: {"n": n})

    assert [hold(float(n), n) for n in range(4)] == [False, True, True, True]
    assert not repeats.holds(call(1.0, template="other"), dict)
    assert repeats.ended(4.9) == []
    assert repeats.ended(5.0) == [{"n": 3, "repeated": 3}]
    assert repeats.ended(100.0) == []
    assert [hold(10.0 + n, n) for n in range(2)] == [False, True]
    assert hold(16.0, 9) is False
    assert repeats.ended(16.0) == [{"n": 1, "repeated": 1}]


@pytest.mark.parametrize(
    "told",
    [
        {"sampling": [{"rate": 2}]},
        {"sampling": [{"rat": 1}]},
        {"sampling": ["x"]},
        {"sampling": [{"rate": 0.5, "level": "loud"}]},
        {"rates": [{"by": "x"}]},
        {"rates": [{"per_second": True}]},
    ],
)
def test_a_policy_that_is_none_is_refused_at_the_start(told: dict[str, Any]) -> None:
    """Not when the first entry is logged."""
    with pytest.raises(OptionsError, match=next(iter(told)) + r"|level"):
        Client(Options.load({"transports": [], **told}, {}), store=Captured())


def test_what_is_left_out_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """In `stats`, and by an entry a minute at most; what was told is not told again."""
    told: dict[str, Any] = {
        "sampling": [{"logger": "s", "rate": 0}, {"logger": "half", "rate": 0.5}],
        "rates": [{"logger": "r", "per_second": 0, "burst": 1}],
        "repeats_seconds": 60,
    }
    now = [1_000_000.0]
    with capture(**told) as log:
        client = sentinel_client.installed()
        for name in "srx":
            for _ in range(3):
                client.record(now[0], 20, "INFO", name, "m", {})
        client.record(now[0], 20, "INFO", "half", "m", {"trace_id": "0" * 31 + "1"})
        assert client.stats()["counts"] == {"sampled": 3, "rate": 2, "repeated": 2}
        assert [each["logger"] for each in log.entries] == ["r", "x", "half"]
        assert log.found(logger="half", sampled=0.5)
        now[0] += _client.REPORT_SECONDS
        client.record(now[0], 20, "INFO", "later", "m", {})
        log.assert_logged(logger="x", message="m", repeated=2)
        log.assert_logged(
            logger="sentinel_client",
            level="WARNING",
            left_out={"sampled": 3, "rate": 2, "repeated": 2},
            times=1,
        )
        client.record(now[0] + 1, 20, "INFO", "s", "m", {})
        assert len(log.found(logger="sentinel_client")) == 1
    assert log.entries[-1]["left_out"] == {"sampled": 1}


def test_repeats_are_told_when_nobody_logs_any_more() -> None:
    """A thread sees to it that a window ends."""
    with capture(repeats_seconds=0.05) as log:
        client = sentinel_client.installed()
        end = time.monotonic() + 60
        while not any("repeated" in each for each in log.entries):  # a machine may sleep over a window
            assert time.monotonic() < end
            now = time.time()
            for at in range(2):
                client.record(now, 20, "INFO", "a", f"m {at}", {}, template="m")
            quiet = time.monotonic() + 1
            while time.monotonic() < quiet and not any("repeated" in each for each in log.entries):
                time.sleep(0.01)
    log.assert_logged(message="m 1", repeated=1)


class Broken(Captured):
    """A store that keeps nothing, or raises."""

    how = ""

    def append(self, line: bytes) -> int:
        """Keep a line, or not."""
        if self.how == "raises":
            raise OSError
        return -1 if self.how == "full" else super().append(line)

    def mask(self, line: bytes, entry: dict[str, Any], encode: Any) -> bytes:
        """Mask a line, or not, or make it larger than a line may be."""
        if self.how == "masking":
            raise ValueError
        return line * 1000 if self.how == "large" else line


def test_nothing_that_fails_reaches_who_logs() -> None:
    """What cannot be masked is not written, every reason is counted, and a lost report is told later."""
    options = Options.load({"transports": []}, {})
    store = Broken(options)
    client = Client(options, store=store)
    log = sentinel_client.get_logger("a", client)
    for store.how in ("raises", "masking", "large", "full"):
        log.info("m")
    assert client.stats()["counts"] == {"broken": 1, "masking": 1, "oversized": 1}
    client._tell(0.0)
    store.how = ""
    client.close()
    (entry,) = store.entries
    assert entry["left_out"] == {"broken": 1, "masking": 1, "oversized": 1}


def test_threads_lose_nothing() -> None:
    """Calls of many threads at once each become an entry."""
    with capture() as log:
        logger = sentinel_client.get_logger("a")

        def work(name: int) -> None:
            for at in range(200):
                logger.info("m", thread=name, at=at)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        found = {(each["thread"], each["at"]) for each in log.entries}
    assert len(log.entries) == len(found) == 800


def test_a_forked_child_counts_from_nothing_and_holds_no_lock() -> None:
    """Another thread of the parent may have held any lock when the child was made."""
    options = Options.load({"transports": [], "repeats_seconds": 60}, {})
    client = Client(options, store=Captured(options))
    client.counts.add("rate", 5)
    with client.counts._lock:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.record(time.time(), 20, "INFO", "a", "m", {})
                client.record(time.time(), 20, "INFO", "a", "m", {})
                code = 0 if client.counts.total() == {"repeated": 1} else 2
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.close()


def test_counts_are_told_once() -> None:
    """What was told is not untold; what comes after is."""
    counts = Counts()
    counts.add("a", 2)
    counts.told(counts.untold())
    assert counts.untold() == {}
    counts.add("a")
    assert (counts.untold(), counts.total()) == ({"a": 1}, {"a": 3})


def test_what_a_transport_logs_is_not_sent_by_it(tmp_path: Path) -> None:
    """Else each batch would make another one, without end; other handlers have it."""
    seen: list[str] = []

    class Chatty(MemoryTransport):
        """Logs as it sends, as HTTP libraries do."""

        def send(self, batch: Batch, timeout: float) -> Outcome:
            """Send a batch, and say so."""
            logging.getLogger("chatty").warning("sending")
            return super().send(batch, timeout)

    transport = Chatty()
    client = Client(transports=[transport], directory=tmp_path, batch_seconds=0)
    logger, handler = logging.getLogger("chatty"), sentinel_client.SentinelHandler(client=client)
    other = logging.Handler()
    other.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.addHandler(other)
    try:
        logger.warning("first")
        assert client.flush(30)
        assert [each["message"] for each in transport.entries] == ["first"]
        assert seen == ["first", "sending"]
    finally:
        logger.removeHandler(handler)
        logger.removeHandler(other)
        client.close()


ENDING = """
import sys, sentinel_client
told = {"transports": [{"kind": "file", "path": sys.argv[1] + "/sent"}], "directory": sys.argv[1] + "/log"}
client = sentinel_client.Client(**told, sampling=[{"logger": "s", "rate": 0}], service="s")
if sys.argv[2] == "logs":
    sentinel_client.get_logger("s", client).info("left out")
    sentinel_client.get_logger("a", client).info("last")
"""


def test_what_was_left_out_is_told_and_sent_as_the_process_ends(tmp_path: Path) -> None:
    """By a client that has logged, without anybody closing it; one that has not leaves no log behind."""
    for how in ("logs", "is silent"):
        folder = tmp_path / how.replace(" ", "-")
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-c", ENDING, str(folder), how], capture_output=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
    sent = [json.loads(line) for line in (tmp_path / "logs" / "sent").read_text().splitlines()]
    assert [each["message"] for each in sent] == ["last", "entries were left out"]
    assert sent[1]["left_out"] == {"sampled": 1}
    assert not list((tmp_path / "is-silent").glob("log/py-*"))
