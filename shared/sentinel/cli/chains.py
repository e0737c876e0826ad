"""`sentinel chains`, `verify` and `export`: what anybody needs who wants to check. Nothing here writes."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import Failure, echo, emit, plain, style, table

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.notes import Key
    from sentinel.errors import SentinelError
    from sentinel.usecases.inspect import Inspect

Heads = dict[str, dict[int, str]]


@click.command()
@home_option
@json_option
def chains(home: Path, as_json: bool) -> int:
    """List the chains: name, entries, head.

    Keep the output of `chains --json` somewhere else: `verify --against` finds cut and rewritten chains
    with it.
    """
    heads = application(home).inspect.heads()
    if as_json:
        emit([head.json() for head in heads])
    else:
        table([(head.chain, head.entries, head.head) for head in heads], ("CHAIN", "ENTRIES", "HEAD"))
    return 0


@click.command()
@click.option("--chain", help="Verify one chain; all of them without it.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file with an earlier output of `chains --json`.",
)
@click.option("--tasks", is_flag=True, help="Verify every task, too: lineage, state and effects.")
@click.option(
    "--witness", "witnesses", multiple=True, metavar="VKEY", help="Key of a witness whose cosignatures count."
)
@click.option(
    "--quorum", type=click.IntRange(0), help="How many of them the newest checkpoint needs; all by default."
)
@home_option
@json_option
def verify(
    chain: str | None,
    against: Path | None,
    tasks: bool,
    witnesses: tuple[str, ...],
    quorum: int | None,
    home: Path,
    as_json: bool,
) -> int:
    """Check chains from their first entry to their last, and against every checkpoint that was signed.

    Exits 1 for a damaged one, and for one that may not be read here; 3 where nothing but that some of it does
    not answer is wrong.
    """
    keys = _keys(witnesses)
    if quorum is not None and quorum > len(keys):
        raise click.UsageError("--quorum: so many witnesses are not named by --witness")
    app = application(home)
    by = app.verifying(keys, len(keys) if quorum is None else quorum)
    inspect = replace(app.inspect, verification=lambda: by)  # which looks for strays, too
    known = written_down(against) if against else {}
    names = [chain] if chain else sorted({*app.ledger.chains(), *app.notes.chains(), *known})
    found = [_verified(inspect, name, known.get(name), alone=chain is not None) for name in names]
    of_tasks = _tasks(app) if tasks else {"verified": True}
    if as_json:
        emit({"chains": found, "tasks": of_tasks} if tasks else found)
    else:
        for each in found:
            _tell(each)
        if not found:
            echo("there are no chains yet")
        if tasks:
            _tell_tasks(of_tasks)
    bad = [each for each in [*found, of_tasks] if not each["verified"]]
    return 0 if not bad else 3 if all(each.get("kind") == "unavailable" for each in bad) else 1


def _keys(vkeys: Sequence[str]) -> list[Key]:
    from sentinel.core.notes import COSIGNATURE, Key
    from sentinel.errors import Malformed

    try:
        found = [Key.read(vkey) for vkey in vkeys]
    except Malformed as error:
        raise click.UsageError(f"--witness: {error}") from None
    if any(key.type != COSIGNATURE for key in found):
        raise click.UsageError("--witness: that is no key of type 4, which cosigns (C2SP tlog-cosignature)")
    return found


def _tasks(app: App) -> dict[str, Any]:
    from sentinel.usecases.verify_tasks import verify_tasks

    return verify_tasks(app.tasks, keys=app.log_key_of).json()


def _tell_tasks(found: dict[str, Any]) -> None:
    size = f"{found['tasks']:,} tasks, {found['events']:,} events, {found['effects']:,} effects"
    size += f"; {found['erased']:,} of the events were erased" if found["erased"] else ""
    if found["verified"]:
        echo(f"{style('whole', 'green')}    tasks: {size}")
        return
    echo(f"{style('damaged', 'red')}  tasks: {found['damaged']:,} of {size}")
    for each in found["damage"]:
        where = f"{plain(each['chain'])} at event {each['seq']:,}"
        echo(f"         {where}: {plain(each['kind'])}: {plain(each['detail'])}")
    for each in found["unsettled"]:
        echo(f"         task {plain(each)} was moved all the time: verify again")


def _verified(by: Inspect, chain: str, expected: dict[int, str] | None, *, alone: bool) -> dict[str, Any]:
    """Verify a chain. What keeps one of several from being checked is told with it: others can be."""
    from sentinel.errors import Forbidden, SentinelError, Tampered

    try:
        return by.verify(chain, expected).json()
    except Tampered as damage:
        return {
            "chain": chain,
            "verified": False,
            "entry": damage.seq,
            "kind": damage.kind,
            "detail": damage.detail,
        }
    except SentinelError as error:
        if alone and not isinstance(error, Forbidden):
            raise
        return {"chain": chain, "verified": False, **unread(error)}


def unread(error: SentinelError) -> dict[str, str]:
    """Return what is told of a chain that could not be looked at."""
    from sentinel.errors import Unavailable

    kind = "unavailable" if isinstance(error, Unavailable) else type(error).__name__.lower()
    return {"kind": kind, "detail": str(error)}


def _tell(each: dict[str, Any]) -> None:
    name = plain(each["chain"])
    if each["verified"]:
        size = f"{each['entries']:,} entries, {each['segments']:,} segments"
        echo(f"{style('whole', 'green')}    {name}: {size}, head {each['head']}")
        _tell_signed(each)
    else:
        what = f"{each['kind']}: {each['detail']}"
        if "entry" not in each:
            echo(f"{style('unread', 'red')}   {name}: {plain(what)}")
            return
        echo(f"{style('damaged', 'red')}  {name} at entry {each['entry']:,}: {plain(what)}")


def _tell_signed(each: dict[str, Any]) -> None:
    if each.get("erased"):
        echo(f"         {each['erased']:,} entries were erased, each with its record")
    if each.get("readable"):
        echo(f"         {each['readable']:,} entries are readable though they were erased: erase them again")
    if "checkpoint" not in each:
        echo("         no checkpoint of it was signed: nothing but its own hashes speaks for it")
        return
    newest = each["checkpoint"]
    when = datetime.fromtimestamp(newest["time"], UTC).isoformat()
    cosigned = f", cosigned by {', '.join(map(plain, newest['cosigned']))}" if newest["cosigned"] else ""
    echo(f"         {each['checkpoints']:,} checkpoints, newest {newest['number']:,} of {when}{cosigned}")
    if each["unsealed"]:
        echo(f"         {each['unsealed']:,} entries behind it are in no checkpoint yet")
    if each["late"]:
        pauses = f"{each['late']:,} pauses of up to {each['longest_pause']:,} s"
        echo(f"         {pauses}: checkpoints are missing there")


def written_down(path: Path) -> Heads:
    """Read heads that `chains --json` printed. Raises the failure that says that a file has none."""
    try:
        found: Heads = defaultdict(dict)
        for each in json.loads(path.read_bytes()):
            if each["entries"]:
                found[str(each["chain"])][int(each["entries"])] = str(each["head"])
    except (ValueError, KeyError, TypeError):
        raise Failure(
            "Malformed",
            f"{path} is not a list of heads",
            "give it what `sentinel chains --json` printed earlier",
            2,
        ) from None
    return dict(found)


@click.command()
@click.option("--chain", required=True, help="The chain to export.")
@home_option
@json_option
def export(chain: str, home: Path, as_json: bool) -> int:
    """Write a chain to standard output as NDJSON, one segment a line (docs/wire.md)."""
    del as_json  # the output is JSON in any case; errors see the option
    import orjson

    write = sys.stdout.buffer.write
    for segment in application(home).inspect.export(chain):
        write(orjson.dumps(segment, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()
    return 0
