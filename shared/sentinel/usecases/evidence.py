"""Evidence: the entries that set a task off, read from the ledger.

A task names places and never bodies, so what was erased from the ledger since is gone from here too.
"""

from __future__ import annotations

from sentinel.core.alert_notices import webhook_of
from sentinel.core.payload import CODEC_ERASED
from sentinel.core.segment import Segment, entry_at
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
            entry = entry_at(segment, seq)
            if entry is not None:
                hook = webhook_of(segment.opened.context)
                found.append(Matched(chain, seq, segment.t, entry, hook))
    return found


def cause_erased(ledger: Ledger, task: Task) -> bool:
    """Say whether one of the entries that `task.cause` names was erased."""
    places = task.cause.get("entries")
    held: Segment | None = None
    for place in places if isinstance(places, list) else []:
        chain, seq = place["chain"], place["seq"]
        if held is None or held.chain != chain or not held.first <= seq < held.next:
            held = ledger.at(chain, seq)
        if held is not None and held.codec & CODEC_ERASED and entry_at(held, seq) is None:
            return True
    return False
