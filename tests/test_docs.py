"""The documentation says what is: every setting, route, status, sink, action and recipe key is in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pytest
from pydantic import BaseModel

from sentinel.accounts import ACCOUNTS
from sentinel.actions import ACTIONS, build
from sentinel.actions.schema import recipe_schema
from sentinel.core import hec, places, recipes, sigma_correlation
from sentinel.core.alerts import (
    MAX_DESCRIPTION,
    MAX_LABELS,
    MAX_LABELS_TEXT,
    MAX_LINK,
    MAX_TITLE,
    Alert,
    Severity,
    Status,
)
from sentinel.core.chain import MAX_SERVICE_BYTES
from sentinel.core.correlation_order import HALF
from sentinel.core.correlation_state import MOST
from sentinel.core.entry import MAX_BATCH_BYTES, MAX_ENTRIES, MAX_ENTRY_BYTES
from sentinel.core.expressions import MAX_VALUE
from sentinel.core.recipe_flow import Debounce, Limit, Rate, Window
from sentinel.core.rules import load_all
from sentinel.core.segment import STORED_LIMIT
from sentinel.core.states import BIRTHS, TRANSITIONS, State
from sentinel.core.step_inputs import MAX_INPUTS
from sentinel.core.tasks import SECOND
from sentinel.entrypoints import workers
from sentinel.entrypoints.api import ENDPOINTS
from sentinel.routes import COLLECTED, HOOK_ROUTES, ROUTES
from sentinel.settings import PREFIX, Settings
from sentinel.siem import SINKS
from sentinel.usecases import agenda
from sentinel.usecases.alert_entries import MOST as ALERTS
from sentinel.usecases.alert_entries import MOST_BYTES as ALERT_BYTES
from sentinel.usecases.check_recipe import problems
from sentinel.usecases.receive import MAX_BODY
from sentinel.usecases.replayed import DIFFERENCES, Replayed
from sentinel.webhooks import COLLECTORS, SOURCES
from sentinel.webhooks.source import PIECE, WHOLE
from tests.generated import PARTS, placed

ROOT = Path(__file__).resolve().parents[1]
DOCS = {path.name: path.read_text() for path in (ROOT / "docs").glob("*.md")}


@pytest.mark.parametrize("setting", fields(Settings), ids=lambda each: each.name)
def test_settings_are_documented(setting: object) -> None:
    """Every setting has its row in docs/settings.md, with its own words."""
    name, doc = setting.name, setting.metadata["doc"]  # type: ignore[attr-defined]
    row = rf"^\| `{PREFIX}{name.upper()}` \| .* \| {re.escape(doc)} \|$"
    assert re.search(row, DOCS["settings.md"], re.MULTILINE)


def test_no_setting_is_documented_that_is_not_there() -> None:
    """docs/settings.md names no setting that was taken away."""
    named = set(re.findall(rf"^\| `{PREFIX}(\w+)`", DOCS["settings.md"], re.MULTILINE))
    assert named == {each.name.upper() for each in fields(Settings)}


@pytest.mark.parametrize("route", [*ROUTES, *HOOK_ROUTES], ids=lambda each: f"{each.method} {each.path}")
def test_routes_are_documented_and_answered(route: object) -> None:
    """Every route is in docs/wire.md, has an endpoint and a function."""
    method, path, function = route.method, route.path, route.function  # type: ignore[attr-defined]
    assert f"`{method} {path}`" in DOCS["wire.md"]
    assert (method, path) in ENDPOINTS
    assert (ROOT / "functions" / function / "handler.py").exists()
    assert len(ENDPOINTS) == len({(each.method, each.path) for each in (*ROUTES, *HOOK_ROUTES)})


@pytest.mark.parametrize(
    "limit", [MAX_ENTRY_BYTES, MAX_ENTRIES, MAX_BATCH_BYTES, STORED_LIMIT, MAX_SERVICE_BYTES]
)
def test_limits_are_documented(limit: int) -> None:
    """The limits of docs/wire.md are those of the code."""
    assert f"{limit:,}" in DOCS["wire.md"]


@pytest.mark.parametrize("kind", SINKS)
def test_sinks_are_documented(kind: str) -> None:
    """Every kind of sink has a heading in docs/connectors.md and all its keys below it."""
    section = DOCS["connectors.md"].partition(f"\n## {kind}\n")[2].partition("\n## ")[0]
    assert section
    fields = SINKS[kind].config.model_fields
    needs_secret = fields["token"].annotation is str
    for key in fields:
        assert f"`{key}`" in section or (key == "token" and not needs_secret), key


@pytest.mark.parametrize("kind", ACCOUNTS)
def test_accounts_are_documented(kind: str) -> None:
    """Every kind of account has a heading in docs/connectors.md and all its keys below it."""
    section = DOCS["connectors.md"].partition(f"\n### account {kind}\n")[2].partition("\n#")[0]
    assert section
    for key in ACCOUNTS[kind].model_fields:
        assert f"`{key}`" in section, key


def test_the_example_of_a_reply_is_one() -> None:
    """The recipe and the rule of docs/alerts.md load, fit each other, and pass the checks of a push."""
    nothing: Any = None
    texts = [text.encode() for text in re.findall(r"```yaml\n(.*?)```", DOCS["alerts.md"], re.DOTALL)]
    recipe_text, rule_text = (each for each in texts if each.startswith((b"id:", b"title:")))
    recipe = recipes.load("docs/alerts.md", recipe_text)
    assert list(problems(recipe, build(nothing, nothing, nothing, dict))) == []
    assert jsonschema_rs.validator_for(recipe_schema()).is_valid(recipes.load_yaml("x", recipe_text))
    rules, refused = load_all([("docs/alerts.md", rule_text)])
    assert not refused
    assert [each.name for each in rules.rules] == [recipe.on.rule]


@pytest.mark.parametrize("action", ACTIONS)
def test_actions_are_documented(action: str) -> None:
    """Every action has a heading in docs/actions.md."""
    assert f"## {action}" in DOCS["actions.md"]


def test_the_recipe_of_the_documentation_is_one() -> None:
    """The example of docs/recipes.md loads, and every key of a recipe is in the table."""
    found = re.search(r"```yaml\n(id: .*?)```", DOCS["recipes.md"], re.DOTALL)
    assert found is not None
    recipe = recipes.load("docs/recipes.md", found[1].encode())
    assert len(recipe.steps) == 2
    for key in (
        "id",
        "on.rule",
        "on.schedule",
        "dedup.by",
        "dedup.within",
        "steps[].timeout",
        "steps[].effect",
        "timeout",
        "priority",
        "concurrency",
        "rate",
        "debounce",
        "maintenance",
        "propose_for",
        "policy.paths",
        "policy.context_tokens",
        "policy.candidates",
        "policy.mutants",
        "retry.attempts",
        "retry.backoff",
        "description",
    ):
        assert f"| `{key}` |" in DOCS["recipes.md"], key


def test_every_example_of_the_documentation_is_a_recipe() -> None:
    """Each recipe, and each list of steps, that docs/recipes.md shows passes the checks of a push."""
    nothing: Any = None
    actions = build(nothing, nothing, nothing, dict)
    found = re.findall(r"```yaml\n(.*?)```", DOCS["recipes.md"], re.DOTALL)
    assert len(found) >= 3
    for text in found:
        whole = text if text.startswith("id:") else f"id: x\non: {{rule: r}}\n{text}"
        recipe = recipes.load("docs/recipes.md", whole.encode())
        assert list(problems(recipe, actions)) == []


def test_the_keys_of_a_schedule_are_documented() -> None:
    """Every key of a schedule and the limits of expressions are in docs/recipes.md."""
    for key in recipes.Schedule.model_fields:
        assert f"| `{key}` |" in DOCS["recipes.md"], key
    for limit in (MAX_VALUE, MAX_INPUTS):
        assert f"{limit:,}" in DOCS["recipes.md"]


def test_the_keys_of_flow_are_documented() -> None:
    """Every key of limits, rates, debounce and windows is in docs/recipes.md, and every default of ours."""
    parts: dict[str, type[BaseModel]] = {
        "concurrency[]": Limit,
        "rate": Rate,
        "debounce": Debounce,
        "maintenance[]": Window,
    }
    for part, model in parts.items():
        for name, field in model.model_fields.items():
            assert f"| `{part}.{field.alias or name}` |" in DOCS["recipes.md"], (part, name)
    for number in (places.LINE, places.SOON // SECOND, workers.STAYS):
        assert f"{number:,.0f}" in DOCS["tasks.md"]


def test_the_schema_of_recipes_is_current() -> None:
    """`sentinel recipes schema > docs/recipes.schema.json` changes nothing."""
    stored = orjson.loads((ROOT / "docs" / "recipes.schema.json").read_bytes())
    assert stored == recipe_schema(), "run: sentinel recipes schema > docs/recipes.schema.json"


def test_the_schema_takes_what_a_push_takes() -> None:
    """Recipes of the examples and the documentation fit the schema; unknown keys and inputs do not."""
    validator = jsonschema_rs.validator_for(recipe_schema())
    paths = sorted((ROOT / "examples" / "recipes").glob("*.y*ml"))
    texts = [path.read_bytes() for path in paths]
    texts += [text.encode() for text in re.findall(r"```yaml\n(id: .*?)```", DOCS["recipes.md"], re.DOTALL)]
    assert len(texts) > 5
    for text in texts:
        assert [str(error) for error in validator.iter_errors(recipes.load_yaml("x", text))] == []
    step = {"id": "a", "uses": "http.call", "with": {"url": "https://a.example.com/${entry.x}"}}
    good = {"id": "a", "on": {"rule": "r"}, "steps": [step]}
    assert validator.is_valid(good)
    for bad in (
        {**good, "extra": 1},
        {**good, "on": {}},
        {**good, "on": {"rule": "r", "schedule": {"every": "5m"}}},
        {**good, "steps": [{**step, "with": {}}]},
        {**good, "steps": [{**step, "with": {**step["with"], "verb": "GET"}}]},  # type: ignore[dict-item]
        {**good, "steps": [{**step, "uses": "http.cal"}]},
        {**good, "retry": {"backoff": "2s"}},
    ):
        assert not validator.is_valid(bad), bad


@pytest.mark.parametrize("name", sorted({file for file, _ in PARTS}))
def test_generated_parts_are_as_the_code_has_them(name: str) -> None:
    """Tables that are made from code, such as that of states, are current; `make docs` writes them."""
    assert placed(name, DOCS[name]) == DOCS[name]


def test_every_state_is_in_the_table() -> None:
    """Every state can be reached from a birth, and every unended one can end."""
    reached = set(BIRTHS)
    while more := {to for start in reached for to in TRANSITIONS[start]} - reached:
        reached |= more
    assert reached == set(State)
    assert all(any(to.ended for to in TRANSITIONS[state]) for state in State if not state.ended)
    assert {state for state in State if state.ended and TRANSITIONS[state]} == {State.FAILED}


def test_links_lead_somewhere() -> None:
    """Every relative link and every path in backquotes that looks like a file of ours exists."""
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")):
        text = path.read_text() if path.exists() else ""
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
            assert (path.parent / target).exists(), f"{path.name}: {target}"
        for target in re.findall(
            r"`((?:docs|tests|functions|infra|examples|benchmarks|layers)/[\w./-]+)`", text
        ):
            assert (ROOT / target).exists(), f"{path.name}: {target}"


def test_the_commands_of_the_readme_exist() -> None:
    """Every `sentinel` command and every make target that README names is one, and paths in it are there."""
    from sentinel.cli.main import cli

    readme = (ROOT / "README.md").read_text()
    commands = set(re.findall(r"^    \.venv/bin/sentinel (\w+)", readme, re.MULTILINE))
    assert len(commands) >= 7
    known = set(cli.commands)
    assert commands <= known, commands - known
    targets = set(re.findall(r"^    make ([\w-]+)", readme, re.MULTILINE))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets <= rules, targets - rules


def test_every_command_is_listed() -> None:
    """docs/local.md's table has a row for each command."""
    from sentinel.cli.main import cli

    rows = re.findall(r"^\| (`.*?) \|", DOCS["local.md"].partition("\n## Commands\n")[2], re.MULTILINE)
    assert len(rows) > 20
    for name in cli.commands:
        assert any(re.search(rf"`(sentinel )?{name}\b", row) for row in rows), name


@pytest.mark.parametrize("source", SOURCES)
def test_webhook_sources_are_documented(source: str) -> None:
    """Every webhook source has a heading in docs/connectors.md; its headers and options are there too."""
    text = DOCS["connectors.md"].partition("\n## Webhook sources\n")[2]
    assert f"\n### {source}\n" in text
    anchor = f"{source}-1" if source in SINKS else source  # the second heading of that name on the page
    assert f"[`{source}`](#{anchor})" in text
    for name in (*SOURCES[source].make({}).proof, *SOURCES[source].options):
        assert f"`{name}`" in text, name


def test_the_limits_of_alerts_are_documented() -> None:
    """The bounds in docs/webhooks.md are those of the code."""
    bounds = (MAX_TITLE, MAX_DESCRIPTION, MAX_LINK, MAX_LABELS, MAX_LABELS_TEXT, ALERTS, ALERT_BYTES)
    for bound in bounds:
        assert f"{bound:,}" in DOCS["webhooks.md"]
    for word in (*Severity, *Status, *(each.name for each in fields(Alert))):
        assert f"`{word}`" in DOCS["webhooks.md"], word


def test_the_limits_of_webhooks_are_documented() -> None:
    """The sizes in docs/webhooks.md are those of the code."""
    for limit in (MAX_BODY, WHOLE, PIECE):
        assert f"{limit:,}" in DOCS["webhooks.md"]


def test_the_event_collector_is_documented() -> None:
    """Its options, bounds and codes in docs/webhooks.md are those of the code."""
    text = DOCS["webhooks.md"].partition("\n## Splunk's HTTP Event Collector\n")[2]
    for name in COLLECTORS["splunk-hec"].options:
        assert f"| `{name}` |" in text
    for bound in (COLLECTED, hec.MAX_EVENTS, hec.MAX_RAW, MAX_ENTRY_BYTES):
        assert f"{bound:,}" in text
    for reply in hec.REPLIES:
        assert re.search(rf"\b{reply.code}\b", text), reply


@pytest.mark.parametrize("kind", sorted(sigma_correlation.KINDS))
def test_types_of_correlations_are_documented(kind: str) -> None:
    """Every type of correlation that loads has its row in docs/correlations.md."""
    assert re.search(rf"^\| .*`{kind}`.* \| ", DOCS["correlations.md"], re.MULTILINE)


def test_the_bounds_of_correlations_are_documented() -> None:
    """The bounds in docs/correlations.md are those of the code."""
    bounds = (sigma_correlation.HIGHEST_COUNT, MOST, HALF, agenda.SHARDS * agenda.MOST)
    for bound in bounds:
        assert f"{bound:,}" in DOCS["correlations.md"]


@pytest.mark.parametrize("what", [*DIFFERENCES, *(each.name for each in fields(Replayed))])
def test_what_replay_tells_is_documented(what: str) -> None:
    """Every kind of difference, and every figure of the account, is in docs/replay.md."""
    assert f"`{what}`" in DOCS["replay.md"]
