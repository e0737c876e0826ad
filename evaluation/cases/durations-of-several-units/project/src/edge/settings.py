"""What the service is told by its environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from edge.parsing import BadValue, boolean, duration

Value = TypeVar("Value")


class BadSettings(Exception):
    """Settings cannot be used. Says all that is wrong, not only the first."""


@dataclass(frozen=True)
class Settings:
    """Durations are in seconds."""

    upstream_timeout: float = 30.0
    cache_for: float = 300.0
    tracing: bool = False


def load(environment: Mapping[str, str]) -> Settings:
    """Return the settings of an environment; what it does not have stays as it is. Raises `BadSettings`."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], Value], default: Value) -> Value:
        if name not in environment:
            return default
        try:
            return parse(environment[name])
        except BadValue as error:
            problems.append(f"{name}: {error}")
            return default

    settings = Settings(
        upstream_timeout=read("EDGE_UPSTREAM_TIMEOUT", duration, Settings.upstream_timeout),
        cache_for=read("EDGE_CACHE_FOR", duration, Settings.cache_for),
        tracing=read("EDGE_TRACING", boolean, Settings.tracing),
    )
    if problems:
        raise BadSettings("; ".join(problems))
    return settings
