"""Detection: what new segments set off.

Every entry is matched against the rules in force; matches make tasks, directly or through a correlation. A
task's id comes from the recipe's version, the dedup key and the window of the ledger's own time, so the same
segments and recipes give the same tasks, and a segment that is delivered again changes nothing. Entries are
written by strangers: none of them can raise an error here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Fired
from sentinel.core.detection import Rule
from sentinel.core.event_fields import Field, View
from sentinel.core.recipes import Recipe
from sentinel.core.segment import Segment, numbered
from sentinel.core.steps import Action
from sentinel.core.tasks import QUEUE_GRACE, State, Task, born, task_id
from sentinel.errors import Tampered
from sentinel.ports import Counters, Tasks
from sentinel.usecases.correlate import NAMED, count
from sentinel.usecases.playbook import Playbook, Plays

MAX_ENTRIES = NAMED  # places of entries that a task names
DEFAULT_STREAM = "action"
_KNOWN = 10_000  # task ids that were just created or found

Place = tuple[str, int]


@dataclass(slots=True)
class Detected:
    """What one run found: entries looked at, matches of rules, firings of correlations, tasks created."""

    entries: int = 0
    matches: int = 0
    firings: int = 0
    tasks: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Wanted:
    """A task that a segment asks for, with the places that ask for it, in order."""

    recipe: Recipe
    rule: Rule | Correlation
    key: str
    window: int
    places: list[Place]


_Hits = defaultdict[str, defaultdict[str, list[Hit]]]


class Detector:
    """Makes tasks of segments. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes."""

    def __init__(
        self,
        playbook: Playbook,
        tasks: Tasks,
        counters: Counters,
        actions: Mapping[str, Action],
        clock: Callable[[], int],
        nonce: Callable[[], bytes],
        grace: int = QUEUE_GRACE,
    ) -> None:
        self._playbook = playbook
        self._tasks = tasks
        self._counters = counters
        self._actions = actions
        self._clock = clock
        self._nonce = nonce
        self._grace = grace
        self._known: dict[str, None] = {}

    def detect(self, segments: Iterable[Segment]) -> Detected:
        """Match a run of new segments and create what they set off; safe to repeat.

        Raises `Unavailable` where a store does not answer: the whole run is then to be given again.
        Raises `Tampered` for a segment that cannot be opened, after all the others were worked through.
        """
        plays = self._playbook.current()
        found = Detected()
        hits: _Hits = defaultdict(lambda: defaultdict(list))
        tampered: Tampered | None = None
        for segment in segments:
            if not plays.rules.rules:
                found.entries += segment.count  # nothing can match, so nothing needs to be unpacked
                continue
            try:
                self._match(plays, segment, hits, found)
            except Tampered as error:
                tampered = tampered or error
        self._correlate(plays, hits, found)
        if tampered is not None:
            raise tampered
        return found

    def _match(self, plays: Plays, segment: Segment, hits: _Hits, found: Detected) -> None:
        wanted: dict[str, _Wanted] = {}
        for seq, entry in numbered(segment):
            found.entries += 1
            event = _event(entry)
            if event is None:
                continue
            for rule in plays.rules.match(event):
                found.matches += 1
                for correlation in plays.rules.correlations_of(rule):
                    hit = correlation.hit(event, rule, segment.t, segment.chain, seq)
                    if hit is not None:
                        hits[correlation.id][hit[0]].append(hit[1])
                if rule.generate:
                    for recipe in plays.recipes.get(rule.id, ()):
                        key = _key_of_entry(recipe, event, (segment.chain, seq))
                        _want(wanted, recipe, rule, key, segment.t, [(segment.chain, seq)])
        self._create(wanted, found)

    def _correlate(self, plays: Plays, hits: _Hits, found: Detected) -> None:
        by_id = {correlation.id: correlation for correlation in plays.rules.correlations}
        for correlation_id, groups in hits.items():
            correlation = by_id[correlation_id]

            def settle(firings: Sequence[Fired], correlation: Correlation = correlation) -> None:
                found.firings += len(firings)
                self._fire(plays, correlation, firings, found)

            for group, those in groups.items():
                count(self._counters, correlation, group, those, settle)

    def _fire(
        self, plays: Plays, correlation: Correlation, firings: Sequence[Fired], found: Detected
    ) -> None:
        wanted: dict[str, _Wanted] = {}
        for fired in firings:
            for recipe in plays.recipes.get(correlation.id, ()):
                key = _key_of_firing(recipe, correlation, fired)
                # The newest are kept: the one that completed the count is the last.
                _want(wanted, recipe, correlation, key, fired.t, fired.refs[-MAX_ENTRIES:])
        self._create(wanted, found)

    def _create(self, wanted: Mapping[str, _Wanted], found: Detected) -> None:
        for new_id, want in wanted.items():
            if new_id in self._known:
                continue
            task, event = born(*self._new(new_id, want))
            if self._tasks.create(task, event):
                found.tasks.append(new_id)
            while len(self._known) >= _KNOWN:
                self._known.pop(next(iter(self._known)))
            self._known[new_id] = None

    def _new(self, new_id: str, want: _Wanted) -> tuple[Task, bytes, dict[str, object]]:
        now = self._clock()
        recipe, rule = want.recipe, want.rule
        action = self._actions.get(recipe.steps[0].uses)
        fingerprint = sha256(want.key.encode()).hexdigest()[:32]
        places = [{"chain": chain, "seq": seq} for chain, seq in want.places[:MAX_ENTRIES]]
        task = Task(
            id=new_id,
            recipe=recipe.id,
            recipe_version=recipe.version,
            recipe_digest=recipe.digest,
            state=State.QUEUED,
            version=0,
            attempt=0,
            step=0,
            tries=0,
            # An unknown action fails at the worker, where its reason lands in the lineage.
            stream=action.stream if action else DEFAULT_STREAM,
            created=now,
            due=now + self._grace,
            deadline=now + recipe.timeout if recipe.timeout else 0,
            cause={
                "rule": rule.id,
                "title": rule.title,
                "level": rule.level or "",
                "fingerprint": fingerprint,
                "entries": places,
            },
        )
        facts = {
            "recipe": recipe.id,
            "version": recipe.version,
            "digest": recipe.digest,
            "rule": rule.id,
            "fingerprint": fingerprint,
            "window": want.window,
            "entries": places,
            "stream": task.stream,
        }
        return task, self._nonce(), facts


def _event(entry: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(entry)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _want(
    wanted: dict[str, _Wanted],
    recipe: Recipe,
    rule: Rule | Correlation,
    key: str,
    t: int,
    places: Sequence[Place],
) -> None:
    """Ask for a task once, however many entries of the segment ask for it."""
    window = t // recipe.dedup.within if recipe.dedup.within else 0
    new_id = task_id(recipe.id, recipe.version, key, window)
    want = wanted.get(new_id)
    if want is None:
        wanted[new_id] = _Wanted(recipe, rule, key, window, list(places))
    elif len(want.places) < MAX_ENTRIES:
        want.places += (place for place in places if place not in want.places)


def _key_of_entry(recipe: Recipe, event: Mapping[str, object], place: Place) -> str:
    """Return the dedup key of a matched entry: its place, or the values of the fields in `by`."""
    if not recipe.dedup.by:
        return orjson.dumps(place).decode()
    view = View(event)
    return orjson.dumps([_plain(view.values(Field.of(name))) for name in recipe.dedup.by]).decode()


def _key_of_firing(recipe: Recipe, correlation: Correlation, fired: Fired) -> str:
    """Return the dedup key of a firing: its group and last entry, or the group's values of `by`."""
    if not recipe.dedup.by:
        return orjson.dumps([fired.group, *fired.refs[-1]]).decode()
    values = dict(zip(correlation.group_by, orjson.loads(fired.group), strict=True))
    return orjson.dumps([values.get(name) for name in recipe.dedup.by]).decode()


def _plain(values: tuple[object, ...] | None) -> object:
    """Return a field's scalar, or the list of them; None where it has anything else, as in correlations."""
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)
