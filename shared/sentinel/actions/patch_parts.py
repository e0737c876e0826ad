"""What patches are made with, as a deployment has it; without any, none is made.

Each part is asked for when a stage needs it, since a worker in AWS has the rights of its own stages only, and
imported then: what reads and judges code is half of all that there is to import.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from sentinel.actions.ai_choose import Choose
from sentinel.actions.ai_patch import AiPatch
from sentinel.actions.git_pull_request import GitPullRequest
from sentinel.errors import Forbidden

if TYPE_CHECKING:
    from sentinel.actions.patch_ask import Models, Patcher
    from sentinel.actions.patch_judge import Judge
    from sentinel.actions.patch_prove import Proving
    from sentinel.actions.patch_read import Reader
    from sentinel.core.failures import Failure
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.core.steps import Action, Matched
    from sentinel.ports_patches import Blobs, Prover, Publisher, Repositories


def _off(*_: object) -> NoReturn:
    raise Forbidden("this deployment makes no patches: docs/deploy.md says how to turn them on")


@dataclass(frozen=True, slots=True)
class PatchParts:
    """`known` gives the repositories in force by name, `failure` what entries tell, with what is around them.

    `source` gives what reads repositories, `publisher` what proposes to them, `nonce` the delimiter of a
    prompt. `asked` keeps masked prompts and answers, `blobs` all else. `clock` is in epoch nanoseconds.
    """

    known: Callable[[], Mapping[str, RepositoryConfig]] = _off
    source: Callable[[], Repositories] = _off
    publisher: Callable[[], Publisher] = _off
    models: Models = _off
    blobs: Callable[[], Blobs] = _off
    asked: Callable[[], Blobs] = _off
    prover: Callable[[], Prover] = _off
    failure: Callable[[Sequence[Matched]], Failure] = _off
    nonce: Callable[[], str] = _off
    clock: Callable[[], int] = time.time_ns

    def ai_patch(self) -> AiPatch:
        """Return the action `ai.patch`."""
        return AiPatch(self._reader, self._patcher, self._judge, self._proving)

    def _reader(self) -> Reader:
        from sentinel.actions.patch_read import Reader

        return Reader(self.known, self.source(), self.blobs(), self.asked(), self.failure, self.nonce)

    def _patcher(self) -> Patcher:
        from sentinel.actions.patch_ask import Patcher

        return Patcher(self.models, self.asked(), self.clock)

    def _judge(self) -> Judge:
        from sentinel.actions.patch_judge import Judge

        return Judge(self.known, self.blobs(), self.asked())

    def _proving(self) -> Proving:
        from sentinel.actions.patch_prove import Proving

        return Proving(self.known, self.blobs(), self.prover)

    def git_pull_request(self) -> GitPullRequest:
        """Return the action `git.pull_request`."""
        return GitPullRequest(self.publisher, self.known, self.blobs)

    def ai_choose(self) -> Choose:
        """Return the action `ai.choose`."""
        return Choose(self.models, clock=self.clock)

    def actions(self) -> tuple[Action, ...]:
        """Return all actions that need these."""
        return self.ai_patch(), self.ai_choose(), self.git_pull_request()
