"""Repositories of GitLab: `ports_patches.Repositories` by its REST API, with a token that may read.

The files are one archive, and which files there are is the listing of the commit's tree (`archives`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import orjson

from sentinel.adapters import archives
from sentinel.adapters.forge_calls import Talk, understood
from sentinel.adapters.git_local import checked_ref
from sentinel.adapters.github import COMMIT
from sentinel.core.git_objects import Entry
from sentinel.core.repositories import GitLabRepository, RepositoryConfig
from sentinel.core.trees import MOST_FILES, Tree
from sentinel.errors import BadAnswer, Malformed, Missing, TooLarge
from sentinel.ports import Http, Secrets

_PAGE: Final = 100  # the most that GitLab lists at once
_NEXT: Final = re.compile(r'<([^<>]+)>\s*;\s*rel="next"')


class TokenOf:
    """`forge_calls.Credentials`: a project access token, read anew for each request."""

    def __init__(self, secrets: Secrets, secret: str) -> None:
        self._secrets = secrets
        self.secret = secret

    def headers(self) -> Mapping[str, str]:
        """Return the header that carries it."""
        return {"PRIVATE-TOKEN": self._secrets.get(self.secret)}

    def renew(self) -> bool:
        """Say that the next one would be the same."""
        return False


class GitLab:
    """Reads with the token of each repository's `read`. `clock` is in epoch nanoseconds."""

    def __init__(self, http: Http, secrets: Secrets, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock

    def fetch(self, repository: RepositoryConfig, ref: str) -> Tree:
        """Return all files at a branch, tag or commit; see `ports_patches.Repositories`."""
        if not isinstance(repository, GitLabRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of GitLab")
        with understood(repository.told):
            return self._fetched(repository, ref)

    def _fetched(self, repository: GitLabRepository, ref: str) -> Tree:
        credentials = TokenOf(self._secrets, repository.read)
        talk = Talk(self._http, credentials, repository.api, repository.told, clock=self._clock)
        at = f"{project_path(repository)}/repository"
        commit = _commit(talk, at, checked_ref(ref) or repository.branch)
        # Large files of LFS are what git has of them: pointers.
        told, files = archives.unpacked(
            talk.archive(f"{at}/archive.tar.gz?sha={commit}&include_lfs_blobs=false")
        )
        if told not in {"", commit}:
            raise BadAnswer("GitLab's archive is of another commit")
        listed = dict(_listing(talk, at, commit))
        return Tree(commit, archives.completed(files, listed, len(commit), lambda it: _blob(talk, at, it)))


def project_path(repository: GitLabRepository) -> str:
    """Return the path of a project in the API."""
    return f"/projects/{quote(repository.project, safe='')}"


def identifier(found: object, name: str) -> str:
    """Return the name of an object in an answer. Raises `BadAnswer`."""
    value = found.get(name) if isinstance(found, dict) else None
    if not isinstance(value, str) or not COMMIT.fullmatch(value):
        raise BadAnswer(f"GitLab's answer has no {name}")
    return value


def _commit(talk: Talk, at: str, ref: str) -> str:
    status, found = talk.json("GET", f"{at}/commits/{quote(ref, safe='')}?stats=false", fine={404})
    if status == 404:
        raise Missing(f"the project or its {ref} is not there, or may not be seen with this token")
    return identifier(found, "id")


def _listing(talk: Talk, at: str, commit: str) -> Iterator[tuple[str, Entry]]:
    query: dict[str, Any] = {
        "ref": commit,
        "recursive": "true",
        "per_page": _PAGE,
        "pagination": "keyset",
    }
    for _ in range(2 * MOST_FILES // _PAGE):  # folders are listed, too
        response = talk.send("GET", f"{at}/tree?{urlencode(query)}")
        talk.judge(response)
        for each in _list(response.body):
            if each.get("type") != "tree":
                yield str(each["path"]), Entry(str(each["mode"]), identifier(each, "id"))
        following = _NEXT.search(response.headers.get("link", ""))
        if following is None:
            return
        # Of the address only these are taken: where to go on, and never where to ask.
        given = parse_qs(urlsplit(following[1]).query)
        query.update({name: given[name][0] for name in ("page_token", "page") if name in given})
    raise TooLarge(f"the repository has more than {MOST_FILES:,} files")


def _list(body: bytes) -> list[dict[str, Any]]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadAnswer("GitLab's listing is none")
    return found


def _blob(talk: Talk, at: str, it: str) -> bytes:
    response = talk.send("GET", f"{at}/blobs/{it}/raw")
    talk.judge(response)
    return response.body
