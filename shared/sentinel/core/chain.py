"""The hash chain, scheme version 1: how an entry becomes a hash that commits to everything before it.

::

    salt   = SHA256("SX1" ‖ nonce ‖ context)
    leaf_n = SHA256("SL1" ‖ salt ‖ L_n)
    H_n    = SHA256("SC1" ‖ leaf_n ‖ H_{n-1} ‖ u64(t) ‖ service_id)
    H_-1   = SHA256("SG1" ‖ chain_id)

All hashes are SHA-256 (FIPS 180-4), 32 bytes; u64 is big-endian; strings are UTF-8. Everything before the
service id has a fixed length, so no two different inputs give the same preimage. `docs/wire.md` has the
format, `tests/vectors/chain-v1.json` worked examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256

from sentinel.errors import Forbidden, Malformed

HASH_BYTES = 32
NONCE_BYTES = 32
MAX_SERVICE_BYTES = 128
RESERVED = "sentinel."  # what ids of services begin with in whose chains Sentinel itself writes

# No slash (it ends the service id in a chain id), no white space, no control or format characters.
_SERVICE = re.compile(r"[\w.:@+-]+")


def check_service(service: str) -> str:
    """Return `service` if it can be a service id, else raise `Malformed`.

    >>> check_service("決済")
    '決済'
    >>> check_service("a/b")
    Traceback (most recent call last):
    ...
    sentinel.errors.Malformed: a service id is 1 to 128 bytes of letters, digits and ._:@+-, beginning and \
ending with a letter, digit or underscore
    """
    if (
        not _SERVICE.fullmatch(service)
        or len(service.encode("utf-8", "surrogatepass")) > MAX_SERVICE_BYTES
        or not all(c.isalnum() or c == "_" for c in (service[0], service[-1]))
    ):
        raise Malformed(
            f"a service id is 1 to {MAX_SERVICE_BYTES} bytes of letters, digits and ._:@+-, "
            "beginning and ending with a letter, digit or underscore"
        )
    return service


def check_producer(service: str) -> str:
    """Return a service id that somebody else may write under.

    Raises `Malformed`, and `Forbidden` for one in whose chains Sentinel itself writes.
    """
    if check_service(service).startswith(RESERVED):
        raise Forbidden(f"services whose ids begin with {RESERVED} are Sentinel's own")
    return service


def chain_id(service: str, lane: int) -> str:
    """Name the chain of one lane of a service: `service/lane`."""
    return f"{service}/{lane}"


def lane_of(instance: str, lanes: int) -> int:
    """Choose the lane of a producer: always the same one, so that its own order is kept."""
    return 0 if lanes == 1 else int.from_bytes(sha256(instance.encode()).digest()[:8], "big") % lanes


def service_of(chain: str) -> str:
    """Return the service id of a chain id.

    >>> service_of("checkout/0")
    'checkout'
    """
    return chain.rpartition("/")[0]


def genesis(chain: str) -> bytes:
    """Return H_-1: what the first entry of `chain` is linked to."""
    return sha256(b"SG1" + chain.encode()).digest()


def salt(nonce: bytes, context: bytes) -> bytes:
    """Return the salt of one segment; it commits to the segment's context bytes."""
    return sha256(b"SX1" + nonce + context).digest()


def leaves(segment_salt: bytes, entries: Iterable[bytes]) -> list[bytes]:
    """Return the leaf hash of each entry: a hiding commitment, since nobody can guess the salt."""
    prefix = b"SL1" + segment_salt
    return [sha256(prefix + entry).digest() for entry in entries]


def links(prev: bytes, leaf_hashes: Sequence[bytes], t: int, service: str) -> list[bytes]:
    """Return H of each entry, in order. `prev` is H of the entry before; `t` is in nanoseconds."""
    tail = t.to_bytes(8, "big") + service.encode()
    found = []
    for leaf in leaf_hashes:
        prev = sha256(b"SC1" + leaf + prev + tail).digest()
        found.append(prev)
    return found


def head(prev: bytes, leaf_hashes: Iterable[bytes], t: int, service: str) -> bytes:
    """Return H of the last entry only; `prev` where there are no leaves."""
    tail = t.to_bytes(8, "big") + service.encode()
    for leaf in leaf_hashes:
        prev = sha256(b"SC1" + leaf + prev + tail).digest()
    return prev


def follow(prev: bytes, segment_salt: bytes, entries: Iterable[bytes], t: int, service: str) -> bytes:
    """Return H of the last entry, from the entries themselves: leaves and links in one pass."""
    prefix = b"SL1" + segment_salt
    tail = t.to_bytes(8, "big") + service.encode()
    hashed = sha256
    for entry in entries:
        prev = hashed(b"SC1" + hashed(prefix + entry).digest() + prev + tail).digest()
    return prev
