"""Finds the rules that an event could match without evaluating the others.

A rule's tree is read for *probes*: cheap facts of which at least one must be true of every event the rule matches
(a field has this value, starts or ends with this, contains this; some text of the event contains this; a field is
present at all). Of a conjunction the most selective member's probes suffice; of alternatives all are needed; a
negation promises nothing. The index answers "whose probe is true here?" by dictionary look-ups on the fields the
event really has, and one RE2 pass for a whole group of substrings. Rules without probes are always candidates.
So the cost follows the event and its near-matches, and hardly the number of rules. The index only ever leaves out
rules that cannot match: `tests/core/test_rules.py` compares it with evaluating everything.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sentinel.core.detection import And, Exists, Expression, Not, Null, Or, Regex, Test, Text, Wildcard
from sentinel.core.event_fields import Field, View

# What being indexed under a probe of a kind costs, relative to an exact value, before it is weighed by how many
# rules share the probe. Measured on CloudTrail and Sysmon events; only their order matters much.
_WEIGHTS = {"equals": 1, "starts": 2, "ends": 2, "contains": 5, "keyword": 10, "present": 40}

# A literal shorter than this says too little to be worth a substring probe when a stronger one exists.
_SHORT = 3
_SHORT_PENALTY = 4

# Prefixes and suffixes are cut to one of these lengths, so that a field needs at most this many look-ups.
_CUTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)

# From this many literals on, one RE2 pass is cheaper than looking for each literal by itself.
_SCAN_FROM = 12

# What a regular expression is made of, as far as `regex_literal` needs to know: an escape, a class, a group
# without groups in it, a repetition, or one character. A parenthesis that is left over belongs to nested groups.
_REGEX_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|[^()\[\]\\])*\)|\{[0-9,]*\}|.",
    re.DOTALL,
)
_CLASSES = "dDwWsSbBAz"

# For the automata of one group of literals, in bytes. They are built lazily and start over when it is used up.
_SCAN_MEMORY = 64 << 20


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
    """The strongest fact: an exact value, else the longest literal, at its place when it has one."""
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
    return min(options, key=_own_cost, default=Probe("present", field))


def regex_literal(pattern: str) -> str:
    """A folded literal that is in every folded text the pattern is found in; "" when none is evident.

    Only plain characters outside of groups, classes and alternatives are read; anything unusual ends the attempt.

    >>> regex_literal(r"^.+:assumed-role/aws:.+$"), regex_literal(r"(?i)\\s-k\\s"), regex_literal("ab|cd")
    (':assumed-role/aws:', '-k', '')
    """
    if "[:" in pattern:  # a named class, whose brackets the tokens below would misread
        return ""
    runs = [""]
    for token in _REGEX_TOKEN.findall(pattern):
        if (
            token in {"|", "(", ")", "\\"}
            or token[:1] == "\\"
            and token[1].isalnum()
            and token[1] not in _CLASSES
        ):
            return ""
        if token[0] in "*?{":  # the character before may be absent
            runs[-1:] = [runs[-1][:-1], ""]
        elif len(token) == 1 and token not in ".^$+":
            runs[-1] += token
        elif len(token) == 2 and token[0] == "\\" and not token[1].isalnum():
            runs[-1] += token[1]
        else:
            runs.append("")
    # RE2 and Python agree on how ASCII letters fold; beyond them nothing is promised.
    return max((run.casefold() for run in runs if run.isascii()), key=len)


def _cut(literal: str) -> str:
    return literal[: max(size for size in _CUTS if size <= len(literal))]


def _own_cost(probe: Probe) -> float:
    weight: float = _WEIGHTS[probe.kind]
    if probe.kind not in {"equals", "present"} and len(probe.literal) < _SHORT:
        weight *= _SHORT_PENALTY
    return weight


class LiteralIndex:
    """The index over some rules' trees, by position. Immutable once built; safe to share between threads."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        shared = Counter(probe for expression in expressions for probe in set(_leaves(expression)))

        def cost(probes: Probes) -> float:
            return max((_own_cost(probe) * shared[probe] for probe in probes), default=0) + len(probes) / 100

        owners: defaultdict[Probe, list[int]] = defaultdict(list)
        always: list[int] = []
        for position, expression in enumerate(expressions):
            probes = required(expression, cost)
            for probe in probes if probes is not None else ():
                owners[probe].append(position)
            if probes is None:
                always.append(position)
        self.always = tuple(always)
        self._keywords = _Scan({p.literal: held for p, held in owners.items() if p.field is None})
        self._by_root = _by_root(_FieldIndex(field, held) for field, held in _by_field(owners))

    def candidates(self, view: View) -> set[int]:
        """Positions of the expressions that can hold for this event; the others cannot."""
        found = set(self.always)
        by_root = self._by_root
        for scope in view.scopes:
            for root in by_root.keys() & scope.keys():
                for field_index in by_root[root]:
                    field_index.collect(view, found)
        if self._keywords:
            self._keywords.collect(view.blob(), found)
        return found


def _leaves(expression: Expression) -> Iterator[Probe]:
    match expression:
        case Test():
            probe = _probe(expression)
            if probe is not None:
                yield probe
        case And(args) | Or(args):
            for arg in args:
                yield from _leaves(arg)
        case Not():
            return


def _by_field(owners: dict[Probe, list[int]]) -> Iterator[tuple[Field, dict[Probe, list[int]]]]:
    grouped: defaultdict[Field, dict[Probe, list[int]]] = defaultdict(dict)
    for probe, held in owners.items():
        if probe.field is not None:
            grouped[probe.field][probe] = held
    yield from grouped.items()


def _by_root(indexes: Iterable[_FieldIndex]) -> dict[str, tuple[_FieldIndex, ...]]:
    """Field indexes by the keys of a scope under which their field can be found: itself, or its first part.

    At every map the rest of a dotted path is tried as one key, but the first map is the scope itself.
    """
    grouped: defaultdict[str, list[_FieldIndex]] = defaultdict(list)
    for index in indexes:
        for root in {index.field.key, index.field.parts[0]}:
            grouped[root].append(index)
    return {root: tuple(held) for root, held in grouped.items()}


class _FieldIndex:
    """All probes of one field."""

    __slots__ = ("_contains", "_ends", "_equals", "_present", "_starts", "field")

    def __init__(self, field: Field, owners: dict[Probe, list[int]]) -> None:
        self.field = field
        self._equals = {p.literal: tuple(held) for p, held in owners.items() if p.kind == "equals"}
        self._present = tuple(i for p, held in owners.items() if p.kind == "present" for i in held)
        self._starts = _by_length({p.literal: held for p, held in owners.items() if p.kind == "starts"})
        self._ends = _by_length({p.literal: held for p, held in owners.items() if p.kind == "ends"})
        self._contains = _Scan({p.literal: held for p, held in owners.items() if p.kind == "contains"})

    def collect(self, view: View, found: set[int]) -> None:
        """Add the owners of every probe that is true of this field in the event."""
        if self._present and view.values(self.field) is not None:
            found.update(self._present)
        for text in view.texts(self.field):
            held = self._equals.get(text)
            if held is not None:
                found.update(held)
            for size, starts in self._starts:
                found.update(starts.get(text[:size], ()))
            for size, ends in self._ends:
                found.update(ends.get(text[-size:], ()))
            if self._contains:
                self._contains.collect(text, found)


def _by_length(owners: dict[str, list[int]]) -> tuple[tuple[int, dict[str, tuple[int, ...]]], ...]:
    grouped: defaultdict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for literal, held in owners.items():
        grouped[len(literal)][literal] = tuple(held)
    return tuple(grouped.items())


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class _Scan:
    """Which of some literals a text contains."""

    __slots__ = ("_anything", "_literals", "_owners", "_which")

    def __init__(self, owners: dict[str, list[int]]) -> None:
        self._literals = tuple(owners)
        self._owners = tuple(tuple(held) for held in owners.values())
        self._anything: Callable[[bytes], object] | None = None
        if len(owners) >= _SCAN_FROM:
            self._compile()

    def _compile(self) -> None:
        import re2

        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _SCAN_MEMORY
        # Bytes against bytes: a part of a text is a part of its UTF-8 form, also where that form is not valid.
        options.encoding = re2.Options.Encoding.LATIN1
        escaped = [re2.escape(_encoded(literal)) for literal in self._literals]
        which = re2.Set.SearchSet(options)
        for pattern in escaped:
            which.Add(pattern)
        which.Compile()
        self._which = which
        self._anything = re2.compile(b"|".join(escaped), options).search

    def __bool__(self) -> bool:
        return bool(self._literals)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the owners of every literal that is in `text`."""
        for i in self._hits(text):
            found.update(self._owners[i])

    def _hits(self, text: str) -> Iterable[int]:
        if self._anything is None:
            return [i for i, literal in enumerate(self._literals) if literal in text]
        encoded = _encoded(text)
        if not self._anything(encoded):
            return ()
        # The set names all hits in one pass, but answers with none when its automaton outgrows its memory;
        # the alternation above never does, so a contradiction between the two means: look one by one.
        return self._which.Match(encoded) or [i for i, lit in enumerate(self._literals) if lit in text]
