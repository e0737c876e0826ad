"""`sentinel rotate`: a new secret of any kind, now."""

from __future__ import annotations

from pathlib import Path

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit

_AT_ONCE = click.option("--at-once", is_flag=True, help="The old one ends now: somebody else knows it.")


@click.group()
def rotate() -> None:
    """Rotate API keys, webhook secrets, signing keys or data keys, in steps that may be run again."""


@rotate.command(name="signing-keys")
@_AT_ONCE
@home_option
@json_option
def signing_keys(at_once: bool, home: Path, as_json: bool) -> int:
    """Publish a new key, which signs access tokens in ten minutes; makes the first one where none is."""
    app = application(home, fresh=True)
    name = app.settings.signing_secret
    if not app.rotation.ensure_signing_keys():
        app.rotation.now(name, at_once=at_once)
    if as_json:
        emit({"rotated": name})
    else:
        echo(f"{name} is rotated and published")
    return 0


@rotate.command(name="data-keys")
@home_option
@json_option
def data_keys(home: Path, as_json: bool) -> int:
    """Wrap the data keys of encrypted services by a new key of this machine, and drop the old one.

    A copy of keys.db from before is of no use then, without a copy of data.key. In AWS it is KMS that
    rotates.
    """
    app = application(home)
    if not app.local:
        raise click.UsageError("in AWS KMS rotates what wraps data keys: see docs/encryption.md")
    count = app.local_keys.rewrap()
    if as_json:
        emit({"rewrapped": count})
    else:
        echo(f"{count:,} data keys are wrapped by a new key")
    return 0


@rotate.command()
@click.argument("service")
@_AT_ONCE
@home_option
@json_option
def services(service: str, at_once: bool, home: Path, as_json: bool) -> int:
    """Give SERVICE a new API key and print it, as `sentinel services rotate` does."""
    from sentinel.cli.services import rotate_key

    rotate_key(service, at_once, home, as_json)
    return 0


@rotate.command()
@click.argument("hook")
@click.option(
    "--at-once",
    is_flag=True,
    help="The old one ends now: somebody else knows it. Receivers may take it for 60 s more.",
)
@home_option
@json_option
def hooks(hook: str, at_once: bool, home: Path, as_json: bool) -> int:
    """Give HOOK a new secret and print it, as `sentinel hooks rotate` does."""
    from sentinel.cli.hooks import rotate_secret

    rotate_secret(hook, at_once, home, as_json)
    return 0
