"""`sentinel connectors`: what leads in and out, and in words what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import cut, echo, emit, plain, style, table
from sentinel.errors import Missing

if TYPE_CHECKING:
    from sentinel.cli.connectors_known import Known
    from sentinel.siem.check import Sound, Wrong

_NONE = (
    "no connectors yet: `sentinel recipes push FILE` adds sinks and accounts, `sentinel hooks add` webhooks; "
    "docs/connectors.md says how, and `sentinel connectors ls --kinds` for what"
)
_DIRECTIONS = {"in": "webhook", "out": "sink", "account": "account"}


@click.group()
def connectors() -> None:
    """List sinks, accounts and webhooks; test whether one works."""


@connectors.command()
@click.option("--kinds", is_flag=True, help="List the kinds that there are, not what is set up.")
@home_option
@json_option
def ls(kinds: bool, home: Path, as_json: bool) -> int:
    """List connectors, with where they lead and whether their secrets are there."""
    from sentinel.cli.connectors_known import known

    if kinds:
        return _kinds(as_json)
    found = known(application(home, fresh=True))
    if as_json:
        emit([each.json() for each in found])
    elif not found:
        echo(_NONE)
    else:
        rows = [
            (each.name, each.direction, each.kind, each.target, each.secret, cut(each.state))
            for each in found
        ]
        table(rows, ("CONNECTOR", "DIRECTION", "KIND", "TARGET", "SECRET", "STATE"))
    return 0


def _kinds(as_json: bool) -> int:
    from sentinel.cli.connectors_known import kinds

    found = [dict(zip(("kind", "direction", "testable"), each, strict=True)) for each in kinds()]
    if as_json:
        emit(found)
        return 0
    rows: list[tuple[Any, ...]] = [
        (each["kind"], each["direction"], "yes" if each["testable"] else "its secret only") for each in found
    ]
    table(rows, ("KIND", "DIRECTION", "CAN BE TESTED"))
    return 0


@connectors.command()
@click.argument("name")
@home_option
@json_option
def test(name: str, home: Path, as_json: bool) -> int:
    """Ask what NAME leads to whether it would work, and say what is wrong; no event is created there.

    Exit codes: 0 it works as far as can be known, 1 something is wrong, 3 it does not answer now.
    """
    from sentinel.cli.connectors_known import known

    found = known(application(home, fresh=True), name)
    if not found:
        raise Missing(f"there is no connector {name}; `sentinel connectors ls` lists them")
    tested = [(each, each.test()) for each in found]
    if as_json:
        emit([_json(each, finding) for each, finding in tested])
    else:
        for each, finding in tested:
            _tell(each, finding)
    codes = {_code(finding) for _, finding in tested} - {0}
    return min(codes, default=0)


def _code(finding: Sound | Wrong) -> int:
    from sentinel.siem.check import ABSENT, Sound

    if isinstance(finding, Sound):
        return 0
    return 3 if finding.level in ABSENT else 1


def _tell(connector: Known, finding: Sound | Wrong) -> None:
    from sentinel.siem.check import Wrong

    what = f"{_DIRECTIONS[connector.direction]} {connector.name} ({connector.kind}, {connector.target})"
    if not isinstance(finding, Wrong):
        echo(f"{plain(what)}: {style('good', fg='green')}: {plain(finding.words)}")
        return
    verdict = style(f"wrong: {finding.level}", fg="red")
    echo(f"{plain(what)}: {verdict}: {plain(finding.words)}")
    if finding.hint:
        echo(f"  {plain(finding.hint)}")


def _json(connector: Known, finding: Sound | Wrong) -> dict[str, object]:
    from sentinel.siem.check import Wrong

    told: dict[str, object] = {"good": True}
    if isinstance(finding, Wrong):
        told = {"good": False, "level": finding.level, "hint": finding.hint}
    return connector.json() | told | {"words": finding.words}
