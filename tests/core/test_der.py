"""DER is read strictly: one form for each value, nothing behind the end, nothing that ends early."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.core import der
from sentinel.errors import Malformed


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 65_535, 65_536])
def test_lengths(size: int) -> None:
    """What is written is read again, at each border of the forms that a length has."""
    whole = der.write(der.OCTETS, bytes(size))
    assert der.read(whole) == der.Element(der.OCTETS, bytes(size), whole)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 255, 256, 2**64, 2**159 - 1])
def test_integers(number: int) -> None:
    """Numbers are written in their shortest form, and never look negative."""
    written = der.read(der.integer(number))
    assert der.number_of(written) == number
    assert len(written.value) == number.bit_length() // 8 + 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x04\x01",
        b"\x04\x02a",
        b"\x04\x01ab",
        b"\x04\x80a\0\0",
        b"\x04\x81\x01a",
        b"\x04\x81\x7f" + bytes(127),
        b"\x04\x82\x00\x80" + bytes(128),
        b"\x04\x82\x01",
        b"\x04\x85\0\0\0\0\x80" + bytes(128),
        b"\x04\xff" + bytes(200),
        b"\x1f\x81\x01a",
    ],
)
def test_what_is_no_der(data: bytes) -> None:
    """Indefinite, long and cut lengths, tags of several bytes, and what follows behind: all are refused."""
    with pytest.raises(Malformed):
        der.read(data)


def test_the_inside_is_read_as_strictly() -> None:
    """What ends early inside of a structure is refused, and so is what is missing or of another type."""
    with pytest.raises(Malformed):
        list(der.read(der.write(der.SEQUENCE, b"\x04\x05a")))
    with pytest.raises(Malformed):
        der.read(der.integer(1)).parts(der.SEQUENCE)
    parts = der.read(der.write(der.SEQUENCE, der.integer(1))).parts(der.SEQUENCE)
    assert parts.maybe(der.OID) is None
    parts.take(der.INTEGER)
    with pytest.raises(Malformed):
        parts.take(der.INTEGER)
    with pytest.raises(Malformed):
        der.number_of(der.read(b"\x02\0"))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60))
def test_noise(data: bytes) -> None:
    """Of noise an element is read that has all of it, or it is refused."""
    with contextlib.suppress(Malformed):
        assert der.read(data).whole == data
