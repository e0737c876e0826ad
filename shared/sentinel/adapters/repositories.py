"""Repositories of every kind: each call goes to what knows the kind, made when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from sentinel.core.pull_requests import Published, PullRequest
from sentinel.core.repositories import RepositoryConfig
from sentinel.core.trees import Tree
from sentinel.errors import Malformed
from sentinel.ports_patches import Publisher, Repositories

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _ByKind(Generic[T]):
    """`kinds` gives what knows a kind, by its name."""

    kinds: Mapping[str, Callable[[], T]]

    def of(self, repository: RepositoryConfig) -> T:
        """Return what knows a repository's kind. Raises `Malformed` where nothing does."""
        found = self.kinds.get(repository.kind)
        if found is None:
            raise Malformed(f"this deployment knows no repositories of kind {repository.kind}")
        return found()


class ReadByKind(_ByKind[Repositories]):
    """See `ports_patches.Repositories`."""

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files at a ref."""
        return self.of(repository).fetch(repository, ref)


class PublishByKind(_ByKind[Publisher]):
    """See `ports_patches.Publisher`."""

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Make the pull request, or bring what is there to what is wanted."""
        return self.of(repository).publish(repository, wanted)

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return what there is of a task's pull request."""
        return self.of(repository).found(repository, task)
