"""`sentinel replay`: what was asked for, against what there is; or what other rules would have asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import Failure, echo, emit, plain, style, table
from sentinel.cli.times import SECOND, Time

if TYPE_CHECKING:
    from sentinel.usecases.replay import Given
    from sentinel.usecases.replayed import Replayed

SHOWN = 100  # differences that people are shown


@click.command()
@click.option("--from", "start", required=True, type=Time(), metavar="TIME", help="Entries from then on.")
@click.option("--to", "end", type=Time(), metavar="TIME", help="Entries before then; now by default.")
@click.option(
    "--rules",
    "paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Files or folders of rules and recipes in the place of those of their ids: shows what would differ.",
)
@click.option(
    "--slack",
    type=click.IntRange(0, 86_400),
    metavar="SECONDS",
    help="How long after a push old rules may have been used; 60 more than the catalog's cache by default.",
)
@home_option
@json_option
def replay(
    start: int, end: int | None, paths: tuple[Path, ...], slack: int | None, home: Path, as_json: bool
) -> int:
    """Recompute which tasks entries ask for, and compare with the tasks that there are.

    Times are in UTC where they name no zone. Writes nothing and runs no action. Exits 1 where something
    differs.
    """
    app = application(home)
    end = time.time_ns() if end is None else end
    if end <= start:
        raise click.UsageError("--to is after --from")
    run = app.replay if slack is None else app.replay.with_slack(slack * SECOND)
    given = _read(paths)
    found = run.instead(start, end, given) if paths else run.compare(start, end)
    if as_json:
        emit({"from": start, "to": end, **found.json()})
    else:
        _tell(found, "would differ" if paths else "differ")
    return 1 if found.differences else 0


def _read(paths: tuple[Path, ...]) -> list[Given]:
    """Read rules and recipes. Raises the failure that says what is wrong with them."""
    from sentinel.cli import documents

    found, problems = documents.read(paths)
    problems += [
        f"{each.path}: {each.kind} documents set nothing off: name rules and recipes"
        for each in found
        if each.kind not in {documents.RULE, documents.RECIPE}
    ]
    if problems:
        failure = Failure("Malformed", "these documents cannot be used", "mend them, or leave them out", 1)
        failure.problems = list(problems)
        raise failure
    return [(each.kind, each.id, each.body) for each in found]


def _tell(found: Replayed, differ: str) -> None:
    rows = [
        (each.what, each.task, f"{each.recipe} {each.version}", each.rule, _places(each.entries))
        for each in found.differences[:SHOWN]
    ]
    if rows:
        table(rows, ("DIFFERENCE", "TASK", "RECIPE", "RULE", "ENTRIES"))
    for each in found.differences[:SHOWN]:
        for why in each.why:
            echo(f"  {each.task}: {plain(why)}")
    if len(found.differences) > SHOWN:
        echo(f"... and {len(found.differences) - SHOWN:,} more; --json tells all")
    for note in found.notes:
        echo(f"note: {plain(note)}")
    told = f"{found.entries:,} entries, {found.matches:,} matches, {found.firings:,} firings"
    echo(f"{told}: {found.asked:,} tasks asked for, {found.recorded:,} compared")
    for count, what in (
        (found.waiting, "may not be made yet"),
        (found.doubtful, "could not be decided"),
        (found.erased, "were set off by an entry that was erased since: only their lineages were compared"),
    ):
        if count:
            echo(f"{count:,} {what}")
    count = len(found.differences)
    echo(style(f"{count:,} {differ}", fg="red" if count else "green"))


def _places(entries: tuple[tuple[str, int], ...]) -> str:
    shown = ", ".join(f"{chain} {seq}" for chain, seq in entries[:3])
    return shown + (" ..." if len(entries) > 3 else "")
