"""One-time links to approve: what the token in one says, and when it counts.

The token is a compact JWS of a type and for an audience of its own, signed with the keys that sign access
tokens: neither can be taken for the other. It names one task, one digest and one approver, and whoever has it
may decide once in their name. Times are epoch seconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sentinel.core import jws, tokens
from sentinel.errors import Unauthenticated

TYPE = "approval+jwt"
LONGEST = 86_400  # seconds that a link is valid at most
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


@dataclass(frozen=True, slots=True)
class Link:
    """What a link lets its bearer do: decide as `approver` on a digest of a task, once, before `until`.

    `id` tells it from others; `maker` is who had it made, which the lineage tells when it is used.
    """

    task: str
    digest: str
    approver: str
    maker: str
    id: str
    until: int


def audience(issuer: str) -> str:
    """Return for whom links are: the page of the deployment's own approvals.

    >>> audience("https://sentinel.example.com/")
    'https://sentinel.example.com/approve'
    """
    return f"{issuer.rstrip('/')}/approve"


def sign(link: Link, issuer: str, now: int, key: tokens.SigningKey) -> str:
    """Return the token of a link."""
    claims: dict[str, object] = {
        "iss": issuer,
        "aud": audience(issuer),
        "sub": link.approver,
        "iat": now,
        "exp": link.until,
        "jti": link.id,
        "task": link.task,
        "digest": link.digest,
        "maker": link.maker,
    }
    return tokens.sign(claims, key, TYPE)


def read(text: str, keys: Mapping[str, jws.PublicKey], issuer: str, now: int) -> Link:
    """Return what a token says, once its signature and every claim hold. Raises `Unauthenticated`."""
    try:
        token = jws.parse(text)
    except Unauthenticated:
        raise Unauthenticated("the link is not whole: open all of it, or ask for another one") from None
    key = keys.get(token.header.kid)
    if key is None:
        raise Unauthenticated("the link's key is not known")
    jws.check(token, key, now)
    if token.header.typ != TYPE:
        raise Unauthenticated("this is no link to approve")
    claims = jws.json_object(token.payload)
    if claims.get("iss") != issuer or claims.get("aud") != audience(issuer):
        raise Unauthenticated("the link is of another deployment")
    issued, until = claims.get("iat"), claims.get("exp")
    if type(issued) is not int or type(until) is not int or not 0 < until - issued <= LONGEST:
        raise Unauthenticated("the link has no time in which it counts")
    if not issued - tokens.SKEW <= now < until:
        raise Unauthenticated("the link's time is over: ask for another one")
    return _link(claims, until)


def _link(claims: Mapping[str, Any], until: int) -> Link:
    names = ("task", "digest", "sub", "maker", "jti")
    task, digest, approver, maker, link = (claims.get(name) for name in names)
    texts = (task, digest, approver, maker, link)
    if not all(isinstance(each, str) and each for each in texts) or not _ID.fullmatch(str(link)):
        raise Unauthenticated("the link does not say what it is for")
    return Link(str(task), str(digest), str(approver), str(maker), str(link), until)
