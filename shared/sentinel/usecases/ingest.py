"""Ingest: a request's body becomes a batch, the batch is appended, the producer gets its receipt.

`entries` takes NDJSON, `logs` takes OTLP. Both answer only once the entries are durable.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from sentinel.core import entry as ndjson
from sentinel.core.chain import check_producer
from sentinel.core.lanes import DEFAULT, Lanes
from sentinel.core.numbering import Numbering, numbering
from sentinel.core.payload import Cipher
from sentinel.core.segment import Batch
from sentinel.core.window import BATCH_ID_BYTES
from sentinel.errors import Forbidden, Malformed, Missing, TooLarge, Unavailable
from sentinel.usecases import lanes
from sentinel.usecases.append import SECOND, Appender, Receipt

SAME_CONTENT = 300 * SECOND  # how long equal OTLP content counts as the same batch
MAX_BATCH_ID = 128
MAX_CONTEXT = 256
_PIECE = 16_384  # bytes of a body that a decompressor gets at a time

_HEX_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Who sent a batch and how: what its context commits to. Empty values are left out.

    `trace` is the id of the W3C trace that the request was a part of. `signature` is the sender's own of its
    batch, `key` the id of what signed it (docs/clients.md): stored as they came. `lanes` is how many chains
    the service is spread over; `encryption` is the service's policy
    (`core.access.ENCRYPTIONS`), "" where nobody said. Both are no part of the context.
    """

    service: str
    endpoint: str
    request_id: str
    subject: str = ""
    certificate: str = ""
    address: str = ""
    agent: str = ""
    instance: str = ""
    trace: str = ""
    signature: str = ""
    key: str = ""
    lanes: Lanes = DEFAULT
    encryption: str = ""

    def context(self) -> dict[str, object]:
        """Return the context of the batch's segments; values are cut at 256 characters."""
        told = {
            "service": self.service,
            "endpoint": self.endpoint,
            "request": self.request_id,
            "subject": self.subject,
            "certificate": self.certificate,
            "address": self.address,
            "agent": self.agent,
            "instance": self.instance,
            "trace": self.trace,
            "signature": self.signature,
            "key": self.key,
        }
        return {name: _plain(value[:MAX_CONTEXT]) for name, value in told.items() if value}


def _plain(text: str) -> str:
    """Replace what UTF-8 cannot carry: header values are not always text."""
    return text.encode("utf-8", "replace").decode()


def decompress(body: bytes, encoding: str) -> bytes:
    """Undo `Content-Encoding` (RFC 9110 8.4): identity, gzip (RFC 1952) or zstd (RFC 8878).

    Never makes more than one byte over the largest batch. Raises `Malformed` for other encodings and
    broken data, `TooLarge` beyond the limit.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name in {"gzip", "x-gzip"}:
        plain = _gunzip(body)
    elif name == "zstd":
        plain = _unzstd(body)
    else:
        raise Malformed("this Content-Encoding is not known; use gzip, zstd or identity")
    if len(plain) > ndjson.MAX_BATCH_BYTES:
        raise TooLarge(f"the batch unpacks to over {ndjson.MAX_BATCH_BYTES} bytes; send it in parts")
    return plain


def _gunzip(body: bytes) -> bytes:
    room = ndjson.MAX_BATCH_BYTES + 1
    found: list[bytes] = []

    def take(member: Any, piece: memoryview) -> bool:
        nonlocal room
        found.append(member.decompress(piece, room))
        room -= len(found[-1])
        return room > 0

    try:
        _each_member(body, lambda: zlib.decompressobj(wbits=31), take, "gzip")
    except zlib.error:
        raise Malformed("the body is not gzip") from None
    return b"".join(found)


def _unzstd(body: bytes) -> bytes:
    import zstandard

    # A stranger's frame may ask for a window of gigabytes; RFC 8878 asks decoders to support 8 MiB.
    decoder = zstandard.ZstdDecompressor(max_window_size=1 << 23)
    found: list[bytes] = []

    def take(frame: Any, piece: memoryview) -> bool:
        found.append(frame.decompress(piece))
        return True

    try:
        # The reader bounds what comes out but takes a cut-off frame for a whole one, so it only measures.
        measured = decoder.stream_reader(body, read_across_frames=True).read(ndjson.MAX_BATCH_BYTES + 1)
        if len(measured) > ndjson.MAX_BATCH_BYTES:
            return measured
        _each_member(body, decoder.decompressobj, take, "zstd")
    except zstandard.ZstdError:
        raise Malformed("the body is not zstd") from None
    return b"".join(found)


def _each_member(
    body: bytes, begin: Callable[[], Any], take: Callable[[Any, memoryview], bool], name: str
) -> None:
    """Give a body, piece by piece, to a decompressor for each member, until `take` has had enough.

    What follows a member's end is copied by both libraries: with the whole rest at once, a body of very many
    empty members would be copied as often.
    """
    view, at = memoryview(body), 0
    member = None
    while at < len(view):
        member = member or begin()
        piece = view[at : at + _PIECE]
        if not take(member, piece):
            return
        at += len(piece) - len(member.unused_data)
        if member.eof:
            member = None
    if member is not None:
        raise Malformed(f"the {name} body is cut off")


def batch_id(text: str) -> bytes:
    """Read a client's batch id: a UUID or 32 hex digits are its 16 bytes; other text is hashed to 16."""
    if _HEX_ID.fullmatch(text):
        return bytes.fromhex(text.replace("-", ""))
    if not 1 <= len(text) <= MAX_BATCH_ID or not text.isprintable():
        raise Malformed(
            f"Sentinel-Batch-Id is a UUID, 32 hex digits or 1 to {MAX_BATCH_ID} printable characters"
        )
    return sha256(b"SB1" + text.encode()).digest()[:BATCH_ID_BYTES]


Admit = Callable[[int, int], None]


def _freely(entries: int, size: int) -> None:
    """Admit everything."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """The use case. `lanes` is how many chains a service is spread over that has no number of its own.

    `admit(entries, bytes)` is called once a body is known to be good and nothing of it is stored yet, with
    its size as unpacked; what it raises is raised. `cipher` gives what encrypts for services that have a
    policy of their own. Where it is not there, or the policy is not known, nothing is stored.
    """

    appender: Appender
    lanes: int = 1
    cipher: Callable[[], Cipher] | None = None

    def entries(
        self,
        origin: Origin,
        body: bytes,
        headers: Mapping[str, str],
        partial: bool = False,
        admit: Admit = _freely,
    ) -> dict[str, object]:
        """Store an NDJSON body (`core.entry`) and return the receipt.

        Headers in lower case: `content-encoding`, `sentinel-batch-id`, `sentinel-since`, `sentinel-receipt`,
        `sentinel-producer` and `sentinel-sequence` (`core.numbering`).
        Without a batch id each request is a batch of its own. A bad line rejects the batch with the first 20
        bad lines; with `partial` the good lines are stored, and the receipt says `rejected` and `problems`.
        With a `sentinel-receipt` of `full` it also says what its head is made of, and all the lines that are
        bad.
        """
        plain = decompress(body, headers.get("content-encoding", ""))
        lines = ndjson.parse(plain)
        if lines.bad and not (partial and lines.entries):
            raise Malformed(
                f"{'1 line is no entry' if lines.bad == 1 else f'{lines.bad} lines are no entries'}; "
                "nothing was stored. Mend what is listed, or send "
                "?partial=true to store the others",
                lines.problems,
            )
        given = headers.get("sentinel-batch-id")
        name = batch_id(given) if given else _digest("request", origin.service, origin.request_id.encode())
        numbers = numbering(headers.get("sentinel-producer"), headers.get("sentinel-sequence"), lines.places)
        admit(len(lines.entries), len(plain))
        full = headers.get("sentinel-receipt", "").strip().lower() == "full"
        since = headers.get("sentinel-since")
        receipt = self._append(origin, name, lines.entries, None, full, since, numbers).json()
        if lines.bad:
            receipt |= {"rejected": lines.bad, "problems": lines.problems}
            if full:
                receipt["lines"] = lines.numbers
        return receipt

    def logs(
        self,
        origin: Origin,
        body: bytes,
        headers: Mapping[str, str],
        form: Literal["json", "protobuf"],
        admit: Admit = _freely,
    ) -> tuple[int, int, str]:
        """Store the records of an OTLP ExportLogsServiceRequest; return (stored, rejected, why).

        The exporter has no batch id and retries the same content, so equal content within five minutes
        is the same batch.
        """
        from sentinel.core import otlp

        plain = decompress(body, headers.get("content-encoding", ""))
        if len(plain) > ndjson.MAX_BATCH_BYTES:
            raise TooLarge(f"the request is over {ndjson.MAX_BATCH_BYTES} bytes; export smaller batches")
        found = otlp.records(plain, form)
        good = [each for each in found.entries if len(each) <= ndjson.MAX_ENTRY_BYTES]
        admit(len(good), len(plain))
        if good:
            name = _digest("content", origin.service, b"\n".join(good))
            self._append(origin, name, good, SAME_CONTENT)
        long = len(found.entries) - len(good)
        why = found.why or (f"a record is over {ndjson.MAX_ENTRY_BYTES} bytes" if long else "")
        return len(good), found.rejected + long, why

    def _append(
        self,
        origin: Origin,
        name: bytes,
        entries: list[bytes],
        within: int | None,
        full: bool = False,
        since: str | None = None,
        numbers: Numbering | None = None,
    ) -> Receipt:
        service = check_producer(origin.service)
        batch = Batch(name, entries, origin.context(), numbers)
        try:
            return lanes.append(
                self.appender,
                origin.lanes.terms(origin.instance, self.lanes),
                service,
                batch,
                within=within,
                full=full,
                since=since,
                cipher=self._cipher(origin),
            )
        except (Forbidden, Missing):
            # What is stored already cannot be read: a fault of the deployment, which no sender may take for a
            # refusal of what it sends. It would throw that away, and some of it may not be stored.
            raise Unavailable("what is stored cannot be compared with this: send it again", 30.0) from None

    def _cipher(self, origin: Origin) -> Cipher | None:
        """Return what encrypts a batch; None where its service's policy is that the store does."""
        if origin.encryption == "store":
            return None
        if origin.encryption != "own" or self.cipher is None:
            why = "cannot encrypt" if origin.encryption == "own" else "is not told how to keep"
            raise Unavailable(f"this {why} what {origin.service} sends, so nothing was stored", 5.0)
        return self.cipher()


def _digest(kind: str, service: str, data: bytes) -> bytes:
    return sha256(b"SB1" + kind.encode() + b"\0" + service.encode() + b"\0" + data).digest()[:BATCH_ID_BYTES]
