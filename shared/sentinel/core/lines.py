"""Lines: the order in which the tasks of one stream are taken.

A stream is one worker's work. It has a line for each priority and each share, and services are spread over
the shares by a hash: a worker takes from the shares in turn, so that a service that floods one keeps nobody
waiting in the others. Priorities are strict but for a small part of the turns, so that low ones never starve
(`ports.Queue.take`). A line is named `action:high.3`.
"""

from __future__ import annotations

from hashlib import sha256

HIGH, NORMAL, LOW = "high", "normal", "low"
PRIORITIES = (HIGH, NORMAL, LOW)
SHARES = 16
_SHARES = frozenset(map(str, range(SHARES)))


def line_of(stream: str, priority: str, share: int) -> str:
    """Name a line.

    >>> line_of("action", HIGH, 3)
    'action:high.3'
    """
    return f"{stream}:{priority}.{share}"


def lines_of(stream: str, priority: str) -> list[str]:
    """Name all lines of a stream that have one priority."""
    return [line_of(stream, priority, share) for share in range(SHARES)]


def from_line(name: str) -> list[str]:
    """Name all lines of a line's stream and priority, the line itself first, then the shares after its own.

    >>> from_line("action:high.15")[:2]
    ['action:high.15', 'action:high.0']
    """
    stream, _, place = line_named(name).partition(":")
    priority, _, share = place.partition(".")
    row = lines_of(stream, priority)
    return row[int(share) :] + row[: int(share)]


def line_named(name: str) -> str:
    """Return the line of a stored name. What names no line stands for the normal one with share 0.

    That is a stream's plain name, as tasks of an earlier version have it, and anything that we never wrote.

    >>> line_named("action:high.3"), line_named("action"), line_named("action:high.77")
    ('action:high.3', 'action:normal.0', 'action:normal.0')
    """
    stream, _, place = name.partition(":")
    priority, _, share = place.partition(".")
    if priority in PRIORITIES and share in _SHARES:
        return name
    return line_of(stream, NORMAL, 0)


def stream_of(line: str) -> str:
    """Return the stream that a line is of.

    >>> stream_of("action:high.3")
    'action'
    """
    return line.partition(":")[0]


def share_of(service: str) -> int:
    """Return the share of a service; tasks that no service set off have one of their own."""
    return sha256(service.encode()).digest()[0] % SHARES
