"""Evidence: the entries that set a task off, read from the ledger.

A task names places and never bodies, so what was erased from the ledger since is gone from here too.
"""

from __future__ import annotations

from sentinel.core.alert_notices import webhook_of
from sentinel.core.segment import Segment
from sentinel.core.steps import Matched
from sentinel.core.tasks import Task
from sentinel.ports import Ledger


def matched(ledger: Ledger, task: Task) -> list[Matched]:
    """Return the entries that `task.cause` names and the ledger still has.

    Raises `Tampered` where one cannot be read.
    """
    found = []
    newest: dict[str, Segment | None] = {}  # by chain: places are in order within each
    places = task.cause.get("entries")
    for place in places if isinstance(places, list) else []:
        chain, seq = place["chain"], place["seq"]
        segment = newest.get(chain)
        if segment is None or not 0 <= seq - segment.first < segment.count:
            segment = newest[chain] = ledger.at(chain, seq)
        if segment is not None:
            entries = segment.opened.entries
            if seq - segment.first < len(entries):
                hook = webhook_of(segment.opened.context)
                found.append(Matched(chain, seq, segment.t, entries[seq - segment.first], hook))
    return found
