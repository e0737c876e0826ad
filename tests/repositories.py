"""Git repositories made for tests, and what is proposed to them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel.core.edits import patch_of
from sentinel.core.pull_requests import PullRequest
from sentinel.core.tasks import SECOND
from sentinel.core.trees import EXECUTABLE, LINK, PLAIN, SUBMODULE, Held

TASK = "mfrggzdfmztwq2lknnwg23tpoa"
NOW = 1_790_000_000 * SECOND  # Mon, 21 Sep 2026 14:13:20 GMT
FILES = {
    "src/a.py": Held(PLAIN, b"x = 1\n"),
    "run.sh": Held(EXECUTABLE, b"#!/bin/sh\r\necho 1\r\n"),
    "link": Held(LINK, b"src/a.py"),
    "lib": Held(SUBMODULE, b""),
    "src/empty.py": Held(PLAIN, b""),
    "données/é.txt": Held(PLAIN, b"\xff\x00binary"),
    "bad\\xff": Held(PLAIN, b"name\n"),
    ".gitattributes": Held(PLAIN, b"hidden.py export-ignore\nversion.py export-subst\n"),
    "hidden.py": Held(PLAIN, b"hidden = 1\n"),
    "version.py": Held(PLAIN, b"commit = '$Format:%H$'\n"),
}
PLAIN_FILES = {path: held for path, held in FILES.items() if path != "bad\\xff"}  # all names are UTF-8
PATCH = patch_of(
    {"src/a.py": b"x = 1\n", "run.sh": b"#!/bin/sh\r\necho 1\r\n"},
    {"src/a.py": b"x = 2\n", "run.sh": b"#!/bin/sh\r\necho 2\r\n", "new/b.py": "é = 1".encode()},
)
_WHO = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "Kim"), ("EMAIL", "kim@example.com"), ("DATE", "1789000000 +0000"))
}


@dataclass(frozen=True)
class Made:
    """A repository in a folder, its one commit, and what is in that."""

    path: Path
    commit: str
    files: Mapping[str, Held]


def git(folder: Path, *args: str) -> str:
    """Run git as a person does; return what it says."""
    # The keys of a developer's own configuration play no part.
    apart = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "-c", "advice.detachedHead=false", *args]
    ran = subprocess.run(
        command, cwd=folder, env={**os.environ, **_WHO, **apart}, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode(errors="surrogateescape").strip()


def made_repository(path: Path, files: Mapping[str, Held] = FILES) -> Made:
    """Make a repository with one commit on `main`."""
    path.mkdir(parents=True)
    git(path, "init", "-q", "-b", "main")
    for name, held in files.items():
        if held.mode == SUBMODULE:
            git(path, "update-index", "--add", "--cacheinfo", f"{SUBMODULE},{'1' * 40},{name}")
            (path / name).mkdir()
            continue
        file = Path(
            os.fsdecode(
                os.fsencode(path) + b"/" + name.replace("\\xff", "\udcff").encode(errors="surrogateescape")
            )
        )
        file.parent.mkdir(parents=True, exist_ok=True)
        if held.mode == LINK:
            file.symlink_to(held.data.decode())
        else:
            file.write_bytes(held.data)
            file.chmod(0o755 if held.mode == EXECUTABLE else 0o644)
        subprocess.run(["git", "add", "--", os.fsencode(file)], cwd=path, check=True)
    git(path, "commit", "-qm", "one")
    return Made(path, git(path, "rev-parse", "HEAD"), dict(files))


def pull_request(commit: str, *, draft: bool = True) -> PullRequest:
    """Return what is proposed on top of a commit of such a repository."""
    labels = ("sentinel", "proven")
    return PullRequest(TASK, "main", commit, PATCH, "Fix é", "Cause: x was 1\n", NOW, labels, draft)


class Keys:
    """Secrets by name."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self.secrets = secrets

    def get(self, name: str) -> str:
        """Return one."""
        return self.secrets[name]
