"""Options that several commands have, and the application that a command works on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sentinel.bootstrap import App

Command = TypeVar("Command", bound=Callable[..., Any])


def home_option(command: Command) -> Command:
    """Add `--home`."""
    return click.option(
        "--home",
        envvar="SENTINEL_HOME",
        default=".sentinel",
        show_default=True,
        type=click.Path(path_type=Path),
        help="Folder of the local data.",
    )(command)


def json_option(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, errors too.")(command)


def application(home: Path, *, fresh: bool = False) -> App:
    """Return the application: tables in AWS where the environment names them, else data below `home`.

    Raises the failure that says so where there is nothing below `home`, unless a `fresh` start is fine.
    """
    from sentinel import bootstrap
    from sentinel.cli.output import there

    app = bootstrap.application(str(home))
    if app.local and not fresh and not (home / "ledger.db").exists():
        there(home)
    return app
