"""`python -m sentinel_client decrypt`: reads entries, one a line, and writes them with fields decrypted.

Fields whose key is not given stay as they are. A field that was changed ends it with status 1, and names the
line and never a value.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sentinel_client.privacy import BadPolicy

if TYPE_CHECKING:
    from sentinel_client.privacy._fields import FieldKeys


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(prog="python -m sentinel_client decrypt", description=__doc__)
    parser.add_argument(
        "--key",
        action="append",
        default=[],
        metavar="ID=FILE",
        help="a master key: 32 bytes, hex or base64url",
    )
    parser.add_argument(
        "--private", action="append", default=[], metavar="ID=FILE", help="an X25519 private key, PEM"
    )
    parser.add_argument("entries", nargs="?", type=Path, help="a file of entries; standard input without it")
    return parser


def main(argv: Sequence[str], read: TextIO | None = None, write: TextIO | None = None) -> int:
    """Run the command; return its status: 0, 1 for a field or line that is broken, 2 for a key that is."""
    from sentinel_client.privacy._fields import FieldKeys

    given, out = arguments().parse_args(argv), write or sys.stdout
    try:
        keys = FieldKeys.from_mapping({"keys": _keys(given.key, "file") | _keys(given.private, "private")})
    except BadPolicy as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if given.entries is None:
        return _decrypt(keys, read or sys.stdin, out)
    with given.entries.open(encoding="utf-8") as lines:
        return _decrypt(keys, lines, out)


def _keys(given: Iterable[str], kind: str) -> dict[str, dict[str, str]]:
    found = {}
    for each in given:
        key_id, _, path = each.partition("=")
        if not path:
            raise BadPolicy("a key is given as ID=FILE")
        found[key_id] = {kind: path}
    return found


def _decrypt(keys: FieldKeys, lines: Iterable[str], write: TextIO) -> int:
    status = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            write.write(
                json.dumps(keys.open(json.loads(line)), ensure_ascii=False, separators=(",", ":")) + "\n"
            )
        except ValueError as error:
            kind = "no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
            sys.stderr.write(f"line {number}: {kind}\n")
            status = 1
    return status
