"""Which trace a new task is part of, where the entries that set it off are not at hand.

What matched a rule was looked at when it matched. A correlation counts places and no content, so the trace
of what it counted is read from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import orjson

from sentinel.core.segment import entry_at
from sentinel.core.task_trace import Carried, of_context, of_entry, own
from sentinel.errors import Tampered
from sentinel.ports import Ledger

if TYPE_CHECKING:
    from sentinel.core.segment import Segment
    from sentinel.usecases.asked import Place, Wanted

LOOKED_AT = 10  # entries of a firing among which one with a trace is looked for


def carried_by(new_id: str, want: Wanted, ledger: Ledger | None) -> Carried:
    """Return the trace of a task that is asked for, made of its own id where nothing names one.

    Raises `Unavailable` as the ledger does; an entry that cannot be read names no trace.
    """
    found, request = want.carried, want.request
    if found is None and not want.seen and ledger is not None:
        found, request = _read(ledger, want.places[:LOOKED_AT])
    return found or (Carried(request) if request else own(new_id))


def _read(ledger: Ledger, places: list[Place]) -> tuple[Carried | None, str]:
    """Return the first trace that an entry names, and the first that the request of one had."""
    request = ""
    for segment, seq in _segments(ledger, places):
        try:
            opened = segment.opened
            entry = entry_at(segment, seq)
        except Tampered:
            continue
        found = named(entry) if entry is not None else None
        if found is not None:
            return found, request
        request = request or of_context(opened.context)
    return None, request


def _segments(ledger: Ledger, places: list[Place]) -> Iterator[tuple[Segment, int]]:
    newest: dict[str, Segment] = {}  # by chain: places are mostly in order
    for chain, seq in places:
        segment = newest.get(chain)
        if segment is None or not 0 <= seq - segment.first < segment.count:
            segment = ledger.at(chain, seq)
        if segment is not None:
            newest[chain] = segment
            yield segment, seq


def named(entry: bytes) -> Carried | None:
    """Return the trace context that an entry's bytes name; None where they name none."""
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return None
    return of_entry(found) if isinstance(found, dict) else None
