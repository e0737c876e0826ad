"""Pauses: what people have stopped for a while, and which tasks that means.

A target is a stream (one of `STREAMS`), `recipe:ID`, `service:NAME` or `all`. The service of a task is that
of the first entry that set it off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import orjson

from sentinel.core.chain import service_of
from sentinel.core.tasks import Task
from sentinel.errors import Malformed

PATCHING = ("read", "ai", "git")  # who reads repositories, asks models, proposes: each with rights of its own
STREAMS = ("siem", "action", *PATCHING)
ALL = "all"
KEY = "pauses"  # the counters' record that has them
MOST = 200  # pauses at once
_NAMED = re.compile(r"(recipe|service):([^\x00-\x20\x7f]{1,200})")


@dataclass(frozen=True, slots=True)
class Pause:
    """Who stopped what and why, from when and until when (epoch nanoseconds; 0: until it is resumed)."""

    target: str
    who: str
    why: str
    since: int
    until: int = 0

    def over(self, now: int) -> bool:
        """Whether it has ended by itself."""
        return 0 < self.until <= now

    @property
    def text(self) -> str:
        """What people are told."""
        return f"{spoken(self.target)} paused by {self.who}: {self.why}"


def spoken(target: str) -> str:
    """Return a target as the beginning of a sentence about it.

    >>> spoken("recipe:tell"), spoken("siem"), spoken("all")
    ('recipe tell is', 'stream siem is', 'all streams are')
    """
    kind, colon, name = target.partition(":")
    if colon:
        return f"{kind} {name} is"
    return "all streams are" if target == ALL else f"stream {target} is"


def checked(target: str) -> str:
    """Return a target that is one. Raises `Malformed` that says what one is."""
    if target == ALL or target in STREAMS or _NAMED.fullmatch(target):
        return target
    raise Malformed(f"a target is {', '.join(STREAMS)}, recipe:ID, service:NAME or {ALL}")


def first_service(task: Task) -> str:
    """Return the service of the first entry that set a task off; "" where none did."""
    entries = task.cause.get("entries")
    first = entries[0] if isinstance(entries, list) and entries else None
    return service_of(str(first["chain"])) if isinstance(first, Mapping) and "chain" in first else ""


def meant(target: str) -> Callable[[Task], bool]:
    """Return what says whether a task is meant by a target."""
    kind, _, name = target.partition(":")
    if kind == "recipe":
        return lambda task: task.recipe == name
    if kind == "service":
        return lambda task: first_service(task) == name
    return lambda task: target in {ALL, task.stream}


def targets_of(task: Task) -> tuple[str, ...]:
    """Return every target that means a task, the widest first."""
    service = first_service(task)
    named = (ALL, task.stream, f"recipe:{task.recipe}")
    return (*named, f"service:{service}") if service else named


def packed(pauses: Mapping[str, Pause]) -> bytes:
    """Return pauses as they are stored."""
    return orjson.dumps([asdict(pause) for pause in pauses.values()])


def unpacked(raw: bytes) -> dict[str, Pause]:
    """Return the pauses that `packed` wrote, by target. Raises `ValueError` for anything else."""
    try:
        return {pause.target: pause for pause in (Pause(**each) for each in orjson.loads(raw or b"[]"))}
    except TypeError as error:
        raise ValueError(f"these are no pauses: {error}") from None
