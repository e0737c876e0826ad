"""Fork: a new task of the same recipe version, with other inputs, from the beginning or a later step on.

The task that is forked stays as it is, whatever its state. A fork's id is made of the parent's and a number,
1 for the first, so that forks are found by counting and need no index. Its effects have keys of their own, as
its id is another. What is forked is told by `cause`: `fork_of` and `fork`, beside all that caused the parent.

Inputs that are changed are as good as another recipe. So whoever may change them is asked for at the doors,
a recipe that its author signed takes none, and no fork goes on behind a step that asked people: what they
approved was something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import orjson

from sentinel.core.approvals import ACTION
from sentinel.core.flow import beginning
from sentinel.core.recipes import Recipe
from sentinel.core.step_inputs import MAX_INPUTS
from sentinel.core.steps import Action
from sentinel.core.tasks import QUEUE_GRACE, Event, Task, born, digest_of, is_erased
from sentinel.errors import Conflict, Malformed, Missing, Unavailable
from sentinel.ports import Tasks
from sentinel.usecases.check_recipe import problems
from sentinel.usecases.control import NO_TASK, Act
from sentinel.usecases.forks import MOST, Inputs, fork_id, forkers
from sentinel.usecases.playbook import Playbook
from sentinel.usecases.resolve import given

MAX_REQUEST = 128
_DEFAULT_STREAM = "action"


@dataclass(frozen=True, slots=True)
class Wish:
    """What a fork is to be. `inputs` are by step and stand in the place of the recipe's, key by key.

    `step` is the id of the step it begins with, "" for the first. `request` names the wish: the same
    name again gives the same fork; "" makes a new one each time. Raises `Malformed`.
    """

    who: str
    why: str
    inputs: Inputs = field(default_factory=dict)
    step: str = ""
    request: str = ""

    def __post_init__(self) -> None:
        Act(self.who, self.why)
        if len(self.request) > MAX_REQUEST or not self.request.isprintable():
            raise Malformed(f"request is at most {MAX_REQUEST} printable characters")


def _any_task(task: Task) -> None:
    del task


@dataclass(frozen=True, slots=True)
class Fork:
    """The use case. `clock` is in epoch nanoseconds, `nonce` gives 32 random bytes, `grace` is nanoseconds.

    `check` raises for a task that is not to be forked.
    """

    tasks: Tasks
    playbook: Playbook
    actions: Mapping[str, Action]
    clock: Callable[[], int]
    nonce: Callable[[], bytes]
    grace: int = QUEUE_GRACE
    check: Callable[[Task], None] = _any_task

    def fork(self, parent_id: str, wish: Wish) -> Task:
        """Make the fork and return it, or the one that was made for this wish before.

        It is queued, or proposed where its recipe asks that a person accepts first. Raises `Missing` for no
        such task or a recipe that is gone, `Malformed` that says what is wrong with the wish, `Conflict`
        where `request` stood for another wish or the task has too many forks, and `Unavailable`, after which
        it may have been made: with a `request`, ask again.
        """
        parent = self.tasks.get(parent_id)
        if parent is None:
            raise Missing(NO_TASK)
        self.check(parent)
        recipe = self._recipe(parent)
        draft = self._draft(parent, recipe, wish)
        for number in range(1, MOST + 1):
            stored = self.tasks.get(fork_id(parent, number))
            if stored is None:
                task, event = self._born(parent, recipe, draft, wish, number)
                stored = self._created(task, event)
                if stored.head == task.head:
                    return stored
            if wish.request and stored.cause.get("request") == wish.request:
                first = self.tasks.lineage(stored.id)[0].body
                if first.get("who") == wish.who:
                    return _same(stored, first, recipe, draft)
        raise Conflict(f"task {parent.id} has {MOST} forks already; fork one of them")

    def _recipe(self, parent: Task) -> Recipe:
        recipe = self.playbook.recipe(parent.recipe, parent.recipe_version)
        if recipe.digest != parent.recipe_digest:
            raise Malformed(f"version {recipe.version} of recipe {recipe.id} is not the one of the task")
        return recipe

    def _draft(self, parent: Task, recipe: Recipe, wish: Wish) -> Task:
        """Return the fork as it is whatever its number; its cause and id are still the parent's."""
        names = [step.id for step in recipe.steps]
        if wish.step and wish.step not in names:
            raise Malformed(f"from: the recipe's steps are {', '.join(names)}")
        at = names.index(wish.step) if wish.step else 0
        inputs = self._inputs(parent, recipe, wish, at)
        action = self.actions.get(recipe.steps[at].uses)
        return replace(
            parent,
            version=0,
            attempt=0,
            step=at,
            tries=0,
            stream=action.stream if action else _DEFAULT_STREAM,
            worker="",
            results=_results(parent, recipe, at),
            reason="",
            head="",
            settled=0,
            held="",
            ticket=0,
            asked={},
            anew={},
            inputs=inputs,
        )

    def _inputs(self, parent: Task, recipe: Recipe, wish: Wish, at: int) -> dict[str, dict[str, object]]:
        if is_erased(parent.inputs):
            raise Conflict(f"what task {parent.id} was given was erased: fork the task that it is a fork of")
        again = [step.id for step in recipe.steps[at:]]
        if not set(wish.inputs) <= set(again):
            raise Malformed(f"inputs: the steps that the fork does are {', '.join(again)}")
        inputs = {
            name: {**parent.inputs.get(name, {}), **wish.inputs.get(name, {})}
            for name in again
            if name in parent.inputs or name in wish.inputs
        }
        if len(_json(inputs)) > MAX_INPUTS:
            raise Malformed(f"inputs: over {MAX_INPUTS:,} bytes")
        if inputs and recipe.author:
            raise Malformed("inputs: its author signed the recipe as it is: push another one, signed")
        if inputs:
            self._check(replace(parent, inputs=inputs), recipe)
        return inputs

    def _check(self, fork: Task, recipe: Recipe) -> None:
        """Raise `Malformed` for the first changed input that its action does not take."""
        whole = recipe.model_copy(update={"steps": tuple(given(fork, step) for step in recipe.steps)})
        for step in recipe.steps:
            if step.uses == ACTION and step.id in fork.inputs:
                raise Malformed(f"inputs: step {step.id}: who approves is the recipe's to say")
        for number, why in problems(whole, self.actions):
            if recipe.steps[number].id in fork.inputs:
                raise Malformed(f"inputs: step {recipe.steps[number].id}: {why}")

    def _born(self, parent: Task, recipe: Recipe, draft: Task, wish: Wish, number: int) -> tuple[Task, Event]:
        now = self.clock()
        # Debouncing waits for more matches, and a person has decided already.
        begins = beginning(recipe.model_copy(update={"debounce": None}), now, self.grace, now)
        kept = {name: value for name, value in parent.cause.items() if name != "request"}
        named = {"request": wish.request} if wish.request else {}
        earlier = forkers(self.tasks.lineage(parent.id))
        task = replace(
            draft,
            id=fork_id(parent, number),
            created=now,
            **begins,
            cause={**kept, "fork_of": parent.id, "fork": number, **named},
        )
        names = ("rule", "fingerprint", "entries", "trace", "span")
        told = {name: task.cause[name] for name in names if name in task.cause}
        facts: dict[str, object] = {
            "recipe": task.recipe,
            "version": task.recipe_version,
            "digest": task.recipe_digest,
            **told,
            "stream": task.stream,
            "fork_of": parent.id,
            "fork": number,
            **named,
            "who": wish.who,
            # What an earlier fork was given goes on to this one, and so does who gave it.
            **({"makers": list(dict.fromkeys((*earlier, wish.who)))} if earlier else {}),
            "why": wish.why,
            "step": recipe.steps[task.step].id,
            "inputs": digest_of(task.inputs),
            "changed": [f"{step}.{key}" for step, own in task.inputs.items() for key in own],
        }
        return born(task, self.nonce(), facts)

    def _created(self, task: Task, event: Event) -> Task:
        """Store a fork under its number; return what stands there then, which may be another's."""
        try:
            made = self.tasks.create(task, event)
        except Unavailable:
            made = self.tasks.create(task, event)  # it may have happened: then it is found to be ours
        stored = task if made else self.tasks.get(task.id)
        if stored is None:
            raise Unavailable("a task that was there a moment ago is not")
        # It may have been moved already: its first event tells whose it is.
        if stored.head != task.head and self.tasks.lineage(task.id)[0].head.hex() == task.head:
            return task
        return stored


def _results(parent: Task, recipe: Recipe, at: int) -> dict[str, object]:
    """Return what the steps before gave. Raises `Malformed` where they did not, or people were asked."""
    found = {}
    for step in recipe.steps[:at]:
        if step.uses == ACTION:
            raise Malformed(f"from: step {step.id} asks people, and asks them anew: begin there or before")
        if step.id not in parent.results:
            raise Malformed(f"from: the task has no result of step {step.id}: begin there or before")
        result = parent.results[step.id]
        if isinstance(result, Mapping) and is_erased(result):
            raise Malformed(f"from: the result of step {step.id} was erased: begin there or before")
        found[step.id] = result
    return found


def _same(stored: Task, first: Mapping[str, object], recipe: Recipe, draft: Task) -> Task:
    """Return the fork that was made for a request. Raises `Conflict` where it was another wish."""
    if (first["inputs"], first["step"]) != (digest_of(draft.inputs), recipe.steps[draft.step].id):
        raise Conflict("this request has made another fork; give another one a name of its own")
    return stored


def _json(inputs: Inputs) -> bytes:
    try:
        return orjson.dumps(inputs)
    except TypeError:
        raise Malformed("inputs: hold what JSON cannot hold") from None
