"""The Range header of RFC 9110, section 14, as far as one range of bytes is asked for.

There are three forms: `bytes=2-5` is from the third byte to the sixth, `bytes=2-` is all from the third
byte, and `bytes=-2` is the last two bytes, or all where the file has fewer. A header that is malformed, has
another unit or asks for several ranges is ignored, which a server may do: the whole file is sent.
"""

from __future__ import annotations

import re

from downloads.errors import NotSatisfiable

_RANGE = re.compile(r"bytes=(\d+)-(\d*)$")


def parse(header: str, size: int) -> tuple[int, int] | None:
    """Return the first and last byte that are asked for, counted from 0, or None to send all.

    Raises `NotSatisfiable` where the file has none of them.
    """
    found = _RANGE.match(header.strip())
    first = int(found.group(1))
    last = int(found.group(2)) if found.group(2) else size - 1
    if first >= size:
        raise NotSatisfiable(size)
    if last < first:
        return None
    return first, min(last, size - 1)
