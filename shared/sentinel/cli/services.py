"""`sentinel services`: who may come in, with what rights and limits."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, table
from sentinel.core.access import DEFAULT_SCOPES, ENCRYPTIONS, MAX_DAYS, SCOPES, TIERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sentinel.bootstrap import App
    from sentinel.core.access import Service
    from sentinel.usecases.services import Services

_SCOPE = click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What its tokens allow; repeatable.",
)
_TIER = click.option("--tier", type=click.Choice(tuple(TIERS)), help="Its limits.")
_LANES = click.option(
    "--lanes", type=click.IntRange(0, 64), help="Chains it is spread over; 0: SENTINEL_LANES as it is now."
)
_ARCHIVE = click.option(
    "--archive-days",
    type=click.IntRange(0, MAX_DAYS),
    help="Days after which segments go from the ledger's table to the archive; 0: never.",
)
_IDENTITY = click.option(
    "--identity",
    "identities",
    multiple=True,
    help="Another CA's or issuer's id that stands for it: spiffe://DOMAIN/PATH or oidc:ISSUER#SUBJECT; "
    "repeatable.",
)
_ENCRYPTION = click.option(
    "--encryption",
    type=click.Choice(ENCRYPTIONS),
    help="store: as the store encrypts all; own: with data keys of its own.",
)


_SHOWN = ("id", "tier", "scopes", "lanes", "disabled", "masking", "encryption", "archive_days", "identities")


@click.group()
def services() -> None:
    """Add, change, disable and list services; give them new API keys."""


@services.command()
@click.argument("service")
@_TIER
@_SCOPE
@_LANES
@_ARCHIVE
@_IDENTITY
@_ENCRYPTION
@home_option
@json_option
def add(
    service: str,
    scopes: tuple[str, ...],
    identities: tuple[str, ...],
    home: Path,
    as_json: bool,
    **single: Any,
) -> int:
    """Add SERVICE and print its API key, alone on standard output, this once."""
    from sentinel.core.access import Service

    desk = application(home, fresh=True).services
    wanted = Service(
        service,
        scopes=tuple(dict.fromkeys(scopes)) or DEFAULT_SCOPES,
        identities=tuple(dict.fromkeys(identities)),
        **{name: value for name, value in single.items() if value is not None},
    )
    tell_key(service, desk.secret_of(service), desk.add(wanted).api_key, as_json)
    return 0


@services.command()
@home_option
@json_option
def ls(home: Path, as_json: bool) -> int:
    """List services with their tiers and scopes."""
    desk = application(home, fresh=True).services
    if as_json:
        emit(desk.overview())
        return 0
    rows = [
        (each.id, each.tier, " ".join(each.scopes), _lanes(each), "disabled" if each.disabled else "")
        for each in desk.listing()
    ]
    table(rows, ("SERVICE", "TIER", "SCOPES", "LANES", ""))
    return 0


@services.command()
@click.argument("service")
@home_option
@json_option
def show(service: str, home: Path, as_json: bool) -> int:
    """Tell all about SERVICE: its rights, and the ids of its API keys with their ends."""
    _tell(application(home, fresh=True).services, service, as_json)
    return 0


@services.command()
@click.argument("service")
@_TIER
@_SCOPE
@_LANES
@_ARCHIVE
@_IDENTITY
@click.option("--no-identities", is_flag=True, help="Let no other identity stand for it.")
@home_option
@json_option
def change(
    service: str,
    scopes: tuple[str, ...],
    identities: tuple[str, ...],
    no_identities: bool,
    home: Path,
    as_json: bool,
    **single: Any,
) -> int:
    """Change what is named of SERVICE; --scope and --identity replace all that it had.

    Another number of lanes counts ten minutes later, by when whoever stores its entries knows of it.
    """
    from sentinel.usecases.services import Changes

    if no_identities and identities:
        raise click.UsageError("--identity and --no-identities exclude each other")
    desk = application(home, fresh=True).services
    named = list(identities) if identities or no_identities else None
    desk.change(service, Changes(scopes=list(scopes) or None, identities=named, **single))
    _tell(desk, service, as_json)
    return 0


@services.command()
@click.argument("service")
@click.argument("policy", type=click.Choice(ENCRYPTIONS))
@click.option("--in-the-clear", is_flag=True, help="With store: what comes is stored without from now on.")
@home_option
@json_option
def encryption(service: str, policy: str, in_the_clear: bool, home: Path, as_json: bool) -> int:
    """Have SERVICE's entries encrypted with data keys of its own (own), or as the store does (store).

    It holds for what comes once doors know of it; what is stored stays as it is.
    """
    from sentinel.usecases.services import Changes

    desk = application(home, fresh=True).services
    desk.change(service, Changes(encryption=policy, in_the_clear=in_the_clear))
    _tell(desk, service, as_json)
    return 0


@services.command()
@click.argument("service")
@home_option
@json_option
def disable(service: str, home: Path, as_json: bool) -> int:
    """Let nothing of SERVICE in any more; its keys and data stay."""
    return _switch(home, as_json, service, lambda desk: desk.disable(service))


@services.command()
@click.argument("service")
@home_option
@json_option
def enable(service: str, home: Path, as_json: bool) -> int:
    """Let SERVICE in again."""
    return _switch(home, as_json, service, lambda desk: desk.enable(service))


@services.command()
@click.argument("service")
@click.option("--at-once", is_flag=True, help="The old key ends now: for one that somebody else knows.")
@home_option
@json_option
def rotate(service: str, at_once: bool, home: Path, as_json: bool) -> int:
    """Give SERVICE a new API key and print it, this once; the old one counts for a day more."""
    rotate_key(service, at_once, home, as_json)
    return 0


def rotate_key(service: str, at_once: bool, home: Path, as_json: bool) -> None:
    """Rotate a service's API key and tell the new one."""
    app = application(home, fresh=True)
    app.services.show(service)
    name = app.services.secret_of(service)
    app.rotation.now(name, at_once=at_once)
    write_down(app, service)
    tell_key(service, name, app.door_secrets.value(name), as_json)


def write_down(app: App, service: str) -> None:
    """Bring what a service has below the home folder up to date, as `up` does every minute."""
    from sentinel.errors import Rejected
    from sentinel.local import clients

    if app.local and clients.folder_of(app.home, service).is_dir():
        with contextlib.suppress(
            Rejected
        ):  # disabled, or its certificate was revoked: nothing is given to it
            clients.bring_up_to_date(app, service)


def tell_key(service: str, name: str, key: str, as_json: bool) -> None:
    """Print an API key on standard output, and what it is on standard error."""
    if as_json:
        emit({"service": service, "secret": name, "api_key": key})
        return
    note = f"the API key of {plain(service)}; it is not shown again, and is kept as the secret {name}"
    echo(note, file=sys.stderr)
    echo(key)


def _switch(home: Path, as_json: bool, service: str, act: Callable[[Services], Service]) -> int:
    desk = application(home, fresh=True).services
    act(desk)
    _tell(desk, service, as_json)
    return 0


def _tell(desk: Services, service: str, as_json: bool) -> None:
    from sentinel.usecases.services import told

    found = told(desk.show(service), desk.keys(service))
    if as_json:
        emit(found)
        return
    for name in _SHOWN:
        value: Any = found[name]
        shown = " ".join(value) if isinstance(value, list | tuple) else value
        echo(f"{name:<14}{plain(shown)}")
        if name == "lanes":
            _tell_before(found["lanes_before"])
    keys: Any = found["keys"]
    for key in keys:
        echo(f"{'key':<14}{key['id']} {'until ' + _when(key['until']) if key['until'] else 'without an end'}")


def _tell_before(numbers: Any) -> None:
    for each in numbers:
        echo(f"{'lanes before':<14}{each['lanes'] or 'the default'} until {_when(each['until'])} UTC")


def _lanes(service: Service) -> str:
    """Return the number of lanes that counts now, and what comes after it."""
    coming = [number for number, until in service.lanes_before if until > time.time()]
    return ", then ".join(str(number or "-") for number in (*coming, service.lanes))


def _when(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
