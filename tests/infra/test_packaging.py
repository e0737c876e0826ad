"""Each handler in a fresh process, from its asset and its layers only: what is deployed has all it needs.

The layers are built by the code that builds the deployed ones, for this machine and this Python. Nothing
answers at the address that stands for AWS and Redis, so a handler shows how it fails when what is behind
it is gone.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks import isolated
from infra import bundle

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
VERBS = sorted(path.parent.name for path in ROOT.glob("functions/*/handler.py"))
DEAD = "http://127.0.0.1:1"


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    """Build the layers once, before any test is timed."""
    isolated.layers()


def environ(templates: Templates, verb: str, endpoint: str = DEAD) -> dict[str, str]:
    """Return a function's environment as it is deployed, except for where AWS and Redis are."""
    variables = templates.functions()[verb]["Properties"]["Environment"]["Variables"]
    ours = {name: templates.text(value) for name, value in variables.items()}
    if "SENTINEL_REDIS_URL" in ours:
        ours["SENTINEL_REDIS_URL"] = "redis://127.0.0.1:1"
    ours |= {"SENTINEL_PROXY": "stock=http://127.0.0.1:1/api"} if verb == "proxy" else {}
    return {**ours, **isolated.aws(endpoint)}


@pytest.mark.parametrize("verb", VERBS)
def test_every_function_runs_from_what_is_deployed(patches: Templates, erasing: Templates, verb: str) -> None:
    """With AWS and Redis gone, a handler still imports, runs and says in its own way that it cannot."""
    ended = isolated.handle(verb, environ(erasing if verb == "record" else patches, verb))
    assert not ended.strangers
    if verb == "authorize":
        assert ended.raised == "Unavailable", ended.why  # the door stays shut
        return
    assert not ended.raised, (ended.raised, ended.why)
    answer = ended.answer or {}
    if verb == "rotate":
        assert sorted(answer["failed"]) == ["rotated", "truststore"]
    elif verb in {"ingest", "control", "token", "certify", "receive", "approve", "proxy"}:
        assert answer["statusCode"] == 503
        assert answer["headers"]["Retry-After"]
        assert json.loads(answer["body"])["error"] == "Unavailable"
    elif verb in {"detect", "dispatch"}:
        first = isolated.read_event(verb)["Records"][0]["dynamodb"]["SequenceNumber"]
        assert answer == {"batchItemFailures": [{"itemIdentifier": first}]}
    elif verb == "record":
        assert answer["error"] == "Unavailable"
        assert "does not answer" in answer["message"]
    else:
        assert "does not answer" in answer["unavailable"]


@pytest.mark.parametrize("verb", ["ingest", "control", "detect"])
def test_functions_reach_their_end(templates: Templates, verb: str) -> None:
    """With an AWS that answers, a handler does its work to the end and asks what it is expected to ask."""
    with isolated.empty_aws() as (endpoint, asked):
        ended = isolated.handle(verb, environ(templates, verb, endpoint))
    assert not ended.raised, (ended.raised, ended.why)
    reads = ["GetItem", "Query", "Query"]
    archived = "ListObjectsV2"  # chains, and where a chain's archive ends
    expected = {"ingest": ["Query", "PutItem"], "control": ["Query", archived], "detect": [archived, *reads]}
    assert asked == expected[verb]
    answer = ended.answer or {}
    assert answer.get("statusCode", 200) == 200
    assert not answer.get("batchItemFailures")


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("def handler(event, context): return {'got': event['x']}", ""),
        ("import aiohttp\ndef handler(event, context): return {}", "ModuleNotFoundError"),
        ("import click\ndef handler(event, context): return {}", "ModuleNotFoundError"),
        ("from sentinel.cli import main\ndef handler(event, context): return {}", "ModuleNotFoundError"),
        ("from sentinel.local import gateway\ndef handler(event, context): return {}", "ModuleNotFoundError"),
        ("import infra\ndef handler(event, context): return {}", "ModuleNotFoundError"),
    ],
)
def test_a_function_sees_nothing_else(tmp_path: Path, code: str, raised: str) -> None:
    """What is on this machine but not in asset or layers cannot be imported, so other tests prove much."""
    (tmp_path / "handler.py").write_text(code)
    ended = isolated.handle_in(tmp_path, {}, {"x": 1})
    assert ended.raised == raised
    assert ended.answer == ({"got": 1} if not raised else None)


def test_rules_load_from_the_layer() -> None:
    """Rules and correlations are parsed with what the layer has of pySigma's dependencies."""
    rule = """
title: Gateway time-outs
name: gateway-timeouts
status: test
logsource: {category: application}
detection:
  slow: {status: 504, message|re: 'timed? out'}
  condition: slow
---
title: Many of them
name: many-timeouts
correlation:
  type: event_count
  rules: [gateway-timeouts]
  group-by: [service]
  timespan: 5m
  condition: {gte: 10}
"""
    code = """
from sentinel.core.rules import load
found["answer"] = {"loaded": repr(load([("timeouts.yml", told["event"].encode())]))}
"""
    ended = isolated.run(code, isolated.layers(), {}, rule)
    assert "gateway-timeouts" in str(ended.answer)
    assert not ended.strangers


def test_mappings_of_webhooks_are_read_from_the_layer() -> None:
    """A mapping that ships is a file beside the code, and is there where the code is."""
    code = """
from sentinel.webhooks import SOURCES
(alert,) = SOURCES["generic"].make({"mapping": "axiom"}).alerts({}, told["event"].encode())
found["answer"] = alert.json()
"""
    body = '{"action": "Open", "event": {"monitorID": "m1", "title": "Triggered"}}'
    ended = isolated.run(code, isolated.layers(), {}, body)
    assert isinstance(ended.answer, dict)
    assert ended.answer["title"] == "Triggered"
    assert not ended.strangers


def _imported(path: Path) -> Iterator[str]:
    """Yield the first part of every name a file imports, at any depth, except for the type checker's."""
    tree = ast.parse(path.read_text())
    hidden = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def ai_layer() -> Path:
    """Return the folder of the layer with the SDKs of models, built for this machine."""
    return bundle.build_ai(bundle.Target.host()) / "python"


def _names(layer: Path) -> set[str]:
    return {path.name.partition(".")[0] for path in layer.iterdir()}


def test_the_layer_has_every_import() -> None:
    """Whatever the package imports, late or early, is in the dependency layer or the standard library.

    The SDKs of models are in a layer of their own, and the providers below `ai` alone import them.
    """
    have, sdks = (_names(layer) for layer in (isolated.layers()[0], ai_layer()))
    missing = {
        (str(path.relative_to(ROOT)), name)
        for path in [*bundle.package_files(), *ROOT.glob("functions/*/handler.py")]
        if path.suffix == ".py"
        for name in _imported(path)
        if name not in have | {"sentinel"} | set(sys.stdlib_module_names)
        and not (path.parent == bundle.PACKAGE / "ai" and name in sdks)
    }
    assert not missing


def test_the_layer_has_the_models_of_every_client_that_is_made() -> None:
    """Each AWS service that the package names to a client has its model in the layer."""
    text = "".join(path.read_text() for path in bundle.package_files())
    named = set(re.findall(r'(?:_aws|_make|create_client)\(\s*"([a-z0-9]+)"', text))
    named |= set(re.findall(r'\.call\(\s*"([a-z0-9]+)"', text))
    assert named >= {"dynamodb", "ecs", "lambda", "sns", "ssm", "sts"}
    named -= {"sqs"}  # of `sentinel detect --failures`, which no function runs
    assert named <= bundle.AWS_SERVICES
    data = isolated.layers()[0] / "botocore" / "data"
    assert all((data / name).is_dir() for name in named)


def test_the_sdks_of_models_run_from_the_layers() -> None:
    """Both SDKs make a client from what `work_ai` has; without its layer there is none."""
    code = """
import anthropic, openai
clients = anthropic.Anthropic(api_key="k"), openai.OpenAI(api_key="k")
found["answer"] = {"made": [type(each).__name__ for each in clients]}
"""
    ended = isolated.run(code, [*isolated.layers(), ai_layer()], {}, "")
    assert ended.answer == {"made": ["Anthropic", "OpenAI"]}, ended.why
    assert not ended.strangers
    missing = "try:\n    import openai\nexcept ImportError:\n    found['answer'] = {'none': True}\n"
    assert isolated.run(missing, isolated.layers(), {}, "").answer == {"none": True}


@pytest.mark.parametrize("requirements", [bundle.REQUIREMENTS, bundle.AI_REQUIREMENTS])
def test_layers_are_what_is_tested(requirements: Path) -> None:
    """The layers' pins are the versions that these tests run with."""
    lines = [line for line in requirements.read_text().splitlines() if "==" in line and line[0] != " "]
    pins = dict(line.split(" ")[0].split("==") for line in lines)
    assert pins
    assert {name: metadata.version(name) for name in pins} == pins


def test_layers_leave_room() -> None:
    """All layers together, unpacked, stay well below Lambda's limit of 250 MB."""

    def size(*layers: Path) -> int:
        return sum(path.stat().st_size for each in layers for path in each.rglob("*") if path.is_file())

    assert size(*isolated.layers()) < 80_000_000
    assert size(ai_layer()) < 60_000_000


def test_the_package_layer_has_no_local_part() -> None:
    """The local runner and the command line are not deployed, and every source has its compiled form."""
    package = isolated.layers()[1] / "sentinel"
    assert not (package / "local").exists()
    assert not (package / "cli").exists()
    sources = list(package.rglob("*.py"))
    assert sources
    tag = sys.implementation.cache_tag
    assert all((path.parent / "__pycache__" / f"{path.stem}.{tag}.pyc").exists() for path in sources)


def test_builds_are_named_by_what_goes_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same inputs have the same name; another Python, platform or pin has another."""
    host, arm = bundle.Target.host(), bundle.Target.aws("3.13")
    names = [bundle.dependencies_hash(each) for each in (host, arm, bundle.Target.aws("3.14"))]
    assert len(set(names)) == 3
    assert bundle.dependencies_hash(host) == names[0]
    changed = tmp_path / "requirements.txt"
    changed.write_text(bundle.REQUIREMENTS.read_text() + "# one pin more\n")
    monkeypatch.setattr(bundle, "ROOT", Path("/"))
    before = bundle.dependencies_hash(host)
    monkeypatch.setattr(bundle, "REQUIREMENTS", changed)
    assert bundle.dependencies_hash(host) != before


def test_a_failed_build_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build that fails says why and leaves no half folder under the name of a whole one."""
    bad = tmp_path / "requirements.txt"
    bad.write_text("orjson==3.13.0 --hash=sha256:" + "0" * 64 + "\n")
    monkeypatch.setattr(bundle, "REQUIREMENTS", bad)
    monkeypatch.setattr(bundle, "ROOT", Path("/"))
    monkeypatch.setattr(bundle, "CACHE", tmp_path / "layers")
    with pytest.raises(bundle.BuildFailed, match="requirements"):
        bundle.build_dependencies(bundle.Target.host())
    assert not list((tmp_path / "layers").iterdir())
