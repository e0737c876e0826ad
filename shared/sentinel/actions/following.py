"""Following what takes its time, without holding a worker: each look is a short try that ends in `Again`.

What is known so far travels in `Again.done`, and counts looks, so that no two are the same: a look that finds
nothing new is no failed try. `until` in it is when the step gives up, fixed by the first look.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from sentinel.core.recipes import explain
from sentinel.core.steps import Again, Failed, StepRun
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Malformed, TimedOut, Unavailable

FIRST_LOOK = 5 * SECOND
LAST_LOOK = 30 * SECOND


def follow(run: StepRun, now: int, within: int, reason: str, **facts: object) -> Again | Failed:
    """Return the wish to look again, with `facts` added to what is known; `Failed` where time is up.

    `within` is how long the step may take in all, in nanoseconds, from the first look.
    """
    looks = number(run.done, "looks")
    until = number(run.done, "until") or now + within
    if now >= until:
        return Failed(f"gave up after {within // SECOND} s: {reason}", unsure=True, done=afresh(run, **facts))
    pause = min(FIRST_LOOK * (looks + 1), LAST_LOOK, until - now)
    return Again(reason, pause, {**run.done, **facts, "until": until, "looks": looks + 1})


def afresh(run: StepRun, **facts: object) -> dict[str, object]:
    """Return what is known but for the time to give up at: a redrive follows the same, as long again."""
    return {name: value for name, value in {**run.done, **facts}.items() if name not in {"until", "looks"}}


def again(error: Unavailable) -> Again:
    """Return the wish to try again, by the recipe's backoff, where the target was busy or did not answer.

    It is unsure where the request may have arrived.
    """
    return Again(str(error), None, unsure=isinstance(error, BadAnswer | TimedOut))


def number(done: Mapping[str, object], name: str) -> int:
    """Return a number that an earlier look left; 0 where it left none."""
    found = done.get(name)
    return found if isinstance(found, int) else 0


def refused(action: str, error: ValidationError) -> Malformed:
    """Return what says in an action's name why a step's `with` is not taken."""
    return Malformed(f"{action}: {explain(error)}")
