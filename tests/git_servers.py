"""What GitHub and GitLab do, as far as Sentinel asks them, over a real bare repository.

Objects, names and archives are git's own. Answers have the shapes that the two document; who may do what is
checked for each request. Nothing here knows what a client is about to ask.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tempfile
import threading
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from sentinel.core.tasks import SECOND
from sentinel.errors import BadAnswer
from sentinel.ports import HttpRequest, HttpResponse
from tests.loopback import Asked, Told

Json = dict[str, Any]
Query = Mapping[str, str]


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.told = _told(status, body, headers)


def _told(status: int, body: object, headers: Mapping[str, str] | None = None) -> Told:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return Told(status, data, {"Content-Type": "application/json; charset=utf-8", **(headers or {})})


# What an object is follows from its name, in any repository: asked once.
_FACTS: dict[str, tuple[str, list[str], str]] = {}
_LISTED: dict[str, list[tuple[str, str, str, str]]] = {}


class Bare:
    """A bare repository, and what both servers do with it."""

    def __init__(self, path: Path, clock: Callable[[], int]) -> None:
        self.path = path
        self._clock = clock
        self._ticks = itertools.count()

    def git(self, *args: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run git; raise `LookupError` where it ends with an error."""
        apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **(env or {})}
        command = ["git", f"--git-dir={self.path}", *args]
        ran = subprocess.run(
            command, input=given, capture_output=True, check=False, env={**os.environ, **apart}
        )
        if ran.returncode:
            raise LookupError(ran.stderr.decode())
        return ran.stdout

    def name(self, what: str) -> str:
        """Return the name of an object, "" where it is not there."""
        loose = self.path / what
        if what.startswith("refs/heads/") and loose.is_file():
            return loose.read_text().strip()
        try:
            return self.git("rev-parse", "--verify", "-q", "--end-of-options", what).decode().strip()
        except LookupError:
            return ""

    def commit(self, ref: str) -> str:
        """Return the commit of a branch, tag or commit."""
        names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
        return next(filter(None, (self.name(f"{each}^{{commit}}") for each in names)), "")

    def facts(self, commit: str) -> tuple[str, list[str], str]:
        """Return tree, parents and message of a commit."""
        if commit not in _FACTS:
            head, _, message = self.git("cat-file", "commit", commit).decode().partition("\n\n")
            lines = [each.split(" ") for each in head.splitlines()]
            parents = [each[1] for each in lines if each[0] == "parent"]
            _FACTS[commit] = lines[0][1], parents, message
        return _FACTS[commit]

    def listed(self, tree: str) -> list[tuple[str, str, str, str]]:
        """Return mode, kind, name and path of what a tree has."""
        if tree not in _LISTED:
            found = self.git("ls-tree", "-z", "-t", "-r", tree).split(b"\0")
            _LISTED[tree] = []
            for head, _, path in (each.partition(b"\t") for each in found if each):
                mode, kind, it = head.decode().split()
                _LISTED[tree].append((mode, kind, it, path.decode(errors="replace")))
        return _LISTED[tree]

    def blob(self, data: bytes) -> str:
        """Keep a file."""
        return self.git("hash-object", "-w", "--stdin", given=data).decode().strip()

    def tree(self, base: str, changes: list[tuple[str, str, str | None]]) -> str:
        """Make a tree of another one and of (path, mode, blob or None)."""
        with tempfile.TemporaryDirectory() as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.git("read-tree", base, env=env)
            lines = "".join(
                f"{mode} {it}\t{path}\0" if it else f"0 {'0' * 40}\t{path}\0" for path, mode, it in changes
            )
            self.git("update-index", "-z", "--index-info", given=lines.encode(), env=env)
            return self.git("write-tree", env=env).decode().strip()

    def committed(self, tree: str, parents: list[str], message: str) -> str:
        """Make a commit, at a time of the server's own."""
        when = f"{self._clock() // SECOND + next(self._ticks)} +0000"
        env = {
            f"GIT_{who}_{what}": f"bot{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        env |= {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        args = [part for each in parents for part in ("-p", each)]
        return self.git("commit-tree", tree, *args, given=message.encode(), env=env).decode().strip()

    def move(self, branch: str, commit: str, old: str) -> bool:
        """Move a branch from `old` ("": it is not there)."""
        try:
            self.git("update-ref", f"refs/heads/{branch}", commit, old or "0" * 40)
        except LookupError:
            return False
        return True

    def archive(self, commit: str, prefix: str) -> bytes:
        """Return what `git archive` makes."""
        return self.git("-c", "tar.umask=0002", "archive", "--format=tar.gz", f"--prefix={prefix}/", commit)


class Server:
    """What both have: routes, limits, and a repository. `limit` is an answer given to every request."""

    routes: tuple[tuple[str, str, str, str], ...] = ()

    def __init__(self, bare: Bare, clock: Callable[[], int]) -> None:
        self.bare = bare
        self.clock = clock
        self.limit: Told | None = None
        self.pulls: list[Json] = []
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def answer(self, asked: Asked) -> Told:
        """Answer one request."""
        parts = urlsplit(asked.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(f"{asked.method} {parts.path}")
        if self.limit:
            return self.limit
        for method, pattern, right, does in self.routes:
            found = re.fullmatch(pattern, parts.path)
            if found and method == asked.method:
                try:
                    self.allow(asked, right)
                    body = orjson.loads(asked.body) if asked.body else {}
                    told = getattr(self, f"_{does}")(asked, query, body, *map(unquote, found.groups()))
                except Refused as refused:
                    return refused.told
                return told if isinstance(told, Told) else _told(201 if method == "POST" else 200, told)
        return _told(404, {"message": "Not Found"})

    def allow(self, asked: Asked, right: str) -> None:
        """Raise `Refused` where the request's credentials do not give a right."""
        raise NotImplementedError


REPO = r"/repos/o/shop"


class GitHubServer(Server):
    """`apps` are public keys (JWK) and rights of Apps by id; installation `1NN` is that of App `NN`."""

    routes = (
        ("POST", r"/app/installations/(\d+)/access_tokens", "app", "token"),
        ("GET", rf"{REPO}/commits/(.+)", "contents:read", "resolve"),
        ("GET", rf"{REPO}/tarball/(\w+)", "contents:read", "tarball"),
        ("GET", r"/o/shop/legacy.tar.gz/(\w+)", "", "codeload"),
        ("GET", rf"{REPO}/git/commits/(\w+)", "contents:read", "commit"),
        ("GET", rf"{REPO}/git/trees/(\w+)", "contents:read", "tree"),
        ("GET", rf"{REPO}/git/blobs/(\w+)", "contents:read", "blob"),
        ("GET", rf"{REPO}/git/ref/heads/(.+)", "contents:read", "ref"),
        ("POST", rf"{REPO}/git/blobs", "contents:write", "add_blob"),
        ("POST", rf"{REPO}/git/trees", "contents:write", "add_tree"),
        ("POST", rf"{REPO}/git/commits", "contents:write", "add_commit"),
        ("POST", rf"{REPO}/git/refs", "contents:write", "add_ref"),
        ("PATCH", rf"{REPO}/git/refs/heads/(.+)", "contents:write", "move_ref"),
        ("GET", rf"{REPO}/pulls", "pull_requests:read", "list_pulls"),
        ("POST", rf"{REPO}/pulls", "pull_requests:write", "add_pull"),
        ("PATCH", rf"{REPO}/pulls/(\d+)", "pull_requests:write", "edit_pull"),
        ("POST", rf"{REPO}/issues/(\d+)/labels", "pull_requests:write", "label"),
    )

    def __init__(self, bare: Bare, clock: Callable[[], int], apps: Mapping[str, tuple[Any, Json]]) -> None:
        super().__init__(bare, clock)
        self.apps = apps
        self.tokens: dict[str, tuple[int, Json]] = {}
        self.codeload = "http://127.0.0.1:1"
        self.drafts = True

    def allow(self, asked: Asked, right: str) -> None:
        if not asked.headers.get("User-Agent"):
            raise Refused(403, b"Request forbidden by administrative rules.")
        if right in {"app", ""}:
            return
        token = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        ends, may = self.tokens.get(token, (0, {}))
        if ends <= self.clock():
            raise Refused(401, {"message": "Bad credentials"})
        what, _, how = right.partition(":")
        if may.get(what) not in {how, "write"}:
            raise Refused(403, {"message": "Resource not accessible by integration"})

    def _token(self, asked: Asked, _query: Query, body: Json, installation: str) -> Json:
        from joserfc import jwt
        from joserfc.errors import JoseError

        app, may = self.apps.get(installation[1:], (None, {}))
        bearer = asked.headers.get("Authorization", "").removeprefix("Bearer ")
        now = self.clock() // SECOND
        try:
            claims = jwt.decode(bearer, app, algorithms=["RS256"]).claims if app else {}
        except (JoseError, ValueError):
            claims = {}
        if claims.get("iss") != installation[1:] or not now - 120 < claims["iat"] <= now < claims["exp"]:
            raise Refused(401, {"message": "A JSON web token could not be decoded"})
        if claims["exp"] - now > 600:
            raise Refused(401, {"message": "'Expiration time' claim ('exp') is too far in the future"})
        wanted = body.get("permissions", may)
        if body.get("repositories") != ["shop"]:
            raise Refused(422, {"message": "There is at least one repository that does not exist"})
        if any(may.get(name) not in {how, "write"} for name, how in wanted.items()):
            raise Refused(422, {"message": "The permissions requested are not granted to this installation."})
        token = f"ghs_{len(self.tokens)}"
        ends = now + 3600
        self.tokens[token] = ends * SECOND, {**wanted, "metadata": "read"}
        told = datetime.fromtimestamp(ends, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "token": token,
            "expires_at": told,
            "permissions": wanted,
            "repository_selection": "selected",
        }

    def _resolve(self, asked: Asked, _query: Query, _body: Json, ref: str) -> Told:
        found = self.bare.commit(ref)
        if not found:
            raise Refused(422, {"message": f"No commit found for SHA: {ref}"})
        assert asked.headers["Accept"] == "application/vnd.github.sha"
        return Told(200, found.encode(), {"Content-Type": "application/vnd.github.sha; charset=utf-8"})

    def _tarball(self, _asked: Asked, _query: Query, _body: Json, sha: str) -> Told:
        return Told(302, b"", {"Location": f"{self.codeload}/o/shop/legacy.tar.gz/{sha}?token=temporary"})

    def _codeload(self, asked: Asked, query: Query, _body: Json, sha: str) -> Told:
        assert "Authorization" not in asked.headers, "credentials went to another host"
        if query.get("token") != "temporary":
            raise Refused(404, b"")
        return Told(200, self.bare.archive(sha, f"o-shop-{sha[:7]}"), {"Content-Type": "application/x-gzip"})

    def _commit(self, _asked: Asked, _query: Query, _body: Json, sha: str) -> Json:
        if not self.bare.name(f"{sha}^{{commit}}"):
            raise Refused(404, {"message": "Not Found"})
        tree, parents, message = self.bare.facts(sha)
        return {
            "sha": sha,
            "tree": {"sha": tree},
            "message": message,
            "parents": [{"sha": each} for each in parents],
            "verification": {"verified": True, "reason": "valid"},
        }

    def _tree(self, _asked: Asked, query: Query, _body: Json, sha: str) -> Json:
        assert query == {"recursive": "1"}
        listed = [
            {"path": path, "mode": mode, "type": kind, "sha": it}
            for mode, kind, it, path in self.bare.listed(sha)
        ]
        return {"sha": sha, "tree": listed, "truncated": False}

    def _blob(self, _asked: Asked, _query: Query, _body: Json, sha: str) -> Json:
        data = self.bare.git("cat-file", "blob", sha)
        lined = re.sub(r"(.{60})", r"\1\n", b64encode(data).decode())
        return {"sha": sha, "size": len(data), "content": f"{lined}\n", "encoding": "base64"}

    def _ref(self, _asked: Asked, _query: Query, _body: Json, branch: str) -> Json:
        found = self.bare.name(f"refs/heads/{branch}")
        if not found:
            raise Refused(404, {"message": "Not Found"})
        return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": found}}

    def _add_blob(self, _asked: Asked, _query: Query, body: Json) -> Json:
        assert body["encoding"] == "base64"
        return {"sha": self.bare.blob(b64decode(body["content"]))}

    def _add_tree(self, _asked: Asked, _query: Query, body: Json) -> Json:
        changes = [(each["path"], each["mode"], each["sha"]) for each in body["tree"]]
        return {"sha": self.bare.tree(body["base_tree"], changes)}

    def _add_commit(self, _asked: Asked, _query: Query, body: Json) -> Json:
        assert set(body) == {"message", "tree", "parents"}, "a commit with an author is not signed"
        return {"sha": self.bare.committed(body["tree"], body["parents"], body["message"])}

    def _add_ref(self, _asked: Asked, _query: Query, body: Json) -> Json:
        branch = body["ref"].removeprefix("refs/heads/")
        if not self.bare.move(branch, body["sha"], ""):
            raise Refused(422, {"message": "Reference already exists"})
        return {"ref": body["ref"], "object": {"type": "commit", "sha": body["sha"]}}

    def _move_ref(self, _asked: Asked, _query: Query, body: Json, branch: str) -> Json:
        old = self.bare.name(f"refs/heads/{branch}")
        assert body["force"] is False
        forward = old in self.bare.git("rev-list", body["sha"]).decode().split()
        if not forward or not self.bare.move(branch, body["sha"], old):
            raise Refused(422, {"message": "Update is not a fast forward"})
        return {"ref": f"refs/heads/{branch}", "object": {"type": "commit", "sha": body["sha"]}}

    def _list_pulls(self, _asked: Asked, query: Query, _body: Json) -> list[Json]:
        with self.lock:
            return [
                self._shown(each)
                for each in reversed(self.pulls)
                if f"o:{each['head']}" == query["head"] and query["state"] in {"all", each["state"]}
            ]

    def _add_pull(self, _asked: Asked, _query: Query, body: Json) -> Json:
        def refuse(message: str) -> Refused:
            told = {"resource": "PullRequest", "code": "custom", "message": message}
            return Refused(422, {"message": "Validation Failed", "errors": [told]})

        with self.lock:
            if any(each["head"] == body["head"] and each["state"] == "open" for each in self.pulls):
                raise refuse(f"A pull request already exists for o:{body['head']}.")
            if body["draft"] and not self.drafts:
                raise Refused(422, {"message": "Draft pull requests are not supported in this repository."})
            head, base = (self.bare.name(f"refs/heads/{body[name]}") for name in ("head", "base"))
            if not head or not base:
                raise refuse(f"{'base' if head else 'head'} is invalid")
            pull = {**body, "number": len(self.pulls) + 1, "state": "open", "merged_at": None, "labels": []}
            self.pulls.append(pull)
            return self._shown(pull)

    def _edit_pull(self, _asked: Asked, _query: Query, body: Json, number: str) -> Json:
        with self.lock:
            assert set(body) <= {"title", "body"}
            self.pulls[int(number) - 1].update(body)
            return self._shown(self.pulls[int(number) - 1])

    def _label(self, _asked: Asked, _query: Query, body: Json, number: str) -> Told:
        with self.lock:
            pull = self.pulls[int(number) - 1]
            pull["labels"] = list(dict.fromkeys([*pull["labels"], *body["labels"]]))
            return _told(200, [{"name": each} for each in pull["labels"]])

    def _shown(self, pull: Json) -> Json:
        branch = pull["head"]
        return {
            "number": pull["number"],
            "state": pull["state"],
            "merged_at": pull["merged_at"],
            "draft": pull["draft"],
            "title": pull["title"],
            "body": pull["body"].replace("\n", "\r\n"),
            "html_url": f"https://github.com/o/shop/pull/{pull['number']}",
            "head": {
                "ref": branch,
                "sha": self.bare.name(f"refs/heads/{branch}"),
                "repo": {"full_name": "O/shop"},
            },
            "base": {"ref": pull["base"]},
            "labels": [{"name": each} for each in pull["labels"]],
        }


PROJECT = r"/api/v4/projects/group%2Fshop"


class GitLabServer(Server):
    """`tokens` are the scopes by token: `read_api` or `api`."""

    routes = (
        ("GET", rf"{PROJECT}/repository/commits/([^/]+)", "read", "commit"),
        ("GET", rf"{PROJECT}/repository/archive\.tar\.gz", "read", "archive"),
        ("GET", rf"{PROJECT}/repository/tree", "read", "tree"),
        ("GET", rf"{PROJECT}/repository/blobs/(\w+)/raw", "read", "blob"),
        ("GET", rf"{PROJECT}/repository/branches/([^/]+)", "read", "branch"),
        ("GET", rf"{PROJECT}/repository/files/([^/]+)", "read", "file"),
        ("GET", rf"{PROJECT}/repository/compare", "read", "compare"),
        ("POST", rf"{PROJECT}/repository/commits", "write", "add_commit"),
        ("GET", rf"{PROJECT}/merge_requests", "read", "list"),
        ("POST", rf"{PROJECT}/merge_requests", "write", "add"),
        ("PUT", rf"{PROJECT}/merge_requests/(\d+)", "write", "edit"),
    )

    def __init__(self, bare: Bare, clock: Callable[[], int], tokens: Mapping[str, str]) -> None:
        super().__init__(bare, clock)
        self.tokens = tokens
        self.page = 3

    def allow(self, asked: Asked, right: str) -> None:
        scope = self.tokens.get(asked.headers.get("PRIVATE-TOKEN", ""))
        if scope is None:
            raise Refused(401, {"message": "401 Unauthorized"})
        if right == "write" and scope != "api":
            raise Refused(403, {"error": "insufficient_scope", "scope": "api"})

    def _commit(self, _asked: Asked, _query: Query, _body: Json, ref: str) -> Json:
        found = self.bare.commit(ref)
        if not found:
            raise Refused(404, {"message": "404 Commit Not Found"})
        _, parents, message = self.bare.facts(found)
        return {"id": found, "short_id": found[:8], "message": message, "parent_ids": parents}

    def _archive(self, _asked: Asked, query: Query, _body: Json) -> Told:
        assert query["include_lfs_blobs"] == "false"
        data = self.bare.archive(query["sha"], f"shop-{query['sha']}")
        return Told(200, data, {"Content-Type": "application/octet-stream"})

    def _tree(self, asked: Asked, query: Query, _body: Json) -> Told:
        assert query["recursive"] == "true"
        found = self.bare.listed(query["ref"])
        start = int(query.get("page_token", "0"))
        page = [
            {"id": it, "name": path.rpartition("/")[2], "type": kind, "path": path, "mode": mode}
            for mode, kind, it, path in found[start : start + self.page]
        ]
        ended = start + self.page >= len(found)
        host = "https://elsewhere.example.com"
        path = re.sub(r"&page_token=\d+", "", asked.path)
        link = f'<{host}{path}&page_token={start + self.page}>; rel="next"'
        return _told(200, page, {} if ended else {"Link": link})

    def _blob(self, _asked: Asked, _query: Query, _body: Json, sha: str) -> Told:
        return Told(200, self.bare.git("cat-file", "blob", sha), {"Content-Type": "text/plain"})

    def _branch(self, _asked: Asked, _query: Query, _body: Json, branch: str) -> Json:
        found = self.bare.name(f"refs/heads/{branch}")
        if not found:
            raise Refused(404, {"message": "404 Branch Not Found"})
        return {"name": branch, "commit": {"id": found}, "protected": False}

    def _file(self, _asked: Asked, query: Query, _body: Json, path: str) -> Json:
        found = [each for each in self.bare.listed(query["ref"]) if each[3] == path and each[1] == "blob"]
        if not found:
            raise Refused(404, {"message": "404 File Not Found"})
        mode, _, it, _ = found[0]
        return {
            "file_path": path,
            "blob_id": it,
            "ref": query["ref"],
            "execute_filemode": mode == "100755",
            "encoding": "base64",
            "content": b64encode(self.bare.git("cat-file", "blob", it)).decode(),
        }

    def _compare(self, _asked: Asked, query: Query, _body: Json) -> Json:
        assert query["straight"] == "true"
        found = self.bare.git("diff", "--name-only", "-z", "--no-renames", query["from"], query["to"])
        paths = found.decode().split("\0")[:-1]
        diffs = [{"old_path": each, "new_path": each} for each in paths]
        return {"diffs": diffs, "compare_timeout": False, "compare_same_ref": False}

    def _add_commit(self, _asked: Asked, _query: Query, body: Json) -> Json:
        def refuse(message: str) -> Refused:
            return Refused(400, {"message": message})

        branch, assured = body["branch"], body.get("force")
        assert assured is False
        tip = self.bare.name(f"refs/heads/{branch}")
        start = body.get("start_sha")
        if start and tip:
            raise refuse(
                f"A branch called '{branch}' already exists. Switch to that branch in order to make changes"
            )
        parent = start or tip
        if not parent:
            raise refuse("You can only create or edit files when you are on a branch")
        there = {path: mode for mode, kind, _, path in self.bare.listed(parent) if kind == "blob"}
        changes: list[tuple[str, str, str | None]] = []
        for each in body["actions"]:
            path, how = each["file_path"], each["action"]
            if (path in there) == (how == "create"):
                message = "A file with this name already exists" if how == "create" else "doesn't exist"
                raise refuse(message)
            if each.get("last_commit_id", parent) != parent:
                raise refuse(
                    "You are attempting to update a file that has changed since you started editing it."
                )
            data = None if how == "delete" else self.bare.blob(b64decode(each["content"]))
            changes.append((path, there.get(path, "100644"), data))
        made = self.bare.committed(self.bare.tree(parent, changes), [parent], body["commit_message"])
        if not self.bare.move(branch, made, tip):
            raise refuse("Could not update branch. Please try again.")
        return {"id": made, "parent_ids": [parent], "message": body["commit_message"]}

    def _list(self, _asked: Asked, query: Query, _body: Json) -> list[Json]:
        with self.lock:
            return [
                self._shown(each)
                for each in reversed(self.pulls)
                if each["source_branch"] == query["source_branch"] and query["state"] == "all"
            ]

    def _add(self, _asked: Asked, _query: Query, body: Json) -> Json:
        with self.lock:
            same = [
                each
                for each in self.pulls
                if each["source_branch"] == body["source_branch"] and each["state"] == "opened"
            ]
            if same:
                told = f"Another open merge request already exists for this source branch: !{same[0]['iid']}"
                raise Refused(409, {"message": [told]})
            merge = {**body, "iid": len(self.pulls) + 1, "state": "opened"}
            merge["labels"] = body["labels"].split(",")
            self.pulls.append(merge)
            return self._shown(merge)

    def _edit(self, _asked: Asked, _query: Query, body: Json, number: str) -> Json:
        with self.lock:
            assert set(body) <= {"title", "description", "add_labels"}
            merge = self.pulls[int(number) - 1]
            added = [each for each in body.pop("add_labels", "").split(",") if each]
            merge.update(body)
            merge["labels"] = list(dict.fromkeys([*merge["labels"], *added]))
            return self._shown(merge)

    def _shown(self, merge: Json) -> Json:
        branch = merge["source_branch"]
        return {
            "iid": merge["iid"],
            "state": merge["state"],
            "draft": merge["title"].startswith("Draft: "),
            "title": merge["title"],
            "description": merge["description"],
            "labels": merge["labels"],
            "source_branch": branch,
            "target_branch": merge["target_branch"],
            "source_project_id": 7,
            "target_project_id": 7,
            "sha": self.bare.name(f"refs/heads/{branch}"),
            "web_url": f"https://gitlab.com/group/shop/-/merge_requests/{merge['iid']}",
        }


class Direct:
    """`ports.Http` straight into servers, by the beginning of a URL: no socket, and every request counted.

    `at` is the number of the request that goes wrong: `how` is "unsent", "lost" (done, no answer), or "dies"
    and "died": the caller's process ends before the request, or behind it.
    """

    def __init__(self, servers: Mapping[str, Server], at: int = 0, how: str = "") -> None:
        self.servers = servers
        self.at = at
        self.how = how
        self.count = 0

    def send(self, request: HttpRequest) -> HttpResponse:
        """Send one request."""
        from sentinel.errors import Unavailable
        from tests.action_targets import Killed

        self.count += 1
        wrong = self.how if self.count == self.at else ""
        if wrong == "unsent":
            error = Unavailable("no connection")
            error.unsent = True
            raise error
        if wrong == "dies":
            raise Killed
        base = next(each for each in self.servers if request.url.startswith(each))
        asked = Asked(request.method, request.url.removeprefix(base), dict(request.headers), request.body)
        told = self.servers[base].answer(asked)
        if wrong == "died":
            raise Killed
        if wrong == "lost":
            raise BadAnswer("no answer")
        return HttpResponse(
            told.status, {name.lower(): value for name, value in told.headers.items()}, told.body
        )
