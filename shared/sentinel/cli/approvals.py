"""`sentinel tasks approval`, `approve` and `refuse`: what is asked, and what people say to it."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import Failure, echo, emit, plain
from sentinel.cli.times import SECOND, Span

if TYPE_CHECKING:
    from sentinel.bootstrap import App

_ID = click.argument("task_id", metavar="ID")


@click.command()
@_ID
@home_option
@json_option
def approval(task_id: str, home: Path, as_json: bool) -> int:
    """Show what a task asks to be approved, exactly as it would be done now, with its digest."""
    found = application(home).approving.look(task_id)
    if as_json:
        emit(found)
    else:
        _show(found)
    return 0


def _decision(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what both verdicts have."""
    key = click.Path(exists=True, dir_okay=False, path_type=Path)
    for decorate in (
        json_option,
        home_option,
        click.option("--who", help="Who it is, on your word; where nobody who is asked has a key."),
        click.option("--key", type=key, help="Your private key, PEM: it signs what you say."),
        click.option("--digest", help="What you saw, as `tasks approval` shows it; else you are shown it."),
        _ID,
    ):
        command = decorate(command)
    return command


@click.command()
@click.option("--why", default="", help="Why; it is kept in the lineage.")
@_decision
def approve(**given: Any) -> int:
    """Approve what a task asks: it is shown first, unless `--digest` says what you have seen."""
    return _decide("approve", **given)


@click.command()
@click.option("--why", required=True, help="Why; it is kept in the lineage.")
@_decision
def refuse(**given: Any) -> int:
    """Refuse what a task asks: the task fails."""
    return _decide("refuse", **given)


@click.command()
@_ID
@click.option("--for", "author", required=True, help="The author who is asked, and gets the link.")
@click.option(
    "--within",
    default="1h",
    show_default=True,
    type=Span(),
    metavar="DURATION",
    help="How long it counts: 1s to 24h.",
)
@home_option
@json_option
def link(task_id: str, author: str, within: int, home: Path, as_json: bool) -> int:
    """Make a one-time link with which AUTHOR approves or refuses; whoever has it decides in their name."""
    from dataclasses import replace

    from sentinel.local.home import published

    app = application(home)
    maker = app.link_maker
    if app.local:
        app.rotation.ensure_signing_keys()  # without doors there may be none yet
        where = published(home)
        maker = replace(maker, url=maker.url or (where.hooks if where else ""))
        if not maker.url:
            hint = "start it with `sentinel up`, or set SENTINEL_APPROVE_URL"
            raise Failure(
                "Unavailable", f"links open a page of the webhook API, and none runs on {home}", hint, 3
            )
    made = maker.make(task_id, author, f"operator:{getpass.getuser()}", within // SECOND)
    if as_json:
        emit(made)
    else:
        echo(str(made["url"]))
    return 0


def _decide(
    verdict: str,
    task_id: str,
    digest: str | None,
    key: Path | None,
    who: str | None,
    why: str,
    home: Path,
    as_json: bool,
) -> int:
    from sentinel.core.approval_statements import Statement, reason, sign, verdict_of
    from sentinel.entrypoints.api_approvals import decided
    from sentinel.usecases.approve import Decision

    if key is not None and who is not None:
        raise click.UsageError("a verdict has either --key, which says who it is, or --who")
    app = application(home)
    seen = digest or _confirmed(app, verdict, task_id)
    if key is not None:
        from sentinel.local import author_key

        statement = Statement(task_id, seen, verdict_of(verdict), reason(why), time.time_ns())
        envelope = sign(statement, author_key.seed(key))
        approver, _ = app.approvers.signed(envelope)
        decision = Decision(approver, statement.verdict, seen, why, envelope)
    else:
        approver = app.approvers.operator(who or getpass.getuser())
        decision = Decision(approver, verdict_of(verdict), seen, reason(why))
    told = decided(app.approving.decide(task_id, decision))
    if as_json:
        emit(told)
    else:
        missing = f"; it waits for {plain(told['missing'])}" if told["missing"] else ""
        echo(f"{task_id} is {told['state']}{missing}")
    return 0


def _confirmed(app: App, verdict: str, task_id: str) -> str:
    """Show what is asked and have it confirmed; return the digest of what was shown."""
    found = app.approving.look(task_id)
    if not sys.stdin.isatty():
        message = "it is not said what is decided on"
        raise Failure("Malformed", message, "give --digest as `sentinel tasks approval ID` shows it", 2)
    _show(found)
    click.confirm(f"{verdict} this?", abort=True)
    return str(found["digest"])


def _show(found: Mapping[str, Any]) -> None:
    shown, recipe = found["shown"], found["shown"]["recipe"]
    by = f"{found['needs']} of {', '.join(found['by'])}; until {_when(found['until'])} UTC"
    signed = f", by {recipe['author']}" if recipe["author"] else ""
    lines: list[tuple[str, object]] = [
        ("task", f"{found['task']} {found['state']}"),
        ("recipe", f"{recipe['id']} version {recipe['version']}{signed}"),
        ("asks", f"{found['step']}: {by}"),
        *([("says", found["message"])] if found["message"] else []),
        *(("entry", f"{each['chain']} {each['seq']}") for each in shown["cause"].get("entries") or ()),
        *(("approved", f"{each['who']} ({each['how']})") for each in found["approvals"]),
        *([("missing", found["missing"])] if found["missing"] else []),
        *([("changed", ", ".join(found["changed"]))] if found["changed"] else []),
    ]
    for step in shown["steps"]:
        lines.append(("would do", f"{step['id']}: {step['uses']}, {step['effect']}"))
        told = {name: step[name] for name in ("inputs", "as_written", "plan", "problem") if name in step}
        lines += [each for name, value in told.items() for each in _told(name, value)]
    for name, value in (*lines, ("digest", found["digest"])):
        echo(f"{name:<13}{plain(value)}")


def _told(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield what is shown of a step's inputs or plan: in one line, a diff line by line behind it."""
    diff = value.get("diff") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(diff, str):
        yield f"  {name}", json.dumps(value, ensure_ascii=False)
        return
    yield f"  {name}", json.dumps({**value, "diff": "as follows"}, ensure_ascii=False)
    yield from (("  diff", line) for line in diff.split("\n"))


def signatures(app: App, task: Mapping[str, Any]) -> dict[int, str]:
    """Check the signed approvals of a task's lineage: whose each is, by the number of its event.

    All authors that are known count, also those whose time is over: what is asked is who signed, then.
    """
    found: dict[int, str] = {}
    for event in task["lineage"]:
        if "envelope" in event:
            found[event["seq"]] = _signature(app, str(task["id"]), event)
    return found


def _signature(app: App, task_id: str, event: Mapping[str, Any]) -> str:
    from sentinel.core.approval_statements import opened
    from sentinel.errors import Rejected

    try:
        keys = {each.id: each.public for each in app.authors.listing()}
        signer, said = opened(event["envelope"], keys)
    except Rejected as error:
        return f"does not verify: {error}"
    told = (task_id, event["digest"], event["verdict"], event["why"], event["who"])
    if (said.task, said.digest, said.verdict.value, said.why, signer) != told:
        return f"does not verify: {signer} signed something else"
    return f"verifies: {signer}"


def _when(t: Any) -> str:
    return f"{datetime.fromtimestamp(int(t) / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
