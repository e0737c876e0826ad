"""Options that several commands have, and the application that a command works on."""

from __future__ import annotations

import functools
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


def credential_options(command: Command) -> Command:
    """Add the files that a service proves itself with, as one argument `files` (`cli.clients.Files`).

    Secrets are named by their files, never given: a command line can be seen by everybody on the machine.
    """

    @functools.wraps(command)
    def gathered(**arguments: Any) -> Any:
        from sentinel.cli.clients import Files

        found = [arguments.pop(name) for name in ("certificate", "key", "api_key_file", "roots")]
        return command(**arguments, files=Files(*found))

    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    wrapped: Any = gathered
    for name, into, what in (
        ("--ca", "roots", "Roots that the gateway's certificate is accepted of; the system's by default."),
        ("--api-key-file", "api_key_file", "File with the service's API key."),
        ("--key", "key", "Key of the client certificate, PEM."),
        ("--cert", "certificate", "Client certificate of the service, PEM, at an https gateway."),
    ):
        wrapped = click.option(name, into, type=file, help=what)(wrapped)
    return wrapped  # type: ignore[no-any-return] # it is the command, wrapped


def refuse_before(context: click.Context) -> None:
    """Refuse what stands before a subcommand, which would not see it: `--home` would mean another folder."""
    from click.core import ParameterSource

    for param in context.command.params:
        if context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            asked = f"{context.command_path} {context.invoked_subcommand}"
            raise click.UsageError(
                f"{param.opts[0]} stands behind the subcommand: {asked} ... {param.opts[0]}"
            )


class StateName(click.ParamType[str]):
    """The name of a task's state."""

    name = "state"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read a state's name."""
        from sentinel.core.selection import state_named
        from sentinel.errors import Malformed

        try:
            return state_named(str(value)).value
        except Malformed as error:
            self.fail(str(error), param, ctx)


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
