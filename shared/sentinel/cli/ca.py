"""`sentinel ca`: the CAs that vouch for clients, our own and those of service meshes."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.certs import when
from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, table
from sentinel.errors import Malformed, Missing

if TYPE_CHECKING:
    from sentinel.core.access import Root

_DAY = 86_400


@click.group()
def ca() -> None:
    """Look after the CAs that vouch for clients: our own, and those of service meshes."""


@ca.command()
@home_option
@json_option
def show(home: Path, as_json: bool) -> int:
    """Show the roots in force, and which of them signs."""
    app = application(home, fresh=True)
    try:
        signing = app.authority.signing().id
    except Missing:
        signing = ""
    found = app.authority.roots()
    if as_json:
        emit([{**asdict(each), "signs": each.id == signing} for each in found])
        return 0
    rows = [
        (each.id, each.domain, _state(each, signing), when(each.since), when(each.until)) for each in found
    ]
    table(rows, ("ROOT", "TRUST DOMAIN", "STATE", "SINCE", "UNTIL"))
    return 0


@ca.command()
@click.option("--key", help="KMS key of the next root; on one machine a sealed file is made.")
@click.option("--lead", default=3_600, show_default=True, help="Seconds until the new root signs.")
@click.option("--overlap", default=90, show_default=True, help="Days for which the old root is trusted then.")
@home_option
@json_option
def rollover(key: str | None, lead: int, overlap: int, home: Path, as_json: bool) -> int:
    """Make and publish a new root, and let it follow the one that signs. Run it again after any failure."""
    from sentinel.local.certificates import new_key

    app = application(home, fresh=True)
    if lead < 0 or overlap < 0:
        raise Malformed("lead and overlap are 0 or more")
    if key is None and app.settings.ca_key:
        raise Malformed("name the KMS key of the next root with --key; SENTINEL_CA_KEY names the first one")
    wanted = key or new_key(app)
    fresh = app.authority.rollover(wanted, app.trust_store.publish, lead, overlap * _DAY)
    if not overlap:
        app.trust_store.publish(app.authority.published())
    if as_json:
        emit(asdict(fresh))
    else:
        echo(f"root {fresh.id} signs from {when(fresh.since)} on")
    return 0


@ca.command()
@home_option
@json_option
def publish(home: Path, as_json: bool) -> int:
    """Give the roots in force to the TLS layer, and make the CA where there is none yet."""
    from sentinel.local.certificates import ensure_ca

    app = application(home, fresh=True)
    ensure_ca(app)
    version = app.trust_store.publish(app.authority.published())
    roots = app.authority.roots()
    if as_json:
        emit({"version": version, "roots": [each.id for each in roots]})
    else:
        echo(f"published {len(roots)} root{'s' if len(roots) != 1 else ''}, version {plain(version)}")
    return 0


@ca.command()
@click.argument("domain", metavar="TRUST-DOMAIN")
@click.argument("pem", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@home_option
@json_option
def trust(domain: str, pem: Path, home: Path, as_json: bool) -> int:
    """Let another's CA vouch for the SPIFFE ids of its trust domain; `publish` tells the TLS layer."""
    app = application(home, fresh=True)
    root = app.authority.trust(domain, pem.read_text())
    app.trust_store.publish(app.authority.published())
    if as_json:
        emit(asdict(root))
    else:
        echo(f"root {root.id} vouches for {plain(domain)}")
    return 0


@ca.command()
@click.argument("root_id", metavar="ROOT")
@home_option
@json_option
def distrust(root_id: str, home: Path, as_json: bool) -> int:
    """Let a root vouch for nobody any more."""
    app = application(home, fresh=True)
    root = app.authority.distrust(root_id)
    app.trust_store.publish(app.authority.published())
    if as_json:
        emit(asdict(root))
    else:
        echo(f"root {root.id} is not trusted any more")
    return 0


def _state(root: Root, signing: str) -> str:
    if not root.key:
        return "another's"
    if root.id == signing:
        return "signs"
    if root.until:
        return "trusted"
    return "signs later" if root.since > time.time() else "roll-over unfinished"
