"""Tries rules on a file of entries, so that a rule can be checked before it is let loose on the ledger.

Lines are taken as they would be stored: a JSON object is an event, any other line is text and becomes
`{"message": line}`. Correlations need the times at which entries were sealed, which a file does not have, so
only the rules are tried; the tally names the correlations that were not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from sentinel.core.rules import Event, LogSource, Rule, RuleSet


@dataclass(frozen=True, slots=True)
class Tried:
    """One line: its number as given, whether it was taken as text, and the rules that match it."""

    line: int
    is_text: bool
    rules: tuple[Rule, ...]


@dataclass(slots=True)
class Tally:
    """What came of all lines so far. `by_rule` counts the lines that each rule id matched, zero included."""

    untried: tuple[str, ...] = ()
    lines: int = 0
    texts: int = 0
    matched: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def of(rules: RuleSet) -> Tally:
        """Return the tally of `rules` before the first line. `untried` are the ids of the correlations."""
        by_rule = Counter({rule.id: 0 for rule in rules.rules})
        return Tally(tuple(correlation.id for correlation in rules.correlations), by_rule=by_rule)

    def add(self, tried: Tried) -> None:
        """Count one more line."""
        self.lines += 1
        self.texts += tried.is_text
        self.matched += bool(tried.rules)
        self.by_rule.update(rule.id for rule in tried.rules)


def try_rules(
    rules: RuleSet, entries: Iterable[tuple[int, bytes]], logsource: LogSource | None = None
) -> Iterator[Tried]:
    """Match each of `entries` (line number, the line's bytes); blank lines are left out. Never raises.

    `logsource` is as at `RuleSet.match`. Lines that are not UTF-8 have their bad bytes replaced by U+FFFD.
    """
    for number, line in entries:
        content = line.strip()
        if content:
            event, is_text = _event(content)
            yield Tried(number, is_text, rules.match(event, logsource))


def _event(content: bytes) -> tuple[Event, bool]:
    if content.startswith(b"{"):
        try:
            parsed = orjson.loads(content)
        except orjson.JSONDecodeError:
            pass  # a line of text may well start with a brace
        else:
            return parsed, False
    return {"message": content.decode(errors="replace")}, True
