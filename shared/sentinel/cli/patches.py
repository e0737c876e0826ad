"""`sentinel tasks patch`, and what `tasks show` tells of patches: the diff, and what speaks for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option
from sentinel.cli.output import Failure, echo, plain, style

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.patch_blobs import Proposal
    from sentinel.core.tasks import Task


@click.command()
@click.argument("task_id", metavar="ID")
@click.option("--step", metavar="STEP", help="The step that made the patch; by default the newest one.")
@click.option("--body", is_flag=True, help="Print what is said of it in a pull request instead.")
@home_option
def patch(task_id: str, step: str | None, body: bool, home: Path) -> int:
    """Print a task's proven patch as mail that `git am` takes.

    It is for the commit that the patch was made for. Applied there with the sender as committer, by
    `git am --committer-date-is-author-date`, it is the commit that `git.pull_request` makes, but for a title
    of its own.
    """
    from sentinel.actions.git_pull_request import request_of
    from sentinel.adapters.git_local_publish import Identity
    from sentinel.core.mailbox import patch_mail

    app = application(home)
    task = _task(app, task_id)
    found = {name: each for name, each in proposals(app, task) if step in {None, name}}
    if not found:
        raise Failure("Missing", f"task {task_id} has no proven patch", "`sentinel tasks show` says why", 1)
    digest, proposal = list(found.values())[-1]
    request = request_of(task, proposal, digest)
    who = Identity()
    text = request.body if body else patch_mail(request, who.name, who.email)
    # A terminal is no place for what files hold; git and pagers get it as it is.
    shown = "".join(f"{plain(line)}\n" for line in text.splitlines()) if sys.stdout.isatty() else text
    click.echo(shown, nl=False)
    return 0


def _task(app: App, task_id: str) -> Task:
    task = app.tasks.get(task_id)
    if task is None:
        raise Failure("Missing", f"there is no task {plain(task_id)}", "`sentinel tasks` lists them", 1)
    return task


def proposals(app: App, task: Task) -> Iterator[tuple[str, tuple[str, Proposal]]]:
    """Yield the patches of a task: the step that made it, its digest, and what is kept of it."""
    from sentinel.core.patch_blobs import unpacked

    for step, result in task.results.items():
        digest = result.get("patch") if isinstance(result, Mapping) else None
        if isinstance(digest, str):
            yield step, (digest, unpacked(app.blobs.get(digest)))


def tell(app: App, task_id: str) -> None:
    """Print a task's patches: what speaks for each, and its diff."""
    from sentinel.errors import Rejected

    task = app.tasks.get(task_id)
    try:
        found = list(proposals(app, task)) if task else []
    except Rejected as error:
        echo(f"patch    {plain(error)}")
        return
    for step, (digest, proposal) in found:
        scripted = ", scripted: no model was asked" if proposal.scripted else ""
        where = f"{plain(proposal.repository)} at {proposal.commit[:12]}"
        echo(f"patch    {step} {digest[:12]} of {where}{scripted}")
        for name, value in _evidence(proposal.evidence):
            echo(f"         {name:<28} {plain(value)}")
        for line in proposal.patch.diff.splitlines():
            echo(_coloured(line))


def _evidence(evidence: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    seen = evidence.get("seen", {})
    after, new, mutants = (seen.get(name, {}) for name in ("after", "new_tests", "mutants"))
    calls, near = seen.get("calls", {}), seen.get("neighbours", {})
    yield "proven", "yes" if evidence.get("proven") else "no"
    yield "tests that pass after it", after.get("passed")
    yield "new ones that fail before it", new.get("failed_before")
    yield "fail by the same exception", "yes" if new.get("reproduces") else "no"
    yield "calls of the trace", f"{calls.get('ended', 0)} of {len(calls.get('derived', ()))} end well"
    yield "inputs alike", f"{near.get('same', 0)} give the same as before, {near.get('changed', 0)} do not"
    yield "mutants noticed", f"{mutants.get('noticed', 0)} of {mutants.get('made', 0)}"


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    heads = line.startswith(("+++", "---"))
    return plain(line) if colour is None or heads else style(plain(line), colour)
