"""The conditions of correlations: counts within an interval, tests of a number, and words over rules."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

_RELATIONS: Mapping[str, Callable[[Fraction, Fraction], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}
OPERATORS = frozenset(_RELATIONS)


@dataclass(frozen=True, slots=True)
class Threshold:
    """Counts from `low` to `high`, both included; no upper end when `high` is None."""

    low: int
    high: int | None = None

    def __contains__(self, count: int) -> bool:
        return self.low <= count and (self.high is None or count <= self.high)


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured of the numbers in a timespan, and the (operator, number) tests that all have to hold.

    `percentile` is from 1 to 100 for a percentile by nearest rank: the smallest of the numbers that at least
    so many per cent of them do not exceed. Sums are exact, so they do not depend on any order.
    """

    kind: str
    tests: tuple[tuple[str, float], ...]
    percentile: int = 0

    def holds(self, ordered: Sequence[float], total: Fraction) -> bool:
        """Say whether the tests hold for numbers, given sorted and as their exact sum; never for none.

        >>> Measure("value_median", (("gte", 2.5),)).holds([1.0, 2.0, 3.0, 9.0], Fraction(15))
        True
        """
        if not ordered:
            return False
        found = self._of(ordered, total)
        return all(_RELATIONS[name](found, Fraction(number)) for name, number in self.tests)

    def _of(self, ordered: Sequence[float], total: Fraction) -> Fraction:
        size = len(ordered)
        if self.kind == "value_sum":
            return total
        if self.kind == "value_avg":
            return total / size
        if self.kind == "value_median":
            return (Fraction(ordered[(size - 1) // 2]) + Fraction(ordered[size // 2])) / 2
        return Fraction(ordered[-(-size * self.percentile // 100) - 1])


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition in words. `kind` is "rule" (`rule` is meant), or "and", "or", "not" over `parts`."""

    kind: str
    rule: str = ""
    parts: tuple[Expression, ...] = ()

    def holds(self, matched: Collection[str]) -> bool:
        """Say whether it holds where the rules `matched`, and no others, matched."""
        if self.kind == "rule":
            return self.rule in matched
        if self.kind == "not":
            return not self.parts[0].holds(matched)
        return (all if self.kind == "and" else any)(part.holds(matched) for part in self.parts)

    def resolved(self, ids: Mapping[str, str]) -> Expression:
        """Return it with every reference turned into an id."""
        parts = tuple(part.resolved(ids) for part in self.parts)
        return Expression(self.kind, ids.get(self.rule, self.rule), parts)


def relation(name: str, left: float, right: float) -> bool:
    """Say whether `left` stands in a relation (gt, gte, lt, lte, eq, neq) to `right`."""
    return _RELATIONS[name](Fraction(left), Fraction(right))
