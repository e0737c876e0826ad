"""W3C trace context: what is passed on of a caller's trace, and a trace for a caller that has none.

Format: W3C Trace Context, `traceparent` and `tracestate`. A `traceparent` is checked before it goes into a
ledger or to somebody else; what is not one is treated as if it had not come.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

MAX_STATE = 512  # characters that have to be passed on at least (3.3.1.5); longer ones are dropped whole
MAX_MEMBERS = 32

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x20-\x7e]*)?")
_KEY = r"[a-z0-9][a-z0-9_*/@-]{0,255}"
_MEMBER = re.compile(rf"{_KEY}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{{0,255}}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")


@dataclass(frozen=True, slots=True)
class Trace:
    """One request's place in a trace. All in lower-case hex: 32, 16 and 2 digits."""

    trace: str
    parent: str
    flags: str = "00"

    def header(self) -> str:
        """Return the value of `traceparent`, in version 00."""
        return f"00-{self.trace}-{self.parent}-{self.flags}"


def parse(text: str) -> Trace | None:
    """Read a `traceparent`; None where it is none. Of a later version the known fields are taken.

    >>> parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").trace
    '0af7651916cd43dd8448eb211c80319c'
    >>> parse("00-00000000000000000000000000000000-b7ad6b7169203331-01")
    """
    found = _PARENT.fullmatch(text.strip(" \t"))
    if found is None:
        return None
    version, trace, parent, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None):
        return None
    if not trace.strip("0") or not parent.strip("0"):
        return None
    return Trace(trace, parent, flags)


def started(request_id: str) -> Trace:
    """Return the trace of a request that came without one: the same for the same request id.

    It is not sampled: nothing here records it, and whoever begins to record decides for himself.
    """
    digest = sha256(b"ST1" + request_id.encode("utf-8", "replace")).hexdigest()
    return Trace(digest[:32], digest[32:48])


def state(text: str) -> str:
    """Return a `tracestate` that may be passed on; "" where it is none or too long.

    >>> state("congo=t61rcWkgMzE, ,rojo=00f067aa0ba902b7")
    'congo=t61rcWkgMzE,rojo=00f067aa0ba902b7'
    >>> state("no state")
    ''
    """
    if len(text) > MAX_STATE:
        return ""
    members = [each.strip(" \t") for each in text.split(",")]
    members = [each for each in members if each]
    keys = {each.partition("=")[0] for each in members}
    if len(members) > MAX_MEMBERS or len(keys) != len(members):
        return ""
    return ",".join(members) if all(map(_MEMBER.fullmatch, members)) else ""
