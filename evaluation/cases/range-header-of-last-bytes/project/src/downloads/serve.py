"""Answers a request for a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from downloads.errors import NotSatisfiable
from downloads.ranges import parse


@dataclass(frozen=True)
class Response:
    """What a client gets."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def serve(content: bytes, headers: Mapping[str, str]) -> Response:
    """Return a file, or the part of it that the headers ask for. Names of headers are in lower case."""
    size = len(content)
    wanted = headers.get("range")
    if wanted is None:
        return Response(200, content, {"accept-ranges": "bytes"})
    try:
        part = parse(wanted, size)
    except NotSatisfiable as error:
        return Response(416, str(error).encode(), {"content-range": f"bytes */{error.size}"})
    if part is None:
        return Response(200, content, {"accept-ranges": "bytes"})
    first, last = part
    told = f"bytes {first}-{last}/{size}"
    return Response(206, content[first : last + 1], {"content-range": told})
