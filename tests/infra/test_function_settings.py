"""The functions as deployed: architecture, logs, tracing, and an environment that the package can read."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from sentinel.bootstrap import App
from sentinel.core.entry import MAX_ENTRIES
from sentinel.core.tasks import SECOND
from sentinel.routes import HOOK_ROUTES, ROUTES
from sentinel.settings import PREFIX, Settings
from sentinel.usecases.append import PATIENCE
from sentinel.usecases.run import MARGIN

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

REDIS = {"redis_url", "redis_cluster", "redis_user", "redis_cache"}
CATALOG = {"catalog_table", "registry_table", "recipes_signed"}
WORKER = {"ledger_table", "tasks_table", "secret_prefix", "http_hosts", "http_private"} | CATALOG
WORKER |= {"archive_bucket"}
WORKER |= {"counters_table"}
TOUCHED = {"aws_roles", "aws_functions", "aws_documents", "aws_services", "aws_topics", "aws_buckets"}
TOUCHED |= {"k8s_clusters", "k8s_deployments", "terraform_url", "terraform_workspaces"}
LOGGED = {"log", "log_key", "log_bucket", "archive_bucket"}
# The settings each function gets: nothing is handed out that its use case does not read.
TOKENS = {"registry_table", "issuer", "audience", "trust_domain"}
SETTINGS: dict[str, set[str]] = {
    "ingest": {"ledger_table", "lanes"} | REDIS,
    "control": {"ledger_table", "tasks_table", "counters_table", "alerts_table"}
    | CATALOG
    | TOUCHED
    | REDIS
    | LOGGED,
    "authorize": {"ledger_table", "oidc_issuers"} | TOKENS,
    "token": {"ledger_table", "tasks_table", "door_prefix", "approve_url"} | TOKENS | REDIS,
    "approve": {"ledger_table", "tasks_table", "counters_table", "issuer"} | CATALOG | TOUCHED,
    "certify": {"ledger_table", "registry_table", "ca_key", "trust_domain"},
    "proxy": {"ledger_table", "proxy"} | REDIS,
    "receive": {
        "ledger_table",
        "archive_bucket",
        "lanes",
        "registry_table",
        "door_prefix",
        "issuer",
        "oidc_issuers",
    }
    | REDIS,
    "rotate": {*("ledger_table", "registry_table", "door_prefix", "truststore", "domain", "trust_domain")},
    "archive": {"ledger_table", "registry_table"} | LOGGED,
    "detect": {"ledger_table", "tasks_table", "counters_table", "alerts_table"} | CATALOG | LOGGED,
    "dispatch": {"ledger_table", "tasks_table", "worker_functions"} | REDIS,
    "sweep": {"ledger_table", "tasks_table", "counters_table", "worker_functions"} | CATALOG | REDIS,
    "seal": {"ledger_table", "witnesses", "witness_quorum", "timestamp_url"} | LOGGED,
    "deliver": (WORKER - {"tasks_table"}) | TOUCHED,
    "work_siem": WORKER | TOUCHED | REDIS,
    "work_action": WORKER | TOUCHED | REDIS,
}
# Whoever reads chains reads what was archived of them.
for _verb in ("ingest", "control", "approve", "receive", "detect", "sweep"):
    SETTINGS[_verb] = SETTINGS[_verb] | {"archive_bucket"}
SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN|\{\{resolve:|://[^/\s\"]*@|(?i:password|passwd|api_?key|token)\"?\s*[:=]\s*\"\w"
)


@pytest.fixture(scope="module")
def full(synthesize: Callable[..., Templates]) -> Templates:
    """Return a deployment in which every setting has a value of its own."""
    return synthesize(
        lanes=4,
        log_name="logs.example.com/prod",
        witnesses="https://w.example.com=w.example.com+0c2ee06c+AR0SY6AQjhRoQfGRi5Yn2nM0Y0hHyjKJBYoQlhAhnbGr",
        witness_quorum=1,
        timestamp_url="https://tsa.example.com",
        http_hosts="*.example.com",
        http_private=True,
        recipes_signed="required",
        action_roles="notify=arn:aws:iam::111122223333:role/tell",
        action_functions="restart-*",
        action_documents="Shop-Restart",
        action_services="shop/cart=1..6",
        action_topics="arn:aws:sns:eu-central-1:111122223333:alerts",
        action_buckets="findings",
        k8s_clusters="prod=https://k8s.example.com",
        k8s_deployments="prod/shop/*",
        terraform_url="https://tfe.example.com",
        terraform_workspaces="ws-abcdefgh12345678",
        log_level="DEBUG",
        log_retention_days=90,
        audience="logs",
        trust_domain="example.com",
        oidc_issuers="https://login.example.com=logs",
        proxy="stock=https://stock.internal:8443/api",
        domain_name="api.example.com",
        certificate_arn="arn:aws:acm:eu-central-1:111122223333:certificate/7a1f0c1e-1111-4222-8333-444455556666",
    )


def environ(templates: Templates, function: dict[str, Any]) -> dict[str, str]:
    """Return a function's environment with what refers to other resources written as text."""
    variables = function["Properties"]["Environment"]["Variables"]
    return {name: templates.text(value) for name, value in variables.items()}


@pytest.mark.parametrize("verb", sorted(SETTINGS))
def test_each_function_gets_its_settings_and_no_others(full: Templates, verb: str) -> None:
    """A function's environment reads back as `Settings`, with the fields of its line in `SETTINGS` set."""
    found = environ(full, full.functions()[verb])
    ours = {name for name in found if name.startswith(PREFIX)}
    settings = Settings.from_environ(found)
    default = Settings()
    changed = {x.name for x in fields(Settings) if getattr(settings, x.name) != getattr(default, x.name)}
    assert changed - {"log_level"} == SETTINGS[verb]
    assert ours == {PREFIX + name.upper() for name in changed}
    assert found.keys() - ours == {"POWERTOOLS_LOG_LEVEL"}
    assert settings.log_level == found["POWERTOOLS_LOG_LEVEL"] == "DEBUG"


def test_every_function_is_built_alike(full: Templates) -> None:
    """Each function runs on arm64, is traced, has both layers, a bounded time, and a log of its own."""
    logs = full.of("AWS::Logs::LogGroup")
    seen = set()
    for function in full.functions().values():
        found = function["Properties"]
        assert found["Architectures"] == ["arm64"]
        assert found["Runtime"] == "python3.13"
        assert found["TracingConfig"] == {"Mode": "Active"}
        assert len(found["Layers"]) == 2
        assert found["Timeout"] <= 900
        log = found["LoggingConfig"]["LogGroup"]["Ref"]
        assert logs[log]["Properties"]["RetentionInDays"] == 90
        seen.add(log)
    assert len(seen) == len(full.functions())


def test_every_log_is_deleted_in_time(templates: Templates) -> None:
    """No log group of any stack is kept for ever."""
    assert all("RetentionInDays" in log["Properties"] for log in templates.of("AWS::Logs::LogGroup").values())


def test_answers_fit_the_gateway(templates: Templates) -> None:
    """A function behind the API gives up before API Gateway does, after 29 seconds."""
    for verb in {route.function for route in (*ROUTES, *HOOK_ROUTES)} | {"authorize"}:
        assert templates.functions()[verb]["Properties"]["Timeout"] < 29


def test_ingest_answers_though_its_table_hangs(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read and a last send that both run into their time-outs leave time to answer 503."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    config = App(Settings(ledger_table="t")).dynamodb.meta.config
    request = config.retries["total_max_attempts"] * config.read_timeout + 1  # with a pause between two
    ingest = templates.functions()["ingest"]["Properties"]["Timeout"]
    assert request + PATIENCE / SECOND + request < ingest


def test_doors_answer_though_the_registry_hangs(
    templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tries that cannot connect, or get no answer, take half of the shortest door's time at most."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    registry: Any = App(Settings(ledger_table="t", registry_table="r")).directory._registry
    config = registry._client.meta.config
    tries = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    for verb in ("authorize", "token", "receive"):
        assert tries + 1 <= templates.functions()[verb]["Properties"]["Timeout"] / 2  # with a pause between


def test_times_fit_what_is_done_in_them(templates: Templates) -> None:
    """Detect has minutes for a segment full of matches; workers have most of theirs before the margin."""
    timeouts = {verb: found["Properties"]["Timeout"] for verb, found in templates.functions().items()}
    assert timeouts["detect"] * 1000 >= MAX_ENTRIES * 50  # milliseconds a task
    assert min(timeouts["work_siem"], timeouts["work_action"]) * SECOND >= 5 * MARGIN


def test_workers_take_each_ring_once(templates: Templates) -> None:
    """A ring that fails is neither tried again nor kept: the schedule is the safety net."""
    configs = templates.of("AWS::Lambda::EventInvokeConfig").values()
    names = {name: verb for verb, f in templates.functions().items() for name in [_logical(templates, f)]}
    rung = {names[each["Properties"]["FunctionName"]["Ref"]]: each["Properties"] for each in configs}
    assert rung.keys() == {"work_siem", "work_action", "seal"}
    for config in rung.values():
        assert config["MaximumRetryAttempts"] == 0
        assert config["MaximumEventAgeInSeconds"] == 60


def _logical(templates: Templates, function: dict[str, Any]) -> str:
    return next(name for name, found in templates.of("AWS::Lambda::Function").items() if found is function)


@pytest.mark.nightly
def test_worker_concurrency_can_be_reserved(
    templates: Templates, synthesize: Callable[..., Templates]
) -> None:
    """Nothing is reserved by default, since small accounts have nothing to reserve; an option reserves."""
    key = "ReservedConcurrentExecutions"
    assert not [f for f in templates.functions().values() if key in f["Properties"]]
    made = synthesize(worker_concurrency=5).functions()
    assert {verb for verb, f in made.items() if f["Properties"].get(key) == 5} == {"work_siem", "work_action"}


def test_templates_hold_no_secret(templates: Templates, outside: Templates) -> None:
    """Nothing that looks like a secret is in a template, also where an outside Redis has a password."""
    for made in (templates, outside):
        for name, stack in made.stacks.items():
            found = SECRET.search(str(stack).replace("'", '"'))
            assert found is None, (name, found)


@pytest.mark.parametrize(
    "bad", ['"password": "hunter2"', "redis://user:pw@host", "{{resolve:secretsmanager:x}}", "-----BEGIN X"]
)
def test_the_search_for_secrets_finds_some(bad: str) -> None:
    """The pattern of the test above matches what it is to find."""
    assert SECRET.search(bad)
