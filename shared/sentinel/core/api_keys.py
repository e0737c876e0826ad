"""API keys: `sk_<id>_<secret>`, of which only the id and the SHA-256 of the secret are kept.

The id is 16 hex characters and finds the key's record (`core.access.ApiKey`); the secret is 32 random bytes
in base64url. A hash without salt or stretching is enough for a secret that nobody could guess.
"""

from __future__ import annotations

import hmac
import re
from base64 import urlsafe_b64encode
from hashlib import sha256

from sentinel.core.access import ApiKey
from sentinel.errors import Malformed, Unauthenticated

SECRET_BYTES = 32
_ID = re.compile(r"[0-9a-f]{16}")
_KEY = re.compile(r"sk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


def make(key_id: str, secret: bytes) -> str:
    """Return the API key of 32 secret bytes. Raises `Malformed`.

    >>> make("00112233445566aa", bytes(32))
    'sk_00112233445566aa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
    """
    if not _ID.fullmatch(key_id) or len(secret) != SECRET_BYTES:
        raise Malformed(f"an API key has an id of 16 hex characters and {SECRET_BYTES} secret bytes")
    return f"sk_{key_id}_{urlsafe_b64encode(secret).rstrip(b'=').decode()}"


def parse(text: str) -> tuple[str, str]:
    """Return (id, secret part) of an API key. Raises `Unauthenticated`, which quotes nothing.

    >>> parse("sk_00112233445566aa_" + 43 * "A")[0]
    '00112233445566aa'
    """
    found = _KEY.fullmatch(text)
    if found is None:
        raise Unauthenticated("this is not an API key: it is sk_, 16 hex characters, _ and 43 more")
    return found[1], found[2]


def digest(secret: str) -> str:
    """Return what is kept of the secret part: its SHA-256 in hex."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def of(text: str, service: str, since: int) -> ApiKey:
    """Return the record of an API key, valid from `since` (epoch seconds) without an end."""
    key_id, secret = parse(text)
    return ApiKey(key_id, service, digest(secret), since)


def matches(key: ApiKey, secret: str, now: int) -> bool:
    """Whether `secret` is the secret part of a key that is valid at `now`; in constant time.

    >>> key = ApiKey("00112233445566aa", "checkout", digest("s"), since=10, until=20)
    >>> [matches(key, "s", now) for now in (9, 10, 19, 20)], matches(key, "t", 15)
    ([False, True, True, False], False)
    """
    same = hmac.compare_digest(key.digest.encode("utf-8", "surrogatepass"), digest(secret).encode())
    return same and key.since <= now and (not key.until or now < key.until)
