"""`sentinel queues`: what waits and what is paused; pausing, resuming and purging it."""

from __future__ import annotations

import getpass
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option, refuse_before
from sentinel.cli.output import echo, emit, plain, table
from sentinel.cli.times import Span, Time, moment

if TYPE_CHECKING:
    from sentinel.bootstrap import App

STATES = ("proposed", "queued", "waiting", "running", "awaiting-approval", "ambiguous", "failed")


@click.group(invoke_without_command=True)
@home_option
@json_option
@click.pass_context
def queues(context: click.Context, home: Path, as_json: bool) -> int:
    """Show how many tasks of each stream and recipe are in which state, and what is paused by whom.

    States that no task is in are left out, and so are ends, but for failed.
    """
    if context.invoked_subcommand is None:
        return _show(home, as_json)
    refuse_before(context)
    return 0


@queues.command("ls")
@home_option
@json_option
def list_(home: Path, as_json: bool) -> int:
    """Show the same as `sentinel queues`."""
    return _show(home, as_json)


def _show(home: Path, as_json: bool) -> int:
    found: dict[str, Any] = application(home).queues.overview()
    if as_json:
        emit(found)
        return 0
    parts = (found["streams"], found["recipes"])
    counted = [counts for each in parts for counts in each.values()]
    states = [state for state in STATES if any(counts.get(state) for counts in counted)]
    rows = [
        (f"{kind} {name}", *(counts.get(state, 0) for state in states))
        for kind, those in zip(("stream", "recipe"), parts, strict=True)
        for name, counts in those.items()
    ]
    if rows:
        table(rows, ("QUEUE", *(state.upper() for state in states)))
    for pause in found["pauses"]:
        until = f" until {moment(pause['until'])}" if pause["until"] else ""
        who, why = plain(pause["who"]), plain(pause["why"])
        echo(f"paused: {plain(pause['target'])} since {moment(pause['since'])}{until} by {who}: {why}")
    if not rows:
        echo("no task waits, runs or has failed")
    if found["more"]:
        echo("there are more tasks than these")
    return 0


def _act(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every act on a queue has: its target, who and why."""
    for decorate in (
        json_option,
        home_option,
        click.option("--who", default=getpass.getuser, help="Who does it; by default the user's name here."),
        click.option("--why", required=True, help="Why; it is kept in the lineage of each task."),
        click.argument("target", metavar="TARGET"),
    ):
        command = decorate(command)
    return command


@queues.command()
@_act
@click.option("--until", type=Time(), metavar="TIME", help="Until then; else until it is resumed.")
@click.option("--for", "span", type=Span(), metavar="DURATION", help="For so long: 30m, 2h.")
def pause(
    target: str, why: str, who: str, home: Path, as_json: bool, until: int | None, span: int | None
) -> int:
    """Let no task of TARGET start or go on after a wait; what runs goes on.

    TARGET is siem, action, read, ai or git (a stream), recipe:ID, service:NAME, or all. Workers heed it
    within two seconds.
    """
    if until is not None and span is not None:
        raise click.UsageError("a pause has either --until or --for")
    end = time.time_ns() + span if span is not None else (until or 0)
    app = application(home)
    told = app.queues.pause(target, who, why, end)
    if as_json:
        emit(told)
    else:
        echo(f"{plain(target)} is paused" + (f" until {moment(end)}" if end else ""))
    _warn(app, target)
    return 0


def _warn(app: App, target: str) -> None:
    """Say that a recipe is not in force: its name may be a slip, and then something else runs on."""
    kind, _, name = target.partition(":")
    if kind == "recipe" and name not in {each.id for each in app.catalog.active("recipe")}:
        echo(f"warning: no recipe {plain(name)} is in force", file=sys.stderr)


@queues.command()
@_act
def resume(target: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """End the pause of TARGET, and have tried what it holds."""
    told = application(home).queues.resume(target, who, why)
    if as_json:
        emit(told)
    else:
        echo(f"{plain(target)} is resumed; {told['woken']} tasks go on")
    return 0


@queues.command()
@_act
@click.option("--all-states", is_flag=True, help="Also what runs, or waits for a person.")
@click.option("--dry-run", is_flag=True, help="Only say how many.")
def purge(target: str, why: str, who: str, home: Path, as_json: bool, all_states: bool, dry_run: bool) -> int:
    """Cancel every task of TARGET that is queued, waits or is proposed."""
    told = application(home).queues.purge(target, who, why, all_states=all_states, dry_run=dry_run)
    if as_json:
        emit(told)
    else:
        echo(f"{told['cancelled']} tasks of {plain(target)} {'would be' if dry_run else 'are'} cancelled")
    return 0
