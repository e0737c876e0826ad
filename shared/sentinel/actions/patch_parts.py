"""What patches are made with, as a deployment has it; without any, none is made.

Each part is asked for when a stage needs it, since a worker in AWS has the rights of its own stages only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from sentinel.actions.ai_patch import AiPatch
from sentinel.actions.patch_ask import Models, Patcher
from sentinel.actions.patch_judge import Judge
from sentinel.actions.patch_prove import Proving
from sentinel.actions.patch_read import Reader, Sources
from sentinel.errors import Forbidden

if TYPE_CHECKING:
    from sentinel.core.failures import Failure
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.core.steps import Matched
    from sentinel.ports_patches import Blobs, Prover, Publisher


def _off(*_: object) -> NoReturn:
    raise Forbidden("this deployment makes no patches: docs/deploy.md says how to turn them on")


@dataclass(frozen=True, slots=True)
class PatchParts:
    """`known` gives the repositories in force by name, `failure` what entries tell, with what is around them.

    `sources` and `publishers` give what reads and what proposes to a repository, `nonce` the delimiter of a
    prompt. `clock` is in epoch nanoseconds.
    """

    known: Callable[[], Mapping[str, RepositoryConfig]] = _off
    sources: Sources = _off
    publishers: Callable[[RepositoryConfig], Publisher] = _off
    models: Models = _off
    blobs: Callable[[], Blobs] = _off
    prover: Callable[[], Prover] = _off
    failure: Callable[[Sequence[Matched]], Failure] = _off
    nonce: Callable[[], str] = _off
    clock: Callable[[], int] = time.time_ns

    def ai_patch(self) -> AiPatch:
        """Return the action `ai.patch`."""
        return AiPatch(
            lambda: Reader(self.known, self.sources, self.blobs(), self.failure, self.nonce),
            lambda: Patcher(self.models, self.blobs(), self.clock),
            lambda: Judge(self.known, self.blobs()),
            lambda: Proving(self.known, self.blobs(), self.prover),
        )
