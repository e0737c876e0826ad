"""What making a patch needs outside: repositories, models, a place to try it, and a store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sentinel.core.proving import Evidence, Job, Limits, Ran
    from sentinel.core.pull_requests import Published, PullRequest
    from sentinel.core.questions import Question, Reply
    from sentinel.core.repositories import RepositoryConfig
    from sentinel.core.trees import Tree


class Blobs(Protocol):
    """Keeps bytes under their SHA-256: trees, prompts, replies, patches. They may hold source code.

    What `put` returned is there for as long as the deployment keeps it (90 days, or for ever locally), and
    is never changed. Putting the same bytes again does nothing. Safe to share by threads and processes.
    """

    def put(self, data: bytes) -> str:
        """Keep bytes and return their SHA-256, hex. Durable when it returns. Raises `Unavailable`."""

    def get(self, digest: str) -> bytes:
        """Return what is kept. Raises `Missing` where it is not, or no more; `Unavailable`.

        Raises `Tampered` where the bytes are not those of the digest.
        """


class Repositories(Protocol):
    """Reads repositories, with credentials that can do nothing else."""

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files at a branch, tag or commit ("": the repository's own branch).

        Raises `Missing` where there is no such repository or ref, `Forbidden` where the credentials or the
        deployment do not allow it, `TooLarge`, `Unavailable`.
        """


class Publisher(Protocol):
    """Proposes to repositories, with credentials of its own. It never merges, and never forces a branch."""

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Make the branch, the commit and the pull request, or bring what is there to what is wanted.

        It may be called again for the same task, also at the same time by another worker: there is one
        branch and one pull request for a task, whatever was interrupted. Raises `Conflict` where the branch
        holds what this task did not make or people closed or merged the pull request, `Forbidden`, `Missing`,
        `Unavailable` (its `unsent` as for `Http`).
        """

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return what there is of a task's pull request; changes nothing. Errors as at `publish`."""


class Model(Protocol):
    """One model of one provider, or several of which the next is asked where one fails."""

    def ask(self, question: Question, deadline: int) -> Reply:
        """Ask once and return the reply before `deadline` (epoch nanoseconds): all of it, with retries.

        Raises `NotAnswered`, `Unavailable` (also for the deadline), `Forbidden` for credentials that are
        refused, `TooLarge` for a question that the model does not take.
        """


class Sandbox(Protocol):
    """Runs programs that may be hostile: no network, no files but their own, bounded in all they take."""

    def run(
        self,
        files: Sequence[tuple[str, str, bytes]],
        command: Sequence[str],
        limits: Limits,
        *,
        environment: str = "",
        variables: Sequence[tuple[str, str]] = (),
        bring: Sequence[str] = (),
        stopped: Callable[[], bool] = lambda: False,
    ) -> Ran:
        """Run a command in a folder with these files (path, mode, bytes) and nothing else to write to.

        `environment` is a folder of a Python environment that it sees, read-only. It sees no environment
        variables but `variables` and a plain PATH, HOME and TMPDIR. `bring` are paths of files to bring
        out. All of its processes are gone when this returns. Raises `Unavailable` where there is no sandbox
        on this machine: nothing is ever run without one.
        """


@dataclass(frozen=True, slots=True)
class Pending:
    """The proof goes on elsewhere: look again. `handle` is what is handed to the next call."""

    handle: str
    reason: str


class Prover(Protocol):
    """Tries patches."""

    def prove(self, job: Job, key: str, handle: str, stopped: Callable[[], bool]) -> Evidence | Pending:
        """Prove a patch, or begin to, or look how far it is. `key` names the proof: it is begun once.

        `handle` is "" at first, then that of the last `Pending`. Raises `Unavailable`, and `Malformed` where
        the repository's tests cannot be run at all: the message says what to change.
        """
