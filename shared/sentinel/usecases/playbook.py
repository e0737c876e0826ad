"""The playbook: the rules and recipes in force, as detection and the workers read them from the catalog.

It asks the catalog for its revision every `seconds` and loads anew only when that has changed. What was
pushed was checked when it was pushed; a document that does not load all the same is skipped and named in the
log, and everything else stays in force.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sentinel.core import recipes as recipe_documents
from sentinel.core import rules as rule_documents
from sentinel.core.correlation import Correlation
from sentinel.core.detection import Rule
from sentinel.core.recipes import Recipe
from sentinel.core.rules import RuleSet
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

    `problems` are (document, what is wrong with it); they set nothing off.
    """

    rules: RuleSet
    recipes: Mapping[str, tuple[Recipe, ...]]
    problems: tuple[tuple[str, str], ...] = ()


class Playbook:
    """A cache of the catalog. `clock` is in epoch nanoseconds."""

    def __init__(self, catalog: Catalog, clock: Callable[[], int], seconds: float = 30) -> None:
        self._catalog = catalog
        self._clock = clock
        self._every = int(seconds * SECOND)
        self._plays: Plays | None = None
        self._revision = ""
        self._asked = 0
        self._versions: dict[tuple[str, int], Recipe] = {}

    def current(self) -> Plays:
        """Return what is in force, at most `seconds` old while the catalog answers.

        Raises `Unavailable` only where nothing was loaded yet: old rules are better than none.
        """
        now = self._clock()
        if self._plays is not None and 0 <= now - self._asked < self._every:
            return self._plays
        try:
            # The revision is read first: a push in between is then loaded twice rather than missed.
            revision = self._catalog.revision()
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
        """Return one version of a recipe, in force or not. Raises `Missing`, or `Malformed` if it is bad."""
        found = self._versions.get((recipe_id, version))
        if found is None:
            document = self._catalog.version(RECIPE, recipe_id, version)
            if document is None:
                raise Missing(
                    f"version {version} of recipe {recipe_id} is not in the catalog; push the recipe again"
                )
            found = recipe_documents.load(f"{recipe_id} version {version}", document.body, version)
            while len(self._versions) >= _KEPT:
                self._versions.pop(next(iter(self._versions)))
            self._versions[recipe_id, version] = found
        return found

    def _load(self) -> Plays:
        plays = plays_of(self._catalog.active(RULE), self._catalog.active(RECIPE))
        for name, reason in plays.problems:
            log.error("%s is not in force: %s", name, reason)
        return plays


def plays_of(rules: Iterable[Document], recipes: Iterable[Document]) -> Plays:
    """Return what documents say; those that do not load are named in its `problems`."""
    loaded, refused = rule_documents.load_all((document.id, document.body) for document in rules)
    problems = [(f"rule {refusal.name}", refusal.reason) for refusal in refused]
    by_rule = _by_rule(loaded, list(_recipes(recipes, problems)), problems)
    return Plays(loaded, by_rule, tuple(problems))


def _recipes(documents: Iterable[Document], problems: list[tuple[str, str]]) -> Iterable[Recipe]:
    for document in documents:
        try:
            yield recipe_documents.load(document.id, document.body, document.version)
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
        reference = recipe.on.rule
        named = [exact[reference]] if reference in exact else titled.get(reference, [])
        if not any(rule.own if isinstance(rule, Correlation) else rule.generate for rule in named):
            why = "only serves correlations" if named else "is not in force"
            problems.append((f"recipe {recipe.id}", f"its rule {reference!r} {why}"))
        for rule in named:
            found[rule.id].append(recipe)
    return {rule_id: tuple(those) for rule_id, those in found.items()}
