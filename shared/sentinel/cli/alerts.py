"""`sentinel alerts`: what webhooks told, one record a problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, table
from sentinel.cli.times import moment

if TYPE_CHECKING:
    from sentinel.usecases.show_alerts import Wanted

_SHOWN = 70  # characters of a title that a list shows
_FACTS = (
    "id",
    "title",
    "status",
    "severity",
    "highest",
    "kind",
    "resource",
    "service",
    "environment",
    "link",
)
_TIMES = ("started", "ended", "first_seen", "last_seen")


@click.group(invoke_without_command=True)
@click.option("--status", default="", help="Only alerts of this status: firing, resolved; docs/alerts.md.")
@click.option("--severity", default="", help="Only alerts of this severity: critical, error, warning, info.")
@click.option("--service", help="Only alerts of this service's webhooks.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@home_option
@json_option
@click.pass_context
def alerts(
    context: click.Context,
    status: str,
    severity: str,
    service: str | None,
    limit: int,
    home: Path,
    as_json: bool,
) -> int:
    """List alerts, the last heard first; `alerts show ID` tells one's history."""
    from sentinel.usecases.show_alerts import Wanted

    if context.invoked_subcommand:
        return 0
    found = _listed(home, Wanted.of(service, status, severity), limit)
    if as_json:
        emit(found)
        return 0
    rows = [
        (
            *(each[name] for name in ("id", "status", "severity")),
            moment(each["last_seen"]),
            each["messages"],
            _cut(each["title"]),
        )
        for each in found
    ]
    table(rows, ("ALERT", "STATUS", "SEVERITY", "LAST SEEN", "MESSAGES", "TITLE"))
    return 0


def _listed(home: Path, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    show = application(home).show_alerts
    found: list[dict[str, Any]] = []
    start = ""
    while len(found) < limit:
        page = show.page(wanted, limit - len(found), start)
        found += page.alerts
        start = page.next
        if not start:
            break
    return found


@alerts.command()
@click.argument("alert_id", metavar="ID")
@home_option
@json_option
def show(alert_id: str, home: Path, as_json: bool) -> int:
    """Tell what is known of an alert, and what was told of it, the newest first."""
    found: Any = application(home).show_alerts.one(None, alert_id)
    if as_json:
        emit(found)
        return 0
    for name, value in _facts(found):
        echo(f"{name:<12}{plain(value)}")
    for told in found["history"]:
        late = " (late)" if told.get("late") else ""
        place = f"{plain(told['chain'])} {told['seq']}"
        echo(f"{moment(told['t'])}  {told['status']:<12} {told['severity']:<8} {place}{late}")
    if found["left_out"]:
        echo(f"and {found['left_out']:,} before")
    return 0


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield from ((name, found[name]) for name in _FACTS if found[name])
    webhook = found["webhook"]
    yield "webhook", f"{webhook['source']}/{webhook['hook']} of {webhook['service']}"
    yield "fingerprint", found["fingerprint"]
    yield from ((name.replace("_", " "), moment(found[name])) for name in _TIMES if found[name])
    yield "episodes", found["episodes"]
    yield "messages", found["messages"]
    yield from (("label", f"{name} = {value}") for name, value in sorted(found["labels"].items()))


def _cut(title: str) -> str:
    return f"{title[:_SHOWN]}…" if len(title) > _SHOWN else title
