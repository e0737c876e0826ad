"""`sentinel up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import home_option, json_option

if TYPE_CHECKING:
    from sentinel.local.supervisor import Supervisor


@click.command()
@click.option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port of the gateway; 0 takes a free one.",
)
@click.option("--verbose", is_flag=True, help="Log more than warnings.")
@home_option
@json_option
def up(port: int, verbose: bool, home: Path, as_json: bool) -> int:
    """Run the gateway, Valkey, feeds and workers on 127.0.0.1.

    Ctrl-C finishes what has begun; a second one hurries, which loses nothing either. Settings are the
    environment variables SENTINEL_*.
    """
    from dataclasses import replace

    from sentinel import bootstrap
    from sentinel.cli.output import echo
    from sentinel.errors import Unavailable
    from sentinel.local.supervisor import Supervisor, settings_for

    settings = settings_for(home, bootstrap.application(str(home)).settings)
    if settings.log_level == "INFO" and not verbose:
        settings = replace(settings, log_level="WARNING")
    tree = Supervisor(settings, port, tell=lambda line: echo(line, file=sys.stderr))

    def wanted(*_: object) -> None:
        if tree.stop.is_set():
            tree.hurry()
        tree.stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, wanted)
    try:
        with tree:
            _run(tree, home, as_json)
    except Unavailable:
        if not tree.stop.is_set():
            raise
    return 0


def _run(tree: Supervisor, home: Path, as_json: bool) -> None:
    from sentinel.cli.output import echo, emit

    if as_json:
        emit({"url": tree.url, "home": str(tree.home)})
    else:
        echo(f"Sentinel is up at {tree.url}, data in {home}; Ctrl-C stops it")
    sys.stdout.flush()
    tree.watch()
    if not as_json:
        echo("stopping: finishing what has begun")
        sys.stdout.flush()
