"""Every action sends the bytes of its golden, says so in its plan, and is registered under its own name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from sentinel import accounts, actions, siem
from sentinel.adapters.append_files import AppendFiles
from sentinel.core import recipes
from sentinel.core.steps import Again, Ask, Failed
from sentinel.errors import BadAnswer, Missing
from sentinel.ports import HttpRequest, HttpResponse
from sentinel.ports_aws import AssumedRole
from tests.action_targets import GRANTS, NOW, TOPIC
from tests.steps import step_run

ROOT = Path(__file__).resolve().parents[2]
GOLDENS = ROOT / "tests" / "goldens" / "actions"
CANARY = "canary-4242"

# Examples of each action's `with`, by the name of their golden; an action without one fails here.
EXAMPLES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "http_call": (
        "http.call",
        {"url": "https://api.example.com/v1/incidents", "headers": {"Authorization": {"secret": "api"}}},
    ),
    "notify_slack": ("notify", {"to": "slack", "webhook": "hook", "note": "See <the> runbook & call @kim"}),
    "notify_slack_quoted": ("notify", {"to": "slack", "webhook": "hook", "quote": True}),
    "notify_sns": ("notify", {"to": "sns", "topic": TOPIC, "quote": True}),
    "notify_sns_fifo": ("notify", {"to": "sns", "topic": f"{TOPIC}.fifo"}),
    "aws_invoke_lambda": ("aws.invoke_lambda", {"function": "restart-cart:live"}),
    "aws_invoke_lambda_entries": ("aws.invoke_lambda", {"function": "restart-cart", "include": "entry"}),
    "aws_ssm_run": (
        "aws.ssm_run",
        {
            "document": "Shop-Restart",
            "instances": ["i-0123456789abcdef0", "mi-0123456789abcdef0"],
            "parameters": {"Reason": ["Sentinel $task", "costs $$5"]},
        },
    ),
    "aws_ssm_run_tags": ("aws.ssm_run", {"document": "Shop-Restart", "tags": {"Role": ["web", "cart"]}}),
    "aws_ecs_update_service": (
        "aws.ecs_update_service",
        {"cluster": "shop", "service": "cart", "force_new_deployment": True, "desired_count": 4},
    ),
    "k8s_rollout_restart": (
        "k8s.rollout_restart",
        {"cluster": "prod", "namespace": "shop", "deployment": "cart"},
    ),
    "terraform_plan": ("terraform.plan", {"workspace": "ws-abcdefgh12345678", "token": "tfe"}),
    "falcon_contain_host": ("falcon.contain_host", {"account": "falcon-prod", "host": "01" * 16}),
    "falcon_lift_containment": ("falcon.lift_containment", {"account": "falcon-prod", "host": "01" * 16}),
    "falcon_update_alert": (
        "falcon.update_alert",
        {"account": "falcon-prod", "alert": "c0:ind:01:117-10357", "comment": "Seen.", "status": "closed"},
    ),
    "wait": ("wait", {"for": "10m"}),
    "approval": ("approval", {"by": ["alice", "team-payments"], "needs": 2}),
    "siem_send": ("siem.send", {"to": ["it"], "include": "place"}),
    "alert_reply": ("alert.reply", {"to": "it", "comment": "restarted by @kim"}),
}
ENTRIES = [
    b'{"user":"kim@example.com","password":"hunter2","text":"<!channel> `rm -rf` @here [x](http://evil)"}',
    b"Authorization: Bearer abcdefgh12345678 \xe2\x80\xaefdp.exe \x1b[31m\r\nsecond line",
    b"x" * 5000,
    b'{"n":4}',
]
ALERT = (
    b'{"webhook":{"source":"pagerduty","hook":"h","id":"m","alert":0},'
    b'"alert":{"title":"Disk full","severity":"error","status":"firing","fingerprint":"PGR0VU2"}}'
)


class Recorder:
    """Stands where requests go out: writes them down and answers nothing, as a target that hangs up."""

    def __init__(self, *, contained: bool = False) -> None:
        self.told: list[str] = []
        self.contained = contained  # the state of hosts

    def send(self, request: HttpRequest) -> HttpResponse:
        body = request.body if request.headers.get("Content-Encoding") != "gzip" else b"(gzip)"
        head = "".join(f"{name}: {value}\n" for name, value in request.headers.items())
        ca = f"ca: {request.ca}\n" if request.ca else ""
        self.told.append(
            f"{request.method} {request.url}\n{head}timeout: {request.timeout}\n{ca}\n{body.decode()}\n"
        )
        if request.url.endswith("/oauth2/token"):
            return HttpResponse(201, {}, b'{"access_token": "a-token", "expires_in": 1799}')
        if request.method == "GET" and "/devices/entities/devices/" in request.url:
            status = "contained" if self.contained else "normal"
            device = {"device_id": "01" * 16, "status": status}
            return HttpResponse(200, {}, orjson.dumps({"resources": [device]}))
        raise BadAnswer("no answer")

    def call(
        self,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        role: AssumedRole,
        timeout: float = 10.0,
    ) -> Mapping[str, Any]:
        shown = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in params.items()
        }
        written = orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode()
        policy = orjson.dumps(orjson.loads(role.policy), option=orjson.OPT_INDENT_2).decode()
        self.told.append(
            f"{service} {operation}\n{written}\ntimeout: {timeout}\nas {role.arn}\n"
            f"session {role.session}\npolicy {policy}\n"
        )
        if operation == "DescribeServices":
            deployment = {"id": "ecs-svc/1", "status": "PRIMARY", "rolloutState": "COMPLETED"}
            return {"services": [{"status": "ACTIVE", "deployments": [deployment], "desiredCount": 2}]}
        raise BadAnswer("no answer")


class Names:
    """Secrets whose values show where they went."""

    def get(self, name: str) -> str:
        if name == "hook":
            return "https://hooks.slack.com/services/T000/B000/canary-4242"
        if name == "k8s.prod.ca":
            return "(an authority in PEM)"
        if name == "falcon":
            return f"0123456789abcdef:{CANARY}"
        if name == "none":
            raise Missing("there is no secret none")
        return CANARY


def _entries(uses: str) -> list[bytes]:
    return [*ENTRIES, ALERT] if uses == "alert.reply" else ENTRIES


def _built(tmp_path: Path, recorder: Recorder) -> dict[str, Any]:
    known = accounts.load(
        "x",
        b"accounts: {it: {kind: pagerduty, token: pd, user: kim@example.com}, "
        b"falcon-prod: {kind: falcon, cloud: us-1, token: falcon, hosts: every}}",
    )
    sinks = siem.load("x", b"sinks: {it: {kind: splunk, url: 'https://hec.example.com', token: hec}}")
    return actions.build(
        recorder,
        AppendFiles(tmp_path),
        Names(),
        lambda: sinks,
        accounts=lambda: known,
        aws=lambda: recorder,
        grants=GRANTS,
        clock=lambda: NOW,
    )


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_action_sends_the_bytes_of_its_golden(tmp_path: Path, name: str) -> None:
    """An action's requests are, byte for byte, its golden: whoever changes the wire sees it in the diff."""
    uses, inputs = EXAMPLES[name]
    recorder = Recorder(contained=uses == "falcon.lift_containment")
    action = _built(tmp_path, recorder)[uses]
    action.check(inputs)
    found = action.perform(step_run(uses, inputs, _entries(uses), hook="pagerduty/h"))
    assert isinstance(found, Again | Ask)
    if isinstance(found, Again) and found.done:  # it noted something first
        found = action.perform(
            step_run(uses, inputs, _entries(uses), hook="pagerduty/h", resumed=True, done=found.done)
        )
    told = "\n".join(recorder.told)
    golden = GOLDENS / f"{name}.txt"
    if os.environ.get("SENTINEL_WRITE_GOLDENS"):
        golden.write_text(told)
    assert told == golden.read_text()


def test_every_action_has_an_example() -> None:
    """The examples above cover the registry."""
    others = {"ai.patch", "ai.choose", "git.pull_request"}  # by clients of their own, tried where these are
    assert {uses for uses, _ in EXAMPLES.values()} | others == set(actions.ACTIONS)


@pytest.mark.parametrize(
    "name", [name for name, (uses, _) in EXAMPLES.items() if uses not in {"http.call", "siem.send"}]
)
def test_a_plan_sends_nothing_and_reads_no_secret(tmp_path: Path, name: str) -> None:
    """A plan is JSON that names secrets; nothing goes out for it, and it quotes no entry."""
    uses, inputs = EXAMPLES[name]
    recorder = Recorder()
    plan = _built(tmp_path, recorder)[uses].plan(step_run(uses, inputs, _entries(uses), hook="pagerduty/h"))
    written = orjson.dumps(plan).decode()
    assert recorder.told == []
    assert plan
    assert CANARY not in written
    assert "hunter2" not in written


def test_a_lost_reply_is_unsure_and_a_refusal_is_not(tmp_path: Path) -> None:
    """Where the request may have arrived, the outcome says so: at-most-once steps are then not done again."""
    for name, (uses, inputs) in EXAMPLES.items():
        if uses in {"wait", "approval", "siem.send", "alert.reply"}:
            continue
        recorder = Recorder(contained=uses == "falcon.lift_containment")
        found = _built(tmp_path, recorder)[uses].perform(step_run(uses, inputs, done={"before": "x"}))
        assert isinstance(found, Again), name
        assert found.unsure, name


def test_inputs_of_no_grant_are_refused_by_name(tmp_path: Path) -> None:
    """A deployment that grants nothing carries out nothing, and says which list to add what to.

    What an account lets be touched is in its document.
    """
    recorder = Recorder()
    built = actions.build(recorder, AppendFiles(tmp_path), Names(), dict)
    for name, (uses, inputs) in EXAMPLES.items():
        if (
            uses in {"wait", "approval", "siem.send", "alert.reply", "http.call"}
            or inputs.get("to") == "slack"
        ):
            continue
        found = built[uses].perform(step_run(uses, inputs))
        assert isinstance(found, Failed), name
        assert ("there is no account" if "account" in inputs else "SENTINEL_") in found.reason, name
    assert recorder.told == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "infrastructure").glob("*.yaml")), ids=lambda p: p.stem
)
def test_the_examples_are_recipes(tmp_path: Path, path: Path) -> None:
    """Each example of infrastructure actions loads, and its steps are what their actions take."""
    found = recipes.load(path.name, path.read_bytes())
    built = _built(tmp_path, Recorder())
    for step in found.steps:
        built[step.uses].check(step.with_)
