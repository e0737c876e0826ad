"""Repositories of GitHub: `ports_patches.Repositories` by its REST API, as an App that may read contents.

The whole tree is one archive. Whether it is all of the commit shows by the tree's name, which follows from
its files' alone; where it is not, GitHub's listing says what is missing (`archives`).
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from sentinel.adapters import archives
from sentinel.adapters.forge_calls import Talk, understood
from sentinel.adapters.git_local import checked_ref
from sentinel.adapters.github_app import READ, AppTokens
from sentinel.core.git_objects import Entry, told_path, tree_id
from sentinel.core.repositories import GitHubRepository, RepositoryConfig
from sentinel.core.trees import MOST_FILES, Tree
from sentinel.errors import BadAnswer, Malformed, Missing, TooLarge

COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ABSENT: Final = frozenset({404, 409, 422})  # of a ref: none, in an empty repository, and no such commit


class GitHub:
    """Reads as the App of each repository's `read`."""

    def __init__(self, tokens: AppTokens) -> None:
        self._tokens = tokens

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files at a branch, tag or commit; see `ports_patches.Repositories`."""
        if not isinstance(repository, GitHubRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of GitHub")
        with understood(repository.told):
            return self._fetched(repository, ref)

    def _fetched(self, repository: GitHubRepository, ref: str) -> Tree:
        talk = self._tokens.talk(repository, repository.read, READ)
        at = f"/repos/{repository.name}"
        commit = _commit(talk, at, checked_ref(ref) or repository.branch)
        tree = tree_of(talk, at, commit)
        told, files = archives.unpacked(talk.archive(f"{at}/tarball/{commit}"))
        if told not in {"", commit}:
            raise BadAnswer("GitHub's archive is of another commit")
        if tree_id(archives.named(files, len(commit)), len(commit)) != tree:
            listed = listing(talk, at, tree)
            files = archives.completed(files, listed, len(commit), lambda it: _blob(talk, at, it))
        return Tree(commit, {told_path(path): each for path, each in files.items()})


def tree_of(talk: Talk, at: str, commit: str) -> str:
    """Return the name of a commit's tree. Raises `Missing`."""
    return hexadecimal(_object(talk, f"{at}/git/commits/{commit}")["tree"], "sha")


def listing(talk: Talk, at: str, tree: str) -> dict[str, Entry]:
    """Return every file of a tree. Raises `TooLarge`.

    Where a name is not UTF-8 the listing has another one, and is not that of the tree.
    """
    found = _object(talk, f"{at}/git/trees/{tree}?recursive=1")
    if found.get("truncated") is not False or not isinstance(found.get("tree"), list):
        raise TooLarge(f"the repository has more than {MOST_FILES:,} files")
    return {
        str(each["path"]): Entry(str(each["mode"]), hexadecimal(each, "sha"))
        for each in found["tree"]
        if each["type"] != "tree"
    }


def hexadecimal(found: Mapping[str, Any], name: str) -> str:
    """Return the name of an object in an answer. Raises `BadAnswer`."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, str) or not COMMIT.fullmatch(value):
        raise BadAnswer(f"GitHub's answer has no {name}")
    return value


def _commit(talk: Talk, at: str, ref: str) -> str:
    # With this media type the answer is the name alone, and no diff of any size.
    response = talk.send("GET", f"{at}/commits/{quote(ref)}", accept="application/vnd.github.sha")
    if response.status in _ABSENT:
        raise Missing(f"{at.removeprefix('/repos/')} or its {ref} is not there, or may not be seen")
    talk.judge(response)
    return hexadecimal({"sha": response.body.decode(errors="replace").strip()}, "sha")


def _blob(talk: Talk, at: str, it: str) -> bytes:
    found = _object(talk, f"{at}/git/blobs/{it}")
    try:
        return b64decode(str(found.get("content", "")))
    except binascii.Error:
        raise BadAnswer("GitHub's answer has no file") from None


def _object(talk: Talk, path: str) -> dict[str, Any]:
    _, found = talk.json("GET", path)
    if not isinstance(found, dict):
        raise BadAnswer("GitHub's answer is none")
    return found
