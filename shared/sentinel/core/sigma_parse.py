"""Reads Sigma YAML with pySigma and translates it to `detection` trees and correlations.

The three `sigma_` modules alone import pySigma (150 ms): everything else works on their results. Whatever the
translation does not carry over is refused by name, with the file, the rule and the feature in the message;
nothing is dropped silently. The meaning of each construct is the Sigma specification's, version 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import re2
from sigma import conditions, exceptions, types
from sigma.modifiers import SigmaExpandModifier, modifier_mapping
from sigma.rule import SigmaDetection, SigmaDetectionItem, SigmaRule

from sentinel.core.correlation import Correlation
from sentinel.core.detection import (
    And,
    Cidr,
    Compare,
    Exists,
    Expression,
    LogSource,
    Matcher,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Rule,
    Test,
    Text,
    Wildcard,
    identity,
)
from sentinel.core.event_fields import Field, text
from sentinel.core.predicates import compile_expression
from sentinel.core.sigma_correlation import parse_correlation
from sentinel.core.sigma_documents import Document

Placeholders = Mapping[str, Sequence[str]]

_COMPARISONS = {
    types.CompareOperators.LT: "<",
    types.CompareOperators.LTE: "<=",
    types.CompareOperators.GT: ">",
    types.CompareOperators.GTE: ">=",
    types.CompareOperators.NEQ: "!=",
}
_WILDCARDS = {
    types.SpecialChars.WILDCARD_MULTI: Wildcard.MANY,
    types.SpecialChars.WILDCARD_SINGLE: Wildcard.ONE,
}
_FLAGS = types.SigmaRegularExpression.sigma_to_re_flag
_ENCODERS = {
    modifier_mapping[name] for name in ("base64", "base64offset", "wide", "utf16", "utf16be", "windash")
}


def parse(document: Document, placeholders: Placeholders) -> Rule | Correlation:
    """Translate one document. Raises Malformed or Unsupported."""
    _refuse_what_is_ignored(document)
    try:
        if "correlation" in document.content:
            return parse_correlation(
                document.content, document.digest, document.malformed, document.unsupported
            )
        return _Translation(document, placeholders).rule()
    except exceptions.SigmaRegularExpressionError as error:
        raise document.unsupported(
            f"{_reason(error)} (patterns run on RE2, in linear time: no look-around, no back-references)"
        ) from None
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise document.unsupported(f"a pattern that RE2 does not take: {said}") from None
    except exceptions.SigmaError as error:
        # Exactly this class is an unknown modifier; its subclasses are wrong uses of known ones.
        unknown = type(error) is exceptions.SigmaModifierError or "pipe syntax" in str(error)
        raise (document.unsupported if unknown else document.malformed)(_reason(error)) from None
    except RecursionError:
        raise document.malformed("the condition is nested too deeply") from None
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        # pySigma assumes types that YAML does not guarantee, for example a number as the condition.
        raise document.malformed(f"not a Sigma rule: {type(error).__name__}: {error}") from None


def _reason(error: exceptions.SigmaError) -> str:
    return " ".join(str(error).split())


def _refuse_what_is_ignored(document: Document) -> None:
    """Refuse what pySigma would read past, or read as something else than its author meant."""
    content = document.content
    if "action" in content:
        raise document.unsupported(f"action '{content['action']}' (rule collections) is not supported")
    if "filter" in content and "detection" not in content:
        raise document.unsupported("Sigma filters are not supported yet")
    if content.get("taxonomy", "sigma") != "sigma":
        raise document.unsupported(f"taxonomy '{content['taxonomy']}' is not supported, only 'sigma'")
    detection = content.get("detection")
    if isinstance(detection, dict) and "timeframe" in detection:
        raise document.unsupported("detection 'timeframe' is deprecated; use a correlation with 'timespan'")


class _Translation:
    """Translates one rule document; holds what every step needs for its messages."""

    def __init__(self, document: Document, placeholders: Placeholders) -> None:
        self._document = document
        self._placeholders = placeholders

    def rule(self) -> Rule:
        document = self._document
        parsed = SigmaRule.from_dict(document.content)
        for detection in parsed.detection.detections.values():
            self._expand(detection)
        conditions_ = [self._node(condition.parsed) for condition in parsed.detection.parsed_condition]
        expression = conditions_[0] if len(conditions_) == 1 else Or(tuple(conditions_))
        logsource = parsed.logsource
        return Rule(
            id=identity(document.content, document.digest),
            title=parsed.title,
            name=parsed.name,
            level=str(parsed.level) if parsed.level is not None else None,
            status=str(parsed.status) if parsed.status is not None else None,
            tags=tuple(str(tag) for tag in parsed.tags),
            logsource=LogSource(logsource.category, logsource.product, logsource.service),
            digest=document.digest,
            expression=expression,
            predicate=compile_expression(expression),
        )

    def _expand(self, detection: SigmaDetection | SigmaDetectionItem) -> None:
        """Put the values of placeholders in their place. Several values of one are alternatives."""
        if isinstance(detection, SigmaDetection):
            for item in detection.detection_items:
                self._expand(item)
        elif SigmaExpandModifier in detection.modifiers:
            if _ENCODERS.intersection(detection.modifiers):
                raise self._document.unsupported("modifier 'expand' together with an encoding modifier")
            detection.value = [self._expanded(value) for value in detection.value]

    def _expanded(self, value: types.SigmaType) -> types.SigmaType:
        if not isinstance(value, types.SigmaString | types.SigmaRegularExpression):
            return value
        if not value.contains_placeholder():
            return value
        if isinstance(value, types.SigmaRegularExpression):
            raise self._document.unsupported("a placeholder in a regular expression")
        values: list[types.SigmaType] = list(value.replace_placeholders(self._values_of))
        if isinstance(value, types.SigmaCasedString):
            values = [types.SigmaCasedString.from_sigma_string(v) for v in values]  # type: ignore[arg-type]
        return types.SigmaExpansion(values)

    def _values_of(self, placeholder: types.Placeholder) -> Iterator[str]:
        try:
            yield from self._placeholders[placeholder.name]
        except KeyError:
            raise self._document.unsupported(
                f"modifier 'expand': no value was given for placeholder '%{placeholder.name}%'"
            ) from None

    def _node(self, node: object) -> Expression:
        match node:
            case conditions.ConditionAND(args=args):
                return And(tuple(self._node(arg) for arg in args))
            case conditions.ConditionOR(args=args):
                return Or(tuple(self._node(arg) for arg in args))
            case conditions.ConditionNOT(args=[arg]):
                return Not(self._node(arg))
            case conditions.ConditionFieldEqualsValueExpression(field=field, value=value):
                return self._test(Field.of(field), value)
            case conditions.ConditionValueExpression(value=value):
                return self._test(None, value)
        raise self._document.malformed("the condition says nothing")

    def _test(self, field: Field | None, value: types.SigmaType) -> Expression:
        if isinstance(value, types.SigmaExpansion):
            return Or(tuple(self._test(field, each) for each in value.values))
        matcher = self._matcher(value)
        if field is None and not isinstance(matcher, Text | Regex):
            raise self._document.unsupported(f"a keyword that is not a text: {type(value).__name__}")
        return Test(field, matcher)

    def _matcher(self, value: types.SigmaType) -> Matcher:
        translate = _MATCHERS.get(type(value))
        if translate is None:
            raise self._document.unsupported(f"a value of type {type(value).__name__}")
        return translate(value)


def _string(value: Any) -> Text:
    parts: list[str | Wildcard] = []
    for part in value.s:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, types.Placeholder):  # only reachable when a modifier put it there after _expand
            raise exceptions.SigmaPlaceholderError(f"placeholder '%{part.name}%' was not expanded")
        elif not (parts and parts[-1] is Wildcard.MANY and _WILDCARDS[part] is Wildcard.MANY):
            parts.append(_WILDCARDS[part])
    return Text(_joined(parts), cased=isinstance(value, types.SigmaCasedString))


def _joined(parts: Sequence[str | Wildcard]) -> tuple[str | Wildcard, ...]:
    """`parts` with neighbouring strings made one, so that a pattern has one form."""
    joined: list[str | Wildcard] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)


def _plain(value: Any) -> Text:
    """Numbers and booleans compare by their JSON text, see `event_fields.text`."""
    return Text((text(value.to_plain()) or "",))


def _regex(value: Any) -> Regex:
    flags = "".join(sorted(_FLAGS[flag] for flag in value.flags))
    return Regex((f"(?{flags})" if flags else "") + str(value.regexp))


def _date_part(value: Any) -> Compare:
    return Compare("==", value.number, value.timestamp_part.name.lower())


def _compare(value: Any) -> Compare:
    part = (
        value.number.timestamp_part.name.lower() if type(value.number) is types.SigmaTimestampPart else None
    )
    return Compare(_COMPARISONS[value.op], value.number.number, part)


_MATCHERS: dict[type, Callable[[Any], Matcher]] = {
    types.SigmaString: _string,
    types.SigmaCasedString: _string,
    types.SigmaNumber: _plain,
    types.SigmaBool: _plain,
    types.SigmaNull: lambda _: Null(),
    types.SigmaExists: lambda value: Exists(value.exists),
    types.SigmaRegularExpression: _regex,
    types.SigmaCIDRExpression: lambda value: Cidr(str(value.network)),
    types.SigmaCompareExpression: _compare,
    types.SigmaTimestampPart: _date_part,
    types.SigmaFieldReference: lambda value: Reference(
        Field.of(value.field), value.starts_with, value.ends_with
    ),
}
