"""Repositories that patches are made for: where they are, who may read and who may publish, how tests run.

A document of the catalog, `repositories: {NAME: {kind: ..., ...}}`. Reading and publishing have credentials
of their own, so that whoever reads cannot write. What a step may change is bounded by `paths` here and by the
recipe's policy, whichever is narrower.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, field_validator

from sentinel.core import named, secret_kinds
from sentinel.core.proving import PYTEST, HowToTest, Limits
from sentinel.core.recipe_fields import Duration, Glob, Strict
from sentinel.core.tasks import SECOND
from sentinel.errors import Malformed

Ref = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+/-]{0,199}$")]
Folder = Annotated[str, StringConstraints(pattern=r"^(\.|[A-Za-z0-9_.+-]+(?:/[A-Za-z0-9_.+-]+){0,10})$")]
Path = Annotated[str, StringConstraints(pattern=r"^/[^\x00-\x1f]{0,499}$")]  # whole
MB = 1_000_000


def _of(kind: str) -> AfterValidator:
    def check(name: str) -> str:
        try:
            return secret_kinds.checked(name, kind)
        except Malformed as error:
            raise ValueError(str(error)) from None

    return AfterValidator(check)


_SECRET = StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
ReadSecret = Annotated[str, _SECRET, _of(secret_kinds.READ)]
PublishSecret = Annotated[str, _SECRET, _of(secret_kinds.PUBLISH)]


class Tests(Strict):
    """How the repository's tests are run in the sandbox; see `core.proving.HowToTest`."""

    command: tuple[Annotated[str, StringConstraints(min_length=1, max_length=500)], ...] = PYTEST
    environment: str = Field(default="", max_length=500)
    image: str = Field(default="", max_length=300)
    timeout: Duration = Field(default=120 * SECOND, ge=SECOND, le=900 * SECOND)
    memory_mb: int = Field(default=1_000, ge=64, le=16_000)
    processes: int = Field(default=64, ge=4, le=1_000)
    disk_mb: int = Field(default=256, ge=16, le=4_000)

    @field_validator("command")
    @classmethod
    def _reports(cls, command: tuple[str, ...]) -> tuple[str, ...]:
        if not any("{report}" in each for each in command):
            raise ValueError("it writes a JUnit report where {report} stands in it")
        return command


class RepositoryConfig(Strict):
    """What every kind has. `branch` is what pull requests go into, `deployed` what runs ("": that branch)."""

    kind: str
    branch: Ref = "main"
    deployed: Ref | None = None
    roots: tuple[Folder, ...] = Field(default=("src", "."), min_length=1, max_length=10)
    paths: tuple[Glob, ...] = Field(default=("**",), min_length=1, max_length=50)
    infrastructure: tuple[Glob, ...] = Field(default=(), max_length=50)
    tests: Tests = Tests()

    @property
    def told(self) -> str:
        """What people and models know it as."""
        raise NotImplementedError

    @property
    def ref(self) -> str:
        """The branch, tag or commit that runs."""
        return self.deployed or self.branch

    @property
    def how_to_test(self) -> HowToTest:
        """How its tests are run."""
        tests = self.tests
        seconds = tests.timeout / SECOND
        limits = Limits(
            seconds=seconds,
            cpu=seconds,
            memory=tests.memory_mb * MB,
            processes=tests.processes,
            disk=tests.disk_mb * MB,
        )
        return HowToTest(tests.command, self.roots, tests.environment, tests.image, limits)


class LocalRepository(RepositoryConfig):
    """A git repository in a folder of this machine; the deployment has to list the folder."""

    path: Path
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]{0,99}$")] = "local"

    @property
    def told(self) -> str:
        """See `RepositoryConfig`."""
        return self.name


class AppCredentials(Strict):
    """A GitHub App's: its id or client id, the installation, and the name of the secret with its key, PEM.

    The name begins with `read.` or `publish.`: rights are given by that.
    """

    app: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.]{1,40}$")]
    installation: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,20}$")]
    key: Annotated[str, _SECRET]


class Reading(AppCredentials):
    """Those of the App that reads."""

    key: ReadSecret


class Publishing(AppCredentials):
    """Those of the App that publishes."""

    key: PublishSecret


class GitHubRepository(RepositoryConfig):
    """One of GitHub, as an App. Tokens are narrowed to this repository, and to reading or to publishing."""

    name: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}/[A-Za-z0-9_.-]{1,100}$")
    ]
    api: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]{1,200}$")] = "https://api.github.com"
    read: Reading
    publish: Publishing | None = None

    @property
    def told(self) -> str:
        """See `RepositoryConfig`."""
        return self.name


class GitLabRepository(RepositoryConfig):
    """A project of GitLab. `read` and `publish` are names of secrets with project access tokens."""

    project: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(?:/[A-Za-z0-9_.-]{1,100}){1,9}$")
    ]
    api: Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]{1,200}$")] = "https://gitlab.com/api/v4"
    read: ReadSecret
    publish: PublishSecret | None = None

    @property
    def told(self) -> str:
        """See `RepositoryConfig`."""
        return self.project


KINDS: Mapping[str, type[RepositoryConfig]] = {
    "local": LocalRepository,
    "github": GitHubRepository,
    "gitlab": GitLabRepository,
}


def load(name: str, body: bytes) -> dict[str, RepositoryConfig]:
    """Parse a repository document, `repositories: {NAME: {kind: ..., ...}}`; see `core.named.load`."""
    return named.load(name, body, "repositories", "a repository", KINDS)
