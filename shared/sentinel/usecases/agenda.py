"""The agenda: which groups have hits that wait to be decided, and when somebody has to look again.

A correlation that is decided in order decides a hit once its patience is over, and no hit may come then. So
every group with hits that wait stands here, and a schedule looks after those whose time has come. It is kept
in a few items beside the counters, each a bounded list that is replaced by compare and swap.

A group is put here *before* its state is stored. An entry whose time is near is always written anew by who
adds it: so whoever removes it after having looked finds by the list's version that it has to stay.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import orjson
import zstandard

from sentinel.core.tasks import SECOND
from sentinel.errors import Unavailable
from sentinel.ports import Counters

SHARDS = 8
MOST = 3_000  # groups of a shard: some 300 KB as JSON
# Between being put here and being stored no state takes longer: detection is given up before.
_MARGIN = 30 * SECOND
_TRIES = 16
_REMEMBERED = 10_000
_KEEP_SECONDS = 30 * 86_400
_UNPACKED = 2_000_000

log = logging.getLogger(__name__)

_Groups = dict[str, tuple[str, int]]  # (correlation id, due in nanoseconds) by the key of the counter


@dataclass(frozen=True, slots=True)
class Waiting:
    """A group whose time has come: the id of its correlation, the key of its counter, when it was due."""

    correlation: str
    key: str
    due: int


class Agenda:
    """The groups that wait. `clock` is in epoch nanoseconds."""

    def __init__(self, counters: Counters, clock: Callable[[], int]) -> None:
        self._counters = counters
        self._clock = clock
        self._added: dict[str, int] = {}

    def add(self, correlation: str, key: str, due: int) -> None:
        """See that a group is looked after at `due`, or shortly before. Raises `Unavailable`.

        Where there are too many, this is said in the log: the group is then decided with its next hit.
        """
        soon = self._clock() + _MARGIN
        if self._added.get(key, 0) > soon:
            return
        there = self._change(_shard(key), _with(Waiting(correlation, key, due), soon)).get(key)
        self._added[key] = there[1] if there else 0
        while len(self._added) > _REMEMBERED:
            self._added.pop(next(iter(self._added)))

    def due(self) -> Iterator[Waiting]:
        """Yield the groups whose time has come; each is to be decided before the next one is taken."""
        now = self._clock()
        for shard in range(SHARDS):
            groups, _ = self._load(shard)
            ripe = [Waiting(rule, key, due) for key, (rule, due) in groups.items() if due <= now]
            yield from ripe
            if ripe:
                self._change(shard, _without(ripe))

    def _load(self, shard: int) -> tuple[_Groups, int]:
        raw, version = self._counters.load(f"correlation-agenda/{shard}")
        if not raw:
            return {}, version
        try:
            rows = orjson.loads(zstandard.ZstdDecompressor().decompress(raw, max_output_size=_UNPACKED))
            return {str(key): (str(rule), int(due)) for key, rule, due in rows}, version
        except (ValueError, TypeError, zstandard.ZstdError):
            log.error("agenda %d cannot be read; it starts anew", shard)  # noqa: TRY400 - as in correlate
            return {}, version

    def _change(self, shard: int, change: Callable[[_Groups], _Groups]) -> _Groups:
        """Make a change, if it is one, and return what then stands there."""
        for _ in range(_TRIES):
            groups, version = self._load(shard)
            after = change(groups)
            if after == groups:
                return after
            rows = [[key, rule, due] for key, (rule, due) in after.items()]
            packed = zstandard.ZstdCompressor(level=1).compress(orjson.dumps(rows))
            expires = self._clock() // SECOND + _KEEP_SECONDS
            if self._counters.store(f"correlation-agenda/{shard}", packed, version, expires):
                return after
        raise Unavailable("the agenda of correlations is changed by too many at once")


def _with(waiting: Waiting, soon: int) -> Callable[[_Groups], _Groups]:
    def added(groups: _Groups) -> _Groups:
        there = groups.get(waiting.key)
        if there is not None and there[1] > soon:
            return groups
        if there is None and len(groups) >= MOST:
            log.error("too many groups wait to be decided; one of %s has to", waiting.correlation)
            return groups
        # A time of its own: it differs from what stood there, so that a removal at the same time fails.
        due = waiting.due if there is None else max(waiting.due, there[1] + 1)
        return {**groups, waiting.key: (waiting.correlation, due)}

    return added


def _without(done: Sequence[Waiting]) -> Callable[[_Groups], _Groups]:
    times = {waiting.key: waiting.due for waiting in done}

    def removed(groups: _Groups) -> _Groups:
        return {key: entry for key, entry in groups.items() if times.get(key) != entry[1]}

    return removed


def _shard(key: str) -> int:
    return sha256(key.encode()).digest()[0] % SHARDS
