"""Imports point inward, the core is pure, and sizes stay readable."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "shared" / "sentinel"

# What each ring may import of the package. Siblings are missing from each other's lists on purpose.
CORE = {"errors", "core"}
PORTS = CORE | {
    "ports",
    "ports_alerts",
    "ports_audit",
    "ports_aws",
    "ports_doors",
    "ports_erasure",
    "ports_feeds",
    "ports_log",
    "ports_patches",
    "ports_queue",
    "ports_sinks",
}
ACTIONS = PORTS | {"siem", "accounts", "ai", "actions"}
WIRING = ACTIONS | {"webhooks", "usecases", "adapters", "settings", "wiring"}
BOOTSTRAP = WIRING | {"bootstrap", "bootstrap_doors", "bootstrap_approvals", "bootstrap_flow"}
BOOTSTRAP |= {
    "bootstrap_alerts",
    "bootstrap_connectors",
    "bootstrap_deliveries",
    "bootstrap_patches",
    "bootstrap_evaluation",
    "bootstrap_log",
    "bootstrap_witness",
    "bootstrap_verify",
    "bootstrap_archive",
    "bootstrap_encryption",
}
ENTRYPOINTS = BOOTSTRAP | {"entrypoints", "routes"}
RINGS = {
    "errors": set[str](),
    "settings": {"errors"},
    "routes": set[str](),
    "core": CORE,
    "ports": PORTS,
    "ports_alerts": PORTS,
    "ports_audit": PORTS,
    "ports_aws": PORTS,
    "ports_doors": PORTS,
    "ports_erasure": PORTS,
    "ports_feeds": PORTS,
    "ports_log": PORTS,
    "ports_patches": PORTS,
    "ports_queue": PORTS,
    "ports_sinks": PORTS,
    "usecases": PORTS | {"usecases"},
    "siem": PORTS | {"siem"},
    "accounts": PORTS | {"siem", "accounts"},
    "webhooks": PORTS | {"webhooks"},
    "ai": PORTS | {"ai"},
    "adapters": PORTS | {"adapters"},
    "actions": ACTIONS,
    "wiring": WIRING,
    "bootstrap_doors": BOOTSTRAP,
    "bootstrap_alerts": BOOTSTRAP,
    "bootstrap_deliveries": BOOTSTRAP,
    "bootstrap_patches": BOOTSTRAP,
    "bootstrap_evaluation": BOOTSTRAP,
    "bootstrap_log": BOOTSTRAP,
    "bootstrap_witness": BOOTSTRAP,
    "bootstrap_verify": BOOTSTRAP,
    "bootstrap_archive": BOOTSTRAP,
    "bootstrap_encryption": BOOTSTRAP,
    "bootstrap_connectors": BOOTSTRAP,
    "bootstrap_approvals": BOOTSTRAP,
    "bootstrap_flow": BOOTSTRAP,
    "bootstrap": BOOTSTRAP,
    "entrypoints": ENTRYPOINTS,
    "local": ENTRYPOINTS | {"local"},
    "cli": ENTRYPOINTS | {"local", "cli"},
}
# The pure libraries that the core may use, beside the standard library.
PURE = {
    "orjson",
    "zstandard",
    "cryptography",
    "joserfc",
    "pydantic",
    "pydantic_core",
    "yaml",
    "sigma",
    "re2",
    "opentelemetry",
    "google",
}
# Parts of the standard library that reach outside, and so are no business of the core's.
OUTSIDE = {
    "asyncio",
    "http",
    "io",
    "logging",
    "os",
    "pathlib",
    "random",
    "secrets",
    "shutil",
    "signal",
    "socket",
}
OUTSIDE |= {"sqlite3", "ssl", "subprocess", "tempfile", "time", "urllib"}
# Heavy at import: modules whose cost a function pays only where it uses them.
HEAVY = {
    "boto3",
    "botocore",
    "cryptography",
    "joserfc",
    "redis",
    "pydantic",
    "sigma",
    "yaml",
    "opentelemetry",
    "google",
    "openai",
    "anthropic",
}


def modules(folder: str = "") -> Iterator[tuple[str, ast.Module]]:
    """Yield (dotted name below the package, syntax tree) of every module."""
    for path in sorted((PACKAGE / folder).rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE).with_suffix("").parts), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide the ring"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_imports_point_inward() -> None:
    """Every import of the package is allowed by the importing module's ring."""
    checked = 0
    for name, tree in modules():
        ring = name.partition(".")[0]
        if ring == "__init__":
            continue
        for target in imported(tree):
            parts = target.split(".")
            if parts[0] == "sentinel" and len(parts) > 1:
                checked += 1
                assert parts[1] in RINGS[ring], f"sentinel.{name} imports {target}"
    assert checked > 100


def test_the_core_is_pure() -> None:
    """The core imports the standard library's pure parts and the libraries of a short list, nothing else."""
    for name, tree in modules("core"):
        for target in imported(tree):
            top = target.partition(".")[0]
            inside = top in sys.stdlib_module_names and top not in OUTSIDE
            allowed = inside or top in PURE | {"sentinel"} or target.startswith("urllib.parse.")
            assert allowed, f"sentinel.{name} imports {target}"


def test_the_rule_can_fail() -> None:
    """A core module that imports boto3 or the clock would be caught."""
    found = set(imported(ast.parse("import boto3\nfrom time import time\ndef f(): import os")))
    assert found == {"boto3", "time.time", "os"}
    assert not found & PURE


@pytest.mark.parametrize(
    "function", sorted(path.name for path in (ROOT / "functions").iterdir() if path.is_dir())
)
def test_a_handler_is_wiring(function: str) -> None:
    """A handler module has imports, one assignment, at most ten lines, and no branch."""
    tree = ast.parse((ROOT / "functions" / function / "handler.py").read_text())
    body = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
    assert [type(node) for node in body] == [ast.Assign]
    assert len(ast.unparse(tree).splitlines()) <= 10
    assert not any(isinstance(node, ast.If | ast.Match | ast.Try) for node in ast.walk(tree))


def test_nothing_heavy_at_import() -> None:
    """Importing every handler loads no client library and no model, parser or schema library."""
    code = (
        "import importlib.util, pathlib, sys\n"
        f"for path in sorted(pathlib.Path({str(ROOT / 'functions')!r}).glob('*/handler.py')):\n"
        "    spec = importlib.util.spec_from_file_location(path.parent.name, path)\n"
        "    spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_only_bootstrap_reads_the_environment() -> None:
    """Settings come from one place: nothing but `bootstrap` and the local runner looks at `os.environ`."""
    for name, tree in modules():
        reads = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        ]
        allowed = name.partition(".")[0] in {"bootstrap", "local", "cli"} or name == "entrypoints.observe"
        assert not reads or allowed, f"sentinel.{name} reads the environment"


def test_modules_and_functions_stay_small() -> None:
    """No module over 300 lines, no function over 40: what is larger is more than one thing."""
    for name, tree in modules():
        lines = (PACKAGE / Path(*name.split("."))).with_suffix(".py").read_text().count("\n")
        assert lines <= 300, f"sentinel.{name} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                size = (node.end_lineno or 0) - node.lineno + 1
                assert size <= 40, f"sentinel.{name}.{node.name} has {size} lines"


def test_exceptions_are_caught_by_name() -> None:
    """`except Exception` stands at entrypoints only, where it is the last line of defence."""
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and name.partition(".")[0] not in {
                "entrypoints",
                "local",
                "cli",
            }:
                broad = node.type is None or "Exception" in {
                    each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)
                }
                assert not broad, f"sentinel.{name} line {node.lineno} catches everything"
