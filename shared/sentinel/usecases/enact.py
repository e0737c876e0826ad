"""The parts of a task's life that no worker plays: how it began, what people did, what else had it go on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from sentinel.core.approvals import Approver, How, Verdict
from sentinel.core.approvals import Asked as Question
from sentinel.core.flow import DEBOUNCE
from sentinel.core.recipes import Recipe
from sentinel.core.states import State
from sentinel.core.task_trace import Carried
from sentinel.core.tasks import SECOND, Event, Task
from sentinel.errors import Conflict
from sentinel.usecases.approve import SEEN, Approving, Decision
from sentinel.usecases.asked import Asked, Wanted
from sentinel.usecases.control import Act, Control
from sentinel.usecases.debounce import AGAIN, wait_on
from sentinel.usecases.detect import Detector
from sentinel.usecases.fork import Fork, Wish
from sentinel.usecases.places import TURN, Places
from sentinel.usecases.queues import Queues
from sentinel.usecases.schedule import Scheduler
from sentinel.usecases.stage import OTHERWISE, Stage, Unplayed
from sentinel.usecases.stand_ins import Cast, Entries, Nowhere, Recipes
from sentinel.usecases.sweep import sweep

if TYPE_CHECKING:
    from sentinel.usecases.reenact import Reenact

Body = Mapping[str, object]
_NOBODY: Any = None  # stores that none of these parts asks


@dataclass(frozen=True, slots=True)
class Enact:
    """One task's parts, on its stage. `recorded` is the task as it is stored."""

    by: Reenact
    recorded: Task
    stage: Stage

    def part(self, body: Body) -> Callable[[], object]:
        """Return what plays an event that no worker's lease wrote."""
        task = self.stage.task
        if task is None:
            return self._born
        if "who" in body:
            return lambda: self._person(task, body)
        if body.get("held") == DEBOUNCE and body.get("reason") == AGAIN:
            return lambda: self._again(body)
        if body.get("reason") == TURN:
            return lambda: Places(_NOBODY, *self._parts).tell(task)
        return self._swept

    @property
    def _parts(self) -> tuple[Any, Callable[[], int], Callable[[], bytes], int]:
        script = self.stage.script
        return self.stage, script.clock, script.nonce, self.by.grace

    @property
    def _recipe(self) -> Recipe:
        return self.by.recipe(self.recorded.recipe, self.recorded.recipe_version)

    def _born(self) -> None:
        body, script = self.stage.script.bodies[0], self.stage.script
        if "fork_of" in body:
            self._forked(body)
            return
        rest: Any = (self.stage, _NOBODY, Cast(script, self.by.actions), *self._parts[1:])
        if "scheduled" in body:
            Scheduler(_NOBODY, *rest).create(self._recipe, _instant(str(body["scheduled"])))
        elif "rule" in body:
            Detector(_NOBODY, *rest).create(Asked({self.recorded.id: self._wanted(body)}))
        else:
            raise Unplayed("event 0: neither a rule nor a schedule nor a fork made it")

    def _forked(self, body: Body) -> None:
        parent = self.by.get(str(body["fork_of"]))
        if parent is None:
            raise Unplayed("event 0: the task that it is a fork of is not there")
        family: Any = _Family(self.stage, self.recorded.id, parent, self.by.lineage)
        playbook: Any = Recipes(self.stage.script, self.by.recipe)
        wish = Wish(
            *(str(body["who"]), str(body["why"]), self.recorded.inputs),
            *(str(body["step"]), str(body.get("request", ""))),
        )
        Fork(family, playbook, self.by.actions, *self._parts[1:]).fork(parent.id, wish)

    def _wanted(self, body: Body) -> Wanted:
        window = body.get("window")
        cause = {**self.recorded.cause, "entries": body.get("entries", [])}
        carried = Carried(str(cause.pop("trace", "")), str(cause.pop("span", "")))
        made = _Recorded(self._recipe, cause, carried, window if isinstance(window, int) else 0)
        quiet = made.recipe.debounce.quiet if made.recipe.debounce else 0
        due = body.get("due")
        return cast("Wanted", replace(made, t=due - quiet if isinstance(due, int) else 0))

    def _again(self, body: Body) -> None:
        tasks, clock, nonce, _ = self._parts
        wait_on(tasks, self._wanted(body), self.recorded.id, clock, nonce)

    def _person(self, task: Task, body: Body) -> None:
        tasks, clock, nonce, grace = self._parts
        control = Control(tasks, clock, nonce, None, grace)
        by = (str(body["who"]), str(body["why"]))
        if "how" in body:
            self._decided(task, body)
        elif body["event"] == State.CANCELLED:
            control.cancel(task.id, *by)
        elif task.state is State.PROPOSED:
            control.accept(task.id, *by)
        elif task.state is State.WAITING and "reason" in body:
            Queues(tasks, _NOBODY, control, clock, nonce, grace).wake(task, Act(*by))
        elif task.state is State.WAITING:
            control.retry(task.id, *by)
        elif task.state is State.FAILED:
            control.redrive(task.id, *by)
        elif task.state is State.AMBIGUOUS:
            control.resolve(task.id, str(body.get("verdict")), *by)
        else:
            raise Unplayed(f"event {self.stage.script.at}: by a person, from {task.state} to {body['event']}")

    def _decided(self, task: Task, body: Body) -> None:
        script, by = self.stage.script, self.by
        tasks, clock, nonce, grace = self._parts
        question = Question.of(task.asked)
        # Who is in which group is not recorded: that they might decide was looked at then.
        groups = frozenset(question.by if question else ())
        envelope = body.get("envelope")
        decision = Decision(
            Approver(str(body["who"]), How(str(body["how"])), groups),
            Verdict(str(body["verdict"])),
            str(body["digest"]),
            str(body["why"]),
            envelope if isinstance(envelope, dict) else {},
            str(body.get("link", "")),
            str(body.get("link_by", "")),
        )
        ledger: Any = Entries(script, by.ledger)
        playbook: Any = Recipes(script, by.recipe)
        actions = Cast(script, by.actions)
        void: Any = body.get("void", ())  # who was removed is told there
        approving = Approving(
            *(tasks, ledger, playbook, actions, clock, nonce, None, grace), removed=lambda: frozenset(void)
        )
        try:
            approving.decide(task.id, decision)
        except Conflict as error:
            if str(error) != SEEN:
                raise
            raise Unplayed(f"event {script.at}: {OTHERWISE}") from None

    def _swept(self) -> None:
        tasks, clock, nonce, grace = self._parts
        nowhere: Any = Nowhere()
        sweep(tasks, nowhere, nowhere, clock, nonce, 1, grace)


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What asked for a task, as the task tells it; stands in for `Wanted`."""

    recipe: Recipe
    cause: Mapping[str, object]
    carried: Carried
    window: int
    t: int = 0
    request: str = ""
    seen: bool = True
    places: list[tuple[str, int]] = field(default_factory=list)

    @property
    def entries(self) -> Any:
        return self.cause["entries"]


@dataclass(frozen=True, slots=True)
class _Family:
    """The tasks that a fork is made among: its parent, and forks before it that others wished for."""

    stage: Stage
    fork: str
    parent: Task
    read: Callable[[str], Sequence[Event]]

    def get(self, task_id: str) -> Task | None:
        if task_id == self.parent.id:
            return self.parent
        cause = {name: value for name, value in self.parent.cause.items() if name != "request"}
        return None if task_id == self.fork else replace(self.parent, cause=cause)

    def lineage(self, task_id: str) -> Sequence[Event]:
        return self.read(task_id)

    def create(self, task: Task, event: Any) -> bool:
        return self.stage.create(task, event)


def _instant(text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()) * SECOND
