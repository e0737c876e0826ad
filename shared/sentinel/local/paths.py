"""The routes as patterns: which route a path is, and what its parameters hold."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from sentinel.local.refusals import Refusal
from sentinel.routes import Route

_PARAMETER = re.compile(r"\\\{(\w+)(\\\+)?\\\}")


@dataclass(frozen=True, slots=True)
class Paths:
    """The routes of one API."""

    patterns: tuple[tuple[re.Pattern[str], Route], ...]

    @staticmethod
    def of(routes: Sequence[Route]) -> Paths:
        """Compile routes: `{name}` is one segment of the path, `{name+}` one or more."""
        # A path that is spelled out goes before one with parameters, and a greedy one comes last.
        ordered = sorted(routes, key=lambda each: ("+}" in each.path, "{" in each.path))
        return Paths(tuple((_pattern(route.path), route) for route in ordered))

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Return the route of a request with its path parameters, decoded. Raises the 404 and the 405."""
        allowed = []
        for pattern, route in self.patterns:
            found = pattern.fullmatch(path)
            if found and route.method in {method, "ANY"}:
                return route, {name: unquote(value) for name, value in found.groupdict().items()}
            if found:
                allowed.append(route.method)
        if allowed:
            told = ", ".join(sorted(allowed))
            raise Refusal(405, "NotAllowed", f"this path takes {told}", Allow=told)
        raise Refusal(404, "Missing", "there is nothing at this path; see docs/wire.md for the routes")


def _pattern(path: str) -> re.Pattern[str]:
    def named(found: re.Match[str]) -> str:
        return f"(?P<{found[1]}>{'.+' if found[2] else '[^/]+'})"

    return re.compile(_PARAMETER.sub(named, re.escape(path)))
