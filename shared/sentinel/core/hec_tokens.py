"""Tokens of Splunk's HTTP Event Collector: each names its webhook, so that one is found without a search.

HEC's paths name no webhook, and senders bring one word alone. So a token is the webhook's id and its
secret, `ID.SECRET`. Some senders insist on a GUID: of a webhook whose id is 8 hex digits the token is one,
with the id as its first group and the other 96 bits as the secret. The secret alone is kept (`core.ring`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SOURCE: Final = "splunk-hec"
MAX_TOKEN: Final = 4_200  # characters: the longest secret and the longest id
_ID = re.compile(r"[0-9a-f]{8}")
_GROUPS = re.compile(r"[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_GUID = re.compile(r"([0-9a-fA-F]{8})-([0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})")


@dataclass(frozen=True, slots=True)
class Credential:
    """Which webhook a token names, "" for none that could be, and the secret that it brings."""

    hook: str
    secret: str = field(repr=False)


def new_secret(hook_id: str, entropy: Callable[[int], bytes]) -> str:
    """Return a new secret: the rest of a GUID for an id of 8 hex digits, else base64url of 32 random bytes.

    >>> new_secret("1a2b3c4d", bytes), len(new_secret("docker", bytes))
    ('0000-0000-0000-000000000000', 43)
    """
    if not _ID.fullmatch(hook_id):
        return base64.urlsafe_b64encode(entropy(32)).rstrip(b"=").decode()
    digits = entropy(12).hex()
    return "-".join((digits[:4], digits[4:8], digits[8:12], digits[12:]))


def token(hook_id: str, secret: str) -> str:
    """Return the token of a webhook and its secret.

    >>> token("docker", "s3cret"), token("1a2b3c4d", "0000-4000-8000-000000000000")
    ('docker.s3cret', '1a2b3c4d-0000-4000-8000-000000000000')
    """
    guid = _ID.fullmatch(hook_id) and _GROUPS.fullmatch(secret)
    return f"{hook_id}{'-' if guid else '.'}{secret}"


def parse(text: str) -> Credential:
    """Return what a token holds; of what is none, a credential that no webhook has.

    >>> parse("docker.s3cret").hook, parse("1A2B3C4D-0000-4000-8000-000000000000").hook, parse("x").hook
    ('docker', '1a2b3c4d', '')
    """
    if len(text) > MAX_TOKEN:
        return Credential("", "")
    guid = _GUID.fullmatch(text)
    if guid is not None:
        return Credential(guid[1].lower(), guid[2].lower())
    hook, dot, secret = text.partition(".")
    return Credential(hook, secret) if dot else Credential("", text)


def presented(authorization: str) -> Credential | None:
    """Return what an `Authorization` header brings; None where it is none of the three that count.

    `Splunk TOKEN`, `Bearer TOKEN`, or `Basic` with the token as the password of whatever user.

    >>> presented("Splunk docker.s").hook, presented("bearer docker.s").hook, presented("Splunk ")
    ('docker', 'docker', None)
    >>> presented("Basic eDpkb2NrZXIucw==").hook
    'docker'
    """
    scheme, _, rest = authorization.strip().partition(" ")
    text = rest.strip()
    if scheme.lower() == "basic":
        text = _password(text)
    elif scheme.lower() not in {"splunk", "bearer"}:
        return None
    return parse(text) if text else None


def _password(text: str) -> str:
    try:
        _, _, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return ""
    return password.strip()
