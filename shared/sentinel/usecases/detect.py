"""Detection: what new segments set off.

Every entry is matched against the rules in force; matches make tasks, directly or through a correlation. A
task's id comes from the recipe's version, the dedup key and the window of the ledger's own time, so the same
segments and recipes give the same tasks, and a segment that is delivered again changes nothing. Entries are
written by strangers: none of them can raise an error here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from sentinel.core.chain import service_of
from sentinel.core.correlation import Correlation, Hit
from sentinel.core.correlation_state import Fired
from sentinel.core.flow import DEBOUNCE, beginning
from sentinel.core.lines import share_of
from sentinel.core.segment import Segment
from sentinel.core.states import NEVER
from sentinel.core.steps import Action
from sentinel.core.tasks import QUEUE_GRACE, Event, Task, born
from sentinel.errors import Tampered
from sentinel.ports import Counters, Ledger, Tasks
from sentinel.usecases.agenda import Agenda
from sentinel.usecases.asked import Asked, Hits, Wanted, new_hits
from sentinel.usecases.carried import carried_by
from sentinel.usecases.correlate import Counting, Losses, counter_key
from sentinel.usecases.debounce import wait_on
from sentinel.usecases.playbook import Playbook, Plays

DEFAULT_STREAM = "action"
_TOGETHER = 100  # tasks that are created by one call
_KNOWN = 10_000  # tasks that were just created or found, and firings that were just counted


@dataclass(slots=True)
class Detected:
    """What one run found: entries looked at, matches of rules, firings of correlations, tasks created.

    `old` and `let_go` are hits that correlations could not count (`correlate.Losses`). `damage` is the first
    of what was tampered with.
    """

    entries: int = 0
    matches: int = 0
    firings: int = 0
    tasks: list[str] = field(default_factory=list)
    old: int = 0
    let_go: int = 0
    damage: Tampered | None = None


class Detector:
    """Makes tasks of segments. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes.

    `ledger` is where the trace of what a correlation counted is looked up.
    """

    def __init__(
        self,
        playbook: Playbook,
        tasks: Tasks,
        counters: Counters,
        actions: Mapping[str, Action],
        clock: Callable[[], int],
        nonce: Callable[[], bytes],
        grace: int = QUEUE_GRACE,
        ledger: Ledger | None = None,
    ) -> None:
        self._ledger = ledger
        self._playbook = playbook
        self._tasks = tasks
        self._agenda = Agenda(counters, clock)
        self._counting = Counting(counters, clock, self._agenda)
        self._actions = actions
        self._clock = clock
        self._nonce = nonce
        self._grace = grace
        self._known: dict[str, int] = {}  # by the ledger's time until which nothing new is asked for

    def detect(self, segments: Iterable[Segment]) -> Detected:
        """Match a run of new segments and create what they set off; safe to repeat.

        Raises `Unavailable` where a store does not answer: the whole run is then to be given again.
        Raises `Tampered` for a segment that cannot be opened, after all the others were worked through.
        """
        plays = self._playbook.current()
        found = Detected()
        hits = new_hits()
        for segment in segments:
            if not plays.rules.rules:
                found.entries += segment.count  # nothing can match, so nothing needs to be unpacked
                continue
            try:
                self._match(plays, segment, hits, found)
            except Tampered as error:
                found.damage = found.damage or error
        with self._counted(found):
            for correlation in plays.rules.correlations:
                for group, those in hits.get(correlation.id, {}).items():
                    self._count(plays, correlation, group, those, found)
        return _undamaged(found)

    def _match(self, plays: Plays, segment: Segment, hits: Hits, found: Detected) -> None:
        asked = Asked()
        found.matches += asked.by_entries(plays, segment, hits)
        found.entries += segment.count
        self._make(asked, found)

    def match(self, segment: Segment) -> int:
        """Match a segment and make nothing of it; return the number of matches.

        Whatever this raises beside `Unavailable` and `Tampered` is a fault of ours that its entries show.
        """
        return Asked().by_entries(self._playbook.current(), segment, new_hits())

    def decide(self) -> Detected:
        """Decide what correlations have waited for long enough; a schedule calls this. Safe to repeat.

        Raises `Unavailable` where a store does not answer; what is left is decided by the next call. Raises
        `Tampered` for a task that is damaged, after all the others were made.
        """
        plays = self._playbook.current()
        found = Detected()
        if not any(correlation.in_order for correlation in plays.rules.correlations):
            return found
        by_id = {correlation.id: correlation for correlation in plays.rules.correlations}
        with self._counted(found):
            for waiting in self._agenda.due():
                correlation = by_id.get(waiting.correlation)
                # The key names the version: what another one has counted is of no use any more.
                if correlation is not None and waiting.key.startswith(counter_key(correlation, "")[:-32]):
                    settle = partial(self._fire, plays, correlation, found)
                    self._counting.decide(correlation, waiting.key, settle)
        return _undamaged(found)

    @contextmanager
    def _counted(self, found: Detected) -> Iterator[None]:
        self._counting.losses = losses = Losses()
        try:
            yield
        finally:
            found.old, found.let_go = losses.old, losses.let_go

    def _count(
        self, plays: Plays, correlation: Correlation, group: str, hits: Sequence[Hit], found: Detected
    ) -> None:
        settle = partial(self._fire, plays, correlation, found)
        self._counting.count(correlation, group, hits, settle)

    def _fire(
        self, plays: Plays, correlation: Correlation, found: Detected, firings: Sequence[Fired]
    ) -> None:
        """Act on firings: create their tasks, and count them for the correlations that count them."""
        found.firings += len(firings)
        asked = Asked()
        asked.by_firings(plays, correlation, firings)
        self._make(asked, found)
        for fired in firings:
            for user in plays.rules.correlations_of(correlation):
                self._pass_on(plays, correlation, fired, user, found)

    def _pass_on(
        self, plays: Plays, source: Correlation, fired: Fired, user: Correlation, found: Detected
    ) -> None:
        """Count a firing of `source` for the correlation `user`."""
        place = fired.refs[-1]
        hit = user.hit_of(source, fired.group, fired.t, *place)
        known = f"{user.digest} {counter_key(source, fired.group)} {place}"
        if hit is not None and known not in self._known:
            self._count(plays, user, hit[0], [hit[1]], found)
            self._remember(known)

    def create(self, asked: Asked) -> list[str]:
        """Create the tasks that are asked for and not there; return their ids. Raises `Unavailable`.

        Raises `Tampered` for one that has a lineage and is not there, after all the others were made.
        """
        found = Detected()
        self._make(asked, found)
        return _undamaged(found).tasks

    def _make(self, asked: Asked, found: Detected) -> None:
        """Create tasks, many at a time: a flood must not cost a sync each."""
        new = [each for each in asked.tasks.items() if each[1].t > self._known.get(each[0], -1)]
        for at in range(0, len(new), _TOGETHER):
            wanted = new[at : at + _TOGETHER]
            births = [born(*self._new(*each)) for each in wanted]
            for (new_id, want), (task, _), is_new in zip(
                wanted, births, self._stored(births, found), strict=True
            ):
                found.tasks += [new_id] if is_new else []
                if is_new is not None:
                    self._created(new_id, want, task, is_new=is_new)

    def _stored(self, births: Sequence[tuple[Task, Event]], found: Detected) -> list[bool | None]:
        """Store new tasks; say which were new. One that is damaged (None) keeps no other from being made."""
        try:
            return list(self._tasks.create_all(births))
        except Tampered as error:
            found.damage = found.damage or error
            if len(births) == 1:
                return [None]
        return [new for birth in births for new in self._stored([birth], found)]

    def _created(self, new_id: str, want: Wanted, task: Task, *, is_new: bool) -> None:
        if not is_new and want.recipe.debounce is not None:
            task = wait_on(self._tasks, want, new_id, self._clock, self._nonce) or task
        # What waits for quiet has to hear of later matches; everything else is the same task for ever.
        self._remember(new_id, want.t if task.held == DEBOUNCE else NEVER)

    def _remember(self, known: str, until: int = NEVER) -> None:
        while len(self._known) >= _KNOWN:
            self._known.pop(next(iter(self._known)))
        self._known[known] = until

    def _new(self, new_id: str, want: Wanted) -> tuple[Task, bytes, dict[str, object]]:
        now = self._clock()
        recipe = want.recipe
        action = self._actions.get(recipe.steps[0].uses)
        places = want.entries
        trace = carried_by(new_id, want, self._ledger).facts
        task = Task(
            id=new_id,
            recipe=recipe.id,
            recipe_version=recipe.version,
            recipe_digest=recipe.digest,
            version=0,
            attempt=0,
            step=0,
            tries=0,
            # An unknown action fails at the worker, where its reason lands in the lineage.
            stream=action.stream if action else DEFAULT_STREAM,
            created=now,
            cause={**want.cause, **trace},
            priority=recipe.priority,
            share=share_of(service_of(str(places[0]["chain"]))) if places else 0,
            **beginning(recipe, now, self._grace, want.t),
        )
        facts = {
            "recipe": recipe.id,
            "version": recipe.version,
            "digest": recipe.digest,
            "rule": want.cause["rule"],
            "fingerprint": want.cause["fingerprint"],
            "window": want.window,
            "entries": places,
            "stream": task.stream,
            **trace,
        }
        return task, self._nonce(), facts


def _undamaged(found: Detected) -> Detected:
    if found.damage is not None:
        raise found.damage
    return found
