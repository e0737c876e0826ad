"""GitHub, GitLab and this machine with one repository each, and the clients of all three, for tests."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sentinel.adapters.git_local import LocalGit
from sentinel.adapters.git_local_publish import LocalPublisher
from sentinel.adapters.github import GitHub
from sentinel.adapters.github_app import AppTokens
from sentinel.adapters.github_publish import GitHubPublisher
from sentinel.adapters.gitlab import GitLab
from sentinel.adapters.gitlab_publish import GitLabPublisher
from sentinel.core.repositories import (
    GitHubRepository,
    GitLabRepository,
    LocalRepository,
    Publishing,
    Reading,
    RepositoryConfig,
)
from sentinel.ports import Http
from sentinel.ports_patches import Publisher, Repositories
from tests.action_targets import Clock
from tests.git_servers import Bare, Direct, GitHubServer, GitLabServer, Server
from tests.repositories import NOW, Keys, Made, git

GITHUB, CODELOAD, GITLAB = "http://127.0.0.1:8001", "http://127.0.0.1:8002", "http://127.0.0.1:8003"
READS = {"contents": "read", "metadata": "read"}
WRITES = {"contents": "write", "pull_requests": "write", "metadata": "read"}
KINDS = ("local", "github", "gitlab")


@cache
def app_key() -> Any:
    """Return the key of both Apps: made once, since that is slow."""
    from joserfc.jwk import RSAKey

    return RSAKey.generate_key(2048)


@dataclass
class Forge:
    """One host, how to reach it, and what reads and publishes there by any `Http`."""

    kind: str
    bare: Path
    repository: RepositoryConfig
    server: Server | None
    http: Direct
    clock: Clock
    reader: Callable[[Http], Repositories]
    publisher: Callable[[Http], Publisher]

    def branches(self) -> list[str]:
        """Return all branches."""
        return git(self.bare, "for-each-ref", "--format=%(refname:short)", "refs/heads").splitlines()


def forge(kind: str, made: Made, folder: Path) -> Forge:
    """Return a host of a kind with a copy of a repository."""
    bare = folder / f"{kind}.git"
    template = folder / "template.git"
    if not template.exists():
        git(made.path, "clone", "-q", "--bare", "--template=", str(made.path), str(template))
    shutil.rmtree(bare, ignore_errors=True)
    shutil.copytree(template, bare)
    clock = Clock(NOW)
    store = Bare(bare, clock)
    if kind == "github":
        return _github(store, clock)
    if kind == "gitlab":
        return _gitlab(store, clock)
    return Forge(
        kind,
        bare,
        LocalRepository(kind="local", path=str(bare)),
        None,
        Direct({}),
        clock,
        lambda _: LocalGit([str(bare)]),
        lambda _: LocalPublisher([str(bare)]),
    )


def _github(store: Bare, clock: Clock) -> Forge:
    key = app_key()
    server = GitHubServer(store, clock, {"11": (key, READS), "22": (key, WRITES)})
    server.codeload = CODELOAD
    pem = key.as_pem(private=True).decode()
    secrets = Keys({"read.app": pem, "publish.app": pem})
    read = Reading(app="11", installation="111", key="read.app")
    publish = Publishing(app="22", installation="122", key="publish.app")
    repository = GitHubRepository(kind="github", name="o/shop", api=GITHUB, read=read, publish=publish)
    return Forge(
        "github",
        store.path,
        repository,
        server,
        Direct({GITHUB: server, CODELOAD: server}),
        clock,
        lambda http: GitHub(AppTokens(http, secrets, clock=clock)),
        lambda http: GitHubPublisher(AppTokens(http, secrets, clock=clock)),
    )


def _gitlab(store: Bare, clock: Clock) -> Forge:
    server = GitLabServer(store, clock, {"glpat-reader": "read_api", "glpat-writer": "api"})
    secrets = Keys({"read.gitlab": "glpat-reader", "publish.gitlab": "glpat-writer"})
    read, publish = "read.gitlab", "publish.gitlab"
    api = f"{GITLAB}/api/v4"
    repository = GitLabRepository(kind="gitlab", project="group/shop", api=api, read=read, publish=publish)
    return Forge(
        "gitlab",
        store.path,
        repository,
        server,
        Direct({GITLAB: server}),
        clock,
        lambda http: GitLab(http, secrets, clock=clock),
        lambda http: GitLabPublisher(http, secrets, clock=clock),
    )
