"""The dedup window: which batches the newest segments of a chain hold, carried from segment to segment.

A window is the concatenation of one record for each of the last 64 segments of a chain, the newest last. A
writer that finds its batch there knows that it is stored; `docs/wire.md` has the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOW = 64
BATCH_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Part:
    """A dedup record: which batch a segment belongs to and which part of that batch it holds.

    `offset` is the index in the batch of the segment's first entry, `count` its entries, `total` the
    batch's entries. A batch that fits one segment has offset 0 and count equal to total.
    """

    batch_id: bytes
    count: int
    offset: int
    total: int

    def encode(self) -> bytes:
        """Return the record: 16 bytes, then count, offset and total - offset - count as LEB128."""
        rest = self.total - self.offset - self.count
        return self.batch_id + _leb128(self.count) + _leb128(self.offset) + _leb128(rest)

    def context(self) -> dict[str, object]:
        """Return what a segment's context says of its batch: id, and offset and total where it is a part."""
        told: dict[str, object] = {"batch": self.batch_id.hex()}
        if self.count != self.total:
            told |= {"offset": self.offset, "total": self.total}
        return told

    @property
    def end(self) -> int:
        """How many entries of the batch are stored once this part is."""
        return self.offset + self.count


def _leb128(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def decode_window(recent: bytes) -> list[tuple[Part, bytes]]:
    """Return each record of a dedup window with its own bytes, oldest first.

    Raises `ValueError` where the bytes are no such window.
    """
    found = []
    at = 0
    while at < len(recent):
        start = at
        at += BATCH_ID_BYTES
        numbers = []
        for _ in range(3):
            number = shift = 0
            while True:
                if at >= len(recent) or shift > 56:
                    raise ValueError("the dedup window is cut off")
                byte = recent[at]
                at += 1
                number |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            numbers.append(number)
        count, offset, rest = numbers
        part = Part(recent[start : start + BATCH_ID_BYTES], count, offset, offset + count + rest)
        found.append((part, recent[start:at]))
        if len(found) > WINDOW:
            raise ValueError(f"the dedup window has over {WINDOW} records")
    return found
