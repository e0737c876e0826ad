"""What entries and firings ask for: the tasks of the recipes in force, with their ids and causes.

Both detection, which creates these tasks, and replay, which compares them with those that were created, ask
here; so this is a function of segments and documents alone, without a store or a clock. Entries are written
by strangers: none of them can raise an error here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import orjson

from sentinel.core.alert_notices import event_of
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Fired
from sentinel.core.detection import Rule
from sentinel.core.event_fields import Field, View
from sentinel.core.recipes import Recipe
from sentinel.core.segment import Segment, numbered
from sentinel.core.task_trace import Carried, of_context, of_entry
from sentinel.core.tasks import task_id
from sentinel.usecases.correlate import NAMED
from sentinel.usecases.playbook import Plays

MAX_ENTRIES = NAMED  # places of entries that a task names

Place = tuple[str, int]
Hits = defaultdict[str, defaultdict[str, list[Hit]]]  # by correlation and group


def new_hits() -> Hits:
    """Return no hits."""
    return defaultdict(lambda: defaultdict(list))


@dataclass(slots=True)
class Wanted:
    """A task that is asked for, with the places that ask for it, in order.

    `t` is when it was asked for last, by the ledger's time, in nanoseconds. Where the entries were at hand
    (`seen`), `carried` is the trace that the first of them names which names one, and `request` the trace of
    the request that brought them.
    """

    recipe: Recipe
    rule: Rule | Correlation
    key: str
    window: int
    places: list[Place]
    t: int = 0
    seen: bool = False
    carried: Carried | None = None
    request: str = ""

    @property
    def fingerprint(self) -> str:
        """The dedup key, hashed: its values may be personal."""
        return sha256(self.key.encode()).hexdigest()[:32]

    @property
    def entries(self) -> list[dict[str, object]]:
        """The places as a task names them."""
        return [{"chain": chain, "seq": seq} for chain, seq in self.places[:MAX_ENTRIES]]

    @property
    def cause(self) -> dict[str, object]:
        """What a task keeps of why it was made."""
        return {
            "rule": self.rule.id,
            "title": self.rule.title,
            "level": self.rule.level or "",
            "fingerprint": self.fingerprint,
            "entries": self.entries,
        }


@dataclass(slots=True)
class Asked:
    """Tasks that are asked for, by id: each once, however many entries ask for it."""

    tasks: dict[str, Wanted] = field(default_factory=dict)

    def by_entries(self, plays: Plays, segment: Segment, hits: Hits) -> int:
        """Add what a segment's entries ask for, and to `hits` what correlations count of them.

        Returns the number of matches. Raises `Tampered` for a segment that cannot be opened.
        """
        return sum(self.by_entry(plays, segment, seq, entry, hits) for seq, entry in numbered(segment))

    def by_entry(self, plays: Plays, segment: Segment, seq: int, entry: bytes, hits: Hits) -> int:
        """Add what one entry of a segment asks for, as `by_entries` does for all."""
        event = event_of(entry, segment.opened.context)
        if event is None:
            return 0
        matched = plays.rules.match(event)
        for rule in matched:
            for correlation in plays.rules.correlations_of(rule):
                hit = correlation.hit(event, rule, segment.t, segment.chain, seq)
                if hit is not None:
                    hits[correlation.id][hit[0]].append(hit[1])
            for recipe in plays.recipes.get(rule.id, ()) if rule.generate else ():
                key = _key_of_entry(recipe, event, (segment.chain, seq))
                want = self._want(recipe, rule, key, segment.t, [(segment.chain, seq)])
                _trace(want, event, segment)
        return len(matched)

    def by_firings(self, plays: Plays, correlation: Correlation, firings: Iterable[Fired]) -> None:
        """Add what firings of a correlation ask for."""
        for fired in firings:
            for recipe in plays.recipes.get(correlation.id, ()) if correlation.own else ():
                key = _key_of_firing(recipe, correlation, fired)
                # The newest are kept: the one that completed the count is the last.
                self._want(recipe, correlation, key, fired.when, fired.refs[-MAX_ENTRIES:])

    def _want(
        self, recipe: Recipe, rule: Rule | Correlation, key: str, t: int, places: Sequence[Place]
    ) -> Wanted:
        window = t // recipe.dedup.within if recipe.dedup.within else 0
        new_id = task_id(recipe.id, recipe.version, key, window)
        want = self.tasks.get(new_id)
        if want is None:
            want = self.tasks[new_id] = Wanted(recipe, rule, key, window, list(places), t)
            return want
        want.t = max(want.t, t)
        if len(want.places) < MAX_ENTRIES:
            want.places += (place for place in places if place not in want.places)
        return want


def _trace(want: Wanted, event: Mapping[str, object], segment: Segment) -> None:
    """Keep the trace of an entry that asks for a task, where no earlier one has named any."""
    if not want.seen:
        want.request = of_context(segment.opened.context)
    want.seen = True
    want.carried = want.carried or of_entry(event)


def _key_of_entry(recipe: Recipe, event: Mapping[str, object], place: Place) -> str:
    """Return the dedup key of a matched entry: its place, or the values of the fields in `by`."""
    if not recipe.dedup.by:
        return orjson.dumps(place).decode()
    view = View(event)
    return orjson.dumps([_plain(view.values(Field.of(name))) for name in recipe.dedup.by]).decode()


def _key_of_firing(recipe: Recipe, correlation: Correlation, fired: Fired) -> str:
    """Return the dedup key of a firing: its group and what tells it, or the group's values of `by`."""
    if not recipe.dedup.by:
        return orjson.dumps([fired.group, *fired.identity]).decode()
    values = dict(zip(correlation.group_by, orjson.loads(fired.group), strict=True))
    return orjson.dumps([values.get(name) for name in recipe.dedup.by]).decode()


def _plain(values: tuple[object, ...] | None) -> object:
    """Return a field's scalar, or the list of them; None where it has anything else, as in correlations."""
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)
