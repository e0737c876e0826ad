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
    from sentinel.settings import Settings


_WARNING = (
    "WARNING: --insecure: no TLS, no certificates, no tokens, no limits.",
    "WARNING: every program on this machine can read and write as any service. For a first try only.",
)


@click.command()
@click.option(
    "--port",
    default=8787,
    show_default=True,
    type=click.IntRange(0, 65_534),
    help="Port of the service API; webhooks have the next one. 0 takes two free ones.",
)
@click.option(
    "--insecure",
    is_flag=True,
    help="Plain HTTP without certificates and tokens: whoever reaches 127.0.0.1 is whom they say.",
)
@click.option("--verbose", is_flag=True, help="Log more than warnings.")
@home_option
@json_option
def up(port: int, insecure: bool, verbose: bool, home: Path, as_json: bool) -> int:
    """Run the gateway, Valkey, feeds and workers on 127.0.0.1.

    The service API takes TLS 1.3 with client certificates alone; what is missing for that is made at the
    first start.

    Ctrl-C finishes what has begun; a second one hurries, which loses nothing either. Settings are the
    environment variables SENTINEL_*.
    """
    from sentinel.cli.output import echo
    from sentinel.errors import Unavailable
    from sentinel.local.supervisor import Supervisor

    settings = _settings(home, verbose)
    tree = Supervisor(settings, port, insecure, tell=lambda line: echo(line, file=sys.stderr))

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


def _settings(home: Path, verbose: bool) -> Settings:
    """Return the settings of a tree. Raises `Malformed` for what its workers could not use, over and over."""
    from dataclasses import replace

    from sentinel import bootstrap
    from sentinel.local.supervisor import settings_for
    from sentinel.wiring import grants_of

    app = bootstrap.application(str(home))
    _ = app.http, grants_of(app.settings)  # making them is what finds a slip
    settings = settings_for(home, app.settings)
    quiet = settings.log_level == "INFO" and not verbose
    return replace(settings, log_level="WARNING") if quiet else settings


def _run(tree: Supervisor, home: Path, as_json: bool) -> None:
    from sentinel.cli.output import echo, emit, style

    if tree.insecure:
        for line in _WARNING:
            echo(style(line, "red", sys.stderr), file=sys.stderr)
    if as_json:
        told = {"url": tree.url, "hooks": tree.hooks, "home": str(tree.home), "insecure": tree.insecure}
        emit(told)
    else:
        echo(f"Sentinel is up at {tree.url}, webhooks at {tree.hooks}, data in {home}; Ctrl-C stops it")
    sys.stdout.flush()
    tree.watch()
    if not as_json:
        echo("stopping: finishing what has begun")
        sys.stdout.flush()
