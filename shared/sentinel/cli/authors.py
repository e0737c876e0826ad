"""`sentinel authors`: whose signatures make documents and approvals count."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, table


@click.group()
def authors() -> None:
    """Add, list and remove the authors of documents."""


@authors.command()
@click.argument("author")
@click.option(
    "--key",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Its Ed25519 public key, PEM.",
)
@click.option("--name", default="", help="Who that is, for people.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"]),
    help="When its signatures end to count, UTC, also those that were made before.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    help="A group whose approvals it may give; may be there several times.",
)
@home_option
@json_option
def add(
    author: str,
    key: Path,
    name: str,
    until: datetime | None,
    groups: tuple[str, ...],
    home: Path,
    as_json: bool,
) -> int:
    """Let what AUTHOR signs count: documents, and approvals of what tasks ask it for."""
    from sentinel.core.access import Author
    from sentinel.local import author_key

    end = int(until.replace(tzinfo=UTC).timestamp()) if until else 0
    desk = application(home, fresh=True).authors
    added = desk.add(Author(author, "", name, end, groups), author_key.public(key))
    if as_json:
        emit(asdict(added))
    else:
        echo(f"what {plain(added.id)} signs counts")
    return 0


@authors.command()
@home_option
@json_option
def ls(home: Path, as_json: bool) -> int:
    """List authors."""
    found = application(home, fresh=True).authors.listing()
    if as_json:
        emit([asdict(each) for each in found])
        return 0
    rows = [(each.id, each.name, _day(each.until), " ".join(each.groups)) for each in found]
    table(rows, ("AUTHOR", "NAME", "UNTIL", "GROUPS"))
    return 0


@authors.command()
@click.argument("author")
@home_option
def remove(author: str, home: Path) -> int:
    """Let nothing that AUTHOR signed count any more, also what was pushed before."""
    application(home, fresh=True).authors.remove(author)
    echo(f"nothing that {plain(author)} signed counts any more")
    return 0


def _day(until: int) -> str:
    return f"{datetime.fromtimestamp(until, UTC):%Y-%m-%d %H:%M}" if until else ""
