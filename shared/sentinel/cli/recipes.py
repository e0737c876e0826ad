"""`sentinel recipes`: rules, recipes and what they need into the catalog, never a bad one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from sentinel.cli import recipe_test, signing
from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import emit, table

_PATHS = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)


@click.group()
def recipes() -> None:
    """Check, try, sign and push rules, recipes, sinks, accounts and deliveries.

    Each is a file of its own, .yml, .yaml or .json; a folder stands for those in it.
    """


recipes.add_command(recipe_test.test)
recipes.add_command(signing.keygen)
recipes.add_command(signing.sign)
recipes.add_command(signing.verify)


@recipes.command()
def schema() -> int:
    """Print the JSON Schema of recipes, as docs/recipes.schema.json has it."""
    import json

    from sentinel.actions.schema import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=1, ensure_ascii=False))
    return 0


@recipes.command()
@_PATHS
@home_option
@json_option
def check(paths: tuple[Path, ...], home: Path, as_json: bool) -> int:
    """Check documents together with those that are pushed already. Exits 1 where something is wrong."""
    from sentinel.cli import document_checks, documents

    with tempfile.TemporaryDirectory() as nothing:
        app = application(home, fresh=True)
        if app.local and not home.exists():
            app = application(Path(nothing), fresh=True)
        found, problems = documents.read(paths)
        problems += document_checks.check(app, found)
    documents.refuse(problems)
    _tell([{"kind": each.kind, "id": each.id, "path": str(each.path)} for each in found], as_json)
    return 0


@recipes.command()
@_PATHS
@home_option
@json_option
def push(paths: tuple[Path, ...], home: Path, as_json: bool) -> int:
    """Check documents and make them the active versions: all of them, or none where one is wrong."""
    from sentinel.cli import document_checks, documents

    app = application(home, fresh=True)
    found, problems = documents.read(paths)
    problems += document_checks.check(app, found)
    documents.refuse(problems)
    _tell(documents.push(app, found), as_json)
    return 0


def _tell(found: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        emit(found)
        return
    names = [name for name in ("kind", "id", "version", "path") if not found or name in found[0]]
    table([[each[name] for name in names] for each in found], [name.upper() for name in names])
