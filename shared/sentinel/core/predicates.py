"""Turns a detection tree into a function of an event.

Every predicate is total and takes time linear in the event: regular expressions and `?` patterns run on RE2,
which does not backtrack (entries are written by strangers, and Python's `re` has no time-out), `*` patterns
are matched greedily, and nothing recurses over the event. Predicates never raise.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any

from sentinel.core.detection import (
    And,
    Cidr,
    Compare,
    Exists,
    Expression,
    Matcher,
    Not,
    Null,
    Or,
    Reference,
    Regex,
    Test,
    Text,
    Wildcard,
)
from sentinel.core.event_fields import Field, View, scalars

Predicate = Callable[[View], bool]
TextTest = Callable[[str], bool]

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_LONGEST_ADDRESS = 64
_LONGEST_DATE = 40


def compile_expression(expression: Expression) -> Predicate:
    """Return the predicate of a detection tree. Raises re2.error for a pattern that RE2 does not take."""
    match expression:
        case Test(field, matcher):
            return _keyword(matcher) if field is None else _field_test(field, matcher)
        case Not(arg):
            inner = compile_expression(arg)
            return lambda view: not inner(view)
        case And(args):
            return _all([compile_expression(arg) for arg in args])
        case Or(args):
            return _any(_merged(args))


def _all(predicates: list[Predicate]) -> Predicate:
    def holds(view: View) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would cost more than most predicates do
            if not predicate(view):
                return False
        return True

    return holds


def _any(predicates: list[Predicate]) -> Predicate:
    def holds(view: View) -> bool:
        for predicate in predicates:  # noqa: SIM110 - as above
            if predicate(view):
                return True
        return False

    return predicates[0] if len(predicates) == 1 else holds


def _merged(args: Iterable[Expression]) -> list[Predicate]:
    """Compile alternatives, with exact values of the same field taken together as one set look-up."""
    exact: dict[str, tuple[Field, set[str]]] = {}
    others: list[Predicate] = []
    for arg in args:
        literal = exact_literal(arg)
        if literal is None:
            others.append(compile_expression(arg))
        else:
            exact.setdefault(literal[0].key, (literal[0], set()))[1].add(literal[1])
    return [_one_of(field, frozenset(literals)) for field, literals in exact.values()] + others


def exact_literal(expression: Expression) -> tuple[Field, str] | None:
    """(field, folded literal) when `expression` is a test for exactly that value, case-insensitively."""
    match expression:
        case Test(Field() as field, Text(parts, cased=False)):
            if not parts:
                return field, ""
            if len(parts) == 1 and isinstance(parts[0], str):
                return field, parts[0].casefold()
    return None


def _one_of(field: Field, literals: frozenset[str]) -> Predicate:
    def holds(view: View) -> bool:
        return not literals.isdisjoint(view.texts(field))

    return holds


def _field_test(field: Field, matcher: Matcher) -> Predicate:
    match matcher:
        case Null():
            return lambda view: not (values := view.values(field)) or None in values
        case Exists(wanted):
            return lambda view: (view.values(field) is not None) is wanted
        case Text():
            return _text_test(field, matcher)
        case Reference():
            return _reference(field, matcher)
        case Compare():
            return partial(_any_value, field, _comparison(matcher))
        case Cidr() | Regex():
            return partial(_any_raw_text, field, _raw_text_test(matcher))


def _raw_text_test(matcher: Cidr | Regex) -> TextTest:
    return _address_in(matcher.network) if isinstance(matcher, Cidr) else linear_search(matcher.pattern)


def _any_value(field: Field, test: Callable[[object], bool], view: View) -> bool:
    return any(test(value) for value in view.values(field) or ())


def _any_raw_text(field: Field, test: TextTest, view: View) -> bool:
    return any(test(found) for found in view.raw_texts(field))


def _any_folded_text(field: Field, test: TextTest, view: View) -> bool:
    return any(test(found) for found in view.texts(field))


def _text_test(field: Field, pattern: Text) -> Predicate:
    if pattern.parts == (Wildcard.MANY,):
        return lambda view: any(value is not None for value in view.values(field) or ())
    literal = exact_literal(Test(field, pattern))
    if literal is not None:
        folded = literal[1]
        return lambda view: folded in view.texts(field)
    return partial(_any_raw_text if pattern.cased else _any_folded_text, field, text_pattern(pattern))


def text_pattern(pattern: Text) -> TextTest:
    """Return a test of one text against the whole of `pattern`; of a folded text unless it is cased."""
    parts = pattern.parts if pattern.cased else tuple(_folded(part) for part in pattern.parts)
    if Wildcard.ONE in parts:
        return _single_wildcards(parts)
    literals = [part for part in parts if isinstance(part, str)]
    head = literals.pop(0) if literals and parts[0] is not Wildcard.MANY else ""
    if Wildcard.MANY not in parts:
        return head.__eq__
    tail = literals.pop() if literals and parts[-1] is not Wildcard.MANY else ""
    return _glob(head, tuple(literals), tail)


def _folded(part: str | Wildcard) -> str | Wildcard:
    return part.casefold() if isinstance(part, str) else part


def _glob(head: str, middle: tuple[str, ...], tail: str) -> TextTest:
    """`head*middle*...*tail`. Taking the leftmost place of each part is enough and needs no going back."""
    if not middle:
        if head and tail:
            shortest = len(head) + len(tail)
            return lambda found: len(found) >= shortest and found.startswith(head) and found.endswith(tail)
        return (lambda found: found.startswith(head)) if head else (lambda found: found.endswith(tail))
    if len(middle) == 1 and not head and not tail:
        only = middle[0]
        return lambda found: only in found
    return partial(_parts_in_order, head, middle, tail)


def _parts_in_order(head: str, middle: tuple[str, ...], tail: str, found: str) -> bool:
    if not found.startswith(head) or not found.endswith(tail):
        return False
    at, end = len(head), len(found) - len(tail)
    for part in middle:
        at = found.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _single_wildcards(parts: Iterable[str | Wildcard]) -> TextTest:
    import re2

    spelled = {Wildcard.MANY: ".*", Wildcard.ONE: "."}
    body = "".join(spelled[p] if isinstance(p, Wildcard) else re2.escape(p) for p in parts)
    return linear_search(rf"(?s)\A{body}\z")


def linear_search(pattern: str) -> TextTest:
    """Return a test whether RE2 finds `pattern` in a text, in time linear in it. Raises re2.error."""
    import re2

    options = re2.Options()
    options.log_errors = False  # it is raised, and said in our own words
    search = re2.compile(pattern, options).search
    # RE2 works on UTF-8. Lone surrogates have no UTF-8 form; "?" stands in for them.
    return lambda found: search(found.encode(errors="replace")) is not None


def _reference(field: Field, reference: Reference) -> Predicate:
    def related(mine: str, theirs: str) -> bool:
        if reference.starts and reference.ends:
            return theirs in mine
        if reference.starts:
            return mine.startswith(theirs)
        return mine.endswith(theirs) if reference.ends else mine == theirs

    def holds(view: View) -> bool:
        others = view.texts(reference.other)
        return any(related(mine, theirs) for mine in view.texts(field) for theirs in others)

    return holds


def _address_in(network: str) -> TextTest:
    inside = ip_network(network)

    def holds(found: str) -> bool:
        if len(found) > _LONGEST_ADDRESS:
            return False
        try:
            return ip_address(found) in inside
        except ValueError:
            return False

    return holds


def _comparison(compare: Compare) -> Callable[[object], bool]:
    related = _OPERATORS[compare.op]
    number = compare.number

    def holds(value: object) -> bool:
        actual = _number(value) if compare.part is None else _date_part(value, compare.part)
        return actual is not None and related(actual, number)

    return holds


def _number(value: object) -> int | float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    return None


def _date_part(value: object, part: str) -> int | None:
    if not isinstance(value, str) or len(value) > _LONGEST_DATE:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment.isocalendar().week if part == "week" else int(getattr(moment, part))


def _keyword(matcher: Matcher) -> Predicate:
    match matcher:
        case Regex(pattern):
            search = linear_search(pattern)
            return lambda view: any(search(found) for found in scalars(view.event))
        case Text((str() as literal,), cased=False) if "\0" not in literal:
            folded = literal.casefold()
            return lambda view: folded in view.blob()
        case Text():
            return _keyword_pattern(matcher)
    raise AssertionError(matcher)  # sigma_parse lets only texts and regular expressions through


def _keyword_pattern(pattern: Text) -> Predicate:
    anywhere = text_pattern(Text((Wildcard.MANY, *pattern.parts, Wildcard.MANY), pattern.cased))
    if pattern.cased:
        return lambda view: any(anywhere(found) for found in scalars(view.event))
    return lambda view: any(anywhere(found.casefold()) for found in scalars(view.event))
