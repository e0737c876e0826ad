"""Reads the `correlation` document of Sigma YAML (sigma-correlation-rules-specification, version 2.1).

pySigma validates the document; this module takes from it what `Correlation` needs, reads the condition itself
(pySigma takes no ranges such as `gt: 100, lte: 200`, the specification does) and refuses by name what cannot
be decided on a stream of matches.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sigma import correlations as sigma
from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationType

from sentinel.core.correlation import Correlation, Measure, Threshold
from sentinel.core.correlation_conditions import OPERATORS, Expression, relation
from sentinel.core.detection import identity
from sentinel.errors import Malformed, Unsupported

Refuse = Callable[[str], Malformed]
RefuseFeature = Callable[[str], Unsupported]

SECOND_NS = 1_000_000_000

# A group's state holds up to twice so many hits of a window (see `correlation_windows`).
HIGHEST_COUNT = 5000
MOST_RULES = 50

_TEMPORAL = {"temporal", "temporal_ordered"}
_MEASURES = {"value_sum", "value_avg", "value_median", "value_percentile"}
KINDS = {kind.name.lower() for kind in SigmaCorrelationType} & (
    {"event_count", "value_count"} | _TEMPORAL | _MEASURES
)
_KEYS = {"type", "rules", "generate", "group-by", "timespan", "aliases", "condition"}
_WORDS = re.compile(r"\b(AND|OR|NOT)\b")


def parse_correlation(
    content: Mapping[str, Any], digest: str, malformed: Refuse, unsupported: RefuseFeature
) -> Correlation:
    """Translate one document; its references are not resolved yet. Raises what the two functions make."""
    section = content["correlation"]
    if not isinstance(section, dict):
        raise malformed("'correlation' must be a map")
    _refuse_features(section, unsupported)
    condition = section.get("condition")
    kind = str(section.get("type", "")).lower()
    if not isinstance(condition, dict) and kind not in _TEMPORAL:
        raise malformed("a correlation needs a condition that is a map")
    parsed = SigmaCorrelationRule.from_dict({**content, "correlation": _for_pysigma(section)})
    references = _references(parsed)
    if not references:
        raise malformed("a correlation needs at least one rule")
    if kind in _TEMPORAL and len(references) > MOST_RULES:
        raise unsupported(f"a correlation of type {kind} has at most {MOST_RULES} rules")
    found = Correlation(
        id=identity(content, digest),
        title=parsed.title,
        name=parsed.name,
        level=str(parsed.level) if parsed.level is not None else None,
        kind=kind,
        references=references,
        timespan_ns=parsed.timespan.seconds * SECOND_NS,
        group_by=tuple(parsed.group_by or ()),
        threshold=Threshold(1),
        counted=_counted(parsed, malformed),
        aliases=_aliases(parsed, references, malformed),
        generate=parsed.generate,
        digest=digest,
    )
    return _with_condition(found, parsed, condition, malformed, unsupported)


def _refuse_features(section: Mapping[str, Any], unsupported: RefuseFeature) -> None:
    kind = section.get("type")
    if isinstance(kind, str) and kind.lower() not in KINDS:
        raise unsupported(f"correlation type '{kind}' is not supported")
    if unknown := sorted(str(key) for key in section.keys() - _KEYS):
        raise unsupported(f"correlation attribute '{unknown[0]}' is not supported")


def _for_pysigma(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section as pySigma takes it: the first of a range's two operators, words in lower case."""
    condition = section.get("condition")
    if isinstance(condition, str):
        return {**section, "condition": _WORDS.sub(lambda word: word[0].lower(), condition)}
    if not isinstance(condition, dict):
        return dict(section)
    first = [key for key in condition if key in OPERATORS][:1]
    rest = {key: value for key, value in condition.items() if key not in OPERATORS}
    return {**section, "condition": {**{key: condition[key] for key in first}, **rest}}


def _references(parsed: SigmaCorrelationRule) -> tuple[str, ...]:
    if parsed.rules is None and isinstance(parsed.condition, sigma.SigmaExtendedCorrelationCondition):
        return tuple(parsed.condition.get_referenced_rules())
    return tuple(str(reference.reference) for reference in parsed.rules or ())


def _with_condition(
    found: Correlation,
    parsed: SigmaCorrelationRule,
    condition: Mapping[str, Any] | str | None,
    malformed: Refuse,
    unsupported: RefuseFeature,
) -> Correlation:
    """Return the correlation with what its condition says."""
    distinct = len(set(found.references))
    if isinstance(parsed.condition, sigma.SigmaExtendedCorrelationCondition):
        expression = _expression(parsed.condition.parsed)
        return _in_words(found, expression, distinct, unsupported)
    if not isinstance(condition, dict):
        return replace(found, threshold=Threshold(distinct))
    operators = _operators(condition, malformed)
    if found.kind in _MEASURES:
        return replace(found, measure=_measure(found.kind, condition, operators, malformed, unsupported))
    if "percentile" in condition:
        raise malformed(f"the condition of type {found.kind} takes no 'percentile'")
    threshold = _threshold(operators, malformed, unsupported)
    if found.kind in _TEMPORAL:
        threshold = _of_rules(found.kind, threshold, distinct, malformed, unsupported)
    return replace(found, threshold=threshold)


def _in_words(
    found: Correlation, expression: Expression, distinct: int, unsupported: RefuseFeature
) -> Correlation:
    """Take a temporal condition such as `a and not b`. All rules joined by `and` is the plain condition."""
    if expression.holds(()):
        raise unsupported("the condition holds when nothing happens, and a stream cannot show that")
    is_plain = all(not expression.holds({*found.references} - {each}) for each in found.references)
    if is_plain and expression.holds(found.references):
        return replace(found, threshold=Threshold(distinct))
    if found.kind == "temporal_ordered":
        raise unsupported("an order of rules other than all of them, joined by 'and', is not supported")
    return replace(found, expression=expression)


def _expression(node: Any) -> Expression:
    if isinstance(node, sigma.SigmaRuleReference):
        return Expression("rule", str(node.reference))
    kinds = {
        sigma.CorrelationConditionAND: "and",
        sigma.CorrelationConditionOR: "or",
        sigma.CorrelationConditionNOT: "not",
    }
    return Expression(kinds[type(node)], parts=tuple(_expression(each) for each in node.args))


def _of_rules(
    kind: str, threshold: Threshold, distinct: int, malformed: Refuse, unsupported: RefuseFeature
) -> Threshold:
    """Return a count of rules out of `distinct` ones; more than all of them is no upper end."""
    if threshold.low > distinct:
        raise malformed(f"the condition can never hold: it needs {threshold.low} of {distinct} rules")
    high = threshold.high if threshold.high is not None and threshold.high < distinct else None
    if kind == "temporal_ordered" and (threshold.low < distinct or high is not None):
        raise unsupported("an order of rules other than all of them is not supported")
    return Threshold(threshold.low, high)


def _operators(condition: Mapping[str, Any], malformed: Refuse) -> dict[str, int | float]:
    operators = {key: count for key, count in condition.items() if key in OPERATORS}
    if not operators:
        raise malformed("the condition of a correlation needs one of gt, gte, lt, lte, eq, neq")
    for name, count in operators.items():
        if isinstance(count, bool) or not isinstance(count, int | float) or not math.isfinite(count):
            raise malformed(f"the condition '{name}: {count}' is not a number")
    return operators


def _written(operators: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in operators.items())


def _measure(
    kind: str,
    condition: Mapping[str, Any],
    operators: Mapping[str, int | float],
    malformed: Refuse,
    unsupported: RefuseFeature,
) -> Measure:
    """Return what is measured. The sum of nothing is 0; everything else of nothing is nothing."""
    percentile = condition.get("percentile", 0)
    if (kind == "value_percentile") != ("percentile" in condition):
        raise malformed("'percentile' belongs into the condition of value_percentile, and there only")
    if percentile and (type(percentile) is not int or not 1 <= percentile <= 100):
        raise malformed(f"the percentile {percentile} is not a whole number from 1 to 100")
    if kind == "value_percentile" and not percentile:
        raise malformed(f"the percentile {percentile} is not a whole number from 1 to 100")
    if kind == "value_sum" and all(relation(name, 0, number) for name, number in operators.items()):
        raise unsupported(
            f"the condition '{_written(operators)}' holds when nothing happens, and a stream of matches "
            "cannot show that"
        )
    lows = [number for name, number in operators.items() if name in {"gt", "gte", "eq"}]
    highs = [number for name, number in operators.items() if name in {"lt", "lte", "eq"}]
    if lows and highs and max(lows) > min(highs):
        raise malformed(f"the condition '{_written(operators)}' can never hold")
    return Measure(kind, tuple((name, float(number)) for name, number in operators.items()), percentile)


def _threshold(
    operators: Mapping[str, int | float], malformed: Refuse, unsupported: RefuseFeature
) -> Threshold:
    """Return the counts that satisfy all operators, as one interval.

    A stream only shows what happened, so a condition that holds when nothing happened cannot be decided.
    """
    low, high = 0, math.inf
    for name, count in operators.items():
        least, most = _interval(name, count)
        low, high = max(low, least), min(high, most)
    written = _written(operators)
    if low <= 0 <= high or operators.get("neq", 0) != 0:
        raise unsupported(
            f"the condition '{written}' holds when nothing happens, and a stream of matches cannot show that"
        )
    if low > high:
        raise malformed(f"the condition '{written}' can never hold")
    if max(low, high if high < math.inf else 0) > HIGHEST_COUNT:
        raise unsupported(f"the condition '{written}' needs counting beyond {HIGHEST_COUNT}")
    return Threshold(low, None if high == math.inf else int(high))


def _interval(name: str, count: int | float) -> tuple[int, float]:
    """Return the whole numbers that satisfy one operator. Of `neq` only `neq: 0` leaves out zero."""
    up, down = math.ceil(count), math.floor(count)
    intervals: dict[str, tuple[int, float]] = {
        "gte": (up, math.inf),
        "gt": (down + 1, math.inf),
        "lte": (0, down),
        "lt": (0, up - 1),
        "eq": (up, down),
        "neq": (1, math.inf) if count == 0 else (0, math.inf),
    }
    return intervals[name]


def _counted(parsed: SigmaCorrelationRule, malformed: Refuse) -> tuple[str, ...]:
    kind = parsed.type.name.lower()
    fields = getattr(parsed.condition, "fieldref", None)
    counts_values = kind == "value_count" or kind in _MEASURES
    if not counts_values and fields is not None:
        what = "events" if kind == "event_count" else "rules"
        raise malformed(f"a correlation of type {kind} counts {what}; its condition takes no 'field'")
    if not counts_values:
        return ()
    counted = (fields,) if isinstance(fields, str) else tuple(fields or ())
    if not counted or not all(isinstance(field, str) for field in counted):
        raise malformed(f"a {kind} correlation needs a 'field' in its condition")
    if kind in _MEASURES and len(counted) > 1:
        raise malformed(f"a {kind} correlation measures one field")
    return counted


def _aliases(
    parsed: SigmaCorrelationRule, references: tuple[str, ...], malformed: Refuse
) -> Mapping[str, Mapping[str, str]]:
    aliases: dict[str, dict[str, str]] = {}
    for alias in parsed.aliases:
        fields = {str(reference.reference): str(name) for reference, name in alias.mapping.items()}
        if strangers := sorted(fields.keys() - set(references)):
            raise malformed(
                f"alias '{alias.alias}' names rule '{strangers[0]}', which the correlation does not count"
            )
        aliases[alias.alias] = fields
    return aliases
