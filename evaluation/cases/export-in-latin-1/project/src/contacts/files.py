"""Text of the files that are sent to us.

Exports are in UTF-8, with or without a byte order mark; those of the older system are in Latin-1. A file is
in one encoding from its beginning to its end.
"""

from __future__ import annotations

from contacts.contact import BadFile

LARGEST = 5_000_000  # bytes


def text_of(data: bytes) -> str:
    """Return the text of a file. Raises `BadFile` where it is too large or holds no text."""
    if len(data) > LARGEST:
        raise BadFile(f"the file has more than {LARGEST} bytes")
    if b"\0" in data:
        raise BadFile("the file holds no text")
    return decoded(data)


def decoded(data: bytes) -> str:
    """Return what bytes say as text."""
    return data.decode("utf-8-sig")
