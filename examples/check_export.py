"""Checks an export of a chain with nothing but Python's own hashlib: no part of Sentinel is used or trusted.

    sentinel export --chain checkout/0 | python -m examples.check_export

The format and the scheme are those of `docs/wire.md`. Prints the chain, its entries and its head; exits 1 at
the first line that does not follow from what came before.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Iterable
from typing import Any


class Broken(Exception):
    """The export does not verify."""


def check(lines: Iterable[bytes | str]) -> tuple[str, int, str]:
    """Check an export's lines; return the chain, the number of its entries and its head, hex."""
    chain, size, head = "", 0, b""
    for number, line in enumerate(lines, 1):
        segment = json.loads(line)
        if number == 1:
            chain = segment["chain"]
            head = _hash(b"SG1", chain.encode())
        if (segment["chain"], segment["first"], segment["prev"]) != (chain, size, head.hex()):
            raise Broken(f"line {number} does not follow from the one before")
        head, count = _heads(segment, head)
        if segment["head"] != head.hex() or segment["count"] != count:
            raise Broken(f"line {number} does not hold what its head commits to")
        size += count
    if not chain:
        raise Broken("there is nothing to check")
    return chain, size, head.hex()


def _heads(segment: dict[str, Any], head: bytes) -> tuple[bytes, int]:
    salt = _hash(b"SX1", bytes.fromhex(segment["nonce"]), _raw(segment["context"]))
    service = segment["chain"].rpartition("/")[0].encode()
    tail = segment["t"].to_bytes(8, "big") + service
    for entry in segment["entries"]:
        head = _hash(b"SC1", _hash(b"SL1", salt, _raw(entry)), head, tail)
    return head, len(segment["entries"])


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _raw(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])


def main() -> int:
    """Check standard input."""
    try:
        chain, size, head = check(sys.stdin.buffer)
    except (Broken, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"broken: {error}\n")
        return 1
    sys.stdout.write(f"whole: {chain}, {size} entries, head {head}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
