"""The wiring of patches: repositories, models, what keeps what patches are made of, and what tries them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from sentinel.bootstrap_deliveries import Delivering
from sentinel.errors import Forbidden

if TYPE_CHECKING:
    from sentinel.actions.books import ModelBook, RepositoryBook
    from sentinel.actions.patch_parts import PatchParts
    from sentinel.ai import Reach
    from sentinel.core.budgets import Budget, Spent
    from sentinel.core.failures import Failure
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.core.steps import Matched
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
        if self.local:
            from sentinel.adapters.blobs_folder import FolderBlobs

            return FolderBlobs(self.home / "blobs")
        from sentinel.adapters.blobs_s3 import S3Blobs

        if not self.settings.blobs_bucket:
            raise Forbidden("this deployment makes no patches: docs/deploy.md says how to turn them on")
        return S3Blobs(self._app._aws("s3"), self.settings.blobs_bucket)

    @cached_property
    def patch_parts(self) -> PatchParts:
        """What patches are made with."""
        from sentinel.actions.patch_parts import PatchParts

        return PatchParts(
            known=self.repositories.current,
            sources=self._source,
            publishers=self._publisher,
            models=self.asked,
            blobs=lambda: self.blobs,
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
            from sentinel.adapters.sandbox_own import OwnEnvironment
            from sentinel.usecases.prove_patch import ProveHere

            return ProveHere(OwnEnvironment(here()))
        raise NotImplementedError

    def _failure(self, entries: Sequence[Matched]) -> Failure:
        from sentinel.usecases.related import failure_from

        return failure_from(self._app.ledger, entries)

    def asked(self, names: Sequence[str], budget: Budget, spent: Spent) -> Model:
        """Return the models of some names as one, asked in this order within what is left of a budget."""
        from sentinel import ai

        return ai.asked(names, self.models.current(), self._reach, budget, spent)

    @cached_property
    def _reach(self) -> Reach:
        raise NotImplementedError

    def _source(self, repository: RepositoryConfig) -> Repositories:
        raise NotImplementedError

    def _publisher(self, repository: RepositoryConfig) -> Publisher:
        raise NotImplementedError
