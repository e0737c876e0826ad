"""Secrets as files that only their owner can read: `ports.Secrets` for one machine."""

from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

from sentinel.errors import Forbidden, Missing, Unavailable

MAX_BYTES = 65_536
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class FileSecrets:
    """One file a secret in `folder`, named as the secret; read anew each time, so a change counts at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str) -> str:
        """Return a secret; see `ports.Secrets`."""
        if not _NAME.fullmatch(name):
            raise Missing("a secret's name is 1 to 100 letters, digits and ._-")
        path = self._folder / name
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            made = "" if self._folder.is_dir() else f"run mkdir -m 700 {self._folder}, "
            raise Missing(
                f"there is no secret {name}: {made}put its value into {path} and run chmod 600 on it"
            ) from None
        except PermissionError:
            raise Forbidden(f"the secret {name} may not be read by this user") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise Forbidden(f"the secret {name} is a link; put a plain file there") from None
            raise Unavailable(f"the secret {name} cannot be read: {error.strerror}") from None
        try:
            self._check(name, path, os.fstat(fd))
            return _text(name, os.read(fd, MAX_BYTES + 1))
        except OSError as error:
            raise Unavailable(f"the secret {name} cannot be read: {error.strerror}") from None
        finally:
            os.close(fd)

    def _check(self, name: str, path: Path, found: os.stat_result) -> None:
        if not stat.S_ISREG(found.st_mode):
            raise Forbidden(f"the secret {name} is not a plain file")
        if found.st_mode & 0o077:
            raise Forbidden(
                f"the secret {name} can be read by other users of this machine: run chmod 600 {path}"
            )
        if found.st_uid != os.geteuid():
            raise Forbidden(f"the secret {name} belongs to another user of this machine")


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise Forbidden(f"the secret {name} is over {MAX_BYTES} bytes")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise Forbidden(f"the secret {name} is not UTF-8 text") from None
    if not text:
        raise Missing(f"the secret {name} is empty")
    return text
