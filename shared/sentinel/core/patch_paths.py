"""Which files a patch may touch: the recipe's patterns, and files that no patch touches whatever they say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from sentinel.core.edit_paths import fold

# Patterns by rule, for names at any depth, in lower case: case does not matter.
PROTECTED: Final[Mapping[str, tuple[str, ...]]] = {
    "ci": (
        *(".github/**", ".gitlab/**", ".gitlab-ci*.yml", ".gitlab-ci*.yaml", ".circleci/**", ".travis.yml"),
        *(
            "jenkinsfile*",
            "*.jenkinsfile",
            "azure-pipelines*",
            ".azure-pipelines/**",
            "buildspec*",
            "appspec.y*ml",
        ),
        *(
            "bitbucket-pipelines*",
            ".buildkite/**",
            ".drone.y*ml",
            ".woodpecker/**",
            ".woodpecker.y*ml",
            ".forgejo/**",
        ),
        *(".gitea/**", ".teamcity/**", "appveyor.yml", ".appveyor.yml", "cloudbuild*.y*ml", "codefresh.y*ml"),
        *(
            ".pre-commit-config.y*ml",
            ".pre-commit-hooks.y*ml",
            ".husky/**",
            "lefthook.y*ml",
            ".lefthook.y*ml",
        ),
        *(
            "renovate.json*",
            ".renovaterc*",
            "dependabot.y*ml",
            "codecov.y*ml",
            ".codecov.y*ml",
            ".mergify.y*ml",
        ),
        *("codeowners", "tox.ini", "noxfile.py", ".devcontainer/**", ".vscode/**", ".idea/**"),
    ),
    "lockfile": (
        *("package-lock.json", "npm-shrinkwrap.json", "yarn.lock", "pnpm-lock.y*ml", "bun.lock", "bun.lockb"),
        *(
            "poetry.lock",
            "pdm.lock",
            "uv.lock",
            "pipfile.lock",
            "pylock*.toml",
            "conda-lock.y*ml",
            "pixi.lock",
        ),
        *(
            "go.sum",
            "go.work.sum",
            "cargo.lock",
            "gemfile.lock",
            "composer.lock",
            "gradle.lockfile",
            "mix.lock",
        ),
        *(
            "packages.lock.json",
            "paket.lock",
            "podfile.lock",
            "package.resolved",
            "pubspec.lock",
            "flake.lock",
        ),
        *("deno.lock", "module.bazel.lock", "*.lock.hcl", "gradle/verification-metadata.xml"),
    ),
    "infrastructure": (
        *(
            "dockerfile*",
            "*.dockerfile",
            "containerfile*",
            ".dockerignore",
            "docker-compose*",
            "compose*.y*ml",
        ),
        *(
            "docker-bake.*",
            "*.tf",
            "*.tf.json",
            "*.tfvars",
            "*.tfvars.json",
            "*.tfstate*",
            "*.hcl",
            "*.bicep",
        ),
        *("terraform/**", "terragrunt/**", "k8s/**", "kubernetes/**", "manifests/**", "kustomization.y*ml"),
        *("helm/**", "helmfile*", "charts/**", "chart.y*ml", "cdk.json", "cdk.context.json", "infra/**"),
        *("infrastructure/**", "deploy/**", "deployment/**", "ansible/**", "pulumi*.y*ml", "serverless.y*ml"),
        *("cloudformation/**", "template.y*ml", "samconfig.*", "skaffold.y*ml", "fly.toml", "render.y*ml"),
        *(
            "vercel.json",
            "netlify.toml",
            "procfile",
            "app.y*ml",
            "*.nomad",
            "vagrantfile",
            "nginx.conf",
            "*.service",
        ),
    ),
    "secret-file": (
        *(
            ".env",
            ".env.*",
            "*.env",
            ".envrc",
            "*.pem",
            "*.key",
            "*.p12",
            "*.pfx",
            "*.jks",
            "*.keystore",
            "*.p8",
        ),
        *(
            "id_rsa*",
            "id_dsa*",
            "id_ecdsa*",
            "id_ed25519*",
            "*.ppk",
            "*.asc",
            "*.gpg",
            "*.kdbx",
            ".netrc",
            "_netrc",
        ),
        *(".pgpass", ".pypirc", ".npmrc", ".yarnrc*", "pip.conf", ".htpasswd", ".git-credentials", ".aws/**"),
        *(".ssh/**", ".gnupg/**", ".kube/**", "kubeconfig*", "credentials", "credentials.json", "secrets.*"),
        *(
            "secrets/**",
            "*.secret",
            "*.secrets",
            "service-account*.json",
            "master.key",
            ".docker/**",
            ".sops.y*ml",
        ),
    ),
    "licence": ("licen[cs]e*", "copying*", "notice*", "copyright*", "patents*", "licenses/**", "unlicense*"),
    "git": (
        ".gitmodules",
        ".gitattributes",
        ".gitignore",
        ".gitconfig",
        ".git-blame-ignore-revs",
        ".lfsconfig",
    ),
    "test-configuration": (
        *("conftest.py", "pytest.ini", ".pytest.ini", "pytest.toml", ".coveragerc", "sitecustomize.py"),
        *(
            "usercustomize.py",
            "pytest.py",
            "pytest/__init__.py",
            "_pytest/**",
            "unittest.py",
            "*.pth",
            "jest.config.*",
            "jest.setup.*",
            "vitest.config.*",
            "vitest.workspace.*",
        ),
        *("karma.conf.*", ".mocharc*", "playwright.config.*", "cypress.config.*", "ava.config.*", ".nycrc*"),
        *(
            ".rspec",
            "spec_helper.rb",
            "rails_helper.rb",
            "test_helper.rb",
            "phpunit.xml*",
            "junit-platform.properties",
        ),
    ),
}


def matches(pattern: str, path: str) -> bool:
    """Whether a path is meant by a pattern: `*` and `?` within a name, `**` for any number of names.

    >>> [matches("src/**/*.py", each) for each in ("src/a.py", "src/b/c.py", "a.py")]
    [True, True, False]
    """
    return _match(pattern.replace("[", "[[]").split("/"), path.split("/"))


def _match(patterns: Sequence[str], names: Sequence[str]) -> bool:
    """Match names one by one; `reached` are the counts of names that the patterns so far can mean."""
    reached = {0}
    for position, pattern in enumerate(patterns):
        if pattern == "**":
            least = min(reached, default=len(names) + 1) + (position == len(patterns) - 1)
            reached = set(range(least, len(names) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(names) and fnmatchcase(names[at], pattern)}
    return len(names) in reached


def allowed(path: str, patterns: Iterable[str]) -> bool:
    """Whether one of the recipe's patterns means a path."""
    return any(matches(pattern, path) for pattern in patterns)


def protections(path: str) -> Iterator[str]:
    """Yield the rules by which no patch touches a path.

    >>> list(protections("service/Dockerfile.prod")), list(protections("src/a.py"))
    (['infrastructure'], [])
    """
    names = fold(path).split("/")
    for rule, patterns in PROTECTED.items():
        if any(_match(["**", *pattern.split("/")], names) for pattern in patterns):
            yield rule


_TEST_FOLDERS = {"test", "tests", "__tests__", "spec", "specs", "testing", "e2e"}
_TEST_NAMES = (
    *("test_*.py", "*_test.py", "tests.py", "test.py", "*.test.*", "*.spec.*", "*-test.*", "*_test.go"),
    *(
        "*_spec.rb",
        "*_test.rb",
        "test_*.rb",
        "*test.java",
        "*tests.java",
        "*it.java",
        "*test.kt",
        "*tests.kt",
    ),
)


def is_test(path: str) -> bool:
    """Whether a path is that of a test, or of what tests use.

    >>> is_test("tests/data.py"), is_test("web/cart.spec.ts"), is_test("src/contest.py")
    (True, True, False)
    """
    *folders, name = fold(path).split("/")
    return bool(_TEST_FOLDERS & set(folders)) or any(fnmatchcase(name, each) for each in _TEST_NAMES)
