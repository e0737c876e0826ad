"""Related: the entries of a chain that belong to those that set a task off, and the failure that they tell.

A rule that finds an alert matches the alert's own entry; the message that told it, with the stack trace,
stands before it. And what the program logged of the same trace stands around it. Both are looked for close
by: backwards from each matched entry, and in its own segment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from sentinel.core.alert_notices import webhook_of
from sentinel.core.failure_reading import failure_of
from sentinel.core.failures import Failure
from sentinel.core.segment import Segment, numbered
from sentinel.core.steps import Matched
from sentinel.ports import Ledger

BACK: Final = 200  # entries before a matched one that are looked at
AHEAD: Final = 50  # entries behind it, of the same segment
KEPT: Final = 50  # related entries that are returned, those nearest to a matched one
CHAINS: Final = 5  # chains that are looked at
SEGMENTS: Final = 20  # segments that are read of one chain: a request each


@dataclass(frozen=True, slots=True)
class Related:
    """`messages` are parts of the messages that told matched alerts, `traced` entries of the same traces."""

    messages: tuple[Matched, ...] = ()
    traced: tuple[Matched, ...] = ()


def failure_from(ledger: Ledger, matched: Sequence[Matched]) -> Failure:
    """Return the failure that matched entries tell of, with what the ledger has around them.

    Reads each chain's neighbourhood once, or twice where the messages of alerts tell traces: at most
    2 x `CHAINS` x `SEGMENTS` reads of one segment. Raises `Tampered` where a segment cannot be read, and
    `Unavailable`.
    """
    found = related(ledger, matched, failure_of(matched).traces)
    told = [*matched, *found.messages]
    failure = failure_of(told)
    if set(failure.traces) - set(failure_of(matched).traces):
        found = related(ledger, matched, failure.traces)
    return failure_of(told, found.traced)


def related(
    ledger: Ledger, matched: Sequence[Matched], traces: Sequence[str], back: int = BACK, kept: int = KEPT
) -> Related:
    """Return what belongs to matched entries, in the order of the chains; none of these themselves.

    An entry is of a trace where it names its id, or where the request that brought it did.
    """
    places = {(each.chain, each.seq) for each in matched}
    names = {(name, each.hook) for each in matched if (name := _message(each.entry))}
    messages: list[Matched] = []
    traced: list[tuple[int, Matched]] = []
    for chain in list(dict.fromkeys(each.chain for each in matched))[:CHAINS]:
        seqs = sorted(each.seq for each in matched if each.chain == chain)
        for near, one, ids in _around(ledger, chain, seqs, back):
            if (chain, one.seq) in places:
                continue
            if names and (_message(one.entry), one.hook) in names:
                messages.append(one)
            elif any(each in ids or each.encode() in one.entry for each in traces):
                traced.append((near, one))
    nearest = sorted(traced, key=lambda each: (each[0], each[1].chain, each[1].seq))[:kept]
    in_order = sorted((each for _, each in nearest), key=lambda each: (each.t, each.chain, each.seq))
    return Related(tuple(messages), tuple(in_order))


def _around(ledger: Ledger, chain: str, seqs: Sequence[int], back: int) -> Iterator[tuple[int, Matched, str]]:
    """Yield (distance to a matched entry, entry, trace of its request), each entry once."""
    read, seen = 0, set[int]()
    for seq in reversed(seqs):
        at, segment = seq, ledger.at(chain, seq)
        while segment is not None and read < SEGMENTS:
            read += 1
            hook, trace = webhook_of(segment.opened.context), _trace(segment)
            for place, entry in numbered(segment):
                if place not in seen and seq - back <= place <= seq + AHEAD:
                    seen.add(place)
                    yield abs(seq - place), Matched(chain, place, segment.t, entry, hook), trace
            at = segment.first - 1
            segment = ledger.at(chain, at) if at >= max(0, seq - back) and at not in seen else None


def _trace(segment: Segment) -> str:
    """Return the id of the trace that the request was part of, as its context says."""
    try:
        told = orjson.loads(segment.opened.context).get("trace")
    except (orjson.JSONDecodeError, AttributeError):
        return ""
    return told if isinstance(told, str) else ""


def _message(entry: bytes) -> tuple[str, str, str] | None:
    """Return which webhook's message an entry is of; None where it is of none."""
    if b'"webhook"' not in entry:
        return None
    try:
        hook = orjson.loads(entry).get("webhook")
        name = (str(hook["source"]), str(hook["hook"]), str(hook["id"]))
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError):
        return None
    return name
