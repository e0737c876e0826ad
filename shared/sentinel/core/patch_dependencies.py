"""What is installed and how it is built: a change of that needs a person's approval.

Of `pyproject.toml` and `package.json` only the parts count that say so; the parts that say which tests run
are refused as a test's configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from sentinel.core.edit_paths import fold
from sentinel.core.patch_files import Changed
from sentinel.core.patch_findings import Finding
from sentinel.core.patch_syntax import Unreadable, json, toml

MANIFESTS: Final = (
    *(
        "requirements*.txt",
        "requirements*.in",
        "constraints*.txt",
        "setup.py",
        "setup.cfg",
        "pipfile",
        "environment.y*ml",
    ),
    *(
        "go.mod",
        "go.work",
        "gemfile",
        "*.gemspec",
        "pom.xml",
        "build.gradle*",
        "settings.gradle*",
        "gradle.properties",
    ),
    *("libs.versions.toml", "build.sbt", "cargo.toml", "composer.json", "mix.exs", "*.csproj", "*.fsproj"),
    *(
        "directory.packages.props",
        "packages.config",
        "nuget.config",
        "package.swift",
        "podfile",
        "pubspec.yaml",
    ),
    *(
        "deno.json*",
        "bower.json",
        "pnpm-workspace.yaml",
        "makefile",
        "cmakelists.txt",
        "conanfile.*",
        "vcpkg.json",
    ),
)
_FOLDERS = ("requirements/*.txt", "requirements/*.in")
_PYTHON = {
    "dependency": (
        "project",
        "build-system",
        "dependency-groups",
        *(
            f"tool.{each}"
            for each in ("poetry", "pdm", "uv", "hatch", "setuptools", "flit", "rye", "pixi", "cibuildwheel")
        ),
    ),
    "test-configuration": ("tool.pytest", "tool.coverage", "tool.tox", "tool.nox", "tool.mutmut"),
}
_NODE_TESTS = (
    "scripts",
    "jest",
    "mocha",
    "ava",
    "nyc",
    "c8",
    "vitest",
    "tap",
    "cypress",
    "husky",
    "lint-staged",
)
_NODE_WORDS = (
    "name",
    "version",
    "description",
    "keywords",
    "author",
    "contributors",
    "homepage",
    "bugs",
    "license",
)


def findings(file: Changed) -> Iterator[Finding]:
    """Yield what the change of a file means for what is installed, built and run as tests."""
    name = fold(file.path).rpartition("/")[2]
    if name == "pyproject.toml":
        yield from _parts(file, toml, _python)
    elif name == "package.json":
        yield from _parts(file, json, _node)
    elif any(fnmatchcase(name, each) for each in MANIFESTS) or _in_folder(file.path):
        line = file.added[0][0] if file.added else 0
        yield Finding("dependency", file.path, line, "what is installed or built changes")


def _in_folder(path: str) -> bool:
    return any(fnmatchcase("/".join(fold(path).split("/")[-2:]), each) for each in _FOLDERS)


def _parts(
    file: Changed, parse: Callable[[str], object], parts: Callable[[Mapping[str, object]], dict[str, object]]
) -> Iterator[Finding]:
    try:
        before, after = (_table(parse(text)) if text else {} for text in (file.before, file.after))
    except Unreadable:
        yield Finding("dependency", file.path, 0, "it does not parse, so what is installed may change")
        return
    old, new = parts(before), parts(after)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            rule = name.partition("/")[0]
            yield Finding(rule, file.path, 0, f"its part {name.partition('/')[2]} changes")


def _table(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _python(document: Mapping[str, object]) -> dict[str, object]:
    found = {}
    for rule, names in _PYTHON.items():
        for name in names:
            first, _, second = name.partition(".")
            part = document.get(first)
            found[f"{rule}/{name}"] = _table(part).get(second) if second else part
    return found


def _node(document: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {f"test-configuration/{name}": document.get(name) for name in _NODE_TESTS}
    rest = {name: value for name, value in document.items() if name not in {*_NODE_TESTS, *_NODE_WORDS}}
    return found | {"dependency/(what is installed)": rest}
