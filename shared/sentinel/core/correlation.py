"""Sigma correlations: what is counted, for whom, and when that is enough.

A `Correlation` says which rules' matches are counted (`event_count`) or whose distinct values
(`value_count`), how they are grouped, and the counts at which it fires. It is compiled from the Sigma
correlation specification, version 2, and is pure: `hit` turns one matching event into what
`correlation_state.advance` counts. Time is the ledger's `t` in nanoseconds, so replaying the ledger counts
the same again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import orjson

from sentinel.core.detection import Rule
from sentinel.core.event_fields import Event, Field, View
from sentinel.errors import Malformed, Unsupported


class Hit(NamedTuple):
    """One match of a counted rule: when (nanoseconds), where in the ledger, and the value that is counted.

    Hits are ordered by time, then chain, then sequence number. `value` is None for `event_count`.
    """

    t: int
    chain: str
    seq: int
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Threshold:
    """Counts from `low` to `high`, both included; no upper end when `high` is None."""

    low: int
    high: int | None = None

    def __contains__(self, count: int) -> bool:
        return self.low <= count and (self.high is None or count <= self.high)


@dataclass(frozen=True, slots=True)
class Correlation:
    """A compiled correlation rule.

    `id`, `title`, `name`, `level` and `digest` are as at `Rule`. `kind` is "event_count" or "value_count".
    `references` are the ids and names as written, `rule_ids` the ids of the rules they mean. `group_by` are
    field names or aliases; `aliases` maps an alias to (reference as written, field) pairs. `counted` are the
    fields whose values are counted, () for event_count. `generate` says that the rules are matches of their
    own, too.
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

    def resolve(self, rule_ids: Mapping[str, str], correlations: Collection[str]) -> Correlation:
        """Return the same correlation with its references turned into rule ids.

        `rule_ids` maps every id and name of a rule to its id; `correlations` are those of correlations, which
        cannot be counted yet. Raises Unsupported for a chained correlation, Malformed for an unknown
        reference.
        """

        def resolved(reference: str) -> str:
            if reference in rule_ids:
                return rule_ids[reference]
            where = f"correlation {self.title!r} ({self.id})"
            if reference in correlations:
                raise Unsupported(
                    f"{where}: a correlation of a correlation ({reference!r}) is not supported yet"
                )
            raise Malformed(f"{where}: refers to rule {reference!r}, which was not loaded")

        ids = tuple(dict.fromkeys(resolved(reference) for reference in self.references))
        aliases = {
            alias: {resolved(reference): field for reference, field in fields.items()}
            for alias, fields in self.aliases.items()
        }
        return replace(self, rule_ids=ids, aliases=aliases)

    def group_key(self, event: Event, rule: Rule) -> str | None:
        """Return the group that a match of `rule` belongs to: its group-by values as a JSON array.

        A field with several values (a list) is an array of them. Values of different JSON types are
        different, and so are strings that differ in case. None when the event lacks one of the fields, or has
        null or a map there: such a match belongs to no group and is not counted. Without group-by all matches
        are one group, "[]".
        """
        return self._encoded(self.group_by, View(event), rule)

    def hit(self, event: Event, rule: Rule, t: int, chain: str, seq: int) -> tuple[str, Hit] | None:
        """Say what a match of `rule` on the entry (chain, seq), sealed at `t` ns, counts as: (group, hit).

        None when it counts for nothing: a group-by field is missing (see `group_key`), or a counted one is.
        Of a counted value only a digest is kept, so that a hit is small and repeats nothing of the entry.
        """
        view = View(event)
        group = self._encoded(self.group_by, view, rule)
        if group is None:
            return None
        if not self.counted:
            return group, Hit(t, chain, seq)
        value = self._encoded(self.counted, view, rule)
        if value is None:
            return None
        return group, Hit(t, chain, seq, hashlib.sha256(value.encode()).hexdigest()[:32])

    def _encoded(self, names: Sequence[str], view: View, rule: Rule) -> str | None:
        values: list[object] = []
        for name in names:
            field = self.aliases[name].get(rule.id) if name in self.aliases else name
            value = None if field is None else _scalar_or_scalars(view.values(Field.of(field)))
            if value is None:
                return None
            values.append(value)
        return orjson.dumps(values).decode()


def _scalar_or_scalars(values: tuple[object, ...] | None) -> object:
    """Return what a field adds to a key: its scalar, its list of them, or None for anything else."""
    if not values or not all(isinstance(value, str | int | float) for value in values):
        return None
    return values[0] if len(values) == 1 else list(values)
