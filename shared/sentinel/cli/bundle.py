"""`sentinel bundle`: a chain, or one entry, in one file that others can check without trusting us."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from sentinel.cli.options import application, home_option, json_option


@click.command()
@click.option("--chain", required=True, help="The chain to bundle.")
@click.option(
    "--entry", type=click.IntRange(0), help="One entry of it, by its sequence number, with its proof."
)
@home_option
@json_option
def bundle(chain: str, entry: int | None, home: Path, as_json: bool) -> int:
    """Write a chain, or one entry, with the log's checkpoints to standard output, for `sentinel-verify`.

    A chain is written as it is stored, damaged or not. It has the plain entries, also of a service whose
    entries are encrypted: who may read them may hand them on.
    """
    del as_json  # the output is JSON in any case; errors see the option
    import orjson

    bundler = application(home).bundler
    lines = bundler.chain(chain) if entry is None else bundler.entry(chain, entry)
    write = sys.stdout.buffer.write
    for line in lines:
        write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.flush()
    return 0
