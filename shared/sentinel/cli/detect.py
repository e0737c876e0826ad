"""`sentinel detect`: has entries looked at again that detection did not come to."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, style
from sentinel.cli.times import SECOND, Time

if TYPE_CHECKING:
    from sentinel.ports_feeds import GivenUp
    from sentinel.usecases.detect_again import Redetected


@click.command()
@click.option("--from", "start", type=Time(), metavar="TIME", help="Entries from then on.")
@click.option("--to", "end", type=Time(), metavar="TIME", help="Entries before then; now by default.")
@click.option(
    "--failures", metavar="URL", help="Entries that wait in this queue of the detect feed's failures."
)
@click.option(
    "--slack",
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="How long the feed may still come to entries; 60 more than the catalog's cache by default.",
)
@home_option
@json_option
def detect(
    start: int | None,
    end: int | None,
    failures: str | None,
    slack: int | None,
    home: Path,
    as_json: bool,
) -> int:
    """Make the tasks that entries ask for and that are not there.

    By the rules and recipes that were in force when the entries were sealed; safe to repeat. Times are in UTC
    where they name no zone. Exits 1 where some could not be decided.
    """
    if (start is None) == (failures is None) or (failures and end is not None):
        raise click.UsageError("name a time by --from and --to, or a queue by --failures")
    app = application(home)
    use = app.detect_again if slack is None else app.detect_again.with_slack(slack * SECOND)
    if failures:
        return _tell_all(use.given_up(app.failure_queue(failures)), as_json)
    end = time.time_ns() if end is None else end
    if start is None or end <= start:
        raise click.UsageError("--to is after --from")
    again = use.over(start, end)
    if as_json:
        emit({"from": start, "to": end, **dataclasses.asdict(again)})
    else:
        _tell(again)
    return 1 if again.doubtful else 0


def _tell_all(found: list[tuple[GivenUp, Redetected | None]], as_json: bool) -> int:
    doubtful = any(again is not None and again.doubtful for _, again in found)
    if as_json:
        emit([_json(each, again) for each, again in found])
        return 1 if doubtful else 0
    for each, again in found:
        echo(f"{each.records:,} records of {plain(each.table)}:")
        if again is None:
            echo("  not of the ledger's feed: the sweep hints tasks again, so the message may be deleted")
        else:
            _tell(again)
    echo(f"{len(found):,} messages")
    return 1 if doubtful else 0


def _json(each: GivenUp, again: Redetected | None) -> dict[str, object]:
    told = {"table": each.table, "records": each.records, "first": each.first, "last": each.last}
    return {**told, "detected": dataclasses.asdict(again) if again is not None else None}


def _tell(again: Redetected) -> None:
    for task in again.made:
        echo(f"made {task}")
    for note in again.notes:
        echo(f"note: {plain(note)}")
    for count, what in ((again.waiting, "may still be made by the feed"), (again.doubtful, "not decided")):
        if count:
            echo(f"{count:,} {what}")
    if again.alerts:
        echo(f"{again.alerts:,} alerts brought up to date")
    told = f"{again.entries:,} entries, {again.matches:,} matches: {again.asked:,} tasks asked for"
    echo(f"{told}, {style(f'{len(again.made):,} made', fg='green')}")
