"""How far `siem.send` has got: what each sink has taken, and what comes of a step with several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from sentinel.core.steps import Again, Done, Failed, Outcome
from sentinel.core.tasks import SECOND
from sentinel.siem.sink import Batch, Fate, Item, Partly, Refused
from sentinel.siem.sink import Outcome as Fates

LONGEST_WAIT = 900.0  # seconds; a sink may wish for less
MAX_TOLD = 20


@dataclass(slots=True)
class Told:
    """How far one sink has got: `last` is the id of the newest event before which all are settled.

    `idle` says that it was not called.
    """

    name: str
    delivered: int = 0
    last: str = ""
    refused: list[str] = field(default_factory=list)
    refusals: int = 0
    complete: bool = False
    problem: str = ""
    after: float | None = None
    unsure: bool = False
    idle: bool = False

    def state(self) -> dict[str, object]:
        """Return it as it is kept for the next try."""
        return {
            "delivered": self.delivered,
            "last": self.last,
            "refused": self.refused[:MAX_TOLD],
            "refusals": self.refusals,
            "complete": self.complete,
        }


def resumed(name: str, state: object) -> Told:
    """Return how far a sink had got, from what was kept."""
    if not isinstance(state, Mapping):
        return Told(name)
    return Told(
        name,
        delivered=int(state.get("delivered", 0)),
        last=str(state.get("last", "")),
        refused=list(map(str, state.get("refused", ()))),
        refusals=int(state.get("refusals", 0)),
        complete=state.get("complete") is True,
    )


def settle(told: Told, batch: Batch, outcome: Fates, place: Mapping[str, str]) -> list[Item]:
    """Count what became of a batch; return the items that have to be sent again.

    Where the target wants some of them later, all from the first of these on are left for then: progress is
    kept as a place, and each event is counted once.
    """
    fates, reason = _settled(batch, outcome)
    for item, fate in zip(batch.items, fates, strict=True):
        told.delivered += fate is Fate.DELIVERED
        if fate is Fate.REFUSED:
            told.refusals += 1
            told.refused.append(f"{place[item.id]}: {reason}")
    return [item for item, fate in zip(batch.items, fates, strict=True) if fate is Fate.OPEN]


def _settled(batch: Batch, outcome: Fates) -> tuple[tuple[Fate, ...], str]:
    count = len(batch.items)
    if isinstance(outcome, Partly):
        front = (*takewhile(lambda fate: fate is not Fate.OPEN, outcome.fates),)
        return front + (Fate.OPEN,) * (count - len(front)), outcome.refused
    if isinstance(outcome, Refused):
        nothing_smaller = outcome.fates == (Fate.OPEN,)
        return (Fate.REFUSED,) if nothing_smaller else outcome.fates, outcome.reason
    return (Fate.DELIVERED,) * count, ""


def result(told: Sequence[Told], total: int) -> Outcome:
    """Return what came of a step that tells of `total` events."""
    waiting = [each for each in told if not each.complete]
    if waiting:
        wishes = [min(each.after, LONGEST_WAIT) for each in waiting if each.after is not None]
        return Again(
            "; ".join(f"{each.name}: {each.problem}" for each in waiting),
            int(max(wishes) * SECOND) if wishes else None,
            {each.name: each.state() for each in told},
            unsure=any(each.unsure for each in waiting),
            idle=all(each.idle for each in waiting),
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
