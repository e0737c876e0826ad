"""The action `siem.send`: tell SIEMs about the entries that set a task off.

Each sink of `to` is tried, whatever becomes of the others, and what one has taken is remembered from try to
try (`StepRun.done`), so that a sink which works is not told again because another does not. Where a reply
was lost, a file is asked whether it holds the lines already, and a sink that is exact is simply told again,
which changes nothing there. A collector that cannot be asked gets the events again under the same ids: at
least once, and recognisable. An at-most-once step leaves that to a person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel import siem
from sentinel.actions.breakers import Breakers
from sentinel.actions.siem_carry import Carrier, Errand, Target, target
from sentinel.actions.siem_plan import planned
from sentinel.actions.siem_progress import Told, result, resumed, settle
from sentinel.core import task_trace
from sentinel.core.breaker import CLOSED
from sentinel.core.recipes import Name, explain
from sentinel.core.step_inputs import Form
from sentinel.core.steps import Done, Failed, Nothing, Outcome, Probed, StepRun, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Rejected, Unavailable
from sentinel.ports import FileAppend, Files, Secrets
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Item,
    Notice,
    Parked,
    Partly,
    Refused,
    RetryAfter,
    SinkConfig,
    batches,
)
from sentinel.siem.sink import Outcome as Fates

PARKED = 300.0  # seconds until a sink that is set up wrongly is tried again: as long as secrets are cached
PAUSE = 1.0  # seconds between batches when the target asks to slow down
BUDGET = 25 * SECOND  # sending in one try; a lease is 60 s and a request takes 20 s at most


class Inputs(BaseModel):
    """A step's `with`. `include: place` tells where an entry is without its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: tuple[Name, ...] = Field(min_length=1, max_length=10)
    include: Literal["entry", "place"] = "entry"


class SiemSend:
    """Sends through the ports; `sinks` gives the sinks that are set up now, by name."""

    name = "siem.send"
    stream = "siem"
    forms: ClassVar[Mapping[str, Form]] = {}  # an entry does not choose who is told
    model: ClassVar[type[BaseModel]] = Inputs

    def __init__(
        self,
        carrier: Carrier,
        files: Files,
        secrets: Secrets,
        sinks: Callable[[], Mapping[str, SinkConfig]],
        *,
        clock: Callable[[], int],
        sleep: Callable[[float], None],
        breakers: Callable[[], Breakers] | None = None,
    ) -> None:
        self._carrier = carrier
        self._files = files
        self._secrets = secrets
        self._sinks = sinks
        self._clock = clock
        self._sleep = sleep
        self._breakers = breakers

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its sinks exist is found out when the step runs."""
        _inputs(inputs)

    def plan(self, run: StepRun) -> Mapping[str, object]:
        """Return what each sink would be sent, with the names of secrets in the place of secrets."""
        inputs = _inputs(run.step.with_)
        notices = [_notice(run, index, inputs.include) for index in range(len(run.entries))]
        configs = self._sinks()
        return {"sinks": [planned(name, configs.get(name), notices, run.key) for name in inputs.to]}

    def perform(self, run: StepRun) -> Outcome:
        """Tell all sinks; `Done` when each has settled every event."""
        try:
            inputs = _inputs(run.step.with_)
        except Malformed as error:
            return Failed(str(error))
        if not run.entries:
            return Failed("the ledger has none of the entries any more that set the task off")
        notices = [_notice(run, index, inputs.include) for index in range(len(run.entries))]
        configs = self._sinks()
        until = self._clock() + BUDGET
        told = [self._tell(run, name, configs.get(name), notices, until) for name in inputs.to]
        return result(told, len(notices))

    def probe(self, run: StepRun) -> Probed:
        """Ask the files among the sinks whether they hold the events; other sinks cannot be asked.

        A file that holds some of them is told again, and takes what it has not. So is a sink that is exact.
        """
        try:
            inputs = _inputs(run.step.with_)
            names = [name for name in inputs.to if not resumed(name, run.done.get(name)).complete]
            notices = [_notice(run, index, inputs.include) for index in range(len(run.entries))]
            held = [self._holds(run, name, notices) for name in names]
        except Rejected as error:
            return Unknown(str(error))
        blind = [name for name, held_there in zip(names, held, strict=True) if held_there is None]
        if blind:
            return Unknown(f"whether {', '.join(blind)} took the events is not known, and cannot be asked")
        return Done({"found": len(notices), "sinks": list(inputs.to)}) if all(held) else Nothing()

    def _holds(self, run: StepRun, name: str, notices: Sequence[Notice]) -> bool | None:
        """Say whether a sink holds all events; None where it cannot be asked."""
        config = self._sinks().get(name)
        if config is None:
            raise Malformed("there is no sink of this name; push a sink document that has it")
        sink = siem.make(config, "")
        if sink.exact:
            return False  # nothing comes of telling it again
        if config.token:
            return None
        items = [Item(notice.id, sink.encode(notice)) for notice in notices]
        requests = [sink.request(batch) for batch in batches(sink, run.key, items)]
        files = [request for request in requests if isinstance(request, FileAppend)]
        return None if len(files) < len(requests) else all(map(self._files.holds, files))

    def _tell(
        self, run: StepRun, name: str, config: SinkConfig | None, notices: Sequence[Notice], until: int
    ) -> Told:
        told = resumed(name, run.done.get(name))
        if told.complete:
            return told
        try:
            if config is None:
                raise Malformed("there is no sink of this name; push a sink document that has it")
            if self._broken(told):
                return told
            to = target(config, self._secrets.get(config.token) if config.token else "")
            self._send(run, to, told, notices, until)
        except Unavailable as error:
            told.problem, told.after = str(error), None  # nobody's wish: the recipe's backoff decides
            told.unsure = told.unsure and not error.unsent
        except Rejected as error:
            told.problem, told.after = str(error), PARKED
        return told

    def _broken(self, told: Told) -> bool:
        """Say whether a sink is left alone, since its breaker is open, and not for its set-up."""
        breaker = self._breakers().now(told.name) if self._breakers else CLOSED
        wait = breaker.wait(self._clock()) if breaker.tripped and not breaker.setup else 0
        if wait:
            told.problem, told.after = f"its breaker is open: {breaker.reason}", wait / SECOND
            told.idle = True
        return wait > 0

    def _carry(self, errand: Errand, to: Target, batch: Batch, name: str) -> Fates:
        """Send a batch, and have what comes of it count in the sink's breaker."""
        breakers = self._breakers() if self._breakers else None
        try:
            outcome = self._carrier.carry(errand, to, batch)
        except Unavailable as error:
            if breakers:
                breakers.failed(name, str(error), None)
            raise
        if breakers:
            breakers.told(name, outcome)
        return outcome

    def _send(self, run: StepRun, to: Target, told: Told, notices: Sequence[Notice], until: int) -> None:
        sink = to.sink
        items = [Item(notice.id, sink.encode(notice)) for notice in notices]
        place = {notice.id: f"{notice.chain} entry {notice.seq}" for notice in notices}
        left = _after(items, told.last)
        errand = Errand(f"sentinel-{run.task.id}", maybe_there=run.resumed or run.task.tries > 0)
        most: int | None = None
        while left:
            if self._clock() >= until:
                told.problem, told.after = "there is more to send", 0.0
                return
            batch = next(batches(sink, run.key, left, most))
            told.unsure = not sink.exact  # should there be no answer
            outcome = self._carry(errand, to, batch, told.name)
            wait = outcome.wait if isinstance(outcome, Partly) else outcome
            told.unsure = isinstance(wait, RetryAfter) and wait.unsure and not sink.exact
            if not isinstance(outcome, RetryAfter | Parked):
                most = _most(most, batch, outcome)
                left = settle(told, batch, outcome, place) + left[len(batch.items) :]
                told.last = _before(items, left) or told.last
            if isinstance(wait, RetryAfter | Parked):
                told.problem = wait.reason
                told.after = wait.after if isinstance(wait, RetryAfter) else PARKED
                return
            if left and outcome == Delivered(slow_down=True):
                self._sleep(PAUSE)
        told.complete = True


def _inputs(inputs: Mapping[str, Any]) -> Inputs:
    try:
        found = Inputs.model_validate(inputs)
    except ValidationError as error:
        raise Malformed(f"siem.send: {explain(error)}") from None
    if len(set(found.to)) != len(found.to):
        raise Malformed("siem.send: to: a sink is named twice")
    return found


def _notice(run: StepRun, index: int, include: str) -> Notice:
    matched = run.entries[index]
    cause = run.task.cause
    return Notice(
        t=matched.t,
        service=matched.chain.rpartition("/")[0] or matched.chain,
        chain=matched.chain,
        seq=matched.seq,
        rule=str(cause.get("rule", "")),
        title=str(cause.get("title", "")),
        level=str(cause.get("level", "")),
        task=run.task.id,
        recipe=run.task.recipe,
        key=run.key,
        entry=matched.entry if include == "entry" else b"",
        trace=task_trace.of_task(run.task.id, cause).trace,
        span=task_trace.task_span(run.task.id),
    )


def _most(most: int | None, batch: Batch, outcome: Fates) -> int | None:
    """Return how many events the next batch may have: half where nobody said which is minded, else more."""
    if isinstance(outcome, Refused) and Fate.REFUSED not in outcome.fates:
        return max(1, len(batch.items) // 2)
    return most and most * 2


def _after(items: list[Item], last: str) -> list[Item]:
    """Return the items after the one with the id `last`; all of them where it is not among them."""
    for index, item in enumerate(items):
        if item.id == last:
            return items[index + 1 :]
    return items


def _before(items: list[Item], left: list[Item]) -> str:
    if not left:
        return items[-1].id
    index = items.index(left[0])
    return items[index - 1].id if index else ""
