"""The home folder: who runs on it, where the gateway is, and where the local stores keep what."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sentinel.errors import Conflict

FEEDS_DB = "feeds.db"
_ENDPOINT = "endpoint.json"


@dataclass(slots=True)
class Lock:
    """The right to run on a home folder. It ends with the process that holds it, however that ends."""

    fd: int

    def release(self) -> None:
        """Let go."""
        os.close(self.fd)


def make(home: Path) -> None:
    """Make the folder, for its owner only."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)


def lock(home: Path) -> Lock:
    """Take the folder's lock. Raises `Conflict` where another process has it."""
    make(home)
    fd = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
        os.close(fd)
        raise Conflict(
            f"another `sentinel up` (process {holder or 'unknown'}) runs on {home}; stop it, or name another "
            "folder with --home"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return Lock(fd)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gateway of a home is: its service API, its webhook API, and whether it runs without doors."""

    url: str
    hooks: str = ""
    insecure: bool = True


def publish(home: Path, where: Endpoint) -> None:
    """Write down where the gateway is; whole or not at all."""
    fresh = home / f"{_ENDPOINT}.new"
    fresh.write_text(json.dumps({**asdict(where), "pid": os.getpid()}) + "\n")
    fresh.replace(home / _ENDPOINT)


def withdraw(home: Path) -> None:
    """Take the gateway's address away again."""
    (home / _ENDPOINT).unlink(missing_ok=True)


def published(home: Path) -> Endpoint | None:
    """Return where the gateway is, if that is written down."""
    try:
        found = json.loads((home / _ENDPOINT).read_text())
        return Endpoint(str(found["url"]), str(found["hooks"]), bool(found["insecure"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def endpoint(home: Path) -> str | None:
    """Return the service API's address, if it is written down."""
    found = published(home)
    return found.url if found else None


def names_of_patches(home: Path) -> bool:
    """Say whether the catalog has a repository or a model in force, by one look at its file."""
    import sqlite3

    try:
        with closing(sqlite3.connect(f"file:{home / 'catalog.db'}?mode=ro", uri=True)) as db:
            kinds = "SELECT 1 FROM active WHERE kind IN ('repository', 'model') LIMIT 1"
            return db.execute(kinds).fetchone() is not None
    except sqlite3.OperationalError:  # it is not there yet, or is being made
        return False
