"""Sigma correlations: what is counted, for whom, and when that is enough.

A `Correlation` says which rules' matches count (or which other correlations' firings), how they are grouped,
and what has to hold within its timespan for it to fire. It is compiled from the Sigma correlation
specification, version 2.1, and is pure: `hit` turns one matching event into what `correlation_state.advance`
counts. Time is the ledger's `t` in nanoseconds, so replaying the ledger counts the same again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from sentinel.core.correlation_conditions import Expression, Measure, Threshold
from sentinel.core.detection import Rule
from sentinel.core.event_fields import Event, Field, View

__all__ = ["Correlation", "Hit", "Measure", "Threshold", "order"]

SECOND = 1_000_000_000
# How long a correlation that is decided in order waits for hits of other chains. A hit of another
# correlation comes when that one was decided, by a schedule of a minute, so each level waits longer.
PATIENCE = 60 * SECOND
PATIENCE_A_LEVEL = 180 * SECOND
_VALUE = 16  # hex digits that are kept of a counted value's digest

_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?")


class Hit(NamedTuple):
    """One match of a counted rule: when (nanoseconds), where in the ledger, and what of it is counted.

    `value` is a digest of the counted value (value_count), the rule that matched (temporal,
    temporal_ordered), a number (value_sum and the like), or None; of another correlation's firing its id.
    """

    t: int
    chain: str
    seq: int
    value: str | float | None = None


def order(hit: Hit) -> tuple[int, str, int, str]:
    """Return what hits are ordered by: time, then chain, then sequence number; then value, for one entry."""
    return hit.t, hit.chain, hit.seq, str(hit.value)


@dataclass(frozen=True, slots=True)
class Correlation:
    """A compiled correlation rule.

    `id`, `title`, `name`, `level` and `digest` are as at `Rule`. `kind` is Sigma's type. `references` are the
    ids and names as written, `rule_ids` the ids of the rules and correlations they mean. `group_by` are field
    names or aliases; `aliases` maps an alias to field by reference. `counted` are the fields whose values are
    counted or measured. Of a count `threshold` says which ones fire, of a measure `measure`, and `expression`
    is a temporal condition in words. `generate` says that what it counts is a match of its own, too.

    `depth` is 0 where all it counts are rules, else one more than the deepest correlation that it counts.
    `feeds` says that another correlation counts it, `own` that its firings may set recipes off.
    """

    id: str
    title: str
    name: str | None
    level: str | None
    kind: str
    references: tuple[str, ...]
    timespan_ns: int
    group_by: tuple[str, ...]
    threshold: Threshold
    counted: tuple[str, ...]
    aliases: Mapping[str, Mapping[str, str]]
    generate: bool
    digest: str
    rule_ids: tuple[str, ...] = ()
    measure: Measure | None = None
    expression: Expression | None = None
    depth: int = 0
    feeds: bool = False
    own: bool = True

    @property
    def in_order(self) -> bool:
        """Whether it is decided in order, after `patience` (`correlation_order`), and not at once.

        At once is decided what further hits can only make truer (`correlation_windows`). That is not so of an
        upper end, of numbers, which may be negative, and of `not`; and who counts firings needs them one by
        one, at their places.
        """
        return bool(
            self.feeds or self.measure or self.expression is not None or self.threshold.high is not None
        )

    @property
    def patience(self) -> int:
        """How long after it was sealed a hit may come and still count in its place, in nanoseconds."""
        return PATIENCE + self.depth * PATIENCE_A_LEVEL

    def group_key(self, event: Event, rule: Rule | Correlation) -> str | None:
        """Return the group that a match of `rule` belongs to: its group-by values as a JSON array.

        A field with several values (a list) is an array of them. Values of different JSON types are
        different, and so are strings that differ in case. None when the event lacks one of the fields, or has
        null or a map there: such a match belongs to no group and is not counted. Without group-by all matches
        are one group, "[]".
        """
        return self._encoded(self.group_by, View(event), rule)

    def hit(
        self, event: Event, rule: Rule | Correlation, t: int, chain: str, seq: int
    ) -> tuple[str, Hit] | None:
        """Say what a match of `rule` on the entry (chain, seq), sealed at `t` ns, counts as: (group, hit).

        None when it counts for nothing: a group-by field is missing (see `group_key`), or a counted one is,
        or is no number where one is measured. Of a counted value only a digest is kept, so that a hit is
        small and repeats nothing of the entry.
        """
        view = View(event)
        group = self._encoded(self.group_by, view, rule)
        if group is None:
            return None
        value: str | float | None
        if self.kind in {"temporal", "temporal_ordered"}:
            value = rule.id
        elif self.measure:
            value = self._number(view, rule)
            if value is None:
                return None
        elif self.counted:
            encoded = self._encoded(self.counted, view, rule)
            if encoded is None:
                return None
            value = hashlib.sha256(encoded.encode()).hexdigest()[:_VALUE]
        else:
            value = rule.id if isinstance(rule, Correlation) else None
        return group, Hit(t, chain, seq, value)

    def hit_of(self, source: Correlation, group: str, t: int, chain: str, seq: int) -> tuple[str, Hit] | None:
        """Say what a firing of `source` for `group` counts as here; it was completed by (chain, seq) at `t`.

        Its fields are those that `source` groups by.
        """
        return self.hit(dict(zip(source.group_by, orjson.loads(group), strict=True)), source, t, chain, seq)

    def field(self, name: str, rule_id: str) -> str | None:
        """Return the field that a name of group-by or of the condition means in the events of a rule."""
        return self.aliases[name].get(rule_id) if name in self.aliases else name

    def _encoded(self, names: Sequence[str], view: View, rule: Rule | Correlation) -> str | None:
        values: list[object] = []
        for name in names:
            field = self.field(name, rule.id)
            value = None if field is None else _scalar_or_scalars(view.values(Field.of(field)))
            if value is None:
                return None
            values.append(value)
        return orjson.dumps(values).decode()

    def _number(self, view: View, rule: Rule | Correlation) -> float | None:
        field = self.field(self.counted[0], rule.id)
        values = None if field is None else view.values(Field.of(field))
        return _number(values[0]) if values and len(values) == 1 else None


def _number(value: object) -> float | None:
    """Return a number, or a text that is one, as float; None for anything else and what no float can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number - number == 0 else None


def _scalar_or_scalars(values: tuple[object, ...] | None) -> object:
    """Return what a field adds to a key: its scalar, its list of them, or None for anything else."""
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)
