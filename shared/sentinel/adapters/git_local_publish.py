"""Branches in repositories of this machine: `ports_patches.Publisher` on the git command.

A branch is all that there is of a pull request here. The work tree, its index and what is checked out are
never touched: files are written to git's store, a tree is made in an index of its own, and the branch is
moved in one step, only from where it was seen. The commit has the task's time and nothing of now or of this
machine, so the same task makes the same commit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sentinel.adapters.git_command import Git, GitFailed
from sentinel.adapters.git_local import entries
from sentinel.core.git_objects import Entry, patched, tree_id
from sentinel.core.pull_requests import PREFIX, Published, PullRequest, made_by, task_of
from sentinel.core.repositories import LocalRepository, RepositoryConfig
from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer, Conflict, Malformed, Missing, Unavailable

STATE: Final = "branch"  # of what has no pull request
MOST_COMMITS: Final = 20  # of one task
_TRIES: Final = 3  # at moving a branch that others move as well


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits are by. The domain of the default is one that never exists (RFC 2606)."""

    name: str = "Sentinel"
    email: str = "sentinel@sentinel.invalid"


class LocalPublisher:
    """Publishes to the repositories of `folders`; see `git_local.LocalGit`."""

    def __init__(self, folders: Iterable[str], identity: Identity = Identity()) -> None:
        self._folders = tuple(folders)
        self._identity = identity

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Make the branch and the commit; see `ports_patches.Publisher`."""
        git = self._git(repository)
        task_of(wanted.task)
        if git.line("rev-parse", "--verify", "--quiet", f"{wanted.commit}^{{commit}}") != wanted.commit:
            raise Missing("the repository has no more the commit that the patch is for")
        before = entries(git, wanted.commit)
        after = patched(before, wanted.patch, len(wanted.commit))
        tree = tree_id(after, len(wanted.commit))
        for _ in range(_TRIES):
            tip = _tip(git, wanted.branch)
            if tip and _ours(git, tip, wanted) and _line_of(git, tip, "tree") == tree:
                return Published(wanted.branch, tip, state=STATE)
            commit = self._commit(git, wanted, after, tree, tip or wanted.commit)
            if _moved(git, wanted.branch, commit, tip):
                return Published(wanted.branch, commit, state=STATE)
        raise Unavailable(f"the branch {wanted.branch} is being changed by others")

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return the branch of a task; see `ports_patches.Publisher`."""
        git = self._git(repository)
        branch = f"{PREFIX}{task_of(task)}"
        tip = _tip(git, branch)
        if not tip or not made_by(_message(git, tip), task):
            return None
        return Published(branch, tip, state=STATE)

    def _git(self, repository: RepositoryConfig) -> Git:
        if not isinstance(repository, LocalRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of this machine")
        return Git(repository.path, self._folders)

    def _commit(self, git: Git, wanted: PullRequest, after: dict[str, Entry], tree: str, parent: str) -> str:
        when = f"@{wanted.t // SECOND} +0000"
        by = {
            f"GIT_{role}_{part}": value
            for role in ("AUTHOR", "COMMITTER")
            for part, value in (
                ("NAME", self._identity.name),
                ("EMAIL", self._identity.email),
                ("DATE", when),
            )
        }
        try:
            for data in wanted.patch.after.values():
                git.run("hash-object", "-w", "--no-filters", "--stdin", given=data)
            _write_tree(git, after, tree)
            made = git.run("commit-tree", tree, "-p", parent, given=wanted.message.encode(), environment=by)
        except GitFailed:
            raise Unavailable(
                "git cannot write to the repository: see its rights and its disk", 30.0
            ) from None
        return made.decode().strip()


def _write_tree(git: Git, after: dict[str, Entry], tree: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        apart = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        lines = "".join(f"{each.mode} {each.id}\t{path}\0" for path, each in after.items())
        given = lines.encode(errors="surrogateescape")
        git.run("update-index", "-z", "--index-info", given=given, environment=apart)
        made = git.run("write-tree", environment=apart).decode().strip()
    if made != tree:
        raise BadAnswer("git makes another tree of the files than they have")


def _tip(git: Git, branch: str) -> str:
    return git.line("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")


def _message(git: Git, commit: str) -> str:
    return git.line("cat-file", "commit", commit).partition("\n\n")[2]


def _line_of(git: Git, commit: str, name: str) -> str:
    head = git.line("cat-file", "commit", commit).partition("\n\n")[0]
    return next((each.partition(" ")[2] for each in head.splitlines() if each.startswith(f"{name} ")), "")


def _ours(git: Git, tip: str, wanted: PullRequest) -> bool:
    """Whether all of the branch is of this task. Raises `Conflict` where it is not."""
    at = tip
    for _ in range(MOST_COMMITS):
        if not made_by(_message(git, at), wanted.task):
            break
        at = _line_of(git, at, "parent")
        if at == wanted.commit:
            return True
    raise Conflict(
        f"the branch {wanted.branch} holds what this task did not make: take it away, or leave it to people"
    )


def _moved(git: Git, branch: str, commit: str, tip: str) -> bool:
    """Move the branch from where it was seen; False where it is not there any more."""
    name = f"refs/heads/{branch}"
    heads = [git.folder / "HEAD", *(git.folder / "worktrees").glob("*/HEAD")]
    if any(each.read_text(errors="replace").strip() == f"ref: {name}" for each in heads if each.is_file()):
        raise Conflict(f"the branch {branch} is checked out: check another one out")
    try:
        git.run("update-ref", "--no-deref", name, commit, tip or "0" * len(commit))
    except GitFailed:
        if _tip(git, branch) == tip:
            raise Unavailable(f"git cannot move the branch {branch}: see its lock", 5.0) from None
        return False
    return True
