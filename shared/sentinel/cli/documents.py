"""Rules, recipes and what they need, as files: telling them apart, checking them together, pushing them.

A file is one document of the catalog. It is told by its keys: `sinks`, `accounts` and `deliveries` make it
one of those, `steps` a recipe, `detection` or `correlation` rules. Its id there is the recipe's id, the id of
the file's first rule, or for the others the file's name without its ending. Checks go over the given together
with what the catalog has.

`FILE.dsse.json` is the signed form of FILE. It may be given itself, and in a folder it stands for FILE.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sentinel.core.signing import unwrap
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.recipes import Recipe, Step
    from sentinel.core.rules import RuleSet

ENDINGS = frozenset({".yml", ".yaml", ".json"})
RULE, RECIPE, SINK, ACCOUNT, DELIVERY = "rule", "recipe", "sink", "account", "delivery"
SIGNED = ".dsse.json"
_ORDER = (RULE, SINK, ACCOUNT, DELIVERY, RECIPE)
_NAMING = {"sinks": SINK, "accounts": ACCOUNT, "deliveries": DELIVERY}  # by the key that tells them


@dataclass(frozen=True, slots=True)
class Found:
    """One file. `id` is the document's id in the catalog, `text` the document without a signature."""

    path: Path
    kind: str
    id: str
    body: bytes
    text: bytes


def files(paths: Iterable[Path], *, signed: bool = True) -> Iterator[Path]:
    """Yield files, and those below folders that end in .yml, .yaml or .json, in order of their names.

    In a folder, what has a signed form is left out for that, unless `signed` is false.
    """
    for path in paths:
        if path.is_dir():
            found = {each for each in path.rglob("*") if each.suffix.lower() in ENDINGS and each.is_file()}
            yield from sorted(each for each in found if not signed or signed_form(each) not in found)
        else:
            yield path


def signed_form(path: Path) -> Path:
    """Return where the signed form of a file is written."""
    return path.with_name(path.name + SIGNED)


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
    from sentinel.core import dsse

    body = path.read_bytes()
    try:
        envelope = dsse.load(body)
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from None
    if envelope is None:
        return _told_apart(path, path.stem, body, body)
    plain = path.with_name(path.name.removesuffix(SIGNED))
    if plain != path and plain.is_file() and plain.read_bytes() != envelope.payload:
        raise Malformed(f"{plain}: is not what {path.name} signs: sign it again")
    found = _told_apart(path, plain.stem, body, envelope.payload)
    unwrap(found.kind, str(path), body)
    return found


def _told_apart(path: Path, stem: str, body: bytes, text: bytes) -> Found:
    from sentinel.core.detection import document_digest, identity

    first = _first(path, text)
    for key, kind in _NAMING.items():
        if key in first:
            return Found(path, kind, stem, body, text)
    if "steps" in first:
        return Found(path, RECIPE, str(first.get("id", stem)), body, text)
    if "detection" in first or "correlation" in first:
        return Found(path, RULE, identity(first, document_digest(text.decode())), body, text)
    others = ", ".join(_NAMING)
    raise Malformed(f"{path}: neither a rule (detection, correlation), nor a recipe (steps), nor {others}")


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


def refuse(problems: list[str]) -> None:
    """Raise the failure that lists problems, where there are any."""
    from sentinel.cli.output import Failure

    if problems:
        count = "one thing is" if len(problems) == 1 else f"{len(problems)} things are"
        failure = Failure("Malformed", f"{count} wrong", "mend it and run the command again", 1)
        failure.problems = list(problems)
        raise failure


def check(app: App, found: list[Found]) -> list[str]:
    """Return what is wrong with documents, each problem in one line."""
    rules, problems = _check_rules(app, found)
    sinks = _check_named(app, SINK, found, problems)
    accounts = _check_named(app, ACCOUNT, found, problems)
    for name, plan in _check_named(app, DELIVERY, found, problems).items():
        if plan.to not in sinks:
            problems.append(
                f"deliveries.{name}: there is no sink {plan.to!r}; push a sink document that has it"
            )
    for each in found:
        problems += _check_signature(app, each)
        if each.kind == RECIPE:
            problems += _check_recipe(app, each, rules, sinks, accounts)
    return problems


def _others(app: App, kind: str, found: list[Found]) -> list[tuple[str, bytes]]:
    """Return what the catalog has beside what is given."""
    given = {each.id for each in found if each.kind == kind}
    stored = [each for each in app.catalog.active(kind) if each.id not in given]
    others: list[tuple[str, bytes]] = []
    for each in stored:
        with contextlib.suppress(Malformed):  # it is not in force
            others.append((each.id, app.opener.open(kind, each.id, each.body).payload))
    return others


def _given(kind: str, found: list[Found]) -> list[tuple[str, bytes]]:
    return [(str(each.path), each.text) for each in found if each.kind == kind]


def _check_signature(app: App, each: Found) -> Iterator[str]:
    try:
        app.opener.open(each.kind, str(each.path), each.body)
    except Malformed as error:
        yield str(error)


def _check_rules(app: App, found: list[Found]) -> tuple[RuleSet, list[str]]:
    from sentinel.core.rules import load_all

    others = _others(app, RULE, found)
    rules, refusals = load_all([*others, *_given(RULE, found)])
    known = {name for name, _ in others}
    return rules, [each.reason for each in refusals if each.name not in known]


def _check_named(app: App, kind: str, found: list[Found], problems: list[str]) -> dict[str, Any]:
    """Return what documents of a kind name, those of the catalog with those that are given."""
    from sentinel import accounts, siem
    from sentinel.core import deliveries

    loaders: Mapping[str, Callable[[str, bytes], Mapping[str, object]]] = {
        SINK: siem.load,
        ACCOUNT: accounts.load,
        DELIVERY: deliveries.load,
    }
    named: dict[str, Any] = {}
    for name, body in _others(app, kind, found) + _given(kind, found):
        try:
            named.update(loaders[kind](name, body))
        except Malformed as error:
            problems.append(str(error))
    return named


def _check_recipe(
    app: App, each: Found, rules: RuleSet, sinks: Mapping[str, object], accounts: Mapping[str, Any]
) -> Iterator[str]:
    from sentinel.core.recipes import load, step_lines
    from sentinel.usecases.check_recipe import problems

    try:
        recipe = load(str(each.path), each.text)
    except Malformed as error:
        yield str(error)
        return
    if recipe.on.schedule is None and not _has_rule(recipe, rules):
        yield f"{each.path}: on: there is no rule {recipe.on.rule!r} that may set a recipe off"
    lines = step_lines(each.text)
    bad: set[int] = set()
    for index, problem in (*problems(recipe, app.actions), *_unreachable(app, each)):
        bad.add(index)
        yield f"{each.path}: line {lines[index]}: steps: {recipe.steps[index].id}: {problem}"
    for index, step in enumerate(recipe.steps):
        if step.uses == "siem.send" and index not in bad:
            for name in sorted(set(step.with_["to"]) - set(sinks)):
                yield f"{each.path}: line {lines[index]}: steps: {step.id}: there is no sink {name!r}"
        if index not in bad and (why := _no_account(app, step, accounts)):
            yield f"{each.path}: line {lines[index]}: steps: {step.id}: {why}"


def _no_account(app: App, step: Step, accounts: Mapping[str, Any]) -> str:
    """Return why a step's account cannot do what it asks for; "" where it can, or needs none."""
    from sentinel.actions.alert_reply import problem
    from sentinel.core.step_inputs import sample

    if step.uses.startswith("falcon."):
        name = step.with_["account"]
        if name not in accounts:
            return f"there is no account {name!r}; push an account document that has it"
        other = accounts[name].kind
        return "" if other == "falcon" else f"{name} is an account of the kind {other}, and not of falcon"
    if step.uses != "alert.reply":
        return ""
    return problem(accounts, sample(step.with_, app.actions[step.uses].forms))


def _unreachable(app: App, each: Found) -> Iterator[tuple[int, str]]:
    """Yield the approvals of a recipe that nobody can give, as the authors are now."""
    from sentinel.core.recipes import load
    from sentinel.usecases.approvers import unreachable

    with contextlib.suppress(Malformed):  # it is told already
        author = app.opener.open(RECIPE, str(each.path), each.body).author
        recipe = load(str(each.path), each.text, author=author)
        yield from unreachable(recipe, app.authors.listing(), required=app.approvers.required)


def _has_rule(recipe: Recipe, rules: RuleSet) -> bool:
    wanted = recipe.on.rule
    if any(wanted in {each.id, each.name, each.title} and each.own for each in rules.correlations):
        return True
    return any(wanted in {each.id, each.name, each.title} and each.generate for each in rules.rules)


def push(app: App, found: list[Found]) -> list[dict[str, object]]:
    """Make documents the active versions: rules and sinks before the recipes that need them.

    `digest` is that of the text, without a signature's envelope.
    """
    pushed: list[dict[str, object]] = []
    for kind in _ORDER:
        for each in found:
            if each.kind == kind:
                stored = app.catalog.push(kind, each.id, each.body)
                author = app.opener.open(kind, str(each.path), each.body).author
                told = {"kind": kind, "id": each.id, "version": stored.version}
                told |= {"digest": sha256(each.text).hexdigest(), "path": str(each.path)}
                pushed.append(told | ({"author": author} if author else {}))
    return pushed
