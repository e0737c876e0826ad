"""Repositories in folders of this machine: `ports_patches.Repositories` on the git command.

Files are read from git's own store, never from a work tree, so what is checked out or not committed does not
matter, and nothing is ever written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sentinel.adapters.git_command import Git, GitFailed
from sentinel.core.git_objects import Entry, told_path
from sentinel.core.repositories import LocalRepository, RepositoryConfig
from sentinel.core.trees import MOST_BYTES, MOST_FILES, SUBMODULE, Held, Tree
from sentinel.errors import BadAnswer, Malformed, Missing, TooLarge

_REF: Final = re.compile(r"[A-Za-z0-9][\w.+/-]{0,199}")


class LocalGit:
    """Reads the repositories of `folders`, names as in `core.grants`: a list of the deployment."""

    def __init__(self, folders: Iterable[str]) -> None:
        self._folders = tuple(folders)

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files at a branch, tag or commit; see `ports_patches.Repositories`."""
        if not isinstance(repository, LocalRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of this machine")
        git = Git(repository.path, self._folders)
        commit = resolved(git, checked_ref(ref) or repository.branch)
        listed = _listed(git, commit)
        return Tree(commit, _files(git, listed))


def checked_ref(ref: str) -> str:
    """Return a ref that names a branch, tag or commit and nothing else. Raises `Missing`."""
    if ref and (not _REF.fullmatch(ref) or ".." in ref):
        raise Missing("a branch, tag or commit has no such name")
    return ref


def resolved(git: Git, ref: str) -> str:
    """Return the commit of a branch, tag or commit, in this order. Raises `Missing`."""
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
        found = git.line("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        if found:
            return found
    raise Missing(
        f"the repository has no branch, tag or commit {ref}: mend `branch` or `deployed`, or commit"
    )


def entries(git: Git, commit: str) -> dict[str, Entry]:
    """Return every file of a commit; what of a path is not UTF-8 is escaped. Raises `TooLarge`."""
    return {path: entry for path, entry, _ in _listed(git, commit)}


def _listed(git: Git, commit: str) -> list[tuple[str, Entry, int]]:
    try:
        found = git.run("ls-tree", "-r", "-z", "-l", "--full-tree", commit)
    except GitFailed:
        raise BadAnswer("the repository's files cannot be listed: run git fsck in it") from None
    listed = []
    for line in filter(None, found.split(b"\0")):
        facts, _, path = line.partition(b"\t")
        mode, _, it, size = facts.decode().split()
        listed.append(
            (path.decode(errors="surrogateescape"), Entry(mode, it), 0 if size == "-" else int(size))
        )
    if len(listed) > MOST_FILES:
        raise TooLarge(f"the repository has more than {MOST_FILES:,} files")
    if sum(size for _, _, size in listed) > MOST_BYTES:
        raise TooLarge(f"the repository's files have more than {MOST_BYTES:,} bytes")
    return listed


def _files(git: Git, listed: list[tuple[str, Entry, int]]) -> dict[str, Held]:
    wanted = [(path, entry) for path, entry, _ in listed if entry.mode != SUBMODULE]
    most = sum(size for _, _, size in listed) + 200 * len(listed) + 1_000
    asked = "".join(f"{entry.id}\n" for _, entry in wanted).encode()
    try:
        found = git.run("cat-file", "--batch", "--buffer", given=asked, most=most)
        files, at = {}, 0
        for path, entry in wanted:
            begin, end = _body(found, at, entry.id)
            files[told_path(path)] = Held(entry.mode, found[begin:end])
            at = end + 1
    except (GitFailed, ValueError):
        raise BadAnswer("a file of the repository cannot be read: run git fsck in it") from None
    files.update(
        {told_path(path): Held(SUBMODULE, b"") for path, entry, _ in listed if entry.mode == SUBMODULE}
    )
    return files


def _body(found: bytes, at: int, wanted: str) -> tuple[int, int]:
    """Return where the file begins and ends whose header stands at a place. Raises `ValueError`."""
    end = found.index(b"\n", at)
    it, kind, size = found[at:end].decode().split()
    if it != wanted or kind != "blob":
        raise ValueError(kind)
    return end + 1, end + 1 + int(size)
