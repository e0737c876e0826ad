"""`sentinel tasks`: what was set off, and how it went."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli import approvals, patches
from sentinel.cli.options import StateName, application, home_option, json_option, refuse_before
from sentinel.cli.output import cut, echo, emit, plain, table

if TYPE_CHECKING:
    from sentinel.core.selection import Selection
    from sentinel.core.tasks import Task

_TIMES = {"due", "until"}
_NOT_TOLD = {"event", "t", "seq", "head", "entries", "envelope"}


@click.group(invoke_without_command=True)
@click.option("--state", type=StateName(), metavar="STATE", help="Only tasks in this state, such as failed.")
@click.option("--recipe", default="", help="Only tasks of this recipe.")
@click.option("--service", default="", help="Only tasks that this service's entries set off.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@home_option
@json_option
@click.pass_context
def tasks(
    context: click.Context,
    state: str | None,
    recipe: str,
    service: str,
    limit: int,
    home: Path,
    as_json: bool,
) -> int:
    """List tasks, newest change first; `tasks show ID` tells one's whole story."""
    from sentinel.core.selection import Selection, state_named

    if context.invoked_subcommand:
        refuse_before(context)
        return 0
    wanted = Selection((state_named(state),) if state else (), recipe, service=service)
    found = _listed(home, wanted, limit)
    if as_json:
        emit(found)
    else:
        names = ("id", "state", "recipe")
        rows = [
            (*(each[name] for name in names), _when(each["created"]), cut(each["reason"])) for each in found
        ]
        table(rows, ("TASK", "STATE", "RECIPE", "CREATED", "REASON"))
    return 0


for _command in (patches.patch, approvals.approval, approvals.approve, approvals.refuse, approvals.link):
    tasks.add_command(_command)


def _listed(home: Path, wanted: Selection, limit: int) -> list[dict[str, object]]:
    inspect = application(home).inspect
    found: list[dict[str, object]] = []
    start = ""
    while len(found) < limit:
        page = inspect.tasks(wanted, limit - len(found), start)
        found += page.tasks
        start = page.next
        if not start:
            break
    return found


@tasks.command()
@click.argument("task_id", metavar="ID")
@home_option
@json_option
def show(task_id: str, home: Path, as_json: bool) -> int:
    """Tell what set a task off, what it did and how it ended; its lineage is verified."""
    app = application(home)
    found = app.inspect.task(None, task_id)
    signatures = approvals.signatures(app, found)
    if as_json:
        emit(found | ({"signatures": signatures} if signatures else {}))
        return 0
    for name, value in _facts(found):
        echo(f"{name:<9}{plain(value)}")
    lineage: Any = found["lineage"]
    width = max((len(event["event"]) for event in lineage), default=0)
    for event in lineage:
        facts = {key: _told(key, value) for key, value in event.items() if key not in _NOT_TOLD}
        if event["seq"] in signatures:
            facts["signature"] = signatures[event["seq"]]
        told = " ".join(f"{key}={plain(value)}" for key, value in facts.items())
        echo(f"{_when(event['t'])}  {event['event']:<{width}}  {told}")
    patches.tell(app, task_id)
    return 0


def _told(name: str, value: object) -> object:
    """Return a fact as it is shown: times as people read them."""
    return f"{_when(value).replace(' ', 'T')}Z" if name in _TIMES and isinstance(value, int) else value


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("id", "state", "recipe", "version", "rule", "reason"):
        if found[name] not in {None, ""}:
            yield name, found[name]
    for place in found["cause"].get("entries", ()):
        yield "entry", f"{place['chain']} {place['seq']}"
    from sentinel.core.tasks import is_erased

    given = {} if is_erased(found["inputs"]) else found["inputs"]
    for step, own in sorted(given.items()):
        yield from (("input", f"{step}.{key} = {value}") for key, value in own.items())
    if given != found["inputs"]:
        yield "input", "erased"
    if "fork_of" in found:
        yield "fork of", found["fork_of"]
    yield from (("fork", fork) for fork in found["forks"])


def acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every act of a person has: the task, who and why."""
    return click.argument("task_id", metavar="ID")(accounted(command))


def accounted(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add who does something, and why."""
    for decorate in (
        json_option,
        home_option,
        click.option("--who", default=getpass.getuser, help="Who does it; by default the user's name here."),
        click.option("--why", required=True, help="Why; it is kept in the lineage."),
    ):
        command = decorate(command)
    return command


@tasks.command()
@acting
def cancel(task_id: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """End a task that has not ended; a running step notices at its next heartbeat."""
    return tell(application(home).control.cancel(task_id, who, why), as_json)


@tasks.command()
@acting
def accept(task_id: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """Have a proposed task done; to refuse it, cancel it."""
    return tell(application(home).control.accept(task_id, who, why), as_json)


@tasks.command()
@acting
def retry(task_id: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """Have a waiting task tried now."""
    return tell(application(home).control.retry(task_id, who, why), as_json)


@tasks.command()
@acting
def redrive(task_id: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """Have a failed task go on from the step that failed."""
    return tell(application(home).control.redrive(task_id, who, why), as_json)


@tasks.command()
@acting
@click.argument("verdict", type=click.Choice(["happened", "again", "failed"]))
def resolve(task_id: str, verdict: str, why: str, who: str, home: Path, as_json: bool) -> int:
    """Say what became of an ambiguous effect: it happened, do it again, or give the task up."""
    return tell(application(home).control.resolve(task_id, verdict, who, why), as_json)


def tell(task: Task, as_json: bool) -> int:
    """Print what a task has become."""
    if as_json:
        emit({"id": task.id, "state": task.state.value, "reason": task.reason})
    else:
        echo(f"{task.id} is {task.state}")
    return 0


def _when(t: Any) -> str:
    return f"{datetime.fromtimestamp(int(t) / 1e9, UTC):%Y-%m-%d %H:%M:%S}"
