"""`sentinel certs`: the client certificates of services."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, table
from sentinel.errors import Conflict, Forbidden, Malformed, SentinelError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.access import Issued
    from sentinel.local.key_pair import KeyPair

REFUSALS: Mapping[int, type[SentinelError]] = {
    400: Malformed,
    401: Unauthenticated,
    403: Forbidden,
    409: Conflict,
}
_OUT = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of key.pem and certificate.pem; by default clients/SERVICE below the home folder.",
)
_DASHED = re.compile(r"-[A-Za-z0-9_-]{42}")
_REASON = click.option("--reason", default="", help="Why, for whoever looks it up.")


@click.group()
def certs() -> None:
    """Issue, renew, revoke and list the client certificates of services."""


@certs.command()
@click.argument("service")
@click.option(
    "--csr",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificate request, PEM, whose key stays where it is; without it a key is made.",
)
@click.option("--days", type=click.IntRange(1, 90), default=90, show_default=True, help="How long it lives.")
@_OUT
@home_option
@json_option
def issue(service: str, csr: Path | None, days: int, out: Path | None, home: Path, as_json: bool) -> int:
    """Issue a client certificate for SERVICE, and make the CA where there is none yet."""
    from sentinel.local.certificates import ensure_ca

    app = application(home, fresh=True)
    ensure_ca(app)
    pair = _pair(app, service, out)
    with pair.locked():
        if csr is None:
            pair.finish(app.authority.issue(service, pair.begin(), days=days))
        else:
            pair.put_certificate(app.authority.issue(service, csr.read_bytes(), days=days))
    return _tell_files(pair, key=csr is None, as_json=as_json)


@certs.command()
@click.argument("service")
@click.option("--url", help="Address of a running gateway, which renews it; without it the store is used.")
@click.option(
    "--ca",
    "--roots",
    "roots",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Roots that the gateway is trusted by; by default tls/roots.pem below the home folder, "
    "else the system's.",
)
@_OUT
@home_option
@json_option
def renew(
    service: str, url: str | None, roots: Path | None, out: Path | None, home: Path, as_json: bool
) -> int:
    """Renew SERVICE's certificate, from day 60 of 90 on, with the one in use. Makes a new key."""
    app = application(home, fresh=True)
    pair = _pair(app, service, out)
    with pair.locked():
        request = pair.begin()
        try:
            pair.finish(_renewed(app, service, pair, request, url, roots))
        except Conflict:
            if _due(pair):
                raise
            return _tell_early(pair, as_json)
    return _tell_files(pair, key=True, as_json=as_json)


def _due(pair: KeyPair) -> bool:
    """Whether the certificate in use may be renewed by its age."""
    from sentinel.core.certificates import read

    pem = pair.pem()
    return not pem or time.time() >= read(pem).renewable_from()


def _tell_early(pair: KeyPair, as_json: bool) -> int:
    """Say from when on: that is all that there is to do on most days, and no failure."""
    from sentinel.core.certificates import read

    found = read(pair.pem())
    if as_json:
        emit({"thumbprint": found.thumbprint, "until": found.not_after, "renew": found.renewable_from()})
        return 0
    start, end = when(found.renewable_from()), when(found.not_after)
    echo(f"nothing to do: the certificate may be renewed from {start} on, and runs out {end}")
    return 0


def _renewed(
    app: App, service: str, pair: KeyPair, request: bytes, url: str | None, roots: Path | None
) -> str:
    if url is None:
        from sentinel.core.certificates import read

        return app.authority.renew(read(pair.certificate.read_text()), service, request)
    from sentinel.cli.door import Credentials, Door
    from sentinel.local.doors import server_roots

    # Not ca/roots.pem: what clients are accepted of may be a mesh's, which vouches for no gateway.
    default = server_roots(app.home)
    trusted = roots or (default if default.exists() else None)
    credentials = Credentials(pair.certificate, pair.key, pair.folder / "api-key", trusted)
    door = Door(url, service, credentials)
    try:
        kind = {"Content-Type": "application/x-pem-file"}
        answer = door.request("POST", "/v1/certificate", request, kind)
    finally:
        door.close()
    if answer.status != 200:
        message = str(answer.told.get("message") or f"the gateway answers {answer.status}")
        raise REFUSALS.get(answer.status, Unavailable)(message)
    return answer.body.decode()


class _OfThumbprints(click.Command):
    """Takes a thumbprint as its argument also where it begins with a dash, as one in 64 does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put thumbprints behind `--`, so that none is taken for an option."""
        dashed = [each for each in args if _DASHED.fullmatch(each)]
        if dashed and "--" not in args:
            args = [*(each for each in args if each not in dashed), "--", *dashed]
        return super().parse_args(ctx, args)


@certs.command(cls=_OfThumbprints)
@click.argument("what", metavar="THUMBPRINT|SERIAL|SERVICE|FILE")
@_REASON
@home_option
@json_option
def revoke(what: str, reason: str, home: Path, as_json: bool) -> int:
    """Revoke a certificate, or all of a service; doors refuse it within SENTINEL_DOOR_SECONDS.

    FILE is a certificate, which may be of another CA.
    """
    app = application(home, fresh=True)
    path = Path(what)
    if path.suffix == ".pem" and path.is_file():
        from sentinel.core.certificates import read, service_of

        certificate = read(path.read_text())
        what = certificate.thumbprint
        if not app.authority.has_issued(what):
            app.authority.revoke_other(certificate, reason)
            ours = service_of(certificate.spiffe, app.settings.trust_domain) is not None
            whose = "which our own CA has no record of" if ours else "which is another CA's"
            emit([what]) if as_json else echo(f"revoked {what}, {whose}")
            return 0
    found = app.authority.revoke(what, reason)
    _tell(found, as_json)
    return 0


@certs.command()
@click.argument("service", default="")
@home_option
@json_option
def ls(service: str, home: Path, as_json: bool) -> int:
    """List certificates, of SERVICE or of all services, the oldest first."""
    found = application(home, fresh=True).authority.issued(service)
    _tell(found, as_json)
    return 0


def _pair(app: App, service: str, out: Path | None) -> KeyPair:
    from sentinel.local.certificates import clients_pair
    from sentinel.local.key_pair import KeyPair

    return KeyPair(out) if out is not None else clients_pair(app.home, service)


def _tell_files(pair: KeyPair, *, key: bool, as_json: bool) -> int:
    from sentinel.core.certificates import read

    made = read(pair.certificate.read_text())
    files = {"certificate": str(pair.certificate), **({"key": str(pair.key)} if key else {})}
    if as_json:
        told = {"thumbprint": made.thumbprint, "serial": made.serial, "spiffe": made.spiffe}
        emit({**told, "until": made.not_after, "renew": made.renewable_from(), **files})
        return 0
    for path in files.values():
        echo(path)
    echo(f"{made.spiffe} until {when(made.not_after)}; renew it from {when(made.renewable_from())} on")
    return 0


def _tell(found: list[Issued], as_json: bool) -> None:
    if as_json:
        emit([asdict(each) for each in found])
        return
    rows = [
        (each.service, each.serial, when(each.since), when(each.until), _state(each), each.id)
        for each in found
    ]
    table(rows, ("SERVICE", "SERIAL", "SINCE", "UNTIL", "STATE", "THUMBPRINT"))


def _state(issued: Issued) -> str:
    if issued.revoked:
        return f"revoked {when(issued.revoked)}" + (f": {issued.reason}" if issued.reason else "")
    return "run out" if issued.until < time.time() else "in force"


def when(seconds: int) -> str:
    """Write a time for people, in UTC; 0 is never."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}" if seconds else "-"
