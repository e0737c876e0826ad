"""The `sentinel` command: its subcommands, and how each way of going wrong ends.

Exit codes: 0 all is well; 1 what was asked about is not so (a chain is damaged, lines were refused, a recipe
is bad); 2 the command line is wrong; 3 what the command needs does not answer; 130 interrupted. An error is
two lines on standard error, what is wrong and what to do, or with `--json` one JSON object.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from sentinel.cli import (
    alerts,
    authors,
    bulk,
    bundle,
    ca,
    certs,
    chains,
    connectors,
    dead,
    deliveries,
    detect,
    erase,
    evaluate,
    fork,
    hooks,
    ingest,
    openapi,
    producers,
    queues,
    recipes,
    replay,
    rotate,
    rules,
    sealing,
    services,
    tasks,
    trace,
    up,
    witness,
)
from sentinel.cli.output import Failure, failure_of, report
from sentinel.errors import SentinelError


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # Whoever read our output has enough. Nothing more is written, not even by the interpreter's exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="sentinel-service", message="sentinel %(version)s")
def cli() -> None:
    """Seal logs into a tamper-evident chain, act on them by rules, and prove it afterwards.

    Exit codes: 0 all is well, 1 what was asked about is not so, 2 wrong usage, 3 something does not answer.
    """


cli.add_command(up.up)
cli.add_command(ingest.ingest)
cli.add_command(chains.chains)
cli.add_command(chains.verify)
cli.add_command(chains.export)
cli.add_command(sealing.seal)
cli.add_command(sealing.pubkey)
cli.add_command(sealing.proof)
cli.add_command(bundle.bundle)
cli.add_command(erase.erase)
cli.add_command(producers.producers)
cli.add_command(tasks.tasks)
cli.add_command(alerts.alerts)
cli.add_command(queues.queues)
cli.add_command(deliveries.deliveries)
tasks.tasks.add_command(bulk.bulk)
tasks.tasks.add_command(dead.dead)
tasks.tasks.add_command(fork.fork)
cli.add_command(trace.trace)
cli.add_command(recipes.recipes)
cli.add_command(authors.authors)
cli.add_command(rules.rules)
cli.add_command(certs.certs)
cli.add_command(ca.ca)
cli.add_command(openapi.openapi)
cli.add_command(services.services)
cli.add_command(hooks.hooks)
cli.add_command(connectors.connectors)
cli.add_command(rotate.rotate)
cli.add_command(replay.replay)
cli.add_command(detect.detect)
cli.add_command(evaluate.evaluate)
cli.add_command(witness.witness)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code."""
    os.umask(0o077)  # what is stored on this machine is its owner's, whatever the folder was made with
    as_json = "--json" in arguments
    try:
        code = cli.main(list(arguments), prog_name="sentinel", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except Exception as error:
        failure = _failure(error)
        if failure.kind == "Unexpected" and os.environ.get("SENTINEL_LOG_LEVEL") == "DEBUG":
            raise
        return report(failure, as_json)
    return code if isinstance(code, int) else 0


def _aws_errors() -> tuple[type[Exception], ...]:
    """Return what AWS's client raises; nothing where it was never imported."""
    found = sys.modules.get("botocore.exceptions")
    return (found.BotoCoreError, found.ClientError) if found else ()


def _failure(error: Exception) -> Failure:
    """Return what is told of an error; of an unexpected one not its text: it may quote what is stored."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, (SentinelError, sqlite3.DatabaseError, OSError)):
        return failure_of(error)
    if isinstance(error, _aws_errors()):
        hint = "see that region, credentials and the SENTINEL_*_TABLE settings are those of the deployment"
        return Failure("Unavailable", f"AWS: {error}", hint, 3)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}"
    message = f"what is stored cannot be used, or this is a fault of Sentinel: {where}"
    hint = "`sentinel verify --tasks` tells what is damaged; SENTINEL_LOG_LEVEL=DEBUG shows all of it"
    return Failure("Unexpected", message, hint, 1)


def _usage(error: click.ClickException) -> Failure:
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"see `{context.command_path} --help`" if context else ""
    return Failure("Usage", error.format_message(), hint, 2)


def main() -> None:
    """Be the console script."""
    raise SystemExit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
