"""DER (X.690), as much as messages around timestamps need: reading elements strictly, and writing them.

Only definite lengths in their shortest form and tags of one byte are read; anything else is `Malformed`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sentinel.errors import Malformed

BOOLEAN, INTEGER, OCTETS, NULL, OID, TIME = 0x01, 0x02, 0x04, 0x05, 0x06, 0x18
SEQUENCE, SET = 0x30, 0x31


@dataclass(frozen=True, slots=True)
class Element:
    """One element: its tag, what is in it, and all of its bytes."""

    tag: int
    value: bytes = field(repr=False)
    whole: bytes = field(repr=False)

    def __iter__(self) -> Iterator[Element]:
        """Yield the elements inside."""
        at = 0
        while at < len(self.value):
            found, at = _next(self.value, at)
            yield found

    def parts(self, tag: int) -> Parts:
        """Return what is inside of an element that has to have a tag."""
        if self.tag != tag:
            raise Malformed("an element is not of the type that stands here")
        return Parts(list(self))


@dataclass(slots=True)
class Parts:
    """The elements of a structure, taken from the front."""

    left: list[Element]

    def take(self, tag: int) -> Element:
        """Take the next element, which has to have a tag."""
        found = self.maybe(tag)
        if found is None:
            raise Malformed("an element is missing, or not of the type that stands here")
        return found

    def maybe(self, tag: int) -> Element | None:
        """Take the next element if it has a tag."""
        return self.left.pop(0) if self.left and self.left[0].tag == tag else None


def read(data: bytes) -> Element:
    """Read the one element that `data` is. Raises `Malformed`."""
    found, end = _next(data, 0)
    if end != len(data):
        raise Malformed("something follows behind the end of an element")
    return found


def _next(data: bytes, at: int) -> tuple[Element, int]:
    start = at
    head = data[at : at + 2]
    if len(head) < 2 or head[0] & 0x1F == 0x1F:
        raise Malformed("this is no DER")
    size, at = head[1], at + 2
    if size & 0x80:
        many = size & 0x7F
        told = data[at : at + many]
        size, at = int.from_bytes(told, "big"), at + many
        if not 1 <= many <= 4 or len(told) < many or size < 0x80 or told[0] == 0:
            raise Malformed("this is no DER: a length is not in its one form")
    end = at + size
    if end > len(data):
        raise Malformed("this is no DER: it ends early")
    return Element(head[0], data[at:end], data[start:end]), end


def write(tag: int, *values: bytes) -> bytes:
    """Write an element.

    >>> write(SEQUENCE, integer(128), write(NULL)).hex()
    '3006020200800500'
    """
    value = b"".join(values)
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    told = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(told))) + told + value


def integer(number: int) -> bytes:
    """Write an INTEGER that is not negative."""
    return write(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def number_of(element: Element) -> int:
    """Return what an INTEGER says. Raises `Malformed` for an empty one."""
    if not element.value:
        raise Malformed("an INTEGER is empty")
    return int.from_bytes(element.value, "big", signed=True)


def oid(dotted: str) -> bytes:
    """Write an OBJECT IDENTIFIER.

    >>> oid("2.16.840.1.101.3.4.2.1").hex()
    '0609608648016503040201'
    """
    first, second, *rest = map(int, dotted.split("."))
    coded = bytearray()
    for arc in (40 * first + second, *rest):
        digits = [arc & 0x7F]
        while arc := arc >> 7:
            digits.append(arc & 0x7F | 0x80)
        coded += bytes(reversed(digits))
    return write(OID, bytes(coded))
