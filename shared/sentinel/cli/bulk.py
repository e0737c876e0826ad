"""`sentinel tasks bulk`: one act on all tasks of a selection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sentinel.cli.options import StateName, application
from sentinel.cli.output import echo, emit, plain
from sentinel.cli.tasks import accounted
from sentinel.cli.times import Time


@click.command()
@click.argument("act", type=click.Choice(["cancel", "retry", "redrive", "accept"]))
@click.option(
    "--state",
    "states",
    type=StateName(),
    metavar="STATE",
    multiple=True,
    help="Tasks in this state; repeatable.",
)
@click.option("--recipe", default="", help="Tasks of this recipe.")
@click.option("--rule", default="", help="Tasks that this rule set off, by its id or title.")
@click.option("--service", default="", help="Tasks that this service's entries set off.")
@click.option("--created-after", type=Time(), metavar="TIME", help="Tasks made from then on.")
@click.option("--created-before", type=Time(), metavar="TIME", help="Tasks made before then.")
@click.option("--reason", "reason_contains", default="", help="Tasks whose reason has this in it.")
@click.option("--limit", type=click.IntRange(1), help="Act on so many at most.")
@click.option("--dry-run", is_flag=True, help="Only tell how many there are.")
@accounted
def bulk(
    act: str, limit: int | None, dry_run: bool, who: str, why: str, home: Path, as_json: bool, **asked: Any
) -> int:
    """Cancel, retry, redrive or accept all tasks that are meant; without --state all that can be.

    Times are in UTC where they name no zone. Safe to repeat.
    """
    from sentinel.core.selection import Selection, state_named
    from sentinel.usecases.bulk import MOST, Order, Swath

    states = tuple(dict.fromkeys(map(state_named, asked.pop("states"))))
    wanted = Selection(states=states, **asked)
    use = application(home).bulk
    found = Swath(0, 0)
    while limit is None or found.done < limit:
        most = MOST if limit is None else min(MOST, limit - found.done)
        found += use.run(Order(act, wanted, who, why, most, dry_run), found.next)
        if not found.next:
            break
    if as_json:
        emit(found.json())
        return 0
    echo(f"{found.matched:,} matched, {found.done:,} {'would be' if dry_run else 'were'} {_DONE[act]}")
    for reason, count in sorted(found.not_possible.items()):
        echo(f"{count:,} not possible: {plain(reason)}")
    if found.next:
        echo("there may be more")
    return 0


_DONE = {"cancel": "cancelled", "retry": "retried", "redrive": "redriven", "accept": "accepted"}
