"""To a Sentinel gateway: `POST /v1/entries` (docs/wire.md), exactly once.

A retry doubles nothing: the batch's id is made of its range, and the server knows the last 64 segments of the
producer's lane. Only where a batch's answer was lost, and then the way got a smaller limit (413), so that the
batch goes on in parts, its entries can be there twice.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from typing import Any

from sentinel_client._connection import Answer, Shut, Unreachable
from sentinel_client._door import Door
from sentinel_client._receipts import Unfit, fault, refused_lines
from sentinel_client._types import Batch, Later, Outcome, Refused, Sent, TooLarge

MAX_AFTER = 300.0  # seconds: what a Retry-After may ask for at most
SMALL = 512  # bytes that are not worth compressing
SHUT_AFTER = 10.0  # seconds: ten failed attempts at a token are allowed a minute
PATH = "/v1/entries?partial=true"
Sign = Callable[[Batch], dict[str, str]]


class HttpTransport:
    """Sends batches through a door and checks the receipts against what was sent.

    `compression` is `gzip` (level 1), `zstd` (needs `zstandard`), `auto` (zstd where it is installed) or
    `none`. `sign` returns the headers of a batch's signature (`_signing.Signer`). The limits are the
    server's, with room to spare: 5,000,000 bytes and 10,000 entries.
    """

    name = "http"
    max_entries = 10_000
    max_bytes = 4_000_000

    def __init__(self, door: Door, *, compression: str = "gzip", sign: Sign | None = None) -> None:
        self._door = door
        self._sign = sign
        self._encoding, self._pack = _packing(compression)
        self._ends: dict[str, str] = {}  # by producer: behind which entry of which chain its last batch ended

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send a batch and say what became of it; see `Transport`."""
        if not batch.entries:
            return Sent()
        body = b"\n".join(batch.entries)
        if len(body) > SMALL:
            encoding, body = self._encoding, self._pack(body)
        else:
            encoding = ""
        try:
            answer = self._post(batch, batch.id, encoding, body, timeout)
            if answer.status != 409:
                return self._outcome(answer, batch, batch.id)
            if len(batch.entries) < batch.count:
                # It was stored when what is lost here by now was still there (docs/clients.md).
                return Sent()
            # The id stands for other entries: the folder was copied, and the copy used the same numbers.
            name = content_id(batch)
            answer = self._post(batch, name, encoding, body, timeout)
            return self._outcome(answer, batch, name)
        except Unreachable as error:
            return Later(str(error))
        except Shut as error:
            return Later(str(error), SHUT_AFTER)

    def close(self) -> None:
        """Close the connection."""
        self._door.close()

    def _post(self, batch: Batch, name: bytes, encoding: str, body: bytes, timeout: float) -> Answer:
        headers = {
            "Content-Type": "application/x-ndjson",
            "Sentinel-Batch-Id": name.hex(),
            "Sentinel-Instance": batch.producer,
            "Sentinel-Producer": batch.producer,
            "Sentinel-Sequence": str(batch.first),
            "Sentinel-Receipt": "full",
        }
        if batch.again:
            headers["Sentinel-Since"] = self._ends.get(batch.producer, "0")
        if encoding:
            headers["Content-Encoding"] = encoding
        if self._sign is not None:
            headers |= self._sign(batch)
        return self._door.request("POST", PATH, body, headers, timeout)

    def _outcome(self, answer: Answer, batch: Batch, name: bytes) -> Outcome:
        status = answer.status
        if status == 200:
            return self._stored(answer, batch, name)
        if status == 413:
            return TooLarge(f"{self._door.address} answers 413: the batch is too large")
        # Whoever stands between may answer with any status: only the server's own word ends a batch.
        if status == 400 and answer.told.get("error") == "Malformed":
            return Refused("400 Malformed")
        if status == 409 and answer.told.get("error") == "Conflict":
            return Refused("409 Conflict")
        after = answer.after(MAX_AFTER)
        if status in {401, 403}:
            after = max(after, SHUT_AFTER)
        return Later(f"{self._door.address} answers {status}{_MEANING.get(status, '')}", after)

    def _stored(self, answer: Answer, batch: Batch, name: bytes) -> Outcome:
        receipt, entries = answer.told, batch.entries
        if not receipt.keys() & {"chain", "batch_id", "head", "count"}:
            return Later(f"{self._door.address} answers 200 with no receipt: it is no gateway of Sentinel's")
        why = fault(receipt, entries, name, self._door.service)
        self._note(batch.producer, receipt, fits=not why)
        try:
            which = refused_lines(receipt, len(entries))
        except Unfit:
            which = []
        return Sent(receipt, len(which), tuple(which), why)

    def _note(self, producer: str, receipt: dict[str, Any], *, fits: bool) -> None:
        """Remember where a producer's next batch cannot be before: then the server need not look farther."""
        if len(self._ends) > 64 or not fits or not _is_plain(receipt["chain"]):
            self._ends.pop(producer, None)
        else:
            last = receipt["segments"][-1]
            self._ends[producer] = f"{last['first'] + last['count']} {receipt['chain']}"


def _is_plain(chain: str) -> bool:
    """Whether a chain's name can stand in a header."""
    return chain.isascii() and chain.isprintable()


_MEANING = {
    401: ": the certificate or the token is not accepted",
    403: ": the service may not store entries",
    404: ": there is no POST /v1/entries at this address",
    405: ": there is no POST /v1/entries at this address",
    429: ": over the limits of the service",
}


def content_id(batch: Batch) -> bytes:
    """Return the id of a batch whose own stands for other entries: its entries are part of it.

        SHA256("SB3" ‖ id ‖ SHA256(entries joined by LF)), first 16 bytes

    It is the same each time, since a range that is whole has the same entries each time.
    """
    content = hashlib.sha256(b"\n".join(batch.entries)).digest()
    return hashlib.sha256(b"SB3" + batch.id + content).digest()[:16]


def _packing(compression: str) -> tuple[str, Callable[[bytes], bytes]]:
    """Return the Content-Encoding and what makes it. Raises `ValueError` where there is none."""
    if compression == "none":
        return "", bytes
    if compression == "gzip":
        return "gzip", _gzip
    if compression in {"zstd", "auto"}:
        try:
            from zstandard import ZstdCompressor
        except ImportError:
            if compression == "auto":
                return "gzip", _gzip
            raise ValueError(
                "compression zstd needs zstandard: pip install 'sentinel-client[zstd]'"
            ) from None
        return "zstd", ZstdCompressor(level=1).compress
    raise ValueError("compression is gzip, zstd, auto or none")


def _gzip(plain: bytes) -> bytes:
    return zlib.compress(plain, 1, 31)
