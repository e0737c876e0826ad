"""`sentinel recipes keygen`, `sign` and `verify`: documents in the envelope of an author's signature."""

from __future__ import annotations

from pathlib import Path

import click

from sentinel.cli.options import application, home_option, json_option
from sentinel.cli.output import echo, emit, table

_PATHS = click.argument(
    "paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.option("--key", required=True, type=_FILE, help="Where the private key is written.")
def keygen(key: Path) -> int:
    """Make an Ed25519 key to sign with, and print its public key, for `sentinel authors add`."""
    from sentinel.local import author_key

    echo(author_key.make(key).rstrip("\n"))
    return 0


@click.command()
@_PATHS
@click.option("--key", required=True, type=_FILE, help="The private key, PEM.")
@json_option
def sign(paths: tuple[Path, ...], key: Path, as_json: bool) -> int:
    """Sign documents: of each FILE, write FILE.dsse.json beside it, which is what is pushed then."""
    from sentinel.adapters import whole_files
    from sentinel.cli import documents
    from sentinel.core import dsse
    from sentinel.core.signing import PAYLOAD_TYPES
    from sentinel.local import author_key

    seed = author_key.seed(key)
    # What was signed before is signed anew from its plain form.
    plain = [
        path for path in documents.files(paths, signed=False) if not path.name.endswith(documents.SIGNED)
    ]
    found, problems = documents.read(plain)
    documents.refuse(problems)
    told: list[dict[str, object]] = []
    for each in found:
        made = dsse.sign(seed, PAYLOAD_TYPES[each.kind], each.text)
        to = documents.signed_form(each.path)
        whole_files.replace(to, dsse.dump(made), whole_files.PUBLIC)
        told.append({"kind": each.kind, "id": each.id, "path": str(to), "keyid": made.signatures[0].keyid})
    _tell(told, as_json)
    return 0


@click.command()
@_PATHS
@click.option("--public-key", type=_FILE, help="The one key that counts; else those of the known authors.")
@home_option
@json_option
def verify(paths: tuple[Path, ...], public_key: Path | None, home: Path, as_json: bool) -> int:
    """Say whose signature documents bear. Exits 1 where one bears none that counts."""
    import time

    from sentinel.cli import documents
    from sentinel.core.signing import opened, valid
    from sentinel.errors import Malformed
    from sentinel.local import author_key

    if public_key is not None:
        keys = {public_key.name: author_key.public(public_key)}
    else:
        keys = valid(application(home, fresh=True).authors.listing(), time.time())
    found, problems = documents.read(paths)
    told: list[dict[str, object]] = []
    for each in found:
        try:
            author = opened(each.kind, str(each.path), each.body, keys).author
        except Malformed as error:
            problems.append(str(error))
        else:
            told.append({"kind": each.kind, "id": each.id, "path": str(each.path), "author": author})
    documents.refuse(problems)
    _tell(told, as_json)
    return 0


def _tell(told: list[dict[str, object]], as_json: bool) -> None:
    if as_json:
        emit(told)
    elif told:
        table([list(each.values()) for each in told], [name.upper() for name in told[0]])
