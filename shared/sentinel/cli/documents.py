"""Rules, recipes and sinks as files: telling them apart, checking them together, pushing them.

A file is one document of the catalog. It is told by its keys: `sinks` makes it a sink document, `steps` a
recipe, `detection` or `correlation` rules. Its id there is the recipe's id, the id of the file's first rule,
or for sinks the file's name without its ending. Checks go over the given together with what the catalog has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.recipes import Recipe
    from sentinel.core.rules import RuleSet

ENDINGS = frozenset({".yml", ".yaml", ".json"})
RULE, RECIPE, SINK = "rule", "recipe", "sink"
_ORDER = (RULE, SINK, RECIPE)


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `id` is the document's id in the catalog."""

    path: Path
    kind: str
    id: str
    body: bytes


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield files, and those below folders that end in .yml, .yaml or .json, in order of their names."""
    for path in paths:
        if path.is_dir():
            yield from sorted(
                each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file()
            )
        else:
            yield path


def read(paths: Iterable[Path]) -> tuple[list[Found], list[str]]:
    """Read files; return the documents and what is wrong with the others."""
    found, problems = [], []
    for path in files(paths):
        try:
            found.append(_read(path))
        except Malformed as error:
            problems.append(str(error))
    taken: dict[tuple[str, str], Path] = {}
    for each in found:
        other = taken.setdefault((each.kind, each.id), each.path)
        if other != each.path:
            problems.append(f"{each.path}: {each.kind} {each.id} is also in {other}")
    return found, problems


def _read(path: Path) -> Found:
    from sentinel.core.detection import document_digest, identity

    body = path.read_bytes()
    first = _first(path, body)
    if "sinks" in first:
        return Found(path, SINK, path.stem, body)
    if "steps" in first:
        return Found(path, RECIPE, str(first.get("id", path.stem)), body)
    if "detection" in first or "correlation" in first:
        return Found(path, RULE, identity(first, document_digest(body.decode())), body)
    raise Malformed(f"{path}: neither a rule (detection, correlation), nor a recipe (steps), nor sinks")


def _first(path: Path, body: bytes) -> Mapping[str, Any]:
    """Return the first mapping in a file of YAML documents."""
    import yaml

    if len(body) > 1_000_000:
        raise Malformed(f"{path}: over 1,000,000 bytes")
    try:
        for each in yaml.safe_load_all(body):
            if isinstance(each, dict):
                return each
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Malformed(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    raise Malformed(f"{path}: holds no YAML mapping")


def check(app: App, found: list[Found]) -> list[str]:
    """Return what is wrong with documents, each problem in one line."""
    rules, problems = _check_rules(app, found)
    sinks = _check_sinks(app, found, problems)
    for each in found:
        if each.kind == RECIPE:
            problems += _check_recipe(app, each, rules, sinks)
    return problems


def _others(app: App, kind: str, found: list[Found]) -> list[tuple[str, bytes]]:
    """Return what the catalog has beside what is given."""
    given = {each.id for each in found if each.kind == kind}
    return [(each.id, each.body) for each in app.catalog.active(kind) if each.id not in given]


def _given(kind: str, found: list[Found]) -> list[tuple[str, bytes]]:
    return [(str(each.path), each.body) for each in found if each.kind == kind]


def _check_rules(app: App, found: list[Found]) -> tuple[RuleSet, list[str]]:
    from sentinel.core.rules import load_all

    others = _others(app, RULE, found)
    rules, refusals = load_all([*others, *_given(RULE, found)])
    known = {name for name, _ in others}
    return rules, [each.reason for each in refusals if each.name not in known]


def _check_sinks(app: App, found: list[Found], problems: list[str]) -> set[str]:
    from sentinel.siem import load

    names: set[str] = set()
    for name, body in _others(app, SINK, found) + _given(SINK, found):
        try:
            names |= set(load(name, body))
        except Malformed as error:
            problems.append(str(error))
    return names


def _check_recipe(app: App, each: Found, rules: RuleSet, sinks: set[str]) -> Iterator[str]:
    from sentinel.core.recipes import load

    try:
        recipe = load(str(each.path), each.body)
    except Malformed as error:
        yield str(error)
        return
    if not _has_rule(recipe, rules):
        yield f"{each.path}: on: there is no rule {recipe.on.rule!r} that may set a recipe off"
    for step in recipe.steps:
        action = app.actions.get(step.uses)
        if action is None:
            known = ", ".join(sorted(app.actions))
            yield f"{each.path}: steps: {step.id}: there is no action {step.uses!r}; there are {known}"
            continue
        try:
            action.check(step.with_)
        except Malformed as error:
            yield f"{each.path}: steps: {step.id}: {error}"
            continue
        if step.uses == "siem.send":
            for name in sorted(set(step.with_["to"]) - sinks):
                yield f"{each.path}: steps: {step.id}: there is no sink {name!r}"


def _has_rule(recipe: Recipe, rules: RuleSet) -> bool:
    wanted = recipe.on.rule
    if any(wanted in {each.id, each.name, each.title} and each.own for each in rules.correlations):
        return True
    return any(wanted in {each.id, each.name, each.title} and each.generate for each in rules.rules)


def push(app: App, found: list[Found]) -> list[dict[str, object]]:
    """Make documents the active versions: rules and sinks before the recipes that need them."""
    pushed: list[dict[str, object]] = []
    for kind in _ORDER:
        for each in found:
            if each.kind == kind:
                stored = app.catalog.push(kind, each.id, each.body)
                pushed.append(
                    {"kind": kind, "id": each.id, "version": stored.version, "digest": stored.digest}
                    | {"path": str(each.path)}
                )
    return pushed
