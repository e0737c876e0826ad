"""Correlations by what they count: references become ids, and what counts itself is refused.

A correlation may count rules and other correlations, the latter up to `MAX_DEPTH` levels deep, since each
level is decided later. A firing has the fields that its correlation groups by and no others: whoever counts
it can group by these, or count their values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from sentinel.core.correlation import Correlation
from sentinel.core.detection import Rule
from sentinel.errors import Malformed, Rejected, Unsupported

MAX_DEPTH = 3

Named = Mapping[str, tuple[str, Correlation]]


def resolve(
    rules: Mapping[str, Rule], correlations: Named
) -> tuple[list[Correlation], list[tuple[str, Rejected]]]:
    """Return the correlations that can be counted, in order, and (source, error) of the others.

    Both are by id; `correlations` are with the source for messages. What counts something that was not loaded
    is refused, too.
    """
    graph = _Graph(rules, correlations)
    found: dict[str, Correlation] = {}
    failures: list[tuple[str, Rejected]] = []
    for source, correlation in correlations.values():
        try:
            found[correlation.id] = graph.resolved(correlation)
        except Malformed as error:
            failures.append((source, type(error)(f"{source}: {error}")))
    return _serving(found.values()), failures


def _serving(correlations: Iterable[Correlation]) -> list[Correlation]:
    """Say of each whether others count it; then its firings are its own only where one says `generate`."""
    every = list(correlations)
    found = []
    for each in every:
        users = [other for other in every if each.id in other.rule_ids]
        own = not users or any(user.generate for user in users)
        found.append(replace(each, feeds=bool(users), own=own))
    return found


class _Graph:
    """What refers to what, while it is resolved. `path` leads to the correlation that is being resolved."""

    def __init__(self, rules: Mapping[str, Rule], correlations: Named) -> None:
        everything: list[Rule | Correlation] = [
            *rules.values(),
            *(correlation for _, correlation in correlations.values()),
        ]
        self._by_reference: dict[str, Rule | Correlation] = {
            name: each for each in everything for name in (each.name, each.id) if name
        }
        self._done: dict[str, Correlation] = {}

    def resolved(self, correlation: Correlation, path: tuple[str, ...] = ()) -> Correlation:
        """Return it with ids and depth. Raises `Malformed`, and `Unsupported` for what is not done here."""
        if correlation.id in self._done:
            return self._done[correlation.id]
        where = f"correlation {correlation.title!r} ({correlation.id})"
        if correlation.id in path:
            raise Malformed(f"{where}: counts itself, through {' and '.join(map(repr, path))}")
        ids: dict[str, str] = {}
        depth = 0
        for reference in correlation.references:
            found = self._by_reference.get(reference)
            if found is None:
                raise Malformed(f"{where}: refers to rule {reference!r}, which was not loaded")
            if isinstance(found, Correlation):
                found = self.resolved(found, (*path, correlation.id))
                depth = max(depth, found.depth + 1)
                _check_fields(where, correlation, reference, found)
            ids[reference] = found.id
        if depth > MAX_DEPTH:
            raise Unsupported(f"{where}: counts correlations over {MAX_DEPTH} levels deep")
        if len(set(ids.values())) < len(ids) and correlation.kind == "temporal_ordered":
            raise Malformed(f"{where}: a rule can stand only once in an order")
        self._done[correlation.id] = _with_ids(correlation, ids, depth)
        return self._done[correlation.id]


def _with_ids(correlation: Correlation, ids: Mapping[str, str], depth: int) -> Correlation:
    aliases = {
        alias: {ids[reference]: field for reference, field in fields.items()}
        for alias, fields in correlation.aliases.items()
    }
    expression = correlation.expression.resolved(ids) if correlation.expression else None
    return replace(
        correlation,
        rule_ids=tuple(dict.fromkeys(ids.values())),
        aliases=aliases,
        expression=expression,
        depth=depth,
    )


def _check_fields(where: str, correlation: Correlation, reference: str, counted: Correlation) -> None:
    """Refuse names that no firing has; aliases are by reference still."""
    for name in (*correlation.group_by, *correlation.counted):
        field = correlation.field(name, reference)
        if field is not None and field not in counted.group_by:
            raise Unsupported(
                f"{where}: looks at {field!r} of correlation {reference!r}, which does not group by it"
            )
