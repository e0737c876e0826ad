"""Tokens: what stands in place of a value, the same for the same one, so that entries are correlated.

    token = base32(first 8 bytes of HMAC-SHA256(key, kind ‖ 0x00 ‖ value))     13 of a-z and 2-7

A token says nothing to who has no key; who has it can try values, so the key file is as secret as the values.
Numbers have one token however they are written: of cards, phones and accounts the separators are left out.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from base64 import b32encode
from pathlib import Path

from sentinel_client.privacy._errors import BadPolicy

MIN_KEY = 16  # bytes
KEY_NAME = "privacy.key"
_SEPARATORS = r"[^A-Za-z0-9]+"
_SURROGATE = "[\ud800-\udfff]"
_UPPER = r"[A-Z]+"
_LOWER = r"[a-z]+"


def normal(kind: str, value: str) -> str:
    """Return the form of a value that its token is made of.

    >>> normal("card", "4111-1111 1111 1111"), normal("phone", "+49 30 1234567"), normal("email", "Kim@X.ORG")
    ('4111111111111111', '+49301234567', 'kim@x.org')
    """
    if kind in {"card", "ssn", "phone"}:
        return ("+" if kind == "phone" and value.startswith("+") else "") + re.sub(_SEPARATORS, "", value)
    if kind == "iban":
        return re.sub(_LOWER, lambda each: each[0].upper(), re.sub(_SEPARATORS, "", value))
    if kind == "email":
        return re.sub(_UPPER, lambda each: each[0].lower(), value.replace("%40", "@"))
    return value


class Tokens:
    """Makes tokens under one key. Shows the key to nobody."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def token(self, kind: str, value: str) -> str:
        """Return the token of a value.

        >>> Tokens(bytes(32)).token("email", "kim@example.org")
        'zq57mgfm2fws6'
        """
        plain = f"{kind}\0{normal(kind, value)}"
        try:
            data = plain.encode()
        except UnicodeEncodeError:
            data = re.sub(_SURROGATE, "\ufffd", plain).encode()
        return b32encode(hmac.digest(self._key, data, "sha256")[:8])[:13].decode().lower()


def read_key(path: Path) -> bytes:
    """Return the key that a file holds: its bytes without white space at the end. Raises `BadPolicy`."""
    try:
        key = path.read_bytes().rstrip()
    except OSError as error:
        raise BadPolicy(f"the key file {path} cannot be read: {error.strerror}") from None
    if len(key) < MIN_KEY:
        raise BadPolicy(f"the key file {path} has under {MIN_KEY} bytes; 32 random ones are a good key")
    return key


def own_key(root: Path) -> bytes:
    """Return the key of a root of slots, drawn at random the first time, for its owner alone (0600).

    It is written whole before it has its name: of processes that start at once, one's key is everybody's.
    Where the disk takes none, as it takes no log, there is one for this process alone. Raises `BadPolicy`
    for a file that somebody else may have put there, or can read: who has the key can try values.
    """
    path = root / KEY_NAME
    try:
        if not path.exists():
            _draw(root, path)
        _check_own(path)
    except OSError:
        return os.urandom(32)
    return read_key(path)


def _draw(root: Path, path: Path) -> None:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = root / f".{KEY_NAME}.{os.getpid()}.{os.urandom(4).hex()}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, os.urandom(32).hex().encode() + b"\n")
        os.fsync(descriptor)
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        os.close(descriptor)
        draft.unlink()


def _check_own(path: Path) -> None:
    found = path.lstat()
    user = os.geteuid() if hasattr(os, "geteuid") else found.st_uid
    if not stat.S_ISREG(found.st_mode) or found.st_uid != user:
        raise BadPolicy(f"the key file {path} is not a file of this user; remove it")
    if os.name == "posix" and found.st_mode & 0o077:
        raise BadPolicy(f"the key file {path} is open to others: chmod 600 {path}")
