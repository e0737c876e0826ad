"""Reads from a detection tree what every event it holds for must contain.

A *probe* is a cheap fact about an event: a field has this value, starts or ends with this, contains this;
some text of the event contains this; a field is present at all. `required` finds probes of which at least one
is true of every event that a tree holds for. Of a conjunction the most selective member's probes suffice; of
alternatives all are needed; a negation promises nothing. Literals are case-folded, and folding works
character by character, so a case-sensitive test never holds where its folded probe is not true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sentinel.core.detection import (
    And,
    Exists,
    Expression,
    Not,
    Null,
    Or,
    Regex,
    Test,
    Text,
    Wildcard,
)
from sentinel.core.event_fields import Field

# What being indexed under a probe of a kind costs, relative to an exact value, before it is weighed by how
# many rules share the probe. Measured on CloudTrail and Sysmon events; only their order matters much.
_WEIGHTS = {"equals": 1, "starts": 2, "ends": 2, "contains": 5, "keyword": 10, "present": 40}

# A literal shorter than this says too little to be worth a substring probe when a stronger one exists.
_SHORT = 3
_SHORT_PENALTY = 4

# Prefixes and suffixes are cut to one of these lengths, so that a field needs at most this many look-ups.
_CUTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# What a regular expression is made of, as far as `regex_literal` needs to know: an escape, a class, a group
# without groups in it, a repetition, or one character. A parenthesis that is left over belongs to nested
# groups.
_REGEX_PIECE = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^()\[\]\\])*\)|\{[0-9,]*\}|.",
    re.DOTALL,
)
_CLASSES = "dDwWsSbBAz"


@dataclass(frozen=True, slots=True)
class Probe:
    """A fact about an event: `kind` is a key of `_WEIGHTS`; `field` is None for keywords."""

    kind: str
    field: Field | None
    literal: str = ""


Probes = frozenset[Probe]


def required(expression: Expression, cost: Callable[[Probes], float]) -> Probes | None:
    """Probes of which at least one is true of any event that `expression` holds for; None if there are none.

    `cost` decides between the members of a conjunction.
    """
    match expression:
        case Test():
            probe = _probe(expression)
            return None if probe is None else frozenset((probe,))
        case Not():
            return None
        case And(args):
            options = [probes for arg in args if (probes := required(arg, cost)) is not None]
            return min(options, key=cost) if options else None
        case Or(args):
            needed = [required(arg, cost) for arg in args]
            return None if None in needed else frozenset().union(*(probes for probes in needed if probes))


def _probe(test: Test) -> Probe | None:
    field = test.field
    match test.matcher:
        case Text(parts):
            return _keyword_probe(parts) if field is None else _text_probe(field, parts)
        case Null() | Exists(wanted=False):
            return None
        case Regex(pattern) if literal := regex_literal(pattern):
            return _keyword_probe((literal,)) if field is None else Probe("contains", field, literal)
        case _:
            return None if field is None else Probe("present", field)


def _keyword_probe(parts: Sequence[str | Wildcard]) -> Probe | None:
    literals = [part.casefold() for part in parts if isinstance(part, str)]
    longest = max(literals, key=len, default="")
    # The blob of an event joins its texts by NUL, so a literal with NUL in it cannot be looked for there.
    return Probe("keyword", None, longest) if longest and "\0" not in longest else None


def _text_probe(field: Field, parts: Sequence[str | Wildcard]) -> Probe:
    """Choose the strongest fact: an exact value, else the longest literal, at its place when it has one."""
    if not any(isinstance(part, Wildcard) for part in parts):
        return Probe("equals", field, "".join(str(part) for part in parts).casefold())
    options = []
    for i, part in enumerate(parts):
        if isinstance(part, str) and (literal := part.casefold()):
            if i == 0:
                options.append(Probe("starts", field, _cut(literal)))
            elif i == len(parts) - 1:
                options.append(Probe("ends", field, literal[len(literal) - len(_cut(literal)) :]))
            else:
                options.append(Probe("contains", field, literal))
    return min(options, key=own_cost, default=Probe("present", field))


def regex_literal(pattern: str) -> str:
    r"""Find a literal that is in every folded text the pattern is found in; "" when none is evident.

    Only plain characters outside of groups, classes and alternatives are read; anything unusual ends the
    attempt.

    >>> regex_literal(r"^.+:assumed-role/aws:.+$"), regex_literal(r"(?i)\s-k\s"), regex_literal("ab|cd")
    (':assumed-role/aws:', '-k', '')
    """
    if "[:" in pattern:  # a named class, whose brackets the tokens below would misread
        return ""
    runs = [""]
    for piece in _REGEX_PIECE.findall(pattern):
        plain = _plain_characters(piece)
        if plain is None:
            return ""
        if piece[0] in "*?{":  # the character before may be absent
            runs[-1:] = [runs[-1][:-1], ""]
        elif plain:
            runs[-1] += plain
        else:
            runs.append("")
    # RE2 and Python agree on how ASCII letters fold; beyond them nothing is promised.
    return max((run.casefold() for run in runs if run.isascii()), key=len, default="")


def _plain_characters(piece: str) -> str | None:
    """Return what one piece of a pattern stands for: its character, "" for many, None for "do not ask"."""
    if piece in {"|", "(", ")", "\\"}:
        return None
    if piece[0] == "\\":
        if not piece[1].isalnum():
            return piece[1]
        return "" if piece[1] in _CLASSES else None
    return piece if len(piece) == 1 and piece not in ".^$+*?{" else ""


def _cut(literal: str) -> str:
    return literal[: max(size for size in _CUTS if size <= len(literal))]


def own_cost(probe: Probe) -> float:
    """Say what one probe of this kind costs, before it is weighed by how many rules share it."""
    weight: float = _WEIGHTS[probe.kind]
    if probe.kind not in {"equals", "present"} and len(probe.literal) < _SHORT:
        weight *= _SHORT_PENALTY
    return weight


def leaves(expression: Expression) -> Iterator[Probe]:
    """Yield the probes of all tests in a tree that are not negated."""
    match expression:
        case Test():
            probe = _probe(expression)
            if probe is not None:
                yield probe
        case And(args) | Or(args):
            for arg in args:
                yield from leaves(arg)
        case Not():
            return
