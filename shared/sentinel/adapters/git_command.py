"""The git command for one repository of this machine, of which nothing is believed.

Only plumbing is run, with an environment of its own. Whatever of the repository's configuration names a
program is turned off: hooks, the file monitor, filters (no path is ever given to one), and fetching of
missing objects, for which no protocol is allowed. Time and output are bounded. The git folder is given
by name, so git asks nobody whose it is (`safe.directory`): the deployment has listed it.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from sentinel.core.grants import allowed
from sentinel.errors import Forbidden, Missing, TimedOut, TooLarge, Unavailable

SETTING: Final = "SENTINEL_GIT_FOLDERS"
SECONDS: Final = 60.0
MOST: Final = 20_000_000  # bytes of output, unless it is said otherwise
_ENVIRONMENT: Final = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ADVICE": "0",
}
_OFF: Final = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.useBuiltinFSMonitor=false"),
    *("core.askPass=", "core.sshCommand=false", "credential.helper=", "gc.auto=0", "maintenance.auto=false"),
    *("i18n.commitEncoding=UTF-8", "core.fsync=committed,loose-object,reference", "core.pager=cat"),
)


class GitFailed(Exception):
    """git ended with an error. `code` is its exit code; what it said is not kept: it may quote a file."""

    def __init__(self, code: int) -> None:
        super().__init__(f"git ended with {code}")
        self.code = code


class Git:
    """Runs git on one repository. `environment` is added to that of every command."""

    def __init__(self, path: str, folders: Iterable[str], environment: Mapping[str, str] = {}) -> None:
        self.folder = _git_folder(path, folders)
        self._environment = {**_ENVIRONMENT, **environment}

    def run(
        self,
        *args: str,
        given: bytes = b"",
        most: int = MOST,
        environment: Mapping[str, str] = {},
    ) -> bytes:
        """Return what a command writes. Raises `GitFailed`, `TooLarge`, `TimedOut`, `Unavailable`."""
        config = [part for each in _OFF for part in ("-c", each)]
        command = ["git", f"--git-dir={self.folder}", "--no-replace-objects", "--no-pager", *config, *args]
        with tempfile.TemporaryFile() as source:
            source.write(given)
            source.seek(0)
            return _bounded(command, source, {**self._environment, **environment}, most)

    def line(self, *args: str, given: bytes = b"", environment: Mapping[str, str] = {}) -> str:
        """Return the one line that a command writes, "" where it ends with an error."""
        try:
            return self.run(*args, given=given, environment=environment).decode(errors="replace").strip()
        except GitFailed:
            return ""


def _git_folder(path: str, folders: Iterable[str]) -> Path:
    """Return the folder that git's own files are in, of a repository with or without a work tree."""
    if not path.startswith("/"):
        raise Forbidden("the path of a repository begins with /")
    root = Path(os.path.realpath(path))
    allowed(str(root), folders, SETTING)
    inner = root / ".git"
    try:
        if inner.is_symlink() or inner.is_file():
            raise Forbidden(f"{path} is a linked work tree: name the folder of the repository itself")
        folder = inner if inner.is_dir() else root
        there = (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    except OSError as error:
        raise Forbidden(f"{path} cannot be looked into: {error.strerror}") from None
    if not there:
        raise Missing(f"there is no git repository at {path}: mend `path` of its document")
    return folder


def _bounded(command: Sequence[str], source: IO[bytes], environment: Mapping[str, str], most: int) -> bytes:
    deadline = time.monotonic() + SECONDS
    try:
        process = subprocess.Popen(  # noqa: S603 - no shell, and every argument is ours or checked
            command,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            cwd="/",
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Unavailable("there is no git on this machine: install it", 600.0) from None
    with process:
        try:
            found = _read(process, most, deadline)
            code = process.wait(max(0.1, deadline - time.monotonic()))
        except BaseException as error:
            process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise TimedOut(f"git did not end within {SECONDS:.0f} s") from None
            raise
    if code:
        raise GitFailed(code)
    return found


def _read(process: subprocess.Popen[bytes], most: int, deadline: float) -> bytes:
    pipe = process.stdout
    assert pipe is not None  # noqa: S101 - it was asked for
    parts: list[bytes] = []
    size = 0
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while True:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimedOut(f"git did not end within {SECONDS:.0f} s")
            part = os.read(pipe.fileno(), 1 << 20)
            if not part:
                return b"".join(parts)
            size += len(part)
            if size > most:
                raise TooLarge(f"the repository gives more than {most:,} bytes")
            parts.append(part)
