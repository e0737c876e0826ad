"""Repositories and publishers of every kind: which one it is says the repository's document."""

from __future__ import annotations

from collections.abc import Mapping

from sentinel.core.pull_requests import Published, PullRequest
from sentinel.core.repositories import RepositoryConfig
from sentinel.core.trees import Tree
from sentinel.errors import Forbidden
from sentinel.ports_patches import Publisher, Repositories


class RepositoriesOfKinds:
    """`ports_patches.Repositories` by those of each kind."""

    def __init__(self, kinds: Mapping[str, Repositories]) -> None:
        self._kinds = kinds

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files; see `ports_patches.Repositories`."""
        if repository.kind not in self._kinds:
            raise Forbidden(f"this deployment reads no repositories of kind {repository.kind}")
        return self._kinds[repository.kind].fetch(repository, ref)


class PublisherOfKinds:
    """`ports_patches.Publisher` by those of each kind."""

    def __init__(self, kinds: Mapping[str, Publisher]) -> None:
        self._kinds = kinds

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Propose a patch; see `ports_patches.Publisher`."""
        return self._of(repository).publish(repository, wanted)

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return what there is; see `ports_patches.Publisher`."""
        return self._of(repository).found(repository, task)

    def _of(self, repository: RepositoryConfig) -> Publisher:
        if repository.kind not in self._kinds:
            raise Forbidden(f"this deployment publishes to no repositories of kind {repository.kind}")
        return self._kinds[repository.kind]
