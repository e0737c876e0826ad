"""`sentinel witness`: cosign the checkpoints of other people's logs, until Ctrl-C."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sentinel.cli.options import json_option

if TYPE_CHECKING:
    import socket

    from sentinel.local.tls import Files
    from sentinel.local.witness import WitnessDoor

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PLAIN = (
    "NOTE: plain HTTP: nothing here is secret, but whoever is in between can refuse in this witness's name"
)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--name", required=True, help="The witness's name: a URL without its scheme.")
@click.option(
    "--log",
    "logs",
    multiple=True,
    required=True,
    metavar="VKEY",
    help="Verifier key of a log, as `sentinel pubkey` prints it there; once for each.",
)
@click.option(
    "--home",
    default=".sentinel-witness",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of the key and of what was cosigned.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    default=8790,
    show_default=True,
    type=click.IntRange(0, 65_535),
    help="Port; 0 takes a free one.",
)
@click.option("--tls-cert", type=_FILE, help="Certificate to serve HTTPS with, PEM; without it plain HTTP.")
@click.option("--tls-key", type=_FILE, help="Its key, PEM.")
@json_option
def witness(
    name: str,
    logs: tuple[str, ...],
    home: Path,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    as_json: bool,
) -> int:
    """Cosign the checkpoints of logs, as a C2SP tlog-witness.

    Needs nothing of a deployment. The key is made at the first start; give the verifier key that is
    printed to whoever runs the log (SENTINEL_WITNESSES there). Never copy the folder to run it twice.
    """
    from sentinel.cli.output import echo, emit
    from sentinel.local import home as homes
    from sentinel.local import witness as witnesses

    files = _files(tls_cert, tls_key)
    homes.make(home)
    door = witnesses.WitnessDoor(witnesses.made(home, name, list(logs)))
    listener = witnesses.listen(host, port)
    scheme, where = "https" if files else "http", f"[{host}]" if ":" in host else host
    url, vkey = f"{scheme}://{where}:{listener.getsockname()[1]}", door.witness.key.vkey
    if as_json:
        emit({"name": name, "vkey": vkey, "url": url})
    else:
        if files is None and host not in _LOOPBACK:
            echo(_PLAIN, file=sys.stderr)
        echo(f"{vkey}\nwitness {name} cosigns at {url}, state in {home}; Ctrl-C stops it")
    sys.stdout.flush()
    _run(door, listener, files)
    return 0


def _files(certificate: Path | None, key: Path | None) -> Files | None:
    from sentinel.local.tls import Files

    if (certificate is None) != (key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    if certificate is None or key is None:
        return None
    files = Files(certificate, key)
    files.context()  # now, and not at the first connection
    return files


def _run(door: WitnessDoor, listener: socket.socket, files: Files | None) -> None:
    import asyncio
    import logging
    import signal

    from sentinel.local import witness as witnesses

    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await witnesses.serve(door, listener, files, stopped)

    asyncio.run(run())
