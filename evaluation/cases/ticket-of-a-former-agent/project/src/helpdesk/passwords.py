"""Passwords of agents, kept as PBKDF2 with a salt of their own."""

from __future__ import annotations

import hashlib
import hmac

ROUNDS = 1_000


def hashed(password: str, salt: bytes) -> bytes:
    """Return what is kept of a password."""
    return hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)


def matches(password: str, salt: bytes, kept: bytes) -> bool:
    """Whether a password is the one that was kept."""
    return hmac.compare_digest(hashed(password, salt), kept)
