"""The playbook: the rules and recipes in force, as detection and the workers read them from the catalog.

It asks the catalog for its revision every `seconds` and loads anew only when that has changed, or whose
signatures count. What was pushed was checked when it was pushed; a document that does not load all the same,
or that no author has signed where that is required, is skipped and named in the log, and everything else
stays in force.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sentinel.core import recipes as recipe_documents
from sentinel.core import rules as rule_documents
from sentinel.core.correlation import Correlation
from sentinel.core.detection import Rule
from sentinel.core.recipes import Recipe
from sentinel.core.rules import RuleSet
from sentinel.core.signing import Opener, Unsigned
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed, Missing, Unavailable
from sentinel.ports import Catalog, Document

RULE = "rule"
RECIPE = "recipe"
_KEPT = 256  # versions of recipes in memory

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plays:
    """The rules in force, and the recipes that each of them sets off, by rule id.

    `scheduled` are the recipes that the clock sets off. `problems` are (document, what is wrong with it);
    they set nothing off.
    """

    rules: RuleSet
    recipes: Mapping[str, tuple[Recipe, ...]]
    problems: tuple[tuple[str, str], ...] = ()
    scheduled: tuple[Recipe, ...] = ()


class Playbook:
    """A cache of the catalog. `clock` is in epoch nanoseconds; `opener` opens documents."""

    def __init__(
        self,
        catalog: Catalog,
        clock: Callable[[], int],
        seconds: float = 30,
        opener: Opener | None = None,
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._opener = opener or Unsigned()
        self._every = int(seconds * SECOND)
        self._plays: Plays | None = None
        self._revision = ""
        self._asked = 0
        self._versions: dict[tuple[str, int], Recipe] = {}
        self._opened = ""
        self._lock = threading.Lock()  # for those two: workers are threads

    def current(self) -> Plays:
        """Return what is in force, at most `seconds` old while the catalog answers.

        Raises `Unavailable` only where nothing was loaded yet: old rules are better than none.
        """
        now = self._clock()
        if self._plays is not None and 0 <= now - self._asked < self._every:
            return self._plays
        try:
            # The revision is read first: a push in between is then loaded twice rather than missed.
            revision = f"{self._catalog.revision()} {self._opener.revision()}"
            if self._plays is None or revision != self._revision:
                self._plays = self._load()
                self._revision = revision
        except Unavailable as error:
            if self._plays is None:
                raise
            log.warning("rules and recipes could not be looked up, the old ones stay: %s", error)
        self._asked = now
        return self._plays

    def recipe(self, recipe_id: str, version: int) -> Recipe:
        """Return one version of a recipe, in force or not. Raises `Missing`, or `Malformed` if it is bad.

        One whose author is trusted no more is bad, also where tasks of it are on their way.
        """
        with self._lock:
            return self._recipe(recipe_id, version)

    def _recipe(self, recipe_id: str, version: int) -> Recipe:
        opened = self._opener.revision()
        if opened != self._opened:
            self._versions.clear()
            self._opened = opened
        found = self._versions.get((recipe_id, version))
        if found is None:
            document = self._catalog.version(RECIPE, recipe_id, version)
            if document is None:
                raise Missing(
                    f"version {version} of recipe {recipe_id} is not in the catalog; push the recipe again"
                )
            found = read_recipe(self._opener, document, f"{recipe_id} version {version}")
            while len(self._versions) >= _KEPT:
                self._versions.pop(next(iter(self._versions)))
            self._versions[recipe_id, version] = found
        return found

    def _load(self) -> Plays:
        plays = plays_of(self._catalog.active(RULE), self._catalog.active(RECIPE), self._opener)
        for name, reason in plays.problems:
            log.error("%s is not in force: %s", name, reason)
        return plays


def plays_of(rules: Iterable[Document], recipes: Iterable[Document], opener: Opener | None = None) -> Plays:
    """Return what documents say; those that do not load are named in its `problems`.

    Raises `Unavailable` as the opener does.
    """
    opener = opener or Unsigned()
    problems: list[tuple[str, str]] = []
    loaded, refused = rule_documents.load_all(_rules(opener, rules, problems))
    problems += [(f"rule {refusal.name}", refusal.reason) for refusal in refused]
    read = list(read_recipes(opener, recipes, problems))
    by_rule = _by_rule(loaded, read, problems)
    by_clock = tuple(recipe for recipe in read if recipe.on.schedule is not None)
    return Plays(loaded, by_rule, tuple(problems), by_clock)


def _rules(
    opener: Opener, documents: Iterable[Document], problems: list[tuple[str, str]]
) -> Iterable[tuple[str, bytes]]:
    for document in documents:
        try:
            yield document.id, opener.open(RULE, document.id, document.body).payload
        except Malformed as error:
            problems.append((f"rule {document.id}", str(error)))


def read_recipe(opener: Opener, document: Document, name: str) -> Recipe:
    """Return the recipe of a stored document. Raises `Malformed`, and `Unavailable` as the opener does."""
    opened = opener.open(RECIPE, name, document.body)
    recipe = recipe_documents.load(name, opened.payload, document.version, opened.author)
    if opened.author and recipe.id != document.id:
        raise Malformed(f"{name}: its author signed it as {recipe.id}: push it under that id")
    return recipe


def read_recipes(
    opener: Opener, documents: Iterable[Document], problems: list[tuple[str, str]]
) -> Iterable[Recipe]:
    """Yield the recipes of stored documents, and add what is wrong with the others to `problems`."""
    for document in documents:
        try:
            yield read_recipe(opener, document, document.id)
        except Malformed as error:
            problems.append((f"recipe {document.id}", str(error)))


def _by_rule(
    rules: RuleSet, recipes: Iterable[Recipe], problems: list[tuple[str, str]]
) -> dict[str, tuple[Recipe, ...]]:
    """Find each recipe's rules by id or name, else by title, which several rules may share."""
    exact: dict[str, Rule | Correlation] = {}
    titled: defaultdict[str, list[Rule | Correlation]] = defaultdict(list)
    everything: list[Rule | Correlation] = [*rules.rules, *rules.correlations]
    for rule in everything:
        exact.update({reference: rule for reference in (rule.name, rule.id) if reference})
        titled[rule.title].append(rule)
    found: defaultdict[str, list[Recipe]] = defaultdict(list)
    for recipe in recipes:
        if recipe.on.schedule is not None:
            continue
        reference = recipe.on.rule
        named = [exact[reference]] if reference in exact else titled.get(reference, [])
        if not any(rule.own if isinstance(rule, Correlation) else rule.generate for rule in named):
            why = "only serves correlations" if named else "is not in force"
            problems.append((f"recipe {recipe.id}", f"its rule {reference!r} {why}"))
        for rule in named:
            found[rule.id].append(recipe)
    return {rule_id: tuple(those) for rule_id, those in found.items()}
