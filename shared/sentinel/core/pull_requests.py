"""Pull requests: what is proposed to a repository, by names that a retry finds again.

The branch is made of the task's id, and the commit of nothing that changes from one try to the next: the
same task makes the same commit, and the second try finds what the first one did.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sentinel.core.edits import Patch
from sentinel.errors import Malformed

PREFIX = "sentinel/"  # of branches
TRAILER = "Sentinel-Task"  # of commits
_TASK = re.compile(r"[a-z0-9]{1,64}")


@dataclass(frozen=True, slots=True)
class PullRequest:
    """What is proposed: `patch` on top of `commit`, from `branch` into `base`.

    `t` is the commit's time, epoch nanoseconds, `title` one line, `body` Markdown.
    """

    task: str
    base: str
    commit: str
    patch: Patch = field(repr=False)
    title: str
    body: str = field(repr=False)
    t: int
    labels: tuple[str, ...] = ("sentinel",)
    draft: bool = True

    @property
    def branch(self) -> str:
        """The branch, by which it is found."""
        return f"{PREFIX}{self.task}"

    @property
    def message(self) -> str:
        """The commit's message."""
        return f"{self.title}\n\n{TRAILER}: {self.task}\n"


@dataclass(frozen=True, slots=True)
class Published:
    """Where it is: the branch's commit, and the address for people ("" where there is only a branch)."""

    branch: str
    commit: str
    url: str = ""
    number: int = 0
    state: str = "draft"


def made_by(message: str, task: str) -> bool:
    r"""Whether a commit's message says that a task made it: its last line does.

    >>> made_by("Fix x\n\nSentinel-Task: abc\n", "abc"), made_by("Revert Sentinel-Task: abc", "abc")
    (True, False)
    """
    return message.rstrip("\n").rpartition("\n")[2] == f"{TRAILER}: {task}"


def task_of(task: str) -> str:
    """Return a task's id that may stand in the name of a branch. Raises `Malformed`."""
    if not _TASK.fullmatch(task):
        raise Malformed("a task's id is 1 to 64 lower case letters and digits")
    return task
