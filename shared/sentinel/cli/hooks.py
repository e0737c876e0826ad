"""`sentinel hooks`: webhooks of other systems, each the way into one service's chains."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, table
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.core.access import Hook

THEIRS = frozenset({"sentry", "pagerduty"})  # they show their secret once, and take none
_ANEW = "add another webhook with that by --secret-stdin, and disable this one"


@click.group()
def hooks() -> None:
    """Add, disable and list webhooks; give them new secrets."""


@hooks.command()
@click.argument("hook")
@click.option("--service", required=True, help="Whose chains its entries go to.")
@click.option("--source", required=True, help="What kind of sender it is, such as standard-webhooks.")
@click.option("--secret-stdin", is_flag=True, help="Take the source's own secret from standard input.")
@click.option(
    "--option",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the source (docs/connectors.md); NAME=@FILE reads the value from a file. Repeatable.",
)
@home_option
@json_option
def add(
    hook: str,
    service: str,
    source: str,
    secret_stdin: bool,
    settings: tuple[str, ...],
    home: Path,
    as_json: bool,
) -> int:
    """Add the webhook HOOK at /hooks/SOURCE/HOOK and print its secret, this once.

    Of the source splunk-hec it is at /services/collector, and what is printed is a token that names HOOK: a
    GUID where HOOK is 8 hex digits.
    """
    from sentinel.webhooks import COLLECTORS, SOURCES

    if source not in SOURCES and source not in COLLECTORS:
        raise click.UsageError(f"--source is one of {', '.join((*SOURCES, *COLLECTORS))}")
    options = _options(settings)
    try:
        made = (SOURCES.get(source) or COLLECTORS[source]).make(options)
    except Malformed as error:
        raise click.UsageError(f"--option: {error}") from None
    secret = sys.stdin.read().strip() if secret_stdin else ""
    if secret_stdin and not secret:
        raise click.UsageError("--secret-stdin: there is nothing on standard input")
    secret = _of_token(source, hook, secret)
    if secret and not made.usable(secret):
        raise click.UsageError(f"--secret-stdin: that is no secret of {source}, or it is too short")
    added = application(home, fresh=True).services.add_hook(hook, service, source, secret, options)
    _tell_secret(added.hook, "" if secret else added.secret, as_json)
    return 0


@hooks.command()
@home_option
@json_option
def ls(home: Path, as_json: bool) -> int:
    """List webhooks."""
    found = application(home, fresh=True).services.hooks()
    if as_json:
        emit([_shown(each) for each in found])
        return 0
    rows = [(each.id, each.source, each.service, "disabled" if each.disabled else "") for each in found]
    table(rows, ("WEBHOOK", "SOURCE", "SERVICE", ""))
    return 0


@hooks.command()
@click.argument("hook")
@home_option
@json_option
def disable(hook: str, home: Path, as_json: bool) -> int:
    """Refuse what comes to HOOK from now on."""
    _tell(application(home, fresh=True).services.disable_hook(hook), as_json)
    return 0


@hooks.command()
@click.argument("hook")
@home_option
@json_option
def enable(hook: str, home: Path, as_json: bool) -> int:
    """Take in again what comes to HOOK."""
    _tell(application(home, fresh=True).services.enable_hook(hook), as_json)
    return 0


@hooks.command()
@click.argument("hook")
@click.option(
    "--at-once",
    is_flag=True,
    help="The old secret ends now, for one that somebody else knows; receivers may take it for 60 s more.",
)
@home_option
@json_option
def rotate(hook: str, at_once: bool, home: Path, as_json: bool) -> int:
    """Give HOOK a new secret and print it, this once; the old one counts for a day more."""
    rotate_secret(hook, at_once, home, as_json)
    return 0


def rotate_secret(hook: str, at_once: bool, home: Path, as_json: bool) -> None:
    """Rotate a webhook's secret and tell the new one."""
    app = application(home, fresh=True)
    found = app.services.hook(hook)
    app.rotation.now(found.secret, at_once=at_once)
    _tell_secret(found, app.services.hook_secret(hook), as_json)


def _of_token(source: str, hook: str, text: str) -> str:
    """Return the secret in a token of this webhook, as another collector had it; else the text as it is."""
    from sentinel.core.hec_tokens import SOURCE, parse

    shown = parse(text)
    return shown.secret if source == SOURCE and shown.hook == hook else text


def _options(settings: tuple[str, ...]) -> dict[str, str]:
    """Return the options that `--option` gave. Raises `UsageError`."""
    options: dict[str, str] = {}
    for each in settings:
        name, equals, value = each.partition("=")
        if not equals or not name or name in options:
            raise click.UsageError("--option is NAME=VALUE, each name once")
        if value.startswith("@"):
            try:
                value = Path(value[1:]).read_text("utf-8")
            except (OSError, UnicodeDecodeError):
                raise click.UsageError(f"--option {name}: that file cannot be read") from None
        options[name] = value
    return options


def place(hook: Hook) -> str:
    """Return the path that a webhook's sender posts to."""
    from sentinel.core.hec_tokens import SOURCE
    from sentinel.routes import COLLECTOR

    return COLLECTOR if hook.source == SOURCE else f"/hooks/{hook.source}/{hook.id}"


def _tell_secret(hook: Hook, secret: str, as_json: bool) -> None:
    """Print a webhook's secret on standard output where we made it, and what it is on standard error."""
    from sentinel.core.hec_tokens import SOURCE, token

    if hook.source == SOURCE and secret:
        secret = token(hook.id, secret)
    if as_json:
        emit(_shown(hook) | ({"secret": secret} if secret else {}))
        return
    path = plain(place(hook))
    if not secret:
        echo(f"added {path}")
        return
    what = "token" if hook.source == SOURCE else "secret"
    echo(f"the {what} of {path}; it is not shown again: give it to the source now", file=sys.stderr)
    if hook.source in THEIRS and hook.options.get("auth", "signature") == "signature":
        echo(f"{hook.source} makes its secrets itself: where it takes no other, {_ANEW}", file=sys.stderr)
    echo(secret)


def _tell(hook: Hook, as_json: bool) -> None:
    if as_json:
        emit(_shown(hook))
    else:
        echo(f"{plain(hook.id)} is {'disabled' if hook.disabled else 'enabled'}")


def _shown(hook: Hook) -> dict[str, object]:
    shown = asdict(hook)
    del shown["secret"]  # the name of one, and where there is a secret beside it, the wrong one
    if not hook.options:
        del shown["options"]
    return shown
