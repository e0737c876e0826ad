"""Pull requests at GitHub: `ports_patches.Publisher` by its REST API, as an App that may write.

Names of objects are worked out here first, so whether the branch has what is wanted is one look. Commits name
no author: GitHub then signs them as the App's. The time in them is GitHub's, so a retry does not make the
same commit; it finds the branch. A branch is made once and only ever moved forward. REST cannot make a draft
ready: people do.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final
from urllib.parse import quote

from sentinel.adapters.forge_calls import Talk, understood
from sentinel.adapters.github import hexadecimal, listing, tree_of
from sentinel.adapters.github_app import PUBLISH, AppTokens
from sentinel.core.git_objects import Entry, blob_id, patched, tree_id
from sentinel.core.pull_requests import PREFIX, Published, PullRequest, made_by, task_of
from sentinel.core.repositories import GitHubRepository, RepositoryConfig
from sentinel.errors import BadAnswer, Conflict, Forbidden, Malformed, Unavailable, Unsupported

MOST_COMMITS: Final = 20  # of one task
_TRIES: Final = 3
Found = dict[str, Any]


class GitHubPublisher:
    """Publishes as the App of each repository's `publish`."""

    def __init__(self, tokens: AppTokens) -> None:
        self._tokens = tokens

    def publish(self, repository: RepositoryConfig, wanted: PullRequest) -> Published:
        """Make the branch, the commit and the pull request; see `ports_patches.Publisher`."""
        one = self._one(repository, wanted.task)
        with understood(repository.told):
            return one.pull_request(wanted, one.branch(wanted))

    def found(self, repository: RepositoryConfig, task: str) -> Published | None:
        """Return what there is of a task's pull request; see `ports_patches.Publisher`."""
        one = self._one(repository, task)
        with understood(repository.told):
            pull = one.newest(f"{PREFIX}{task}")
            if pull is not None:
                return _published(pull)
            tip = one.tip(f"{PREFIX}{task}")
            if tip and made_by(str(one.commit(tip).get("message")), task):
                return Published(f"{PREFIX}{task}", tip, state="branch")
        return None

    def _one(self, repository: RepositoryConfig, task: str) -> _Repository:
        task_of(task)
        if not isinstance(repository, GitHubRepository):
            raise Malformed(f"a repository of kind {repository.kind} is not one of GitHub")
        if repository.publish is None:
            raise Forbidden(f"nobody may publish to {repository.told}: its document has no `publish`")
        return _Repository(self._tokens.talk(repository, repository.publish, PUBLISH), repository.name)


class _Repository:
    def __init__(self, talk: Talk, name: str) -> None:
        self._talk = talk
        self._name = name
        self._at = f"/repos/{name}"

    def tip(self, branch: str) -> str:
        """Return the commit of a branch; "" where there is none."""
        status, found = self._talk.json("GET", f"{self._at}/git/ref/heads/{branch}", fine={404})
        return "" if status == 404 else hexadecimal(found.get("object"), "sha")

    def commit(self, it: str) -> Found:
        found: Found = self._talk.json("GET", f"{self._at}/git/commits/{it}")[1]
        return found

    def branch(self, wanted: PullRequest) -> str:
        """Make the branch hold the patch, and return its commit."""
        digits = len(wanted.commit)
        tree = tree_of(self._talk, self._at, wanted.commit)
        before = listing(self._talk, self._at, tree)
        if tree_id(before, digits) != tree:
            raise Unsupported(f"{self._name} has a file whose name is not UTF-8: rename it")
        after = patched(before, wanted.patch, digits)
        whole = tree_id(after, digits)
        for _ in range(_TRIES):
            tip = self.tip(wanted.branch)
            if tip and self._ours(tip, wanted) == whole:
                return tip
            commit = self._made(wanted, after, tree, whole, tip or wanted.commit)
            if self._moved(wanted.branch, commit, tip):
                return commit
        raise Unavailable(f"the branch {wanted.branch} is being changed by others", 10.0)

    def _ours(self, tip: str, wanted: PullRequest) -> str:
        """Return the tree of the branch. Raises `Conflict` where not all of it is of this task."""
        at, tree = tip, ""
        for _ in range(MOST_COMMITS):
            found = self.commit(at)
            if not made_by(str(found.get("message")), wanted.task) or len(found.get("parents") or []) != 1:
                break
            tree = tree or hexadecimal(found["tree"], "sha")
            at = hexadecimal(found["parents"][0], "sha")
            if at == wanted.commit:
                return tree
        raise Conflict(
            f"the branch {wanted.branch} holds what this task did not make: take it away, or leave it"
        )

    def _made(self, wanted: PullRequest, after: dict[str, Entry], tree: str, whole: str, parent: str) -> str:
        for data in wanted.patch.after.values():
            blob = {"content": b64encode(data).decode(), "encoding": "base64"}
            self._post("git/blobs", blob, blob_id(data, len(wanted.commit)))
        changes = [
            {"path": path, "mode": after[path].mode, "type": "blob", "sha": after[path].id}
            if path in after
            else {"path": path, "mode": "100644", "type": "blob", "sha": None}
            for path in sorted({*wanted.patch.before, *wanted.patch.after})
        ]
        self._post("git/trees", {"base_tree": tree, "tree": changes}, whole)
        return self._post("git/commits", {"message": wanted.message, "tree": whole, "parents": [parent]})

    def _post(self, what: str, body: object, expected: str = "") -> str:
        found = hexadecimal(self._talk.json("POST", f"{self._at}/{what}", body)[1], "sha")
        if expected and found != expected:
            raise BadAnswer("GitHub keeps something else than it was sent")
        return found

    def _moved(self, branch: str, commit: str, tip: str) -> bool:
        """Make the branch, or move it forward; False where it is not there any more, or is already."""
        refs, ref = f"{self._at}/git/refs", f"heads/{branch}"
        if tip:
            body = {"sha": commit, "force": False}
            status, _ = self._talk.json("PATCH", f"{refs}/{ref}", body, fine={422})
        else:
            body = {"ref": f"refs/{ref}", "sha": commit}
            status, _ = self._talk.json("POST", refs, body, fine={422})
        return status != 422

    def newest(self, branch: str) -> Found | None:
        """Return the open pull request of a branch, else the newest."""
        owner = self._name.partition("/")[0]
        query = f"head={quote(f'{owner}:{branch}', safe=':/')}&state=all&per_page=100"
        _, found = self._talk.json("GET", f"{self._at}/pulls?{query}")
        if not isinstance(found, list):
            raise BadAnswer("GitHub's list of pull requests is none")
        # GitHub leaves out the filter where it does not understand it, so it is looked at again.
        ours = [each for each in found if each["head"]["ref"] == branch and _here(each, self._name)]
        return next((each for each in ours if each["state"] == "open"), ours[0] if ours else None)

    def pull_request(self, wanted: PullRequest, commit: str) -> Published:
        """Make the pull request, or bring it to what is wanted."""
        pull = self.newest(wanted.branch) or self._opened(wanted, draft=wanted.draft)
        number = int(pull["number"])
        if pull["state"] != "open":
            how = "merged" if pull.get("merged_at") else "closed"
            raise Conflict(f"pull request {number} of {self._name} was {how} by people")
        changed = {
            name: text
            for name, text in (("title", wanted.title), ("body", wanted.body))
            if _plain(pull.get(name)) != _plain(text)
        }
        if changed:
            pull = self._talk.json("PATCH", f"{self._at}/pulls/{number}", changed)[1]
        has = {str(each["name"]) for each in pull.get("labels") or []}
        if not has.issuperset(wanted.labels):
            labels = {"labels": list(wanted.labels)}
            self._talk.json("POST", f"{self._at}/issues/{number}/labels", labels)
        return _published(pull, commit)

    def _opened(self, wanted: PullRequest, *, draft: bool) -> Found:
        body = {
            "title": wanted.title,
            "body": wanted.body,
            "head": wanted.branch,
            "base": wanted.base,
            "draft": draft,
            "maintainer_can_modify": False,
        }
        status, found = self._talk.json("POST", f"{self._at}/pulls", body, fine={422})
        if status != 422:
            made: Found = found
            return made
        there = self.newest(wanted.branch)
        if there is not None:
            return there
        if draft and b"raft" in str(found).encode():  # not every plan has drafts
            return self._opened(wanted, draft=False)
        raise Conflict(f"GitHub makes no pull request of {wanted.branch} into {wanted.base}: are both there?")


def _here(pull: Found, name: str) -> bool:
    return str((pull["head"].get("repo") or {}).get("full_name", "")).lower() == name.lower()


def _plain(text: object) -> str:
    return str(text or "").replace("\r\n", "\n").strip()


def _published(pull: Found, commit: str = "") -> Published:
    opened = "draft" if pull.get("draft") else "open"
    state = opened if pull["state"] == "open" else "merged" if pull.get("merged_at") else "closed"
    tip = commit or hexadecimal(pull["head"], "sha")
    return Published(str(pull["head"]["ref"]), tip, str(pull["html_url"]), int(pull["number"]), state)
