"""Schedules: makes the tasks of recipes that fire by the clock. The sweep calls this at each run.

A task's id comes from the recipe, its version and the scheduled time, so firing twice is firing once. How far
a recipe's schedule was looked at is kept in the counters (`schedule/<recipe>`), and moved on only once the
tasks are there: whoever dies in between leaves the same tasks to be made again. A recipe that is seen for the
first time fires from then on. What was missed while nothing ran is made up for as `catch_up` says, newest
first, within `LOOK_BACK`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from sentinel.core.flow import beginning
from sentinel.core.recipes import Recipe
from sentinel.core.schedules import DAY, FAR
from sentinel.core.signing import Opener
from sentinel.core.steps import Action
from sentinel.core.task_trace import own
from sentinel.core.tasks import QUEUE_GRACE, SECOND, Task, born, task_id
from sentinel.errors import Tampered, Unavailable
from sentinel.ports import Catalog, Counters, Tasks
from sentinel.usecases.playbook import RECIPE, read_recipes

LATE = 300 * SECOND  # a time that is past by so little was not missed: the sweep comes each minute
LOOK_BACK = 31 * DAY
_KEPT = 10 * 366 * 86_400  # seconds
_DEFAULT_STREAM = "action"

log = logging.getLogger(__name__)


class Timetable:
    """The recipes in force that have a schedule: a cache of the catalog. `clock` is in epoch nanoseconds."""

    def __init__(
        self, catalog: Catalog, opener: Opener, clock: Callable[[], int], seconds: float = 30
    ) -> None:
        self._catalog = catalog
        self._opener = opener
        self._clock = clock
        self._every = int(seconds * SECOND)
        self._recipes: tuple[Recipe, ...] | None = None
        self._revision = ""
        self._asked = 0

    def current(self) -> tuple[Recipe, ...]:
        """Return the recipes. Raises `Unavailable` only where nothing was loaded yet."""
        now = self._clock()
        if self._recipes is not None and 0 <= now - self._asked < self._every:
            return self._recipes
        try:
            revision = f"{self._catalog.revision()} {self._opener.revision()}"
            if self._recipes is None or revision != self._revision:
                self._recipes = self._load()
                self._revision = revision
        except Unavailable as error:
            if self._recipes is None:
                raise
            log.warning("schedules could not be looked up, the old ones stay: %s", error)
        self._asked = now
        return self._recipes

    def _load(self) -> tuple[Recipe, ...]:
        problems: list[tuple[str, str]] = []
        found = read_recipes(self._opener, self._catalog.active(RECIPE), problems)
        recipes = tuple(recipe for recipe in found if recipe.on.schedule is not None)
        for name, reason in problems:
            log.error("%s is not in force: %s", name, reason)
        return recipes


@dataclass(frozen=True, slots=True)
class Fired:
    """What one look at the clock did: tasks made, times that nothing was made for, and what was damaged."""

    tasks: tuple[str, ...] = ()
    missed: int = 0
    damage: Tampered | None = None


class Scheduler:
    """Fires schedules. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes."""

    def __init__(
        self,
        timetable: Timetable,
        tasks: Tasks,
        counters: Counters,
        actions: Mapping[str, Action],
        clock: Callable[[], int],
        nonce: Callable[[], bytes],
        grace: int = QUEUE_GRACE,
    ) -> None:
        self._timetable = timetable
        self._tasks = tasks
        self._counters = counters
        self._actions = actions
        self._clock = clock
        self._nonce = nonce
        self._grace = grace
        self._next: dict[tuple[str, int], int] = {}

    def fire(self) -> Fired:
        """Make the tasks of all times that have come; safe to repeat, and to do at the same time elsewhere.

        Raises `Unavailable` where a store does not answer; the next call does what is left. Raises `Tampered`
        for a task that is damaged, once, after all the others were made.
        """
        made: list[str] = []
        missed = 0
        damage: Tampered | None = None
        recipes = self._timetable.current()
        now = self._clock()
        for recipe in recipes:
            if now >= self._next.get((recipe.id, recipe.version), 0):
                fired = self._fire(recipe, now)
                made += fired.tasks
                missed += fired.missed
                damage = damage or fired.damage
        if damage is not None:
            raise damage
        return Fired(tuple(made), missed)

    def _fire(self, recipe: Recipe, now: int) -> Fired:
        schedule = recipe.on.schedule
        assert schedule is not None  # noqa: S101 - the timetable has no others
        raw, version = self._counters.load(f"schedule/{recipe.id}")
        seen = _seen(recipe.id, raw)
        since = _since(recipe, seen, now)
        come = list(schedule.times(since, now)) if since < now else []
        on_time = [each for each in come if now - each <= LATE]
        late = come[: len(come) - len(on_time)]
        kept = late[len(late) - min(schedule.catch_up, len(late)) :]
        tasks, damage = self._made(recipe, [*kept, *on_time])
        if come or seen is None or seen[1] != recipe.version:
            state = orjson.dumps({"t": max(now, since), "version": recipe.version})
            self._counters.store(f"schedule/{recipe.id}", state, version, now // SECOND + _KEPT)
        following = next(schedule.times(now, now + FAR), now + FAR)
        self._next[recipe.id, recipe.version] = following
        return Fired(tuple(tasks), len(late) - len(kept), damage)

    def _made(self, recipe: Recipe, times: list[int]) -> tuple[list[str], Tampered | None]:
        made: list[str] = []
        damage: Tampered | None = None
        for at in times:
            try:
                made.append(self.create(recipe, at))
            except Tampered as error:
                damage = damage or error
        return [each for each in made if each], damage

    def create(self, recipe: Recipe, at: int) -> str:
        """Make the task of one time; return its id, or "" where it was there. Raises `Unavailable`."""
        action = self._actions.get(recipe.steps[0].uses)
        task = scheduled(recipe, at, self._clock(), action.stream if action else _DEFAULT_STREAM, self._grace)
        facts = {"recipe": recipe.id, "version": recipe.version, "digest": recipe.digest, **task.cause}
        after, event = born(task, self._nonce(), {**facts, "stream": task.stream})
        return task.id if self._tasks.create(after, event) else ""


def scheduled(recipe: Recipe, at: int, now: int, stream: str, grace: int = QUEUE_GRACE) -> Task:
    """Return the task of one scheduled time, as it is made `now`; both in epoch nanoseconds."""
    schedule = recipe.on.schedule
    new_id = task_id(recipe.id, recipe.version, orjson.dumps(["schedule", at]).decode(), 0)
    return Task(
        id=new_id,
        recipe=recipe.id,
        recipe_version=recipe.version,
        recipe_digest=recipe.digest,
        version=0,
        attempt=0,
        step=0,
        tries=0,
        stream=stream,
        created=now,
        priority=recipe.priority,
        **beginning(recipe, now, grace, at),
        cause={
            "rule": "",
            "title": recipe.description or recipe.id,
            "level": "",
            "schedule": schedule.text if schedule else "",
            "scheduled": f"{datetime.fromtimestamp(at // SECOND, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "entries": [],
            **own(new_id).facts,
        },
    )


def _seen(recipe_id: str, raw: bytes) -> tuple[int, int] | None:
    """Return until when a schedule was looked at, and which version of it; None where that is not known."""
    if not raw:
        return None
    try:
        found = orjson.loads(raw)
        return int(found["t"]), int(found["version"])
    except (ValueError, KeyError, TypeError):
        log.error("the record schedule/%s cannot be read; it fires from now on", recipe_id)  # noqa: TRY400 - as in correlate
        return None


def _since(recipe: Recipe, seen: tuple[int, int] | None, now: int) -> int:
    """Return the time after which firings are due."""
    if seen is None:
        return now
    t, version = seen
    # An earlier version's times are not this one's; but what came while it was being loaded is.
    return max(t, now - (LOOK_BACK if version == recipe.version else LATE))
