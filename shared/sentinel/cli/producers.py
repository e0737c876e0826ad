"""`sentinel producers`: whether all that producers numbered arrived. Nothing here writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, style

if TYPE_CHECKING:
    from sentinel.usecases.producers import Found, Run, Track

SHOWN = 10  # gaps and repeats of a producer; --json has more


@click.command()
@click.option("--service", help="Producers of one service; of all without it.")
@click.option("--chain", help="One chain alone: what producers stored on other lanes looks lost then.")
@home_option
@json_option
def producers(service: str | None, chain: str | None, home: Path, as_json: bool) -> int:
    """Report which numbers of each producer never came, came twice or late. Exits 1 where some never came.

    Producers number their entries (docs/producers.md). Every chain that is read is verified, too. A service
    with one that is damaged, or may not be read, is told as unread, and the exit code is 1.
    """
    from sentinel.usecases.producers import Producers

    found = Producers(application(home).ledger).report(service, chain)
    if as_json:
        emit(found.json())
    else:
        _tell(found)
    return 0 if found.whole else 1


def _tell(found: Found) -> None:
    for track in found.tracks:
        _tell_one(track)
    for service, error in found.unread.items():
        echo(f"{style('unread', 'red')}   {plain(service)}: {plain(str(error))}")
    if not found.tracks and not found.unread:
        echo("no producer numbered its entries yet")
    if found.passed_over:
        echo(f"{style('unknown', 'red')}  {found.passed_over:,} segments of too many producers")


def _tell_one(track: Track) -> None:
    name = f"{plain(track.service)} {plain(track.producer)}"
    state = style("gaps", "red") + "     " if track.missing else style("whole", "green") + "    "
    counts = [(track.missing, "missing"), (track.refused, "refused"), (track.repeated, "repeated")]
    counts += [(track.backwards, "segments late"), (track.restarts, "restarts")]
    told = "".join(f", {number:,} {what}" for number, what in counts if number)
    echo(f"{state}{name}: {track.entries:,} entries, next number {track.next:,}{told}")
    for gap in track.listed()[:SHOWN]:
        echo(f"         {'erased?' if gap.erased else 'missing'} {_where(gap)}")
    for again in track.repeats[:SHOWN]:
        echo(f"         again   {_where(again)}")


def _where(run: Run) -> str:
    from datetime import UTC, datetime

    numbers = f"{run.first:,}" if run.size == 1 else f"{run.first:,} to {run.end - 1:,}"
    when = datetime.fromtimestamp(run.t // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{numbers}: seen at entry {run.entry:,} of {plain(run.chain)}, {when}"
