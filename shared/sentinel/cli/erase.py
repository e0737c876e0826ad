"""`sentinel erase`: the content of entries goes, their hashes stay."""

from __future__ import annotations

import sys
from dataclasses import replace
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.usecases.erase import Erased

_GUESSES = (
    "others were stored with them and stay: whoever can read those can test a guess of what is erased; "
    "--whole-segments erases them, too"
)


class Span(click.ParamType[tuple[int, int]]):
    """`FIRST-LAST`, or one number."""

    name = "first-last"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Read a range of entries' numbers."""
        first, dash, last = str(value).partition("-")
        if not (first.isdecimal() and first.isascii()) or (
            dash and not (last.isdecimal() and last.isascii())
        ):
            self.fail("say FIRST-LAST, as 12-14, or one number", param, ctx)
        return int(first), int(last if dash else first)


@click.command()
@click.option("--chain", required=True, help="The chain that they stand in.")
@click.option("--entries", "span", required=True, type=Span(), metavar="A-B", help="Their numbers.")
@click.option("--reason", required=True, help="Why; it is stored, so it names nobody.")
@click.option("--who", "by", default=getuser, help="Who does it; by default the user's name here.")
@click.option("--whole-segments", "whole", is_flag=True, help="And all entries that were stored with them.")
@click.option("--task", "tasks", multiple=True, metavar="ID", help="A further task that quotes them.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option
@json_option
def erase(
    chain: str,
    span: tuple[int, int],
    yes: bool,
    home: Path,
    as_json: bool,
    **wished: Any,
) -> int:
    """Take the content of entries out of every store; their hashes stay, and the chain still verifies.

    The erasure is itself an entry. Where other entries of the same segment stay, so does the salt: whoever
    can read these can test a guess of what was erased; --whole-segments erases them, too. The same command
    again completes what was cut off, or could not be done yet; it exits 1 as long as there is any of that.
    """
    from sentinel.usecases.erase_from import Wish

    eraser = _application(home).eraser
    wish, touched = eraser.plan(Wish(chain, *span, **wished))
    partly = touched[0].first < wish.first or touched[-1].next - 1 > wish.last
    if not yes:
        echo(_asked(chain, wish.first, wish.last, partly=partly), file=sys.stderr)
        click.confirm("erase them for good?", abort=True, err=True)
    found = eraser.erase(wish)
    if as_json:
        emit(found.json())
    else:
        _tell(chain, found)
    return 1 if found.forgotten.unfinished else 0


def _application(home: Path) -> App:
    """Return the application with its Redis; on this machine that of `sentinel up`, where one ever ran."""
    app = application(home)
    if not app.local or app.settings.redis_url or not (home / "valkey").is_dir():
        return app
    from sentinel.bootstrap import App
    from sentinel.local import valkey

    return App(replace(app.settings, redis_url=valkey.url(home)))


def _asked(chain: str, first: int, last: int, *, partly: bool) -> str:
    told = f"entries {first:,} to {last:,} of {plain(chain)}: {last - first + 1:,} in all"
    return f"{told}\n{_GUESSES}" if partly else told


def _tell(chain: str, found: Erased) -> None:
    record = found.record
    echo(f"erased entries {record.first:,} to {record.last:,} of {plain(chain)}")
    echo(f"entry {record.seq:,} records it")
    if found.keys or found.again:
        echo(f"{found.again:,} segments were encrypted anew, {found.keys:,} data keys destroyed")
    for name, count in sorted(found.forgotten.counts.items()):
        echo(f"forgotten: {count:,} {name.replace('_', ' ')}")
    for each in found.forgotten.left:
        echo(f"left: {plain(each)}")
    for each in found.forgotten.unfinished:
        echo(f"unfinished: {plain(each)}", file=sys.stderr)
