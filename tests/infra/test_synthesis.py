"""`app.py` as a command: it asks nobody, says the same each time, and stops on what is not in order."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from infra import NODE
from infra.bundle import Target, build_dependencies
from infra.config import PREFIX, Deployment

if TYPE_CHECKING:
    from tests.infra.conftest import Templates

ROOT = Path(__file__).resolve().parents[2]
# Both halves of a CDK app, Python and Node, fail on the first connection to anywhere.
NO_NETWORK_NODE = """
for (const name of ['connect', 'createConnection'])
  require('net')[name] = () => { throw new Error('a connection was tried'); };
require('net').Socket.prototype.connect = () => { throw new Error('a connection was tried'); };
require('dns').lookup = () => { throw new Error('a name was looked up'); };
"""
NO_NETWORK_PYTHON = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError("a connection was tried")
sys.addaudithook(refuse)
"""
CERTIFICATE = "arn:aws:acm:eu-central-1:111122223333:certificate/7a1f0c1e-1111-4222-8333-444455556666"
DOMAINS: dict[str, object] = {
    "domain_name": "api.example.com",
    "certificate_arn": CERTIFICATE,
    "ownership_certificate_arn": CERTIFICATE,
    "hooks_domain_name": "hooks.example.com",
    "hooks_certificate_arn": CERTIFICATE,
}
# What an emulator on this machine is deployed to with.
EMULATED: dict[str, object] = {
    "redis_url": "redis://127.0.0.1:6379",
    "layer_target": "host",
    "rotation": False,
    "usage_plans": False,
    "default_endpoint": True,
    "client_certificate_header": "Client-Cert",
    "ingress_addresses": "0.0.0.0/0",
    "authorizer_cache_seconds": 0,
}
PATCHING = {"work_read", "work_ai", "work_git"}  # functions that are there with `patches` alone
NO_ASSETS: dict[str, object] = {"aws:cdk:bundling-stacks": []}


def fence(folder: Path) -> None:
    """Put into `folder` what makes Python and Node refuse every connection."""
    folder.mkdir(exist_ok=True)
    (folder / "refuse.js").write_text(NO_NETWORK_NODE)
    (folder / "sitecustomize.py").write_text(NO_NETWORK_PYTHON)


def run_app(folder: Path, **context: object) -> subprocess.CompletedProcess[str]:
    """Run `python app.py` with no account, no credentials, no home and no network; output in `folder/out`."""
    fence(folder)
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(folder),
        "NODE_OPTIONS": f"--require={folder / 'refuse.js'}",
        "AWS_EC2_METADATA_DISABLED": "true",
        "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "true",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "true",
        # Unpacking CDK anew would be most of the time.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(Path.home() / ".cache" / "aws" / "jsii" / "package-cache"),
        "CDK_OUTDIR": str(folder / "out"),
        "CDK_CONTEXT_JSON": json.dumps({**NO_ASSETS, **context}),
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def _digests(folder: Path) -> dict[str, str]:
    found = (folder / "out").glob("*.template.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


@pytest.mark.slow
def test_synthesis_asks_nobody_and_repeats(tmp_path: Path, templates: Templates) -> None:
    """Two runs without account, credentials or network give the same templates, with findings nowhere."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        done = run_app(folder)
        assert done.returncode == 0, done.stderr
        assert "ERROR" not in done.stderr
    assert _digests(first) == _digests(second)
    assert {name.partition(".")[0] for name in _digests(first)} == templates.stacks.keys()


def test_the_network_is_really_refused(tmp_path: Path) -> None:
    """The fences of the test above hold, in Python and in Node."""
    fence(tmp_path / "x")
    python = subprocess.run(
        [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"],
        env={"PYTHONPATH": str(tmp_path / "x")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a connection was tried" in python.stderr
    node = subprocess.run(
        [
            NODE,
            "--require",
            str(tmp_path / "x" / "refuse.js"),
            "-e",
            "require('net').connect(9, '127.0.0.1')",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "a connection was tried" in node.stderr


def test_no_account_is_in_a_template(templates: Templates) -> None:
    """The account stays open until somebody deploys; the region and its zones are written out."""
    written = json.dumps(templates.stacks)
    assert '"Ref": "AWS::AccountId"' in written
    assert "Fn::GetAZs" not in written
    assert "eu-central-1a" in written
    assert "Dummy" not in written.title()


def test_no_custom_resource_runs_code_of_its_own(
    templates: Templates, patches: Templates, erasing: Templates
) -> None:
    """Everything is done by properties of CloudFormation: no helper functions, no custom resources."""
    kinds = {
        resource["Type"] for stack in patches.stacks.values() for resource in stack["Resources"].values()
    }
    assert not {kind for kind in kinds if kind.startswith(("Custom::", "AWS::CloudFormation::Custom"))}
    folders = {path.parent.name for path in ROOT.glob("functions/*/handler.py")}
    assert set(templates.functions()) == folders - PATCHING - {"record"}
    assert set(patches.functions()) == folders - {"record"}
    assert set(erasing.functions()) == folders - PATCHING


@pytest.mark.parametrize(
    "options",
    [
        {"customer_key": True, "interface_endpoints": True},
        {"redis_url": "rediss://cache.example.com:6380", "redis_secret": "outside", "keep": False},
        {"account": "111122223333", "region": "cn-north-1", "environment": "prod", "secret_prefix": "x/"},
        {"python": "3.14", "api_account_role": False},
        {**DOMAINS, "ca_keys": 2, "authorizer_cache_seconds": 0},
        {**EMULATED, "ingress_addresses": "10.0.0.0/8"},
    ],
)
def test_every_variant_is_in_order(synthesize: Callable[..., Templates], options: dict[str, object]) -> None:
    """The AwsSolutions rules pass, each finding accepted with a reason, in every variant of a deployment."""
    assert len(synthesize(**options).stacks) == (2 if "redis_url" in options else 3)


def test_a_finding_stops_synthesis(tmp_path: Path) -> None:
    """A finding without a written reason fails: the rules are really applied."""
    from aws_cdk import Stack, aws_sqs

    from app import make_app

    app = make_app({**NO_ASSETS}, str(tmp_path))
    aws_sqs.Queue(Stack(app, "Careless"), "Queue")
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        app.synth()


def test_accepted_findings_are_narrow(templates: Templates) -> None:
    """Every accepted finding is on one resource, with a reason, and no wildcard action is among them."""
    found = [
        (each["id"], each["reason"], resource["Type"])
        for stack in templates.stacks.values()
        for resource in stack["Resources"].values()
        for each in resource.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", [])
        if each["id"].startswith("AwsSolutions")
    ]
    assert found
    kinds: dict[str, set[str]] = {}
    for rule, reason, kind in found:
        assert len(reason) > 60, rule
        assert "Action::" not in rule
        kinds.setdefault(rule.partition("[")[0].removeprefix("AwsSolutions-"), set()).add(kind)
    assert kinds == {
        "APIG2": {"AWS::ApiGateway::RestApi"},
        "APIG3": {"AWS::ApiGateway::Stage"},
        "APIG4": {"AWS::ApiGateway::Method"},
        "COG4": {"AWS::ApiGateway::Method"},
        "DDB3": {"AWS::DynamoDB::Table"},
        "IAM4": {"AWS::IAM::Role"},
        "IAM5": {"AWS::IAM::Policy"},
        "L1": {"AWS::Lambda::Function"},
        "S1": {"AWS::S3::Bucket"},
        "SMG4": {"AWS::SecretsManager::Secret"},
        "SQS3": {"AWS::SQS::Queue"},
    }


def test_a_misspelt_option_is_refused(tmp_path: Path) -> None:
    """An option that does not exist stops `app.py` with its name and the names that exist."""
    done = run_app(tmp_path, **{f"{PREFIX}lane": 2})
    assert done.returncode == 1
    assert "there is no option sentinel:lane" in done.stderr
    assert "Traceback" not in done.stderr
    assert not _digests(tmp_path)


def test_infra_knows_the_package_by_its_tables_settings_and_routes() -> None:
    """Of the product, infra imports the descriptions it deploys from, and how lists are written."""
    found = set()
    for path in [ROOT / "app.py", *(ROOT / "infra").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
    ours = {
        name for name in found if name.partition(".")[0] in {"sentinel", "functions", "tests", "benchmarks"}
    }
    assert ours == {
        "sentinel.adapters.dynamodb_tables",
        "sentinel.core.access",
        "sentinel.core.flow",
        "sentinel.core.grants",
        "sentinel.core.issuers",
        "sentinel.core.pauses",
        "sentinel.core.ring",
        "sentinel.core.secret_kinds",
        "sentinel.core.tripwire",
        "sentinel.core.upstreams",
        "sentinel.errors",
        "sentinel.routes",
        "sentinel.settings",
    }


@pytest.mark.nightly
@pytest.mark.slow
def test_assets_are_whole_and_have_the_same_names_each_time(tmp_path: Path) -> None:
    """With layers built, two runs give the same templates, and the layers hold the package and its needs."""
    build_dependencies(Target.aws(Deployment().python))  # the one part that asks a registry; then it is kept
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        done = run_app(folder, **{"aws:cdk:bundling-stacks": ["**"]})
        assert done.returncode == 0, done.stderr
    assert _digests(first) == _digests(second)
    layers = list((first / "out").glob("asset.*/python"))
    assert len(layers) == 2
    held = {path.name for layer in layers for path in layer.iterdir()}
    assert {"sentinel", "botocore", "orjson", "sigma", "redis"} <= held
    native = [path.name for layer in layers for path in layer.rglob("*.so")]
    assert native
    assert all("aarch64" in name or ".abi3." in name or name.startswith("_message") for name in native), (
        native
    )
