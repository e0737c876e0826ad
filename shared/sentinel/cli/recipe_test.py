"""`sentinel recipes test`: what a recipe would do about a log, without storing or sending anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.cli.documents import Found
    from sentinel.cli.rehearsal import Offline
    from sentinel.usecases.rehearse import Rehearsed

_CHUNK = 1 << 18
MAX_SHOWN = 20
TIMES = 5  # firings of a schedule that are shown
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("test")
@click.argument("recipe", type=_FILE)
@click.option("--input", "source", type=_FILE, help="A log: text or one JSON object a line.")
@click.option(
    "--rules",
    "paths",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Rules and sinks to try it with, files or folders; repeatable. Else those that are pushed.",
)
@home_option
@json_option
def test(recipe: Path, source: Path | None, paths: tuple[Path, ...], home: Path, as_json: bool) -> int:
    """Show which tasks RECIPE would create from a log, and what each step would do. Sends nothing.

    All lines are taken to arrive at once. Of a recipe with a schedule, the next times are shown.
    """
    from sentinel.cli import documents
    from sentinel.cli.rehearsal import Offline

    found, problems = documents.read([recipe, *paths])
    documents.refuse(problems)
    if found[0].kind != documents.RECIPE:
        raise click.UsageError(f"{recipe} is a {found[0].kind}, not a recipe")
    stage = Offline()
    with_pushed = _pushed(home) if not paths else None
    _set(stage, found, with_pushed)
    told = _rehearse(stage, found[0], source)
    if as_json:
        emit({"recipe": found[0].id, "tasks": [each.json() for each in told]})
    else:
        _show(found[0].id, told)
    return 0


def _pushed(home: Path) -> App | None:
    app = application(home, fresh=True)
    return app if not app.local or home.exists() else None


def _set(stage: Offline, found: list[Found], pushed: App | None) -> None:
    """Give the stage its documents. Raises the failure that says what is wrong with them."""
    from sentinel.cli import document_checks, documents

    recipe = found[0]
    if pushed is not None:
        for kind in (documents.RULE, documents.SINK, documents.ACCOUNT):
            for each in pushed.catalog.active(kind):
                stage.catalog.push(kind, each.id, pushed.opener.open(kind, each.id, each.body).payload)
        # The version is part of a task's id, so the recipe gets the one that a push would give it.
        stored = next((x for x in pushed.catalog.active(documents.RECIPE) if x.id == recipe.id), None)
        behind = (stored.version - (stored.body == recipe.body)) if stored else 0
        for number in range(behind):
            stage.catalog.push(documents.RECIPE, recipe.id, b"# %d" % number)
    documents.refuse(document_checks.check(stage, found))
    for given in found:
        if given.kind != documents.RECIPE or given is recipe:
            stage.catalog.push(given.kind, given.id, given.text)


def _rehearse(stage: Offline, found: Found, source: Path | None) -> list[Rehearsed]:
    from sentinel.cli import documents
    from sentinel.core.recipes import load

    (stored,) = stage.catalog.active(documents.RECIPE)
    recipe = load(str(found.path), stored.body, stored.version)
    if recipe.on.schedule is not None:
        return stage.rehearsal.of_schedule(recipe, TIMES)
    if source is None:
        raise click.UsageError("--input FILE is needed for a recipe with a rule")
    return stage.rehearsal.of_entries(recipe, _entries(source))


def _entries(source: Path) -> Iterator[tuple[list[bytes], list[int]]]:
    """Yield what `sentinel ingest` would send of a file: entries, and the lines they stand in."""
    from sentinel.cli.lines import Cutter, looks_like
    from sentinel.core.entry import problem

    with source.open("rb") as file:
        beginning = file.read(1 << 16)
        form = looks_like(beginning, len(beginning) < 1 << 16)
        file.seek(0)
        for batch in Cutter(form, source.name).batches(partial(file.read, _CHUNK)):
            pairs = zip(batch.entries, batch.numbers, strict=True)
            good = [(entry, number) for entry, number in pairs if problem(entry) is None]
            if good:
                yield [entry for entry, _ in good], [number for _, number in good]


def _show(recipe: str, told: list[Rehearsed]) -> None:
    if not told:
        echo(f"{plain(recipe)} would create no task")
    for task in told[:MAX_SHOWN]:
        places = ", ".join(map(str, task.lines[:10])) + (" ..." if len(task.lines) > 10 else "")
        lines = f" from line{'s' if len(task.lines) > 1 else ''} {places}" if places else ""
        echo(f"task {task.id or '(its id hangs on when and where the lines are stored)'}{lines}")
        echo(f"  because of {plain(task.title)}")
        for step in task.steps:
            echo(f"  {plain(step.step)}: {plain(step.uses)}")
            if step.problem:
                echo(f"    would fail: {plain(step.problem)}")
            for line in _lines(dict(step.plan)):
                echo(f"    {line}")
    if len(told) > MAX_SHOWN:
        echo(f"... and {len(told) - MAX_SHOWN:,} more; --json has them all")
    elif told:
        echo(f"{plain(recipe)} would create {len(told):,} task{'s' if len(told) > 1 else ''}")


def _lines(value: Any) -> Iterator[str]:
    for line in json.dumps(value, indent=1, ensure_ascii=False).splitlines()[1:-1]:
        yield plain(line if len(line) <= 400 else f"{line[:400]} ...")
