"""What is wrong with documents before they are pushed, each by itself and with what the catalog has."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sentinel.cli.documents import ACCOUNT, DELIVERY, MODEL, RECIPE, REPOSITORY, RULE, SINK, Found
from sentinel.errors import Malformed

if TYPE_CHECKING:
    from sentinel.bootstrap import App
    from sentinel.core.recipes import Recipe, Step
    from sentinel.core.rules import RuleSet


def check(app: App, found: list[Found]) -> list[str]:
    """Return what is wrong with documents, each problem in one line."""
    rules, problems = _check_rules(app, found)
    sinks = _check_named(app, SINK, found, problems)
    accounts = _check_named(app, ACCOUNT, found, problems)
    repositories = _check_named(app, REPOSITORY, found, problems)
    models = _check_named(app, MODEL, found, problems)
    for name, plan in _check_named(app, DELIVERY, found, problems).items():
        if plan.to not in sinks:
            problems.append(
                f"deliveries.{name}: there is no sink {plan.to!r}; push a sink document that has it"
            )
    for each in found:
        problems += _check_signature(app, each)
        if each.kind == RECIPE:
            problems += _check_recipe(app, each, rules, _Named(sinks, accounts, repositories, models))
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
    from sentinel import accounts, ai, siem
    from sentinel.core import deliveries, repositories

    loaders: Mapping[str, Callable[[str, bytes], Mapping[str, object]]] = {
        SINK: siem.load,
        ACCOUNT: accounts.load,
        DELIVERY: deliveries.load,
        REPOSITORY: repositories.load,
        MODEL: ai.load,
    }
    named: dict[str, Any] = {}
    for name, body in _others(app, kind, found) + _given(kind, found):
        try:
            named.update(loaders[kind](name, body))
        except Malformed as error:
            problems.append(str(error))
    return named


def _check_recipe(app: App, each: Found, rules: RuleSet, named: _Named) -> Iterator[str]:
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
        if index not in bad:
            for why in named.missing(app, step):
                yield f"{each.path}: line {lines[index]}: steps: {step.id}: {why}"


@dataclass(frozen=True, slots=True)
class _Named:
    """What documents name, those of the catalog with those that are given."""

    sinks: Mapping[str, object]
    accounts: Mapping[str, Any]
    repositories: Mapping[str, object]
    models: Mapping[str, object]

    def missing(self, app: App, step: Step) -> Iterator[str]:
        """Yield what a step names and nothing has."""
        if step.uses == "siem.send":
            for name in sorted(set(step.with_["to"]) - set(self.sinks)):
                yield f"there is no sink {name!r}"
        if step.uses in {"ai.patch", "ai.choose"}:
            for name in sorted(set(step.with_["models"]) - set(self.models)):
                yield f"there is no model {name!r}; push a model document that has it"
        if step.uses == "ai.patch" and step.with_["repository"] not in self.repositories:
            name = step.with_["repository"]
            yield f"there is no repository {name!r}; push a repository document that has it"
        if why := _no_account(app, step, self.accounts):
            yield why


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
