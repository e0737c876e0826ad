"""Checks an export of a chain with nothing but Python's own hashlib: no part of Sentinel is used or trusted.

    sentinel export --chain checkout/0 | python -m examples.check_export [ID ...]

The format and the scheme are those of `docs/wire.md`. Prints the chain, its entries and its head; exits 1 at
the first line that does not follow from what came before. An ID is that of an event which a delivery sent to
a SIEM, H of its entry: the entry is printed, byte for byte. Exits 1, too, where there is none of an ID.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any


class Broken(Exception):
    """The export does not verify."""


def check(
    lines: Iterable[bytes | str], told: Callable[[int, str, bytes], None] | None = None
) -> tuple[str, int, str]:
    """Check an export's lines; return the chain, the number of its entries and its head, hex.

    `told` is called with each entry's number, hash and bytes once its segment is found to be whole.
    """
    chain, size, head = "", 0, b""
    for number, line in enumerate(lines, 1):
        segment = json.loads(line)
        if number == 1:
            chain = segment["chain"]
            head = _hash(b"SG1", chain.encode())
        if (segment["chain"], segment["first"], segment["prev"]) != (chain, size, head.hex()):
            raise Broken(f"line {number} does not follow from the one before")
        hashes = _hashes(segment, head)
        head = hashes[-1] if hashes else head
        if segment["head"] != head.hex() or segment["count"] != len(hashes):
            raise Broken(f"line {number} does not hold what its head commits to")
        if told is not None:
            for at, found in enumerate(hashes):
                told(size + at, found.hex(), _raw(segment["entries"][at]))
        size += len(hashes)
    if not chain:
        raise Broken("there is nothing to check")
    return chain, size, head.hex()


def _hashes(segment: dict[str, Any], head: bytes) -> list[bytes]:
    salt = _hash(b"SX1", bytes.fromhex(segment["nonce"]), _raw(segment["context"]))
    service = segment["chain"].rpartition("/")[0].encode()
    tail = segment["t"].to_bytes(8, "big") + service
    found = []
    for entry in segment["entries"]:
        head = _hash(b"SC1", _leaf(salt, entry), head, tail)
        found.append(head)
    return found


def _leaf(salt: bytes, entry: Any) -> bytes:
    erased = isinstance(entry, dict) and "erased" in entry  # its leaf is all that is left of it
    return bytes.fromhex(entry["erased"]) if erased else _hash(b"SL1", salt, _raw(entry))


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _raw(value: Any) -> bytes:
    if isinstance(value, dict) and "erased" in value:
        return b""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["b64"])


def main() -> int:
    """Check standard input, and look the ids of the command line up in it."""
    wanted = dict.fromkeys(sys.argv[1:])
    found: dict[str, tuple[int, bytes]] = {}

    def told(seq: int, hashed: str, entry: bytes) -> None:
        if hashed in wanted:
            found[hashed] = (seq, entry)

    try:
        chain, size, head = check(sys.stdin.buffer, told)
    except (Broken, ValueError, KeyError, TypeError) as error:
        sys.stderr.write(f"broken: {error}\n")
        return 1
    sys.stdout.write(f"whole: {chain}, {size} entries, head {head}\n")
    for each in wanted:
        if each not in found:
            sys.stdout.write(f"not here: {each}\n")
            continue
        seq, entry = found[each]
        sys.stdout.write(f"found: {each} is entry {seq}: ")
        sys.stdout.flush()
        sys.stdout.buffer.write(entry + b"\n")
    return 0 if len(found) == len(wanted) else 1


if __name__ == "__main__":
    raise SystemExit(main())
