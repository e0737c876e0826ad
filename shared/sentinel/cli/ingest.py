"""`sentinel ingest`: a file or standard input into a chain, each line once, however often it is run."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import credential_options, home_option, json_option
from sentinel.cli.output import Failure, echo, emit, plain

if TYPE_CHECKING:
    from sentinel.cli.bookmarks import Mark
    from sentinel.cli.clients import Files
    from sentinel.cli.lines import Batch
    from sentinel.cli.producer import Producer

DEFAULT_URL = "https://127.0.0.1:8787"
MAX_REPORTED = 20
_BEGINNING = 1 << 16
_PACKED = (
    (b"\x1f\x8b\x08", "gzip", "zcat"),
    (b"\x28\xb5\x2f\xfd", "zstd", "zstdcat"),
    (b"BZh", "bzip2", "bzcat"),
    (b"\xfd7zXZ\x00", "xz", "xzcat"),
)


@dataclass(slots=True)
class Stored:
    """What came of an ingest. `mark` covers the whole log, `sent` counts this run's entries alone."""

    mark: Mark
    sent: int = 0
    batches: int = 0
    problems: list[dict[str, object]] = field(default_factory=list)
    form: str = "text"

    def refuse(self, problems: list[dict[str, object]], count: int) -> None:
        """Note refused lines."""
        self.mark.refused += count
        self.problems += problems[: MAX_REPORTED - len(self.problems)]


@click.command()
@click.argument("source", metavar="FILE|-", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option("--service", required=True, help="The service that the entries are stored for.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["auto", "ndjson", "text"]),
    default="auto",
    show_default=True,
    help="auto takes NDJSON where the first lines are JSON objects.",
)
@click.option("--url", envvar="SENTINEL_URL", help="The gateway; by default the one that runs on --home.")
@click.option("--patience", default=30.0, show_default=True, help="Seconds to keep trying a batch.")
@credential_options
@home_option
@json_option
def ingest(
    source: str,
    service: str,
    form: str,
    url: str | None,
    patience: float,
    files: Files,
    home: Path,
    as_json: bool,
) -> int:
    """Store a log through the gateway, in batches, each line once.

    A run that was interrupted, or is repeated, goes on after what is stored. Lines that are refused are
    reported, and the exit code is 1. At the gateway of --home a service that is new is added, with a
    certificate and an API key; elsewhere, name the files that it was given.
    """
    from sentinel.cli.clients import credentials
    from sentinel.cli.producer import Producer
    from sentinel.core.chain import check_service
    from sentinel.local.home import endpoint

    check_service(service)
    where = url or endpoint(home) or DEFAULT_URL
    producer = Producer(where, service, patience, credentials(files, home, where, service))
    stored = store(producer, source, form, home, progress=not as_json and sys.stderr.isatty())
    told = summary(stored, home)
    if as_json:
        emit(told)
    else:
        _tell(told)
    return 1 if stored.mark.refused else 0


def store(producer: Producer, source: str, form: str, home: Path, *, progress: bool = False) -> Stored:
    """Send a log; `source` is a path or `-`. Raises the failure that tells how far it got."""
    from sentinel.cli import lines
    from sentinel.cli.bookmarks import Bookmarks, Mark, hashed
    from sentinel.errors import Unavailable
    from sentinel.local.home import endpoint

    path = Path(source)
    if source == "-" or not path.is_file():  # a pipe with a name is a pipe
        beginning, read = lines.stream(0 if source == "-" else os.open(path, os.O_RDONLY))
        _refuse_packed(beginning)
        chosen = lines.looks_like(beginning, False) if form == "auto" else form
        stored = Stored(Mark(), form=chosen)
        return _send_all(producer, lines.Cutter(chosen, path.name).batches(read), stored, lambda: None)
    marks = Bookmarks(home / "ingest")
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
        _refuse_packed(beginning)
        chosen = lines.looks_like(beginning, len(beginning) < _BEGINNING) if form == "auto" else form
        # A gateway on the folder itself may come back on another port; its ledger is the same one.
        gateway = "home" if producer.url == endpoint(home) else producer.url
        key = (gateway, producer.service, str(path.resolve()), chosen)
        mark = marks.load(*key)
        file.seek(0)
        prefix = hashed(file, mark) if mark.offset else None
        try:
            if prefix is None or not mark.holds(producer.chains()):
                mark, prefix = Mark(), None
                file.seek(0)
        except Unavailable as error:
            raise _stuck(error, Stored(mark)) from None
        cutter = lines.Cutter(chosen, path.name, prefix, mark.offset, mark.line)
        stored = Stored(mark, form=chosen)
        with _bar(path.stat().st_size, mark.offset, progress) as bar:

            def done() -> None:
                marks.save(mark, *key)
                bar(mark.offset)

            return _send_all(producer, cutter.batches(lambda: file.read(lines.CHUNK)), stored, done)


def _refuse_packed(beginning: bytes) -> None:
    """Refuse a compressed log: nobody could search or match what would be stored."""
    for magic, kind, program in _PACKED:
        if beginning.startswith(magic):
            raise Failure(
                "Malformed",
                f"this is {kind}, no log",
                f"unpack it: `{program} FILE | sentinel ingest - --service NAME`",
                2,
            )


def _send_all(producer: Producer, batches: Any, stored: Stored, done: Callable[[], None]) -> Stored:
    from sentinel.errors import Unavailable

    for batch in batches:
        try:
            _send(producer, batch, stored)
        except Unavailable as error:
            raise _stuck(error, stored) from None
        if not batch.whole:  # a run that breaks off here sends the line again: its batches are recognised
            continue
        mark = stored.mark
        mark.offset, mark.line, mark.digest = batch.offset, batch.line, batch.end
        mark.blank += batch.blank
        done()
    producer.close()
    return stored


def _send(producer: Producer, batch: Batch, stored: Stored) -> None:
    import zstandard

    from sentinel.errors import Conflict, Malformed

    stored.refuse(batch.refused, len(batch.refused))
    if not batch.entries:
        return
    named = "\n".join(("SI1", producer.service, batch.id))
    body = zstandard.compress(b"\n".join(batch.entries), 3)
    batch_id = sha256(named.encode()).hexdigest()[:32]
    try:
        receipt = producer.send(body, batch_id, {"Content-Encoding": "zstd"})
    except Malformed as error:
        if isinstance(error, Conflict) or not error.problems:
            raise
        receipt = {"count": 0, "rejected": len(batch.entries), "problems": error.problems}
    if receipt["count"]:
        stored.mark.add(receipt)
        stored.sent += receipt["count"]
        stored.batches += 1
    problems = receipt.get("problems") or []
    told = [{**each, "line": batch.numbers[int(each["line"]) - 1]} for each in problems]
    stored.refuse(told, receipt.get("rejected", 0))


def _stuck(error: Exception, stored: Stored) -> Failure:
    so_far = f"{stored.mark.line:,} lines are dealt with, {stored.mark.entries:,} entries stored"
    return Failure(
        "Unavailable", f"{error} ({so_far})", "run the same command again: it goes on from there", 3
    )


class _bar:  # noqa: N801 - used like a function
    """A progress bar on standard error, or nothing."""

    def __init__(self, length: int, at: int, shown: bool) -> None:
        self._bar = click.progressbar(length=length, file=sys.stderr, label="storing") if shown else None
        self._at = 0
        self._begin = at

    def __enter__(self) -> Callable[[int], None]:
        if self._bar is not None:
            self._bar.__enter__()
            self._move(self._begin)
        return self._move

    def _move(self, offset: int) -> None:
        if self._bar is not None:
            self._bar.update(offset - self._at)
            self._at = offset

    def __exit__(self, *about: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*about)


def summary(stored: Stored, home: Path) -> dict[str, Any]:
    """Return the final account: of the whole log, what was stored earlier included."""
    mark = stored.mark
    return {
        "format": stored.form,
        "entries": mark.entries,
        "sent": stored.sent,
        "segments": segments(home, mark.ranges),
        "chain": mark.ranges[-1][0] if mark.ranges else None,
        "head": mark.head or None,
        "blank": mark.blank,
        "refused": mark.refused,
        "problems": stored.problems,
    }


def segments(home: Path, ranges: list[list[Any]]) -> int | None:
    """Count the segments that hold these entries; None where the ledger is not below `home`."""
    from sentinel.adapters.sqlite_ledger import SqliteLedger

    path = home / "ledger.db"
    if not path.exists():
        return None
    ledger = SqliteLedger(path)
    count = 0
    for chain, first, size in ranges:
        for segment in ledger.read(chain, first):
            if segment.first >= first + size:
                break
            count += 1
    return count


def _tell(told: dict[str, Any]) -> None:
    for problem in told["problems"]:
        echo(f"refused: line {problem['line']:,}: {plain(problem['reason'])}", file=sys.stderr)
    if told["refused"]:
        lines_were = "line was" if told["refused"] == 1 else "lines were"
        echo(f"{told['refused']:,} {lines_were} refused; the others are stored", file=sys.stderr)
    earlier = told["entries"] - told["sent"]
    entries = "entry" if told["entries"] == 1 else "entries"
    parts = [f"{told['entries']:,} {entries} as {told['format']}"]
    if told["segments"] is not None:
        parts.append(f"{told['segments']:,} {'segment' if told['segments'] == 1 else 'segments'}")
    if earlier:
        parts.append(f"{earlier:,} of them stored earlier")
    if told["chain"]:
        parts.append(f"chain {told['chain']}, head {told['head']}")
    echo(", ".join(parts))
