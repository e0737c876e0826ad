"""`sentinel seal`, `pubkey` and `proof`: checkpoints by hand, the keys they are verified by, and proofs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sentinel.cli.chains import unread
from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, plain, style

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.usecases.seal import Sealed

_NUMBER = click.IntRange(min=0)


@click.command()
@click.option("--chain", help="Seal one chain; all of them without it.")
@click.option(
    "--rebuild", is_flag=True, help="Verify the chain from its first entry, and write all its tiles anew."
)
@home_option
@json_option
def seal(chain: str | None, rebuild: bool, home: Path, as_json: bool) -> int:
    """Sign a checkpoint now. `sentinel up` does so each minute.

    Exits 1 where a chain does not continue what was signed before: it is told, and never signed; 3 where
    nothing but that some of it does not answer is wrong.
    """
    if rebuild and chain is None:
        raise click.UsageError("--rebuild is for one chain: name it by --chain")
    app = application(home)
    found = _all(app) if chain is None else [_one(app, chain, rebuild)]
    if as_json:
        emit(found)
    else:
        for each in found:
            _tell(each)
        if not found:
            echo("there are no chains yet")
    bad = [each for each in found if not each["sealed"]]
    return 0 if not bad else 3 if all(each["kind"] == "unavailable" for each in bad) else 1


def _one(app: App, chain: str, rebuild: bool) -> dict[str, Any]:
    from sentinel.errors import Tampered

    try:
        return _sealed(app.sealer.seal(chain, rebuild=rebuild))
    except Tampered as damage:
        return _damaged(damage)


def _all(app: App) -> list[dict[str, Any]]:
    """Seal all chains, however long it takes. What keeps one from being sealed is told with it.

    The chain "" stands for what keeps them from being listed.
    """
    found = app.seal_all.run(lambda: math.inf, math.inf)
    unsealed = [
        {"chain": chain, "sealed": False, **unread(error)} for chain, error in sorted(found.failed.items())
    ]
    return [*map(_damaged, found.tampered), *unsealed, *map(_sealed, found.sealed)]


def _sealed(sealed: Sealed) -> dict[str, Any]:
    from sentinel.usecases.prove_chain import checkpoint_json
    from sentinel.usecases.seal_all import findings_of

    findings = [{"kind": each.kind, "detail": each.detail} for each in findings_of(sealed)]
    return {**checkpoint_json(sealed), "sealed": True, "findings": findings}


def _damaged(damage: Any) -> dict[str, Any]:
    return {
        "chain": damage.chain,
        "sealed": False,
        "entry": damage.seq,
        "kind": damage.kind,
        "detail": damage.detail,
    }


def _tell(each: dict[str, Any]) -> None:
    name = plain(each["chain"]) or "the list of chains"
    if not each["sealed"]:
        what = plain(f"{each['kind']}: {each['detail']}")
        if "entry" not in each:
            echo(f"{style('unsealed', 'red')} {name}: {what}")
            return
        echo(f"{style('damaged', 'red')}  {name} at entry {each['entry']:,}: {what}")
        return
    size = f"checkpoint {each['number']:,} of {each['size']:,} entries"
    echo(f"{style('sealed', 'green')}   {name}: {size}, root {each['root']}")
    for finding in each["findings"]:
        echo(f"         {style(finding['kind'], 'yellow')}: {plain(finding['detail'])}")


@click.command()
@click.option("--chain", help="The key under the name of this chain's origin; that of the log without it.")
@click.option("--timed", is_flag=True, help="The key that signs with the time (C2SP cosignature).")
@home_option
@json_option
def pubkey(chain: str | None, timed: bool, home: Path, as_json: bool) -> int:
    """Print the log's verifier key, as C2SP writes it down: one line.

    Keep it somewhere else: with it, checkpoints, proofs and bundles are verified offline. A log has one key.
    It has the log's name, from which its name for each chain follows; with --chain that one is printed, for
    programs that want the key whose name is the checkpoint's origin.
    """
    if timed and chain is not None:
        raise click.UsageError("the key that signs with the time has one name for all chains")
    keys = application(home).log_keys
    found = keys.timed if timed else keys.of(chain) if chain is not None else keys.own
    if as_json:
        emit({"key": found.vkey, "name": found.name, "public": found.public.hex()})
    else:
        echo(found.vkey)
    return 0


@click.command()
@click.option("--chain", required=True, help="The chain.")
@click.option("--entry", type=_NUMBER, help="Prove that this entry is in the chain.")
@click.option("--checkpoint", type=_NUMBER, help="By this checkpoint; by the newest without it.")
@click.option("--from", "first", type=_NUMBER, help="Prove that the chain only grew since it had so many.")
@click.option("--to", "second", type=_NUMBER, help="Until it had so many; until the newest checkpoint.")
@home_option
@json_option
def proof(
    chain: str,
    entry: int | None,
    checkpoint: int | None,
    first: int | None,
    second: int | None,
    home: Path,
    as_json: bool,
) -> int:
    """Prove that an entry is in a chain, or that a chain only grew (RFC 9162), by a signed checkpoint.

    A proof is verified before it is printed. docs/checkpoints.md says how anybody verifies it again.
    """
    growth = first is not None and entry is None and checkpoint is None
    if not growth and (entry is None or first is not None or second is not None):
        raise click.UsageError("give --entry (and maybe --checkpoint), or --from (and maybe --to)")
    prove = application(home).prove_chain
    if entry is not None:
        found = prove.entry(chain, entry, checkpoint).json()
    else:
        found = prove.between(chain, first or 0, second).json()
    if as_json:
        emit(found)
    else:
        _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    name = plain(found["chain"])
    if "entry" in found:
        echo(f"entry {found['entry']:,} of {name} is leaf {found['entry']:,} of {found['size']:,}")
        echo(f"leaf   {found['leaf']}")
    else:
        echo(f"{name} only grew from {found['from']:,} entries to {found['to']:,}")
        echo(f"root   {found['from_root']} of {found['from']:,}")
        echo(f"root   {found['to_root']} of {found['to']:,}")
    for each in found["proof"]:
        echo(f"proof  {each}")
    for each in found.get("rest", ()):
        echo(f"rest   {each}")
    echo("")
    for line in found["checkpoint"].rstrip("\n").split("\n"):
        echo(plain(line))
