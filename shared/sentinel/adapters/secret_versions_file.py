"""The port `SecretVersions` on one machine: a file a secret, which only its owner can read.

A file holds all versions of its secret and which stage is at which: every write replaces it whole (a new
file, flushed, renamed), so that no reader ever sees half a change. Writers of all processes queue on a lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from sentinel.core.secret_names import MAX_NAME
from sentinel.errors import Conflict, Forbidden, Malformed, Missing, TooLarge, Unavailable

MAX_BYTES = 65_536  # of a value, as in Secrets Manager
CURRENT, PREVIOUS, PENDING = "AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"
_NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.=-]{{0,{MAX_NAME - 1}}}", re.ASCII)


@dataclass(slots=True)
class _Secret:
    name: str
    values: dict[str, str] = field(default_factory=dict, repr=False)
    stages: dict[str, str] = field(default_factory=dict)

    def clean(self) -> None:
        """Forget the versions that no stage is at."""
        self.values = {token: value for token, value in self.values.items() if token in self.stages.values()}


class FileSecretVersions:
    """Secrets in `folder`, which is made at the first write. See `sentinel.ports_doors.SecretVersions`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, name: str, value: str) -> None:
        """Make a secret with `value` as its AWSCURRENT version. Raises `Conflict` where it exists."""
        _check(value)
        with self._writing(name):
            if self._path(name).exists():
                raise Conflict(f"there is a secret {name} already")
            token = str(uuid4())
            self._write(_Secret(name, {token: value}, {CURRENT: token}))

    def value(self, name: str, stage: str = CURRENT, token: str = "") -> str:
        """Return the value of a stage, or of one version in that stage. Raises `Missing`."""
        secret = self._read(name)
        at = secret.stages.get(stage)
        if at is None or (token and token != at):
            raise Missing(f"the secret {name} has no such version at {stage}")
        return secret.values[at]

    def stages(self, name: str) -> Mapping[str, frozenset[str]]:
        """Return the stages of each version. Raises `Missing` where there is no such secret."""
        secret = self._read(name)
        return {
            token: frozenset(stage for stage, at in secret.stages.items() if at == token)
            for token in secret.values
        }

    def put(self, name: str, token: str, value: str) -> None:
        """Add a version as AWSPENDING. The same again changes nothing; another value is `Conflict`."""
        _check(value)
        if not 32 <= len(token) <= 64:
            raise Malformed("the token of a version has 32 to 64 characters")
        with self._writing(name):
            secret = self._read(name)
            if token in secret.values:
                if secret.values[token] != value:
                    raise Conflict(f"the secret {name} has that version with another value")
                return
            secret.values[token] = value
            secret.stages[PENDING] = token
            secret.clean()
            self._write(secret)

    def promote(self, name: str, token: str) -> None:
        """Make a version AWSCURRENT and the one before it AWSPREVIOUS; nothing where it is that already."""
        with self._writing(name):
            secret = self._read(name)
            if token not in secret.values:
                raise Missing(f"the secret {name} has no such version")
            if secret.stages[CURRENT] == token:
                return
            secret.stages |= {PREVIOUS: secret.stages[CURRENT], CURRENT: token}
            if secret.stages.get(PENDING) == token:
                del secret.stages[PENDING]
            secret.clean()
            self._write(secret)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise Malformed(f"a secret's name is 1 to {MAX_NAME} letters, digits and ._=-")
        return self._folder / f"{name}.json"

    @contextmanager
    def _writing(self, name: str) -> Iterator[None]:
        """Hold the lock of all writers of the folder."""
        self._path(name)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(
                self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise _failed(name, error) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _read(self, name: str) -> _Secret:
        path = self._path(name)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise Missing(f"there is no secret {name}") from None
        except OSError as error:
            raise _failed(name, error) from None
        with os.fdopen(fd, "rb") as file:
            _check_file(name, path, os.fstat(fd))
            try:
                told = json.loads(file.read())
                secret = _Secret(told["name"], dict(told["values"]), dict(told["stages"]))
            except (ValueError, KeyError, TypeError):
                raise Unavailable(f"the file {path} is damaged: restore it or make the secret anew") from None
        if (
            secret.name != name
        ):  # where names differ in case alone and the file system does not tell them apart
            raise Conflict(f"the file of the secret {name} holds another secret's versions")
        return secret

    def _write(self, secret: _Secret) -> None:
        path = self._path(secret.name)
        fresh = path.with_name(f"{path.name}.new")
        text = json.dumps({"name": secret.name, "stages": secret.stages, "values": secret.values})
        try:
            fresh.unlink(missing_ok=True)  # of a process that died here
            fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(fd)
            fresh.replace(path)
            folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise _failed(secret.name, error) from None


def _check(value: str) -> None:
    if not value or len(value.encode()) > MAX_BYTES:
        raise TooLarge(f"a secret's value is 1 to {MAX_BYTES:,} bytes")


def _check_file(name: str, path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Forbidden(f"the secret {name} is not a plain file")
    if found.st_mode & 0o077:
        raise Forbidden(f"the secret {name} can be read by other users of this machine: run chmod 600 {path}")
    if found.st_uid != os.geteuid():
        raise Forbidden(f"the secret {name} belongs to another user of this machine")


def _failed(name: str, error: OSError) -> Exception:
    if isinstance(error, PermissionError):
        return Forbidden(f"the secret {name} may not be used by this user")
    return Unavailable(f"the secret {name} cannot be used: {error.strerror}")
