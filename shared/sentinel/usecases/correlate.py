"""Counting for correlations: takes hits to the stored state of their group and back, exactly once each.

A firing is stored in the same compare-and-swap as the state that made it, and stays there until the next one.
So it is decided once, whoever else counts for the group at the same time; and a process that dies before it
has acted on a firing leaves it for whoever loads the state next, be it for the same segment delivered again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256

import orjson
import zstandard

from sentinel.core import correlation_state as counting
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Fired, State
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Counters

# Feeds deliver again for up to a day, and a state that was forgotten would count the same hits again.
_KEEP_SECONDS = 86_400
_TRIES = 16
NAMED = 100  # entries that a stored firing names, the newest: as many as a task does
# A state of the highest count is half a megabyte of JSON, and an item of DynamoDB has 400 KB at most.
_UNPACKED = 4_000_000
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

log = logging.getLogger(__name__)


def counter_key(correlation: Correlation, group: str) -> str:
    """Name the state of one group: another version of a correlation counts from the beginning.

    The values of a group may be personal, so only their hash is in the key.
    """
    return f"correlation/{correlation.digest[:32]}/{sha256(group.encode()).hexdigest()[:32]}"


def count(
    counters: Counters,
    correlation: Correlation,
    group: str,
    hits: Iterable[Hit],
    settle: Callable[[Sequence[Fired]], None],
) -> None:
    """Count hits of one group and hand every firing to `settle`, which has to be idempotent.

    Raises `Unavailable` where the state cannot be had, also when too many others change it at once.
    """
    key = counter_key(correlation, group)
    ordered = sorted(hits)
    for _ in range(_TRIES):
        raw, version = counters.load(key)
        before, unsettled = _unpack(raw, correlation, group)
        # What a store replaces must have been acted on before.
        settle(unsettled)
        after, fired = _advance(correlation, before, ordered)
        if after == before:
            return
        if counters.store(key, _pack(after, fired), version, _expires(correlation, after)):
            settle(fired)
            return
    raise Unavailable(f"the counter of correlation {correlation.id} is changed by too many at once")


def _advance(correlation: Correlation, state: State, hits: Sequence[Hit]) -> tuple[State, list[Fired]]:
    found = []
    for hit in hits:
        state, fired = counting.advance(correlation, state, hit)
        if fired is not None:
            found.append(fired)
    return state, found


def _expires(correlation: Correlation, state: State) -> int:
    newest = state.hits[-1].t
    return (newest + 2 * correlation.timespan_ns) // SECOND + _KEEP_SECONDS


def _pack(state: State, fired: Sequence[Fired]) -> bytes:
    rows = [[f.correlation, f.digest, f.group, f.t, f.count, f.refs[-NAMED:]] for f in fired]
    return zstandard.ZstdCompressor(level=1).compress(orjson.dumps(rows) + b"\n" + state.dumps())


def _unpack(raw: bytes, correlation: Correlation, group: str) -> tuple[State, list[Fired]]:
    if not raw:
        return State.new(correlation, group), []
    try:
        if raw.startswith(_ZSTD_MAGIC):
            raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=_UNPACKED)
        head, _, rest = raw.partition(b"\n")
        fired = [
            Fired(rule, digest, name, t, total, tuple((chain, seq) for chain, seq in refs))
            for rule, digest, name, t, total, refs in orjson.loads(head)
        ]
        return State.loads(rest), fired
    except (ValueError, TypeError, Malformed, zstandard.ZstdError):
        # It holds counts only: losing them delays a firing, raising would stop detection for good.
        log.error("the counter %s cannot be read; it starts anew", counter_key(correlation, group))  # noqa: TRY400 - its text may hold the state
        return State.new(correlation, group), []
