"""`sentinel trace`: from an effect back to the entries that caused it, and forward again, with proofs."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, style

if TYPE_CHECKING:
    from sentinel.usecases.proofs import Wish
    from sentinel.usecases.trace import Trace

_TASK = re.compile(r"[a-z2-7]{26}")
_EFFECT = re.compile(r"[0-9a-f]{64}")
_STEP = re.compile(r"([a-z2-7]{26})/([\w.-]{1,100})", re.ASCII)
_COUNT = click.IntRange(min=0)
LEAVES = 100_000
TASKS = 100_000
_ENTRY = re.compile(r"(.+/\d{1,10})[: ](\d{1,19})")


@click.command()
@click.argument("what", metavar="ID")
@click.argument("seq", required=False, type=click.IntRange(min=0))
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with an earlier output of `chains --json`: proofs lead to the heads in it.",
)
@click.option("--entries", is_flag=True, help="Tell the entries, too, and what their leaves are made of.")
@click.option("--leaves", default=LEAVES, show_default=True, type=_COUNT, help="Hashes in proofs, at most.")
@click.option(
    "--tasks", default=TASKS, show_default=True, type=_COUNT, help="Tasks to look through, from an entry."
)
@click.option("--otlp", is_flag=True, help="Print what has ended as OpenTelemetry spans (OTLP/JSON).")
@home_option
@json_option
def trace(what: str, seq: int | None, home: Path, as_json: bool, otlp: bool, **wishes: Any) -> int:
    """Tell what caused what, and prove it.

    ID is a task, an effect (its key, or TASK/STEP), or an entry (CHAIN:SEQ, or CHAIN SEQ). Exits 1 where
    something is damaged, and says where.
    """
    from sentinel.cli.chains import written_down
    from sentinel.usecases.proofs import Wish

    against = wishes["against"]
    wish = Wish(wishes["leaves"], written_down(against) if against else {}, wishes["entries"])
    found = _traced(application(home).trace, what, seq, wish, wishes["tasks"])
    if otlp:
        _export(found)
    elif as_json:
        emit(found)
    else:
        _show(found)
    return 0 if found["whole"] else 1


def _traced(run: Trace, what: str, seq: int | None, wish: Wish, most: int) -> dict[str, Any]:
    if seq is not None:
        return run.of_entry(what, seq, wish, most)
    if found := _ENTRY.fullmatch(what):
        return run.of_entry(found[1], int(found[2]), wish, most)
    if _TASK.fullmatch(what):
        return run.of_task(what, wish)
    if _EFFECT.fullmatch(what):
        return run.of_effect(what, wish)
    if found := _STEP.fullmatch(what):
        return run.of_step(found[1], found[2], wish)
    raise click.UsageError(f"{what!r} is no task, no effect (KEY or TASK/STEP) and no entry (CHAIN:SEQ)")


def _export(found: dict[str, Any]) -> None:
    from sentinel.core.spans import exported

    told, unended = exported(found)
    emit(told)
    if unended:
        echo(f"left out, since they have not ended: {', '.join(unended)}", file=sys.stderr)


def _show(found: dict[str, Any]) -> None:
    from sentinel.cli.picture import Canvas
    from sentinel.cli.trace_picture import draw

    width = shutil.get_terminal_size((80, 24)).columns
    unicode = (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    for line in draw(
        found, Canvas(width, unicode, lambda text, colour: style(text, colour) if colour else text)
    ):
        echo(line)
