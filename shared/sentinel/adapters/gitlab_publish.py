"""Merge requests at GitLab: `ports_patches.Publisher` by its REST API, with a token that may write.

Branch and commit are made by one request from a named commit, without force: of two only one succeeds. Where
the branch is there it is compared with what is wanted, file by file. No line of a description begins with a
slash: GitLab would take it for a command, such as to merge.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import quote, urlencode

from sentinel.adapters.forge_calls import Talk, understood
from sentinel.adapters.gitlab import TokenOf, identifier, project_path
from sentinel.core.git_objects import Entry, blob_id, patched
from sentinel.core.pull_requests import PREFIX, Published, PullRequest, made_by, task_of
from sentinel.core.repositories import GitLabRepository, RepositoryConfig
from sentinel.core.trees import EXECUTABLE, PLAIN
from sentinel.errors import BadAnswer, Conflict, Forbidden, Malformed, Unavailable
from sentinel.ports import Http, Secrets

DRAFT: Final = "Draft: "
MOST_COMMITS: Final = 20  # of one task
_TRIES: Final = 3
_COMMANDS: Final = re.compile(r"(?m)^(\s*)/")
Found = dict[str, Any]


class GitLabPublisher:
    """Publishes with the token of each repository's `publish`. `clock` is in epoch nanoseconds."""

    def __init__(self, http: Http, secrets: Secrets, *, clock: Callable[[], int]) -> None:
        self._http = http
        self._secrets = secrets
        self._clock = clock

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Make the branch, the commit and the merge request; see `ports_patches.Publisher`."""
        one = self._one(repository, wanted.task)
        with understood(repository.told):
            return one.merge_request(wanted, one.branch(wanted))

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return what there is of a task's merge request; see `ports_patches.Publisher`."""
        one = self._one(repository, task)
        with understood(repository.told):
            merge = one.newest(f"{PREFIX}{task}")
            if merge is not None:
                return _published(merge)
            tip = one.tip(f"{PREFIX}{task}")
            if tip and made_by(str(one.commit(tip).get("message")), task):
                return Published(f"{PREFIX}{task}", tip, state="branch")
        return None

    def _one(self, repository: RepositoryConfig, task: str) -> _Project:
        task_of(task)
        if not isinstance(repository, GitLabRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of GitLab")
        if repository.publish is None:
            raise Forbidden(f"nobody may publish to {repository.told}: its document has no `publish`")
        credentials = TokenOf(self._secrets, repository.publish)
        talk = Talk(self._http, credentials, repository.api, repository.told, clock=self._clock)
        return _Project(talk, project_path(repository))


class _Project:
    def __init__(self, talk: Talk, at: str) -> None:
        self._talk = talk
        self._project = at
        self._at = f"{at}/repository"

    def tip(self, branch: str) -> str:
        """Return the commit of a branch; "" where there is none."""
        path = f"{self._at}/branches/{quote(branch, safe='')}"
        status, found = self._talk.json("GET", path, fine={404})
        return "" if status == 404 else identifier(found.get("commit"), "id")

    def commit(self, it: str) -> Found:
        found: Found = self._talk.json("GET", f"{self._at}/commits/{it}?stats=false")[1]
        return found

    def branch(self, wanted: PullRequest) -> str:
        """Make the branch hold the patch, and return its commit."""
        self.commit(wanted.commit)  # `Missing` where it is there no more
        paths = {*wanted.patch.before, *wanted.patch.after}
        before = self._files(paths, wanted.commit)
        after = patched(before, wanted.patch, len(wanted.commit))
        for _ in range(_TRIES):
            tip = self.tip(wanted.branch)
            if not tip:
                actions = _actions(wanted, paths, before)
                body = {"start_sha": wanted.commit}
            else:
                self._ours(tip, wanted)
                others = self._changed(wanted.commit, tip) - paths
                there = self._files({*paths, *others}, tip)
                if not others and there == {path: after[path] for path in paths if path in after}:
                    return tip
                if others:
                    raise Conflict(
                        f"the branch {wanted.branch} has other files of an earlier patch: take it away"
                    )
                actions = [{**each, "last_commit_id": tip} for each in _actions(wanted, paths, there)]
                body = {}
            if made := self._committed(wanted, {**body, "actions": actions}):
                return made
        raise Unavailable(f"the branch {wanted.branch} is being changed by others", 10.0)

    def _committed(self, wanted: PullRequest, body: Found) -> str:
        """Make the commit, and the branch with it; return "" where the branch is another one by now."""
        told = {"branch": wanted.branch, "commit_message": wanted.message, "force": False, "stats": False}
        status, found = self._talk.json("POST", f"{self._at}/commits", {**told, **body}, fine={400})
        return "" if status == 400 else identifier(found, "id")

    def _ours(self, tip: str, wanted: PullRequest) -> None:
        """Raise `Conflict` where not all of the branch is of this task."""
        at = tip
        for _ in range(MOST_COMMITS):
            found = self.commit(at)
            parents = found.get("parent_ids") or []
            if not made_by(str(found.get("message")), wanted.task) or len(parents) != 1:
                break
            at = str(parents[0])
            if at == wanted.commit:
                return
        raise Conflict(
            f"the branch {wanted.branch} holds what this task did not make: take it away, or leave it"
        )

    def _changed(self, commit: str, tip: str) -> set[str]:
        query = urlencode({"from": commit, "to": tip, "straight": "true"})
        found = self._talk.json("GET", f"{self._at}/compare?{query}")[1]
        if not isinstance(found, dict) or found.get("compare_timeout"):
            raise BadAnswer("GitLab cannot compare the branch", 30.0)
        return {str(each[side]) for each in found["diffs"] for side in ("old_path", "new_path")}

    def _files(self, paths: Iterable[str], commit: str) -> dict[str, Entry]:
        files = {}
        for path in sorted(paths):
            query = f"{self._at}/files/{quote(path, safe='')}?ref={commit}"
            status, found = self._talk.json("GET", query, fine={404})
            if status != 404:
                mode = EXECUTABLE if found.get("execute_filemode") else PLAIN
                files[path] = Entry(mode, identifier(found, "blob_id"))
        return files

    def newest(self, branch: str) -> Found | None:
        """Return the open merge request of a branch, else the newest."""
        query = {"source_branch": branch, "state": "all", "order_by": "created_at", "sort": "desc"}
        _, found = self._talk.json("GET", f"{self._project}/merge_requests?{urlencode(query)}&per_page=100")
        if not isinstance(found, list):
            raise BadAnswer("GitLab's list of merge requests is none")
        ours = [
            each
            for each in found
            if each["source_branch"] == branch and each["source_project_id"] == each["target_project_id"]
        ]
        return next((each for each in ours if each["state"] == "opened"), ours[0] if ours else None)

    def merge_request(self, wanted: PullRequest, commit: str) -> Published:
        """Make the merge request, or bring it to what is wanted."""
        merge = self.newest(wanted.branch) or self._opened(wanted)
        number, state = int(merge["iid"]), str(merge["state"])
        if state in {"merged", "closed"}:
            raise Conflict(f"merge request {number} was {state} by people")
        body = _harmless(wanted.body)
        changed: Found = {}
        if _plain(merge.get("title")).removeprefix(DRAFT) != wanted.title:
            changed["title"] = f"{DRAFT if merge.get('draft') else ''}{wanted.title}"
        if _plain(merge.get("description")) != _plain(body):
            changed["description"] = body
        if not set(merge.get("labels") or []).issuperset(wanted.labels):
            changed["add_labels"] = ",".join(wanted.labels)
        if changed:
            merge = self._talk.json("PUT", f"{self._project}/merge_requests/{number}", changed)[1]
        return _published(merge, commit)

    def _opened(self, wanted: PullRequest) -> Found:
        body = {
            "source_branch": wanted.branch,
            "target_branch": wanted.base,
            "title": f"{DRAFT if wanted.draft else ''}{wanted.title}",
            "description": _harmless(wanted.body),
            "labels": ",".join(wanted.labels),
            "remove_source_branch": False,
        }
        status, found = self._talk.json("POST", f"{self._project}/merge_requests", body, fine={409})
        there = self.newest(wanted.branch) if status == 409 else found
        if not isinstance(there, dict):
            raise Conflict(f"GitLab makes no merge request of {wanted.branch} into {wanted.base}")
        return there


def _actions(wanted: PullRequest, paths: Iterable[str], there: dict[str, Entry]) -> list[Found]:
    """Return what leads from the files that are there to those that are wanted."""
    actions: list[Found] = []
    for path in sorted(paths):
        data, old = wanted.patch.after.get(path), there.get(path)
        if data is None:
            actions += [{"action": "delete", "file_path": path}] if old else []
        elif old is None or old.id != blob_id(data, len(wanted.commit)):
            kept = {"content": b64encode(data).decode(), "encoding": "base64"}
            actions.append({"action": "update" if old else "create", "file_path": path, **kept})
    return actions


def _harmless(body: str) -> str:
    return _COMMANDS.sub(r"\1&#47;", body)


def _plain(text: object) -> str:
    return str(text or "").replace("\r\n", "\n").strip()


def _published(merge: Found, commit: str = "") -> Published:
    opened = "draft" if merge.get("draft") else "open"
    state = str(merge["state"]) if merge["state"] in {"merged", "closed"} else opened
    tip = commit or identifier(merge, "sha")
    return Published(str(merge["source_branch"]), tip, str(merge["web_url"]), int(merge["iid"]), state)
