"""Sigma rules and correlations as one immutable set: loading them, and asking which match an event.

The detection language is Sigma, version 2 of the SigmaHQ specification, parsed by pySigma. Whatever of it is
not supported is refused when it is loaded, by file, rule and feature; nothing is skipped silently. Matching
is a pure function of the event: the same set and the same event give the same answer, in the order the rules
were loaded.

A rule's log source is not checked against events by default: the fields decide. What an event says about
itself is written by whoever sent it, so letting events choose the rules that see them would let a stranger
choose, too. A caller that knows from its own configuration what a service sends passes it as `logsource`, and
rules that are written for something else are left out.

pySigma is imported when rules are loaded, never when this module is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sentinel.core.correlation import Correlation
from sentinel.core.detection import LogSource, Rule
from sentinel.core.event_fields import Event, View
from sentinel.core.literal_index import LiteralIndex
from sentinel.errors import Malformed, Missing, Rejected

__all__ = ["Correlation", "Event", "LogSource", "Refusal", "Rule", "RuleSet", "load", "load_all"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that was not loaded: the name it was given under, and why, with the rule and the feature."""

    name: str
    reason: str


@dataclass(frozen=True)
class RuleSet:
    """Rules and correlations that refer to each other consistently; made by `load` or `load_all`."""

    rules: tuple[Rule, ...]
    correlations: tuple[Correlation, ...] = ()

    @cached_property
    def _index(self) -> LiteralIndex:
        return LiteralIndex([rule.expression for rule in self.rules])

    @cached_property
    def _by_reference(self) -> Mapping[str, Rule | Correlation]:
        everything: list[Rule | Correlation] = [*self.rules, *self.correlations]
        named = {item.name: item for item in everything if item.name}
        return named | {item.id: item for item in everything}

    @cached_property
    def _correlations_of(self) -> Mapping[str, tuple[Correlation, ...]]:
        found: defaultdict[str, list[Correlation]] = defaultdict(list)
        for correlation in self.correlations:
            for rule_id in correlation.rule_ids:
                found[rule_id].append(correlation)
        return {rule_id: tuple(correlations) for rule_id, correlations in found.items()}

    def match(self, event: Event, logsource: LogSource | None = None) -> tuple[Rule, ...]:
        """Return the rules that match `event`, in the order they were loaded.

        An event is a JSON object as `orjson.loads` gives it. Rules that only serve correlations are included:
        look at `Rule.generate`. With `logsource`, rules written for a different category, product or service
        are left out. Never raises. Safe to call from threads.
        """
        view = View(event)
        rules = self.rules
        found = [rules[i] for i in sorted(self._index.candidates(view)) if rules[i].predicate(view)]
        if logsource is not None:
            found = [rule for rule in found if not rule.logsource.contradicts(logsource)]
        return tuple(found)

    def correlations_of(self, rule: Rule | Correlation) -> tuple[Correlation, ...]:
        """Return the correlations that count matches of a rule, or firings of a correlation."""
        return self._correlations_of.get(rule.id, ())

    def find(self, reference: str) -> Rule | Correlation:
        """Return the rule or correlation with this id or name. Raises Missing."""
        try:
            return self._by_reference[reference]
        except KeyError:
            raise Missing(f"no rule or correlation has the id or name {reference!r}") from None


def load(
    documents: Iterable[tuple[str, bytes]], placeholders: Mapping[str, Sequence[str]] | None = None
) -> RuleSet:
    """Load all of `documents` or nothing.

    Each is (a name for messages, YAML bytes holding one or more documents). `placeholders` are the values for
    the `expand` modifier. Raises Unsupported for what Sigma allows and Sentinel refuses, Malformed for the
    rest; when there are several problems, the first is raised and `problems` of the error lists all.
    """
    rules, refusals, errors = _load(documents, placeholders or {})
    if errors:
        first = errors[0]
        first.problems = [{"name": refusal.name, "reason": refusal.reason} for refusal in refusals]
        raise first
    return rules


def load_all(
    documents: Iterable[tuple[str, bytes]], placeholders: Mapping[str, Sequence[str]] | None = None
) -> tuple[RuleSet, tuple[Refusal, ...]]:
    """Load what can be loaded of `documents` (see `load`) and say of everything else why it was refused."""
    rules, refusals, _ = _load(documents, placeholders or {})
    return rules, tuple(refusals)


def _load(
    documents: Iterable[tuple[str, bytes]], placeholders: Mapping[str, Sequence[str]]
) -> tuple[RuleSet, list[Refusal], list[Rejected]]:
    from sentinel.core import correlation_graph, sigma_documents, sigma_parse

    rules: dict[str, Rule] = {}
    correlations: dict[str, tuple[str, Correlation]] = {}
    taken: dict[str, str] = {}
    failures: list[tuple[str, Rejected]] = []
    for name, content in documents:
        for document in sigma_documents.documents(name, content):
            try:
                if isinstance(document, Malformed):
                    raise document
                item = sigma_parse.parse(document, placeholders)
                _claim(taken, name, item)
            except Malformed as error:
                failures.append((name, error))
                continue
            if isinstance(item, Rule):
                rules[item.id] = item
            else:
                correlations[item.id] = (name, item)
    resolved, unresolved = correlation_graph.resolve(rules, correlations)
    failures += unresolved
    loaded = RuleSet(tuple(_serving(rule, resolved) for rule in rules.values()), tuple(resolved))
    return loaded, [Refusal(name, str(error)) for name, error in failures], [error for _, error in failures]


def _claim(taken: dict[str, str], source: str, item: Rule | Correlation) -> None:
    """Ids and names are one name space, because correlations and recipes refer to either."""
    references = {item.id} | ({item.name} if item.name else set())
    for reference in sorted(references):
        if reference in taken:
            raise Malformed(
                f"{source}: {item.title!r}: {reference!r} is already the id or name in {taken[reference]}"
            )
    taken.update(dict.fromkeys(references, source))


def _serving(rule: Rule, correlations: Sequence[Correlation]) -> Rule:
    """Leave a counted rule a match of its own only when a correlation says `generate: true`."""
    users = [correlation for correlation in correlations if rule.id in correlation.rule_ids]
    return replace(rule, generate=False) if users and not any(c.generate for c in users) else rule
