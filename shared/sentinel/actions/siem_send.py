"""The action `siem.send`: tell SIEMs about the entries that set a task off.

Each sink of `to` is tried, whatever becomes of the others, and what one has taken is remembered from try to
try (`StepRun.done`), so that a sink which works is not told again because another does not. Where a reply
was lost, a file is asked whether it holds the lines already; a collector that cannot be asked gets the
events again under the same ids: at least once, and recognisable. An at-most-once step leaves that to a
person.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sentinel import siem
from sentinel.core.recipes import Name, explain
from sentinel.core.steps import Again, Done, Failed, Nothing, Outcome, Probed, StepRun, Unknown
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Rejected, Unavailable
from sentinel.ports import FileAppend, Files, Http, Secrets
from sentinel.siem.sink import (
    Batch,
    Delivered,
    Fate,
    Item,
    Notice,
    Parked,
    Refused,
    RetryAfter,
    Sink,
    SinkConfig,
    batches,
)
from sentinel.siem.sink import Outcome as Fates

PARKED = 300.0  # seconds until a sink that is set up wrongly is tried again: as long as secrets are cached
PAUSE = 1.0  # seconds between batches when the target asks to slow down
BUDGET = 25 * SECOND  # sending in one try; a lease is 60 s and a request takes 20 s at most
LONGEST_WAIT = 900.0
MAX_TOLD = 20


class SiemInputs(BaseModel):
    """A step's `with`. `include: place` tells where an entry is without its content."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    to: tuple[Name, ...] = Field(min_length=1, max_length=10)
    include: Literal["entry", "place"] = "entry"


@dataclass(slots=True)
class _Told:
    """How far one sink has got: `last` is the id of the newest event before which all are settled."""

    name: str
    delivered: int = 0
    last: str = ""
    refused: list[str] = field(default_factory=list)
    refusals: int = 0
    complete: bool = False
    problem: str = ""
    after: float | None = None
    unsure: bool = False

    def state(self) -> dict[str, object]:
        return {
            "delivered": self.delivered,
            "last": self.last,
            "refused": self.refused[:MAX_TOLD],
            "refusals": self.refusals,
            "complete": self.complete,
        }


class SiemSend:
    """Sends through the ports; `sinks` gives the sinks that are set up now, by name."""

    name = "siem.send"
    stream = "siem"

    def __init__(
        self,
        http: Http,
        files: Files,
        secrets: Secrets,
        sinks: Callable[[], Mapping[str, SinkConfig]],
        *,
        clock: Callable[[], int],
        sleep: Callable[[float], None],
    ) -> None:
        self._http = http
        self._files = files
        self._secrets = secrets
        self._sinks = sinks
        self._clock = clock
        self._sleep = sleep

    def check(self, inputs: Mapping[str, Any]) -> None:
        """Check a step's `with`. Whether its sinks exist is found out when the step runs."""
        _inputs(inputs)

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
        return _result(told, len(notices))

    def probe(self, run: StepRun) -> Probed:
        """Ask the files among the sinks whether they hold the events; other sinks cannot be asked.

        A file that holds some of them is told again, and takes what it has not.
        """
        try:
            inputs = _inputs(run.step.with_)
            names = [name for name in inputs.to if not _resumed(name, run.done.get(name)).complete]
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
        if config.token:
            return None
        sink = siem.make(config, "")
        items = [Item(notice.id, sink.encode(notice)) for notice in notices]
        requests = [sink.request(batch) for batch in batches(sink, run.key, items)]
        files = [request for request in requests if isinstance(request, FileAppend)]
        return None if len(files) < len(requests) else all(map(self._files.holds, files))

    def _tell(
        self, run: StepRun, name: str, config: SinkConfig | None, notices: Sequence[Notice], until: int
    ) -> _Told:
        told = _resumed(name, run.done.get(name))
        if told.complete:
            return told
        try:
            if config is None:
                raise Malformed("there is no sink of this name; push a sink document that has it")
            sink = siem.make(config, self._secrets.get(config.token) if config.token else "")
            self._send(run, sink, told, notices, until)
        except Unavailable as error:
            told.problem, told.after = str(error), None  # nobody's wish: the recipe's backoff decides
            told.unsure = told.unsure and not error.unsent
        except Rejected as error:
            told.problem, told.after = str(error), PARKED
        return told

    def _send(self, run: StepRun, sink: Sink, told: _Told, notices: Sequence[Notice], until: int) -> None:
        items = [Item(notice.id, sink.encode(notice)) for notice in notices]
        place = {notice.id: f"{notice.chain} entry {notice.seq}" for notice in notices}
        left = _after(items, told.last)
        most: int | None = None
        while left:
            if self._clock() >= until:
                told.problem, told.after = "there is more to send", 0.0
                return
            batch = next(batches(sink, run.key, left, most))
            told.unsure = True  # should there be no answer
            outcome = self._deliver(run, sink, batch)
            told.unsure = isinstance(outcome, RetryAfter) and outcome.unsure
            if isinstance(outcome, RetryAfter | Parked):
                told.problem = outcome.reason
                told.after = outcome.after if isinstance(outcome, RetryAfter) else PARKED
                return
            most = _most(most, batch, outcome)
            still = _settle(told, batch, outcome, place)
            left = still + left[len(batch.items) :]
            told.last = _before(items, left) or told.last
            if left and outcome == Delivered(slow_down=True):
                self._sleep(PAUSE)
        told.complete = True

    def _deliver(self, run: StepRun, sink: Sink, batch: Batch) -> Fates:
        request = sink.request(batch)
        if not isinstance(request, FileAppend):
            return sink.outcome(self._http.send(request), batch)
        maybe_there = run.resumed or run.task.tries > 0
        if not (maybe_there and self._files.holds(request)):
            self._files.append(request)
        return Delivered()


def _inputs(inputs: Mapping[str, Any]) -> SiemInputs:
    try:
        found = SiemInputs.model_validate(inputs)
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
    )


def _resumed(name: str, state: object) -> _Told:
    if not isinstance(state, Mapping):
        return _Told(name)
    return _Told(
        name,
        delivered=int(state.get("delivered", 0)),
        last=str(state.get("last", "")),
        refused=list(map(str, state.get("refused", ()))),
        refusals=int(state.get("refusals", 0)),
        complete=state.get("complete") is True,
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


def _settle(told: _Told, batch: Batch, outcome: Fates, place: Mapping[str, str]) -> list[Item]:
    """Count what became of a batch; return the items that have to be sent again."""
    fates = outcome.fates if isinstance(outcome, Refused) else (Fate.DELIVERED,) * len(batch.items)
    if len(fates) == 1 and fates[0] is Fate.OPEN:
        fates = (Fate.REFUSED,)  # there is nothing smaller to try
    for item, fate in zip(batch.items, fates, strict=True):
        told.delivered += fate is Fate.DELIVERED
        if fate is Fate.REFUSED and isinstance(outcome, Refused):
            told.refusals += 1
            told.refused.append(f"{place[item.id]}: {outcome.reason}")
    return [item for item, fate in zip(batch.items, fates, strict=True) if fate is Fate.OPEN]


def _result(told: Sequence[_Told], total: int) -> Outcome:
    waiting = [each for each in told if not each.complete]
    if waiting:
        wishes = [min(each.after, LONGEST_WAIT) for each in waiting if each.after is not None]
        return Again(
            "; ".join(f"{each.name}: {each.problem}" for each in waiting),
            int(max(wishes) * SECOND) if wishes else None,
            {each.name: each.state() for each in told},
            unsure=any(each.unsure for each in waiting),
        )
    refused = [each for each in told if each.refusals]
    if refused:
        return Failed(
            "; ".join(
                f"{each.name} refuses {each.refusals} of {total} events for good: {each.refused[0]}"
                for each in refused
            ),
            unsure=any(each.delivered for each in told),
        )
    return Done({"delivered": sum(each.delivered for each in told), "sinks": [each.name for each in told]})
