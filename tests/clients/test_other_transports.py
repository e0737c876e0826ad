"""Datadog, file and console: what arrives, what a retry doubles, and what is no end of a batch."""

from __future__ import annotations

import errno
import fcntl
import io
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel_client._kept import Kept
from sentinel_client._types import Batch, Later, Refused, Sent, TooLarge
from sentinel_client.transports.console import ConsoleTransport, shown
from sentinel_client.transports.datadog import DatadogTransport
from sentinel_client.transports.file import FileTransport
from tests.loopback import Loopback, Told

PRODUCER = "py-0011223344556677"


def batch(*entries: bytes, first: int = 0) -> Batch:
    """Return a batch."""
    return Batch(PRODUCER, first, len(entries), entries)


@pytest.fixture
def intake() -> Iterator[Loopback]:
    """A stand-in of Datadog's intake."""
    made = Loopback(lambda _asked: Told(202, b"{}"))
    yield made
    made.stop()


@pytest.fixture
def datadog(intake: Loopback, tmp_path: Path) -> Iterator[DatadogTransport]:
    """The transport, with a key in a file."""
    (tmp_path / "key").write_text("k" * 32 + "\n")
    url = f"http://127.0.0.1:{intake.port}"
    made = DatadogTransport(tmp_path / "key", service="shop", tags="env:test", hostname="h1", endpoint=url)
    yield made
    made.close()


def test_datadog_gets_logs_with_its_own_names(intake: Loopback, datadog: DatadogTransport) -> None:
    """Logs API: an array with `status`, `timestamp` in milliseconds, and what says whose they are."""
    entries = [b'{"time":1764000000.5,"level":"ERROR","message":"no","cart":{"n":7}}', b"no JSON"]
    assert datadog.send(batch(*entries), 10.0) == Sent()
    (asked,) = intake.asked
    headers = {name.lower(): value for name, value in asked.headers.items()}
    assert (asked.path, headers["dd-api-key"], headers["content-encoding"]) == (
        "/api/v2/logs",
        "k" * 32,
        "gzip",
    )
    whose = {"hostname": "h1", "service": "shop", "ddsource": "sentinel", "ddtags": "env:test"}
    assert json.loads(zlib.decompress(asked.body, 31)) == [
        {"timestamp": 1764000000500, "status": "ERROR", "message": "no", "cart": {"n": 7}, **whose},
        {"message": "no JSON", **whose},
    ]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((each, Later) for each in (401, 403, 408, 429, 500, 503)),
        *((each, Sent) for each in (200, 202)),
        (400, Refused),
        (413, TooLarge),
    ],
)
def test_what_datadog_answers(
    intake: Loopback, datadog: DatadogTransport, status: int, outcome: type
) -> None:
    """400 is final, 413 asks for parts, a key that is not accepted can be mended, all else is tried again."""
    intake.answer = lambda _: Told(status, b"hunter2", {"Retry-After": "9"})
    found = datadog.send(batch(b"{}"), 10.0)
    assert isinstance(found, outcome)
    assert "hunter2" not in repr(found)
    if isinstance(found, Later):
        assert found.after >= 9


def test_a_datadog_key_is_read_for_each_batch(
    intake: Loopback, datadog: DatadogTransport, tmp_path: Path
) -> None:
    """A renewed key counts; one that is missing is named by its file, and the batch waits."""
    (tmp_path / "key").write_text("other")
    assert datadog.send(batch(b"{}"), 10.0) == Sent()
    assert {n.lower(): v for n, v in intake.asked[0].headers.items()}["dd-api-key"] == "other"
    (tmp_path / "key").unlink()
    found = datadog.send(batch(b"{}"), 10.0)
    assert isinstance(found, Later)
    assert str(tmp_path / "key") in found.why


def test_a_datadog_batch_of_all_limits_is_within_those_of_the_intake(datadog: DatadogTransport) -> None:
    """1,000 logs and 5 MB unpacked, with what is put round each entry."""
    fill = DatadogTransport.max_bytes // DatadogTransport.max_entries
    entries = [b'{"time":1764000000,"level":"INFO","m":"%s"}' % (b"x" * (fill - 50))] * 1_000
    logs = [datadog._log(entry) for entry in entries]
    assert len(json.dumps(logs, ensure_ascii=False, separators=(",", ":"))) < 5_000_000


def test_only_datadogs_own_sites_are_sites(tmp_path: Path) -> None:
    """A key goes to Datadog, not to whoever a mistyped site belongs to."""
    with pytest.raises(ValueError, match="no Datadog site"):
        DatadogTransport(tmp_path / "key", site="datadoghq.example")


def test_a_file_gets_lines_and_is_rotated(tmp_path: Path) -> None:
    """Lines are appended; a file that would grow over its size moves on, the oldest goes."""
    path = tmp_path / "log.ndjson"
    to = FileTransport(path, rotate_bytes=30, keep=2, fsync=True)
    for number in range(8):
        assert to.send(batch(b'{"n":%d}' % number, b'{"m":%d}' % number), 5.0) == Sent()
    files = {each.name: each.read_bytes().splitlines() for each in tmp_path.iterdir()}
    assert sorted(files) == ["log.ndjson", "log.ndjson.1", "log.ndjson.2"]
    lines = [*files["log.ndjson.2"], *files["log.ndjson.1"], *files["log.ndjson"]]
    assert lines == [b'{"%s":%d}' % (name, n) for n in range(8) for name in (b"n", b"m")][-len(lines) :]
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_a_line_that_was_cut_off_is_a_line_of_its_own(tmp_path: Path) -> None:
    """After a kill or a full disk within a line, the batch is there again as a whole."""
    path = tmp_path / "log"
    path.write_bytes(b'{"n":0}\n{"n":')
    assert FileTransport(path).send(batch(b'{"n":1}', b'{"n":2}'), 5.0) == Sent()
    assert path.read_bytes() == b'{"n":0}\n{"n":\n{"n":1}\n{"n":2}\n'


def test_a_disk_that_takes_nothing_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the disk are no loss: missing folders, full disks, also after a part was written."""
    missing = FileTransport(tmp_path / "no" / "log")
    found = missing.send(batch(b"{}"), 5.0)
    assert isinstance(found, Later)
    assert "No such file" in found.why
    to, real, calls = FileTransport(tmp_path / "log"), os.write, []

    def short(handle: int, data: memoryview) -> int:
        calls.append(len(data))
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[:5])

    monkeypatch.setattr(os, "write", short)
    assert isinstance(to.send(batch(b'{"n":1}'), 5.0), Later)
    monkeypatch.setattr(os, "write", real)
    assert to.send(batch(b'{"n":1}'), 5.0) == Sent()
    assert (tmp_path / "log").read_bytes().splitlines()[1:] == [b'{"n":1}']


def test_the_console_is_read_by_people() -> None:
    """One line an entry, with time, level, logger, message and fields; `raw` writes it as it is."""
    entry = b'{"time":1764000000.5,"level":"INFO","logger":"shop","message":"paid","cart":7,"who":"a b"}'
    stream = io.StringIO()
    assert ConsoleTransport(stream).send(batch(entry), 5.0) == Sent()
    assert stream.getvalue() == '2025-11-24T16:00:00.500Z INFO     shop: paid cart=7 who="a b"\n'
    raw = io.StringIO()
    ConsoleTransport(raw, raw=True).send(batch(entry), 5.0)
    assert raw.getvalue() == entry.decode() + "\n"


@pytest.mark.parametrize("where", ["message", "logger", "level", "field"])
def test_an_entry_cannot_drive_the_terminal(where: str) -> None:
    """Control characters are shown as escapes, wherever they stand: no line can look like another's."""
    told = shown(json.dumps({where: "a\x1b[2J\r\nINFO \u202e", "time": "\x1b"}))
    assert "\x1b" not in told.replace("\\x1b", "")
    assert all(each.isprintable() for each in told)


@pytest.mark.parametrize(
    "line", ["[", "7", '"x"', '{"time":1e999}', '{"time":true}', '{"exception":7}', '{"":""}']
)
def test_the_console_shows_whatever_comes(line: str) -> None:
    """No entry is one that it fails at."""
    assert isinstance(shown(line, coloured=True), str)


def test_a_console_that_is_gone_ends_nothing() -> None:
    """A pipe that nobody reads takes everything; a stream that fails is tried again."""

    class Stream(io.StringIO):
        error: Exception = BrokenPipeError()

        def write(self, _: str) -> int:
            raise self.error

    stream = Stream()
    assert ConsoleTransport(stream).send(batch(b"{}"), 5.0) == Sent()
    stream.error = OSError(errno.EAGAIN, "x")
    assert isinstance(ConsoleTransport(stream).send(batch(b"{}"), 5.0), Later)


def test_what_is_kept_is_bounded_by_its_newest(tmp_path: Path) -> None:
    """A file of the root holds its last one to two pieces, whoever else writes there."""
    path = tmp_path / "receipts.ndjson"
    path.write_bytes(b'{"cut')
    mine, other = Kept(path, 100), Kept(path, 100)
    for number in range(100):
        assert (mine if number % 3 else other).add(b'{"n":%d}' % number)
    lines = mine.lines()
    assert lines == [b'{"n":%d}' % number for number in range(100)][-len(lines) :]
    assert 100 < sum(map(len, lines)) + len(lines) <= 200
    assert not Kept(tmp_path / "no" / "file").add(b"{}")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not mine.add(b"{}"), "nobody waits for ever"
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    assert not mine.add(b"{}"), "another's link is not followed"
