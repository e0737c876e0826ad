"""Counting for correlations: takes hits to the stored state of their group and back, exactly once each.

A firing is stored in the same compare-and-swap as the state that made it, and stays there until the next one.
So it is decided once, whoever else counts for the group at the same time; and a process that dies before it
has acted on a firing leaves it for whoever loads the state next, be it for the same segment delivered again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import orjson
import zstandard

from sentinel.core import correlation_state as counting
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Advanced, Fired, State
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Unavailable
from sentinel.ports import Counters
from sentinel.usecases.agenda import Agenda

# Feeds deliver again for up to a day, and a state that was forgotten would count the same hits again.
_KEEP_SECONDS = 86_400
_TRIES = 16
NAMED = 100  # entries that a stored firing names, the newest: as many as a task does
# A state has half a megabyte of JSON at most, and an item of DynamoDB 400 KB.
_UNPACKED = 4_000_000
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

log = logging.getLogger(__name__)

Settle = Callable[[Sequence[Fired]], None]


@dataclass(slots=True)
class Losses:
    """Hits that changed nothing: `old` ones came too late, or again; `let_go` ones had no room any more."""

    old: int = 0
    let_go: int = 0


def counter_key(correlation: Correlation, group: str) -> str:
    """Name the state of one group: another version of a correlation counts from the beginning.

    The values of a group may be personal, so only their hash is in the key.
    """
    return f"correlation/{correlation.digest[:32]}/{sha256(group.encode()).hexdigest()[:32]}"


@dataclass(slots=True)
class Counting:
    """Counts in `counters`. `clock` is in epoch nanoseconds; groups that wait go on the `agenda`."""

    counters: Counters
    clock: Callable[[], int]
    agenda: Agenda
    losses: Losses = field(default_factory=Losses)

    def count(self, correlation: Correlation, group: str, hits: Iterable[Hit], settle: Settle) -> None:
        """Count hits of one group and hand every firing to `settle`, which has to be idempotent.

        Raises `Unavailable` where the state cannot be had, also when too many others change it at once.
        """
        self._count(correlation, counter_key(correlation, group), group, list(hits), settle)

    def decide(self, correlation: Correlation, key: str, settle: Settle) -> None:
        """Decide what has waited long enough in the state at `key`, as at `count`."""
        self._count(correlation, key, None, [], settle)

    def _count(
        self, correlation: Correlation, key: str, group: str | None, hits: Sequence[Hit], settle: Settle
    ) -> None:
        for _ in range(_TRIES):
            raw, version = self.counters.load(key)
            before, unsettled = _unpack(raw, correlation, group, key)
            # What a store replaces must have been acted on before.
            settle(unsettled)
            if before is None:
                return
            advanced = counting.advance(correlation, before, hits, self.clock())
            self._plan(correlation, key, advanced.state)
            if advanced.state == before:
                self._tell(correlation, advanced)
                return
            packed = _pack(advanced.state, advanced.fired)
            if self.counters.store(key, packed, version, _expires(correlation, advanced.state)):
                self._tell(correlation, advanced)
                settle(advanced.fired)
                return
        raise Unavailable(f"the counter of correlation {correlation.id} is changed by too many at once")

    def _plan(self, correlation: Correlation, key: str, state: State) -> None:
        """See that somebody looks again when all of a state can be decided, before the state is stored."""
        due = counting.due(correlation, state)
        if due is not None:
            self.agenda.add(correlation.id, key, due)

    def _tell(self, correlation: Correlation, advanced: Advanced) -> None:
        self.losses.old += advanced.old
        self.losses.let_go += advanced.let_go
        if advanced.let_go:
            log.warning(
                "correlation %s: a group has more hits than a state holds; %d were let go",
                correlation.id,
                advanced.let_go,
            )


def _expires(correlation: Correlation, state: State) -> int:
    # Windows that still take hits, and firings that silence, reach back no further than this.
    back = max(3 * correlation.timespan_ns, counting.reach(correlation))
    return (state.hits[-1].t + back) // SECOND + _KEEP_SECONDS


def _pack(state: State, fired: Sequence[Fired]) -> bytes:
    rows = [[f.correlation, f.digest, f.group, f.t, f.count, f.refs[-NAMED:], f.window] for f in fired]
    return zstandard.ZstdCompressor(level=1).compress(orjson.dumps(rows) + b"\n" + state.dumps())


def _unpack(
    raw: bytes, correlation: Correlation, group: str | None, key: str
) -> tuple[State | None, list[Fired]]:
    """Return a stored state and its firings; a new state of `group` where there is none."""
    new = None if group is None else State.new(correlation, group)
    if not raw:
        return new, []
    try:
        if raw.startswith(_ZSTD_MAGIC):
            raw = zstandard.ZstdDecompressor().decompress(raw, max_output_size=_UNPACKED)
        head, _, rest = raw.partition(b"\n")
        fired = [_fired(*row) for row in orjson.loads(head)]
        return State.loads(rest, correlation), fired
    except (ValueError, TypeError, Malformed, zstandard.ZstdError):
        # It holds counts only: losing them delays a firing, raising would stop detection for good.
        log.error("the counter %s cannot be read; it starts anew", key)  # noqa: TRY400 - its text may hold the state
        return new, []


def _fired(
    rule: str,
    digest: str,
    group: str,
    t: int,
    total: int,
    refs: list[list[object]],
    window: int | None = None,  # not there where an earlier version wrote it: its last entry names it
) -> Fired:
    return Fired(
        rule, digest, group, t, total, tuple((str(chain), int(str(seq))) for chain, seq in refs), window
    )
