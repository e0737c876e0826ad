"""Failures: what telemetry tells of an exception, whoever told it. All of it may be written by anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sentinel.core.prompt_parts import Frame, Said, Telemetry


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a stack trace, as told. `values` are its variables by name, as texts (`repr` of each)."""

    file: str
    function: str
    line: int
    values: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure: the exception's type and message, its calls with the innermost first, and what was said.

    `release` is what the event says that ran; no fact, only something to compare. `traces` are ids of W3C
    traces, by which entries are found that belong to it.
    """

    exception: str = ""
    message: str = field(default="", repr=False)
    calls: tuple[Call, ...] = ()
    said: tuple[Said, ...] = field(default=(), repr=False)
    release: str = ""
    traces: tuple[str, ...] = ()

    @property
    def telemetry(self) -> Telemetry:
        """What a prompt is made of."""
        frames = tuple(Frame(each.file, each.function, each.line, each.values) for each in self.calls)
        return Telemetry(self.exception, self.message, frames, self.said)
