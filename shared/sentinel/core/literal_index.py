"""Finds the rules that an event could match without evaluating the others.

Every rule is filed under the probes of which at least one must be true of an event that it matches
(`probes`), and the most selective choice is made with the other rules in view: a probe that few rules share
is worth more. The index answers "whose probe is true here?" by dictionary look-ups on the fields the event
really has, and one RE2 pass for a whole group of substrings. Rules without probes are always candidates. So
the cost follows the event and its near-matches, and hardly the number of rules. The index only ever leaves
out rules that cannot match: `tests/core/test_rules.py` compares it with evaluating everything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from sentinel.core.detection import Expression
from sentinel.core.event_fields import Field, View
from sentinel.core.probes import Probe, Probes, leaves, own_cost, required

# From this many literals on, one RE2 pass is cheaper than looking for each literal by itself.
_SCAN_FROM = 12

# An automaton for literals has about a state a character, so this many characters and bytes let it be
# complete: it never starts over, and a text takes linear time whatever a stranger puts in it. Larger groups
# are cut up.
_SCAN_CHARACTERS = 8_000
_SCAN_MEMORY = 16 << 20


class LiteralIndex:
    """The index over some rules' trees, by position. Immutable once built; safe to share between threads."""

    def __init__(self, expressions: Sequence[Expression]) -> None:
        shared = Counter(probe for expression in expressions for probe in set(leaves(expression)))

        def cost(probes: Probes) -> float:
            return max((own_cost(probe) * shared[probe] for probe in probes), default=0) + len(probes) / 100

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


class _Scan:
    """Which of some literals a text contains."""

    __slots__ = ("_groups", "_owners")

    def __init__(self, owners: dict[str, list[int]]) -> None:
        self._owners = {literal: tuple(held) for literal, held in owners.items()}
        self._groups = [_Group(literals) for literals in _cut_up(owners)]

    def __bool__(self) -> bool:
        return bool(self._owners)

    def collect(self, text: str, found: set[int]) -> None:
        """Add the owners of every literal that is in `text`."""
        for group in self._groups:
            for literal in group.hits(text):
                found.update(self._owners[literal])


def _cut_up(literals: Iterable[str]) -> Iterator[list[str]]:
    group: list[str] = []
    size = 0
    for literal in literals:
        if group and size + len(literal) > _SCAN_CHARACTERS:
            yield group
            group, size = [], 0
        group.append(literal)
        size += len(literal)
    if group:
        yield group


class _Group:
    """Literals that are looked for in one pass."""

    __slots__ = ("_anything", "_literals", "_which")

    def __init__(self, literals: list[str]) -> None:
        self._literals = literals
        self._anything: Callable[[bytes], object] | None = None
        self._which: Callable[[bytes], Sequence[int]]
        if len(literals) >= _SCAN_FROM:
            self._compile()

    def _compile(self) -> None:
        import re2

        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _SCAN_MEMORY
        # Bytes against bytes: what is part of a text is part of its UTF-8 form, valid or not.
        options.encoding = re2.Options.Encoding.LATIN1
        escaped = [re2.escape(_encoded(literal)) for literal in self._literals]
        try:
            which = re2.Set.SearchSet(options)
            for pattern in escaped:
                which.Add(pattern)
            which.Compile()
            anything = re2.compile(b"|".join(escaped), options)
        except re2.error:  # a literal too long for RE2: this group is looked for one by one
            return
        self._which, self._anything = which.Match, anything.search

    def hits(self, text: str) -> Sequence[str]:
        """Return the literals that are in `text`."""
        if self._anything is None:
            return self._one_by_one(text)
        encoded = _encoded(text)
        if not self._anything(encoded):
            return ()
        # The set names all hits in one pass, but answers with none when its automaton outgrows its memory;
        # the alternation above never does, so a contradiction between the two means: look one by one.
        hits = self._which(encoded)
        return [self._literals[i] for i in hits] if hits else self._one_by_one(text)

    def _one_by_one(self, text: str) -> list[str]:
        return [literal for literal in self._literals if literal in text]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
