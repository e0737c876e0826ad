"""`sentinel deliveries`: how far each standing delivery is, what its sink refuses, and sending that again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option, refuse_before
from sentinel.cli.output import cut, echo, emit, plain, table
from sentinel.cli.times import moment

if TYPE_CHECKING:
    from sentinel.actions.deliver_show import ShowDeliveries


@click.group(invoke_without_command=True)
@home_option
@json_option
@click.pass_context
def deliveries(context: click.Context, home: Path, as_json: bool) -> int:
    """Show each delivery in force: its sink, state, lag, counts, and what is wrong with it.

    The lag is in entries that are not settled, and in seconds since the oldest of them was sealed.
    """
    if context.invoked_subcommand is None:
        return _listed(home, as_json)
    refuse_before(context)
    return 0


@deliveries.command("ls")
@home_option
@json_option
def list_(home: Path, as_json: bool) -> int:
    """Show the same as `sentinel deliveries`."""
    return _listed(home, as_json)


def _listed(home: Path, as_json: bool) -> int:
    found = _show(home).all()
    if as_json:
        emit(found)
        return 0
    if not found:
        echo("no delivery is in force; push a document with deliveries: {NAME: {to: SINK}}")
        return 0
    header = ("DELIVERY", "SINK", "STATE", "LAG", "SECONDS", "DELIVERED", "DEAD", "BREAKER", "REASON")
    keys = ("delivery", "sink", "state", "lag", "lag_seconds", "delivered", "dead", "breaker")
    rows = [each | {"breaker": _breaker(each)} for each in found]
    table([(*(_told(each[key]) for key in keys), cut(each["reason"])) for each in rows], header)
    return 0


def _breaker(each: Mapping[str, Any]) -> str:
    """Tell a breaker's state, and when it lets something through again."""
    wait = each["breaker_seconds"]
    return f"open for {wait:.0f} s" if each["breaker"] == "open" else str(each["breaker"])


@deliveries.command()
@click.argument("name")
@home_option
@json_option
def show(name: str, home: Path, as_json: bool) -> int:
    """Show one delivery chain by chain."""
    found = _show(home).one(name)
    if as_json:
        emit(found)
        return 0
    told = found | {"breaker": _breaker(found), "limit": found["limit"] or ""}
    for key, value in told.items():
        if key not in {"chains", "breaker_seconds"} and value != "":
            echo(f"{key.replace('_', ' '):<14}{plain(_told(value))}")
    keys = ("chain", "next", "lag", "lag_seconds", "delivered", "dead", "again", "twice")
    header = ("CHAIN", "NEXT", "LAG", "SECONDS", "DELIVERED", "DEAD", "AGAIN", "MAYBE TWICE", "STOPPED")
    rows = [(*(_told(each[key]) for key in keys), cut(each["stopped"])) for each in found["chains"]]
    table(rows, header)
    return 0


@deliveries.command()
@click.argument("name")
@home_option
@json_option
def dead(name: str, home: Path, as_json: bool) -> int:
    """List the entries that the sink of NAME has refused for good: where they are, and why.

    They are in the ledger; `sentinel export` has them, `deliveries redrive` sends them again.
    """
    found = _show(home).dead(name)
    if as_json:
        emit(found)
        return 0
    if not found:
        echo("none is dead")
        return 0
    rows = [
        (each["chain"], each["first"], each["last"], each["count"], moment(each["t"]), cut(each["reason"]))
        for each in found
    ]
    table(rows, ("CHAIN", "FIRST", "LAST", "ENTRIES", "WHEN", "REASON"))
    return 0


@deliveries.command()
@click.argument("name")
@click.option("--chain", default="", help="Only the entries of this chain.")
@click.option("--reason", default="", help="Only those of this reason, as `deliveries dead` tells it.")
@home_option
@json_option
def redrive(name: str, chain: str, reason: str, home: Path, as_json: bool) -> int:
    """Have dead entries of NAME sent again, before what is new in their chains; a stopped chain goes on.

    Its sink is tried at once, where it was waited for.
    """
    count = _show(home).redrive(name, chain, reason)
    if as_json:
        emit({"delivery": name, "again": count})
    else:
        echo(f"{count:,} entries of {plain(name)} are sent again")
    return 0


def _show(home: Path) -> ShowDeliveries:
    return application(home).show_deliveries


def _told(value: object) -> object:
    return round(value) if isinstance(value, float) else value
