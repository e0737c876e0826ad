"""The wiring of patches: repositories, models, what keeps what patches are made of, and what tries them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sentinel.bootstrap_deliveries import Delivering
from sentinel.errors import Forbidden
from sentinel.wiring import grants_of

if TYPE_CHECKING:
    from sentinel.actions.books import ModelBook, RepositoryBook
    from sentinel.actions.patch_parts import PatchParts
    from sentinel.adapters.github_app import AppTokens
    from sentinel.ai import Reach
    from sentinel.core.budgets import Budget, Spent
    from sentinel.core.failures import Failure
    from sentinel.core.steps import Matched
    from sentinel.ports import Http
    from sentinel.ports_patches import Blobs, Model, Prover, Publisher, Repositories

_DELIMITER = 16  # bytes


class Patching(Delivering):
    """Patches, each part made on first use; the stores that they need are `App`'s."""

    @cached_property
    def repositories(self) -> RepositoryBook:
        """The repositories in force."""
        from sentinel.actions.books import RepositoryBook

        app = self._app
        return RepositoryBook(app.catalog, time.time_ns, self.settings.catalog_seconds, app.opener)

    @cached_property
    def models(self) -> ModelBook:
        """The models in force."""
        from sentinel.actions.books import ModelBook

        app = self._app
        return ModelBook(app.catalog, time.time_ns, self.settings.catalog_seconds, app.opener)

    @cached_property
    def blobs(self) -> Blobs:
        """What patches are made of. Raises `Forbidden` where the deployment has no place for it."""
        return self._blobs("blobs")

    @cached_property
    def asked_blobs(self) -> Blobs:
        """Masked prompts and answers: all that who asks models sees. Errors as at `blobs`."""
        return self._blobs("asked")

    def _blobs(self, folder: str) -> Blobs:
        if self.local:
            from sentinel.adapters.blobs_folder import FolderBlobs

            return FolderBlobs(self.home / folder)
        from sentinel.adapters.blobs_s3 import S3Blobs

        if not self.settings.blobs_bucket:
            raise Forbidden("this deployment makes no patches: docs/deploy.md says how to turn them on")
        return S3Blobs(self.bucket_client, self.settings.blobs_bucket, f"{folder}/")

    @cached_property
    def patch_parts(self) -> PatchParts:
        """What patches are made with."""
        from sentinel.actions.patch_parts import PatchParts

        return PatchParts(
            known=self.repositories.current,
            source=lambda: self.repository_reader,
            publisher=lambda: self.repository_publisher,
            models=self.asked,
            blobs=lambda: self.blobs,
            asked=lambda: self.asked_blobs,
            prover=lambda: self.prover,
            failure=self._failure,
            nonce=lambda: secrets.token_hex(_DELIMITER),
            clock=time.time_ns,
        )

    @cached_property
    def prover(self) -> Prover:
        """What tries patches: a sandbox of this machine, or a build service in AWS."""
        if self.local:
            from sentinel.adapters.sandbox_bwrap import here
            from sentinel.usecases.prove_patch import ProveHere

            return ProveHere(here())
        from sentinel.adapters.codebuild import CodeBuildProver, Place
        from sentinel.core.proof_json import evidence_of, job_bytes

        project, images = self.settings.prove_project, _listed(self.settings.prove_images)
        place = Place(project, self.settings.blobs_bucket, images)
        builds = self._app._aws("codebuild")
        return CodeBuildProver(builds, self.bucket_client, place, job_bytes, evidence_of)

    @cached_property
    def bucket_client(self) -> Any:
        """The client of the bucket of blobs: trees are large."""
        return self._app._aws("s3", read_timeout=60)

    def _failure(self, entries: Sequence[Matched]) -> Failure:
        from sentinel.usecases.related import failure_from

        return failure_from(self._app.ledger, entries)

    def asked(self, names: Sequence[str], budget: Budget, spent: Spent) -> Model:
        """Return the models of some names as one, asked in this order within what is left of a budget."""
        from sentinel import ai

        return ai.asked(names, self.models.current(), self.reach, budget, spent)

    @cached_property
    def reach(self) -> Reach:
        """What models are asked through."""
        from sentinel.adapters.http import HttpClient
        from sentinel.ai import Reach

        app = self._app
        http = HttpClient(app.hosts, max_idle=0)  # a model is silent for minutes
        if not self.local:
            return Reach(http, app.secrets, clock=time.time_ns)
        from sentinel.adapters.read_files import ReadFiles

        return Reach(http, app.secrets, ReadFiles(self.home), clock=time.time_ns)

    @cached_property
    def repository_reader(self) -> Repositories:
        """Reads repositories."""
        from sentinel.adapters.repositories import ReadByKind

        return ReadByKind({"local": self._local_git, "github": self._github, "gitlab": self._gitlab})

    @cached_property
    def repository_publisher(self) -> Publisher:
        """Proposes to repositories."""
        from sentinel.adapters.repositories import PublishByKind

        to = self._local_publisher, self._github_publisher, self._gitlab_publisher
        return PublishByKind(dict(zip(("local", "github", "gitlab"), to, strict=True)))

    def _local_git(self) -> Repositories:
        from sentinel.adapters.git_local import LocalGit

        return LocalGit(grants_of(self.settings).folders)

    def _local_publisher(self) -> Publisher:
        from sentinel.adapters.git_local_publish import LocalPublisher

        return LocalPublisher(grants_of(self.settings).folders)

    @cached_property
    def _forges(self) -> Http:
        """Asks GitHub and GitLab: an archive of a repository is one answer."""
        from sentinel.adapters.forge_calls import MAX_ANSWER
        from sentinel.adapters.http import HttpClient

        return HttpClient(self._app.hosts, max_answer=MAX_ANSWER)

    @cached_property
    def _app_tokens(self) -> AppTokens:
        from sentinel.adapters.github_app import AppTokens

        return AppTokens(self._forges, self._app.secrets, clock=time.time_ns)

    def _github(self) -> Repositories:
        from sentinel.adapters.github import GitHub

        return GitHub(self._app_tokens)

    def _github_publisher(self) -> Publisher:
        from sentinel.adapters.github_publish import GitHubPublisher

        return GitHubPublisher(self._app_tokens)

    def _gitlab(self) -> Repositories:
        from sentinel.adapters.gitlab import GitLab

        return GitLab(self._forges, self._app.secrets, clock=time.time_ns)

    def _gitlab_publisher(self) -> Publisher:
        from sentinel.adapters.gitlab_publish import GitLabPublisher

        return GitLabPublisher(self._forges, self._app.secrets, clock=time.time_ns)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(filter(None, map(str.strip, text.split(","))))
