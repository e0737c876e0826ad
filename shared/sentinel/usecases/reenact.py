"""Re-enacting a task: its whole life once more, by the code that it was lived by, from what is recorded.

Birth by detection or schedule, each lease by the executor, each person's act by control, everything else by
the sweep: on a stage (`usecases.stage`) with the recorded times, nonces and answers in the place of the
world. The same code then writes the same events, hash for hash, and ends in the same state. A task whose
lineage does not tell when it was due was made before replay needed that, and is not re-enacted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import orjson

from sentinel.core import step_inputs
from sentinel.core.recipes import Recipe
from sentinel.core.states import State
from sentinel.core.steps import Action, Matched
from sentinel.core.tasks import LEASE, LEASE_OVER, QUEUE_GRACE, Effect, EffectState, Event, Task
from sentinel.errors import Rejected, SentinelError
from sentinel.ports import Ledger
from sentinel.usecases.asking import APPROVERS
from sentinel.usecases.debounce import AGAIN
from sentinel.usecases.enact import Enact
from sentinel.usecases.execute import Executor
from sentinel.usecases.recall import is_question
from sentinel.usecases.stage import Deviation, Interrupted, Played, Script, Stage, Unplayed
from sentinel.usecases.stand_ins import Cast, Entries, Nowhere, Recipes, ToldGates
from sentinel.usecases.strangers import all_there, strangers_alone
from sentinel.usecases.tries import ABSENT, STRANGERS, TIME_UP

_FAR = 1 << 62
_ENDS = frozenset(state.value for state in State if state.ended)
_TAKEN_FROM = frozenset({State.QUEUED, State.WAITING})

Body = Mapping[str, object]
Read = Callable[[str, int], Recipe]


def tells_enough(events: Sequence[Event]) -> bool:
    """Say whether a lineage was written since lineages tell all that a replay needs."""
    bodies = [event.body for event in events]
    return bool(bodies) and all("due" in body for body in bodies if body.get("event") not in _ENDS)


@dataclass(frozen=True, slots=True)
class Reenact:
    """The use case. `recipe` reads a version of a recipe.

    `get` and `lineage` read another task, the one that a fork is of.
    `lease` and `grace` are in nanoseconds.
    """

    ledger: Ledger
    actions: Mapping[str, Action]
    recipe: Read
    get: Callable[[str], Task | None] = lambda _: None
    lineage: Callable[[str], Sequence[Event]] = lambda _: ()
    lease: int = LEASE
    grace: int = QUEUE_GRACE

    def differences(
        self, task: Task, events: Sequence[Event], effects: Mapping[str, Effect], left_out: list[str]
    ) -> Iterator[str]:
        """Yield how what is recorded of a task is not what the same code does. Raises `Unavailable`.

        What it does not know how to re-enact it adds to `left_out`, and leaves what follows it alone.
        """
        asked = {key: effect for key, effect in effects.items() if is_question(key)}
        play = _Play(self, task, Stage(Script(events, task.results, asked)))
        try:
            play.run()
        except Deviation as found:
            yield str(found)
            return
        except Unplayed as found:
            left_out.append(str(found))
            return
        after = play.stage.task
        if after is not None:
            yield from _other_state(task, after)
        yield from _other_effects(play.stage.known, effects)


@dataclass
class _Play:
    """One task's play."""

    by: Reenact
    recorded: Task
    stage: Stage

    @property
    def script(self) -> Script:
        return self.stage.script

    @property
    def _state(self) -> State | None:
        return self.stage.task.state if self.stage.task else None

    def run(self) -> None:
        """Play all events. Raises `Deviation`, and `Unavailable` where a store does not answer."""
        script = self.script
        script.reads_fail = self._reads_fail
        while script.at < len(script.events):
            begin = script.at
            act, end = self._part(begin)
            script.play(end)
            try:
                act()
            except Played:
                continue
            except Interrupted as stop:
                raise stop.error from None
            except Rejected as error:
                raise Deviation(f"event {script.at}: refused now: {error}") from None
            except SentinelError as error:
                raise Deviation(f"event {script.at}: {error}") from None
            except (ValueError, TypeError, LookupError, AttributeError):
                raise Deviation(f"event {script.at}: it cannot be read as one of ours") from None
            raise Deviation(f"event {script.at}: nothing would come of it now")

    def _part(self, at: int) -> tuple[Callable[[], object], int]:
        """Return what plays the event at `at`, and the first event that it does not play."""
        body = self.script.bodies[at]
        taken = body["event"] == State.RUNNING
        held = "held" in body and body.get("reason") != AGAIN
        if self._state in _TAKEN_FROM and "who" not in body and (taken or held):
            end = at + 1
            while taken and end < len(self.script.bodies) and _of_the_lease(self.script.bodies[end]):
                end += 1
            return lambda: self._work(at, end), end
        return Enact(self.by, self.recorded, self.stage).part(body), at + 1

    def _work(self, begin: int, end: int) -> None:
        """Play a lease, or that a worker was held."""
        script, task = self.script, self.stage.task
        if task is None:
            raise Deviation("it was never made")
        bodies = script.bodies[begin:end]
        found = {str(body["effect"]): _found(body) for body in bodies if "known" in body}
        self.stage.find(found)
        # The worker whose time was up saw that at the look at the clock after its last step.
        up = len(bodies) > 2 and bodies[-1].get("reason") == TIME_UP
        until = script.events[end - 2].t if up else _FAR
        worker = str(bodies[0].get("worker", ""))
        self._executor(worker, task.stream, bodies).execute(task, until)

    def _executor(self, worker: str, stream: str, bodies: Sequence[Body]) -> Executor:
        script, by = self.script, self.by
        tasks: Any = self.stage
        ledger: Any = Entries(script, by.ledger)
        queue: Any = Nowhere()
        playbook: Any = Recipes(script, by.recipe)
        gone = _gone(bodies)
        absent = frozenset(self._uses(body) for body in bodies if body.get("answer") == ABSENT)
        return Executor(
            worker=worker,
            stream=stream,
            tasks=tasks,
            ledger=ledger,
            queue=queue,
            playbook=playbook,
            actions=Cast(script, by.actions, absent),
            clock=script.clock,
            nonce=script.nonce,
            rng=lambda: 0.0,  # what chance added to a wait is in the time that the event tells
            lease=by.lease,
            grace=by.grace,
            gates=ToldGates(script),
            removed=lambda: gone,
            strangers=self._strangers,
        )

    def _strangers(self, task: Task, entries: Sequence[Matched]) -> bool:
        """Say it again by the entries; where some were erased since, as it was said then."""
        if all_there(task, entries):
            return strangers_alone(task, entries)
        return self.script.body.get("answer") == STRANGERS

    def _uses(self, body: Body) -> str:
        recipe = self.by.recipe(self.recorded.recipe, self.recorded.recipe_version)
        return next((step.uses for step in recipe.steps if step.id == body.get("step")), "")

    def _reads_fail(self, body: Body) -> bool:
        """Say whether a worker may have been put off by the ledger: not where it had read the entries.

        It had before it asked a target, which the event then tells.
        """
        if "probed" in body:
            return False
        recipe = self.by.recipe(self.recorded.recipe, self.recorded.recipe_version)
        step = next((step for step in recipe.steps if step.id == body.get("step")), None)
        if "effect" not in body or step is None:
            return True
        action = self.by.actions.get(step.uses)
        return action is None or not action.forms or not step_inputs.present(step.with_)


def _gone(bodies: Sequence[Body]) -> frozenset[str]:
    """Return the approvers of whom one was removed, as a worker tells that asks again for it."""
    told = bodies[-1]
    changed, void = told.get("changed"), told.get("void")
    there = isinstance(changed, list) and isinstance(void, list) and APPROVERS in changed
    return frozenset(map(str, void)) if there and isinstance(void, list) else frozenset()


def _of_the_lease(body: Body) -> bool:
    """Say whether an event was written by the worker that had the lease."""
    if body.get("from") != State.RUNNING or "who" in body or body["event"] == State.EXPIRED:
        return False
    return not (body.get("reason") == LEASE_OVER and "effect" not in body)


def _found(body: Body) -> tuple[str, Sequence[object]]:
    known = body["known"]
    return str(body["step"]), known if isinstance(known, list) else ["intent", 0]


def _other_state(stored: Task, after: Task) -> Iterator[str]:
    """Yield what of the state does not follow from the lineage."""
    if stored.state is State.RUNNING or stored.held:  # put on without a word: by heartbeats, and the sweep
        after = replace(after, due=stored.due)
    for each in fields(Task):
        name = each.name
        if _json(getattr(stored, name)) != _json(getattr(after, name)):
            yield f"its state has another {name} than its lineage gives it"


def _other_effects(after: Mapping[str, Effect], stored: Mapping[str, Effect]) -> Iterator[str]:
    for key, effect in sorted(after.items()):
        there = stored.get(key)
        if there is None:
            yield f"the effect of step {effect.step} is not recorded: {key}"
        elif effect.state is EffectState.DONE and there.state is not EffectState.DONE:
            yield f"the effect of step {effect.step} is recorded as not done: {key}"


def _json(value: object) -> bytes:
    return orjson.dumps(value, default=dict, option=orjson.OPT_SORT_KEYS)
