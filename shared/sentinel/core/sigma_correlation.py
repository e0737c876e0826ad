"""Reads the `correlation` document of Sigma YAML (sigma-correlation-rules-specification, version 2).

pySigma validates the document; this module takes from it what `Correlation` needs, reads the condition itself
(pySigma takes no ranges such as `gt: 100, lte: 200`, the specification does) and refuses by name what cannot
be decided on a stream of matches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from sigma.correlations import SigmaCorrelationRule, SigmaCorrelationType

from sentinel.core.correlation import Correlation, Threshold
from sentinel.core.detection import identity
from sentinel.errors import Malformed, Unsupported

Refuse = Callable[[str], Malformed]
RefuseFeature = Callable[[str], Unsupported]

SECOND_NS = 1_000_000_000

# A group's state holds up to this many hits and a reserve (see `correlation_state`): at about 30 bytes a hit,
# a state then fits an item of 400 KB with room to spare.
HIGHEST_COUNT = 5000

_KINDS = {SigmaCorrelationType.EVENT_COUNT, SigmaCorrelationType.VALUE_COUNT}
_OPERATORS = {"gt", "gte", "lt", "lte", "eq", "neq"}
_KEYS = {"type", "rules", "generate", "group-by", "timespan", "aliases", "condition"}


def parse_correlation(
    content: Mapping[str, Any], digest: str, malformed: Refuse, unsupported: RefuseFeature
) -> Correlation:
    """Translate one document; its references are not resolved yet. Raises what the two functions make."""
    section = content["correlation"]
    if not isinstance(section, dict):
        raise malformed("'correlation' must be a map")
    _refuse_features(section, unsupported)
    condition = section.get("condition")
    if not isinstance(condition, dict):
        raise malformed("a correlation needs a condition that is a map")
    operators = {key: count for key, count in condition.items() if key in _OPERATORS}
    threshold = _threshold(operators, malformed, unsupported)
    parsed = SigmaCorrelationRule.from_dict({**content, "correlation": _for_pysigma(section, condition)})
    counted = _counted(parsed, malformed)
    references = tuple(str(reference.reference) for reference in parsed.rules or ())
    if not references:
        raise malformed("a correlation needs at least one rule")
    return Correlation(
        id=identity(content, digest),
        title=parsed.title,
        name=parsed.name,
        level=str(parsed.level) if parsed.level is not None else None,
        kind=parsed.type.name.lower(),
        references=references,
        timespan_ns=parsed.timespan.seconds * SECOND_NS,
        group_by=tuple(parsed.group_by or ()),
        threshold=threshold,
        counted=counted,
        aliases=_aliases(parsed, references, malformed),
        generate=parsed.generate,
        digest=digest,
    )


def _refuse_features(section: Mapping[str, Any], unsupported: RefuseFeature) -> None:
    kind = section.get("type")
    if isinstance(kind, str) and kind.upper() not in {known.name for known in _KINDS}:
        raise unsupported(f"correlation type '{kind}' is not supported yet")
    if unknown := sorted(str(key) for key in section.keys() - _KEYS):
        raise unsupported(f"correlation attribute '{unknown[0]}' is not supported")


def _for_pysigma(section: Mapping[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section as pySigma takes it: with the first of a range's two operators only."""
    first = next(key for key in condition if key in _OPERATORS)
    rest = {key: value for key, value in condition.items() if key not in _OPERATORS}
    return {**section, "condition": {first: condition[first], **rest}}


def _threshold(operators: Mapping[str, Any], malformed: Refuse, unsupported: RefuseFeature) -> Threshold:
    """Return the counts that satisfy all operators, as one interval.

    A stream only shows what happened, so a condition that holds when nothing happened cannot be decided.
    """
    if not operators:
        raise malformed("the condition of a correlation needs one of gt, gte, lt, lte, eq, neq")
    low, high = 0, math.inf
    for name, count in operators.items():
        if isinstance(count, bool) or not isinstance(count, int | float) or not math.isfinite(count):
            raise malformed(f"the condition '{name}: {count}' is not a number")
        least, most = _interval(name, count)
        low, high = max(low, least), min(high, most)
    written = ", ".join(f"{name}: {count}" for name, count in operators.items())
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
    fields = getattr(parsed.condition, "fieldref", None)
    if parsed.type is SigmaCorrelationType.EVENT_COUNT:
        if fields is not None:
            raise malformed("an event_count correlation counts events; its condition takes no 'field'")
        return ()
    counted = (fields,) if isinstance(fields, str) else tuple(fields or ())
    if not counted or not all(isinstance(field, str) for field in counted):
        raise malformed("a value_count correlation needs a 'field' in its condition")
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
