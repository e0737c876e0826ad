"""What was in force when: the rules and recipes of every time, from the catalog's versions and activations.

A change does not count at once. Detection looks the catalog up every few seconds, and a segment may come to
it late, so for `slack` after a change the old or the new may have been used. Changes that follow each other
within `slack`, as those of one push, are taken together. `begins` says from when on the new may have counted,
`ends` from when on nothing else did.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from sentinel.core.signing import Opened, Opener, Unsigned
from sentinel.ports import Activation, Catalog, Document
from sentinel.usecases.authors import Past
from sentinel.usecases.playbook import RECIPE, RULE, Plays, plays_of

Key = tuple[str, str]
_Versions = dict[Key, int]


@dataclass(frozen=True, slots=True)
class Change:
    """From `begins` on these versions may have been in force, from `ends` on they were. Nanoseconds.

    `authors` is the time whose authors count.
    """

    begins: int
    ends: int
    versions: _Versions
    authors: int = 0


@dataclass(slots=True)
class InForce:
    """The plays of every time. `instead` documents take the place of those of their ids, at all times.

    Where `past` is given, documents count that an author had signed who counted then; `instead` always do.
    """

    catalog: Catalog
    changes: Sequence[Change]
    instead: Sequence[Document] = ()
    past: Past | None = None
    _loaded: dict[int, Plays] = field(default_factory=dict)

    @staticmethod
    def of(
        catalog: Catalog, slack: int, instead: Sequence[Document] = (), past: Past | None = None
    ) -> InForce:
        """Read the catalog. `slack` is in nanoseconds. Raises `Unavailable`."""
        return InForce(catalog, _changes(catalog, slack, past), instead, past)

    def at(self, t: int, *, late: bool) -> Plays:
        """Return what was in force at a time; between two sets the old one when `late`, else the new one."""
        times = [change.ends if late else change.begins for change in self.changes]
        return self._plays(max(bisect_right(times, t) - 1, 0))

    def between(self, start: int, end: int) -> list[Plays]:
        """Return everything that may have been in force at a time from `start` to before `end`."""
        first = max(bisect_right([change.ends for change in self.changes], start) - 1, 0)
        last = bisect_right([change.begins for change in self.changes], end - 1)
        return [self._plays(number) for number in range(first, max(last, first + 1))]

    def spans(self, start: int, end: int, *, late: bool) -> Iterator[tuple[int, int, Plays]]:
        """Yield what was in force from `start` to before `end`: since when, until when, and what."""
        times = [change.ends if late else change.begins for change in self.changes]
        for number, begin in enumerate(times):
            over = times[number + 1] if number + 1 < len(times) else end
            if begin < end and start < over:
                yield begin, min(over, end), self._plays(number)

    def in_doubt(self, start: int, end: int) -> bool:
        """Say whether at a time from `start` to before `end` two sets may have been in force."""
        return any(change.begins < end and start < change.ends for change in self.changes[1:])

    def _plays(self, number: int) -> Plays:
        if number not in self._loaded:
            while len(self._loaded) > 2:  # time goes on: sets of thousands of rules are not all kept
                self._loaded.pop(next(iter(self._loaded)))
            self._loaded[number] = self._load(self.changes[number])
        return self._loaded[number]

    def _load(self, change: Change) -> Plays:
        replaced = {(document.kind, document.id): document for document in self.instead}
        found: dict[str, list[Document]] = {RULE: [], RECIPE: []}
        for key, version in change.versions.items():
            document = replaced.pop(key, None) or self.catalog.version(*key, version)
            if document is not None:
                found[document.kind].append(document)
        for document in replaced.values():
            found[document.kind].append(document)
        by_id = {kind: sorted(those, key=lambda each: each.id) for kind, those in found.items()}
        return plays_of(by_id[RULE], by_id[RECIPE], self._opener(change))

    def _opener(self, change: Change) -> Opener:
        if self.past is None:
            return Unsigned()
        return _Instead(self.past.at(change.authors), frozenset(each.body for each in self.instead))


@dataclass(frozen=True, slots=True)
class _Instead:
    """Opens documents that are given without a look at their signatures, and others as `rest` does."""

    rest: Opener
    given: frozenset[bytes]

    def revision(self) -> str:
        return self.rest.revision()

    def open(self, kind: str, name: str, body: bytes) -> Opened:
        return (Unsigned() if body in self.given else self.rest).open(kind, name, body)


def _changes(catalog: Catalog, slack: int, past: Past | None) -> list[Change]:
    told = [each for kind in (RULE, RECIPE) for each in catalog.activations(kind)]
    told.sort(key=lambda each: each.t)
    active = [document for kind in (RULE, RECIPE) for document in catalog.active(kind)]
    versions = _before(told, active)
    changes = [Change(0, 0, versions)]
    news: list[tuple[int, Activation | None]] = [(each.t, each) for each in told]
    news += [(t, None) for t in (past.times() if past else [])]
    news.sort(key=lambda each: each[0])
    begins: int | None = None
    for number, (t, each) in enumerate(news):
        begins = t if begins is None else begins
        versions = versions if each is None else _with(versions, each)
        following = news[number + 1][0] if number + 1 < len(news) else None
        if following is None or following > t + slack:
            changes.append(Change(begins, t + slack, versions, t))
            begins = None
    return changes


def _with(versions: _Versions, told: Activation) -> _Versions:
    key = (told.kind, told.id)
    rest = {other: version for other, version in versions.items() if other != key}
    return {**rest, key: told.version} if told.active else rest


def _before(told: Iterable[Activation], active: Iterable[Document]) -> _Versions:
    """Return what was in force before the first activation that was written down.

    A document of which nothing was written down, and is active, was so all the time. One whose first told
    version is not its first was active in the version before; one that was first retired, until then.
    """
    found = {(document.kind, document.id): document.version for document in active}
    seen: set[Key] = set()
    for each in told:
        key = (each.kind, each.id)
        if key in seen:
            continue
        seen.add(key)
        found.pop(key, None)
        before = each.version - 1 if each.active else each.version
        if before:
            found[key] = before
    return found
